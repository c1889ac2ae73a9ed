package conformance_test

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Stores with a fault of long listings, of many, or of odd prefixes.

var ofLongLists = []mutant{
	{"list of all by an empty prefix is empty", "long list", func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			if prefix == "" {
				return func(func(backend.Entry, error) bool) {}
			}
			return s.List(ctx, prefix)
		}
	}},
	{"list that ends after a page of 100", "long list", listed(func(all []backend.Entry) []backend.Entry { return all[:min(len(all), 100)] })},
	{"list that ends after a page of 1000", "long list", listed(func(all []backend.Entry) []backend.Entry { return all[:min(len(all), 1000)] })},
	{"list that ends after four megabytes", "long list", listed(func(all []backend.Entry) []backend.Entry {
		size := 0
		for i, e := range all {
			if size += len(e.Value); size > 4<<20 {
				return all[:i]
			}
		}
		return all
	})},
	{"list that repeats where a page begins", "long list", listed(func(all []backend.Entry) []backend.Entry {
		if len(all) > 256 {
			all = slices.Insert(all, 256, all[255])
		}
		return all
	})},
	{"list that misses where a page begins", "long list", listed(func(all []backend.Entry) []backend.Entry {
		if len(all) > 256 {
			all = slices.Delete(all, 256, 257)
		}
		return all
	})},
	{"list by pattern instead of prefix", "each odd prefix", func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			if before, _, ok := strings.Cut(prefix, "%"); ok {
				prefix = before
			}
			return s.List(ctx, prefix)
		}
	}},
	{"list that compares without case", "each odd prefix", func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				for e, err := range s.List(ctx, "") {
					if err == nil && !strings.HasPrefix(strings.ToLower(e.Key), strings.ToLower(prefix)) {
						continue
					}
					if !yield(e, err) {
						return
					}
				}
			}
		}
	}},
	{"list of pages, each by its number", "long list", func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				const page = 100
				for at := 0; ; at += page {
					all, err := sorted(s.List(ctx, prefix))
					if err != nil {
						yield(backend.Entry{}, err)
						return
					}
					for _, e := range all[min(at, len(all)):min(at+page, len(all))] {
						if !yield(e, nil) {
							return
						}
					}
					if at+page >= len(all) {
						return
					}
				}
			}
		}
	}},
	{"list of all shows the store's own keys", "long list", func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				if prefix == "" && ctx.Err() == nil && !yield(backend.Entry{Key: "_version", Revision: 1}, nil) {
					return
				}
				s.List(ctx, prefix)(yield)
			}
		}
	}},
	{"list by the first 255 bytes of its prefix", "each odd prefix", func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return s.List(ctx, prefix[:min(len(prefix), 255)])
		}
	}},
	{"one listing in fifty misses one", "many lists", listed(func(all []backend.Entry) []backend.Entry {
		if len(all) > 1 && rand.IntN(50) == 0 { // by chance, as in life
			return all[1:]
		}
		return all
	})},
	{"list broken off that leaves a goroutine", "many lists", func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				type step struct {
					e   backend.Entry
					err error
				}
				steps := make(chan step)
				go func() {
					defer close(steps)
					for e, err := range s.List(ctx, prefix) {
						steps <- step{e, err}
					}
				}()
				for next := range steps {
					if !yield(next.e, next.err) {
						return
					}
				}
			}
		}
	}},
	{"no more than 200 listings broken off", "many lists", func(s *memory.Store, f *fork) {
		var open atomic.Int32
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				if open.Load() >= 200 {
					yield(backend.Entry{}, errors.New("too many cursors"))
					return
				}
				for e, err := range s.List(ctx, prefix) {
					if !yield(e, err) {
						open.Add(1)
						return
					}
				}
			}
		}
	}},
}

// sorted are the entries of a listing, by their keys.
func sorted(list iter.Seq2[backend.Entry, error]) (all []backend.Entry, err error) {
	for e, err := range list {
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b backend.Entry) int { return cmp.Compare(a.Key, b.Key) })
	return all, nil
}
