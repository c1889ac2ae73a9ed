package backend_test

import (
	"context"
	"iter"
	"testing"

	"github.com/ailease/lease/backend"
)

// plain has no optional capability: a nil Backend inside gives it the methods, which nobody calls.
type plain struct{ backend.Backend }

// lists is a store that lists.
type lists struct {
	plain
	name string
}

func (*lists) List(context.Context, string) iter.Seq2[backend.Entry, error] { return nil }

// watches is a store that watches.
type watches struct{ plain }

func (watches) Watch(context.Context, string) (<-chan backend.Entry, error) { return nil, nil }

// opaque wraps a backend and hides what it can do besides.
type opaque struct{ backend.Backend }

// open wraps a backend and keeps what it can do besides.
type open struct{ backend.Backend }

func (o open) Unwrap() backend.Backend { return o.Backend }

// intercepts wraps a backend and lists for it.
type intercepts struct {
	lists
	inner backend.Backend
}

func (i *intercepts) Unwrap() backend.Backend { return i.inner }

func TestAs(t *testing.T) {
	store := &lists{name: "store"}
	over := &intercepts{lists{name: "over"}, store}
	for _, tt := range []struct {
		name   string
		b      backend.Backend
		lister *lists // nil: none is to be found
		watch  bool
	}{
		{"no backend", nil, nil, false},
		{"a store without capabilities", plain{}, nil, false},
		{"a store that lists", store, store, false},
		{"a store that watches", watches{}, nil, true},
		{"a wrapper that hides it", opaque{store}, nil, false},
		{"a wrapper that keeps it", open{store}, store, false},
		{"a wrapper of a wrapper", open{open{store}}, store, false},
		{"a wrapper that keeps what another hides", open{opaque{store}}, nil, false},
		{"a wrapper of nothing", open{nil}, nil, false},
		{"a wrapper that intercepts", over, &over.lists, false},
		{"a wrapper around one that intercepts", open{over}, &over.lists, false},
		{"a wrapper that intercepts another capability", &intercepts{inner: watches{}}, &lists{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := backend.As[backend.Lister](tt.b)
			if ok != (tt.lister != nil) || ok != (got != nil) {
				t.Fatalf("As[Lister] = %v, %t", got, ok)
			}
			if ok && nameOf(got) != tt.lister.name {
				t.Errorf("As[Lister] is the one named %q, want %q", nameOf(got), tt.lister.name)
			}
			if w, ok := backend.As[backend.Watcher](tt.b); ok != tt.watch || ok != (w != nil) {
				t.Errorf("As[Watcher] = %v, %t", w, ok)
			}
		})
	}
	if s, ok := backend.As[*lists](open{store}); !ok || s != store {
		t.Errorf("As[*lists] = %v, %t, want the store itself", s, ok)
	}
}

func nameOf(l backend.Lister) string {
	switch l := l.(type) {
	case *lists:
		return l.name
	case *intercepts:
		return l.name
	}
	return "unknown"
}
