package httpserver

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limits holds one token bucket for each namespace that was seen. There are at most as many as the
// authenticator knows.
type limits struct {
	rate  rate.Limit
	burst int

	mu sync.Mutex
	of map[string]*rate.Limiter
}

// rateLimited says when the next request will pass.
type rateLimited struct{ after time.Duration }

func (e *rateLimited) Error() string { return "too many requests in this namespace" }

func (l *limits) take(namespace string) error {
	l.mu.Lock()
	limiter := l.of[namespace]
	if limiter == nil {
		if l.of == nil {
			l.of = make(map[string]*rate.Limiter)
		}
		limiter = rate.NewLimiter(l.rate, l.burst)
		l.of[namespace] = limiter
	}
	l.mu.Unlock()
	reservation := limiter.Reserve()
	if after := reservation.Delay(); after > 0 {
		reservation.Cancel()
		return &rateLimited{after}
	}
	return nil
}
