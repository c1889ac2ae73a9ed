package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/ailease/lease/backend"
)

// Filter chooses what [Manager.List] yields. nil stands for the zero value: all.
type Filter struct {
	State  State  // "" for any; StateNotFound finds nothing
	Prefix string // of the key, byte for byte
	Limit  int    // how many at most; 0 for no limit
}

// List yields the leases that the filter chooses, in no particular order, each as Status would
// report it when the iteration reaches it, but without its result. The caller may change leases
// meanwhile; what begins or is forgotten meanwhile may be missed. A record that cannot be read
// comes with [ErrUnreadable] and a Lease of which only the key is known, and the listing goes on.
// Any other error ends it; [errors.ErrUnsupported] is that of a backend that is no
// [backend.Lister].
func (m *Manager) List(ctx context.Context, filter *Filter) iter.Seq2[Lease, error] {
	var f Filter
	if filter != nil {
		f = *filter
	}
	return func(yield func(Lease, error) bool) {
		fail := func(l Lease, err error) bool {
			return yield(l, &Error{Op: "list", Key: cmp.Or(l.Key, f.Prefix), Err: err})
		}
		if err := f.check(); err != nil {
			fail(Lease{}, err)
			return
		}
		lister, ok := backend.As[backend.Lister](m.backend)
		if !ok {
			fail(Lease{}, fmt.Errorf("%w: the backend cannot list", errors.ErrUnsupported))
			return
		}
		count := 0
		for e, err := range lister.List(ctx, m.storeKey(f.Prefix)) {
			if err != nil {
				if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
					err = fmt.Errorf("%w: %w", ErrUnavailable, err)
				}
				fail(Lease{}, err)
				return
			}
			l := Lease{Key: strings.TrimPrefix(e.Key, m.storeKey(""))}
			r, err := decodeRecord(e)
			if err == nil {
				l = m.view(l.Key, r, m.clock.Now())
				l.Result = nil
				if l.State == StateNotFound || f.State != "" && f.State != l.State {
					continue
				}
			}
			count++
			if err != nil && !fail(l, err) || err == nil && !yield(l, nil) || count == f.Limit {
				return
			}
		}
	}
}

func (f *Filter) check() error {
	switch f.State {
	case "", StateNotFound, StateInProgress, StateExpired, StateCompleted, StateFailed:
	default:
		return &FieldError{"state", fmt.Sprintf("%.32q is none of the states of a lease", string(f.State))}
	}
	if f.Limit < 0 {
		return &FieldError{"limit", fmt.Sprintf("%d, must not be negative", f.Limit)}
	}
	return checkString("prefix", f.Prefix, backend.MaxKeyBytes-maxNamespaceBytes-1)
}
