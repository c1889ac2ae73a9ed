package natskv

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
)

// TestAnswers: an answer may take long as long as something comes.
func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		takes []time.Duration // each message, after the one before
		bound time.Duration   // of the caller's context
		want  error
		after time.Duration
	}{
		{"at once", []time.Duration{0}, time.Hour, nil, 0},
		{"slowly", []time.Duration{answerWait - 1, answerWait - 1, answerWait - 1}, time.Hour, nil, 3*answerWait - 3},
		{"never", nil, time.Hour, errSilent, answerWait},
		{"not to the end", []time.Duration{answerWait / 2, answerWait + 1}, time.Hour, errSilent, answerWait/2 + answerWait},
		{"later than the caller waits", []time.Duration{answerWait / 2, answerWait / 2}, answerWait - 1, context.DeadlineExceeded, answerWait - 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.bound)
				defer cancel()
				b := &inbox{prefix: "in.", waiting: map[string]*answer{}}
				var server sync.WaitGroup
				b.publish = func(_, reply string, _ []byte) error {
					server.Go(func() {
						for _, d := range tt.takes {
							time.Sleep(d)
							b.take(&nats.Msg{Subject: reply})
						}
					})
					return nil
				}
				begun, taken, returned := time.Now(), 0, false
				err := b.ask(ctx, "subject", nil, func(*nats.Msg) bool {
					if returned {
						t.Error("a message was taken after ask had returned")
					}
					taken++
					return taken == len(tt.takes)
				})
				returned = true
				if took := time.Since(begun); !errors.Is(err, tt.want) || took != tt.after {
					t.Errorf("%v after %v, want %v after %v", err, took, tt.want, tt.after)
				}
				server.Wait()
				if len(b.waiting) != 0 {
					t.Error("the request is still known")
				}
			})
		})
	}
}
