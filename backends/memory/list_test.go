package memory_test

import (
	"context"
	"slices"
	"testing"

	"github.com/ailease/lease/backends/memory"
)

// TestListByPrefix: a prefix that names a namespace is looked up, any other one is searched for.
// Both find the same kind of thing.
func TestListByPrefix(t *testing.T) {
	s := memory.New()
	ctx := context.Background()
	revisions := map[string]uint64{}
	for _, key := range []string{"a/1", "a/2", "a/b/3", "ab/4", "a", "/5", "6"} {
		revision, err := s.CompareAndSet(ctx, key, 0, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		revisions[key] = revision
	}
	list := func(prefix string) []string {
		var keys []string
		for e, err := range s.List(ctx, prefix) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, e.Key)
		}
		slices.Sort(keys)
		return keys
	}
	check := func(prefix string, want ...string) {
		t.Helper()
		if got := list(prefix); !slices.Equal(got, want) {
			t.Errorf("prefix %q finds %q, want %q", prefix, got, want)
		}
	}
	check("", "/5", "6", "a", "a/1", "a/2", "a/b/3", "ab/4")
	check("a", "a", "a/1", "a/2", "a/b/3", "ab/4")
	check("a/", "a/1", "a/2", "a/b/3")
	check("a/b", "a/b/3")
	check("a/b/", "a/b/3")
	check("/", "/5")
	check("c/")
	for _, key := range []string{"a/1", "a/b/3"} {
		if err := s.CompareAndDelete(ctx, key, revisions[key]); err != nil {
			t.Fatal(err)
		}
	}
	check("a/", "a/2")
	if _, err := s.CompareAndSet(ctx, "a/1", 0, nil, 0); err != nil {
		t.Fatal(err)
	}
	check("a/", "a/1", "a/2")
}
