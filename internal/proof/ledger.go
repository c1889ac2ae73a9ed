package proof

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/ailease/lease/backends/memory"
)

// ledger is the store of a simulation. It keeps all that was ever written, in order.
type ledger struct {
	*memory.Store

	mu     sync.Mutex // held while the store writes
	writes []Write
	values [][]byte // of writes, which are decoded when the day is over
}

// CompareAndSet implements [backend.Backend].
func (l *ledger) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	revision, err := l.Store.CompareAndSet(ctx, key, expected, value, keep)
	if err == nil { // value is a copy that Faulty has made
		l.writes = append(l.writes, Write{By: askedOf(ctx), Key: key, Revision: revision, At: time.Now()})
		l.values = append(l.values, value)
	}
	return revision, err
}

// CompareAndDelete implements [backend.Backend].
func (l *ledger) CompareAndDelete(ctx context.Context, key string, expected uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.Store.CompareAndDelete(ctx, key, expected)
	if err == nil {
		l.writes = append(l.writes, Write{By: askedOf(ctx), Key: key, At: time.Now(), Deleted: true})
		l.values = append(l.values, nil)
	}
	return err
}

// of returns the writes of each key, in order.
func (l *ledger) of() map[string][]Write {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := map[string][]Write{}
	for i, w := range l.writes {
		if !w.Deleted {
			if err := json.Unmarshal(l.values[i], &w.Record); err != nil {
				panic(err)
			}
		}
		_, key, _ := strings.Cut(w.Key, "/")
		keys[key] = append(keys[key], w)
	}
	return keys
}
