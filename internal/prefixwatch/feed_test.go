package prefixwatch

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/ailease/lease/backend"
)

// rest takes all that waits until a last state, of key "the last", which it sends.
func rest(t *testing.T, f *Feed) (all []backend.Entry) {
	t.Helper()
	if !f.Send(entry("the last", 1)) {
		t.Fatal("the watch has ended")
	}
	for e := range f.States() {
		if e.Key == "the last" {
			return all
		}
		all = append(all, e)
	}
	t.Fatal("the channel is closed")
	return nil
}

func entry(key string, revision int) backend.Entry {
	return backend.Entry{Key: key, Value: fmt.Append(nil, revision), Revision: uint64(revision)}
}

// TestOneKeyIsWrittenForEver: what waits stays bounded, the newest state is there, and the watch
// goes on.
func TestOneKeyIsWrittenForEver(t *testing.T) {
	f := New("")
	defer f.Close()
	const last = 10 * mostKeys
	f.Send(entry("once", 1))
	for n := range last {
		if !f.Send(entry("often", n+1)) {
			t.Fatalf("the watch ends after %d states of one key", n)
		}
	}
	all := rest(t, f)
	if len(all) > atOnce+2 {
		t.Errorf("%d states waited", len(all))
	}
	once, newest := 0, uint64(0)
	for _, e := range all {
		switch {
		case e.Key == "once":
			once++
		case e.Revision <= newest:
			t.Errorf("revision %d after %d", e.Revision, newest)
		default:
			newest = e.Revision
		}
	}
	if once != 1 || newest != last {
		t.Errorf("the key that was written once comes %d times, the other up to revision %d, want %d", once, newest, last)
	}
}

// TestTooMuchWaits: a watch ends when too many keys wait, or too much of their values, and not
// before. The goroutine ends with it, which the bubble checks.
func TestTooMuchWaits(t *testing.T) {
	large := strings.Repeat("v", backend.MaxValueBytes)
	for _, tt := range []struct {
		name  string
		value string
		keys  int // that are written in turns
		times int
		ends  bool
	}{
		{"as many keys as may wait", "v", mostKeys, 5, false},
		{"more than may wait and be sent", "v", mostKeys + atOnce + 2, 5, true},
		{"as many bytes as may wait", large, mostBytes / backend.MaxValueBytes, 20, false},
		{"more than may wait and be sent of bytes", large, mostBytes/backend.MaxValueBytes + atOnce + 2, 2, true},
		{"one large value again and again", large, 1, 100, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := New("")
				sent, open := 0, true
				for n := 0; open && n < tt.times; n++ {
					for k := 0; open && k < tt.keys; k++ {
						open = f.Send(backend.Entry{Key: fmt.Sprint(k), Value: []byte(tt.value), Revision: uint64(n + 1)})
						sent++
					}
				}
				if open == tt.ends {
					t.Errorf("after %d states the watch is open: %t", sent, open)
				}
				if f.Send(entry("0", tt.times+1)) != open {
					t.Errorf("a later state is taken: %t", !open)
				}
				f.Close()
				f.Close()
				n := 0
				for range f.States() {
					n++
				}
				if n > atOnce+1 {
					t.Errorf("%d states came after the end", n)
				}
			})
		})
	}
}

// TestWhatWasTakenNeedsNoRoom: a reader who keeps up is told everything, however much that is.
func TestWhatWasTakenNeedsNoRoom(t *testing.T) {
	f := New("")
	value := []byte(strings.Repeat("v", 64<<10))
	const states = 3 * mostKeys
	for n := range states {
		if !f.Send(backend.Entry{Key: fmt.Sprint(n), Value: value, Revision: 1}) {
			t.Fatalf("the watch ends after %d states that were taken", n)
		}
		if e := <-f.States(); e.Key != fmt.Sprint(n) {
			t.Fatalf("got %q", e.Key)
		}
	}
}

// TestReadersAndWritersMeet: with writers of several keys and a reader at the same time, no key
// goes back, and each comes to its last state.
func TestReadersAndWritersMeet(t *testing.T) {
	const keys, writes = 8, 20_000
	f := New("")
	var writing sync.WaitGroup
	for k := range keys {
		writing.Go(func() {
			for n := range writes {
				if !f.Send(entry(fmt.Sprint(k), n+1)) {
					t.Error("the watch has ended")
					return
				}
			}
		})
	}
	defer f.Close()
	go func() { writing.Wait(); f.Send(entry("the last", 1)) }()
	newest := map[string]uint64{}
	for e := range f.States() {
		if e.Key == "the last" {
			break
		}
		if e.Revision <= newest[e.Key] || string(e.Value) != fmt.Sprint(e.Revision) {
			t.Fatalf("%q at %d after %d", e.Value, e.Revision, newest[e.Key])
		}
		newest[e.Key] = e.Revision
	}
	for k := range keys {
		if got := newest[fmt.Sprint(k)]; got != writes {
			t.Errorf("key %d came to %d", k, got)
		}
	}
}

// TestValuesAreOnesOwn: neither the sender nor another reader sees what a reader does to a value.
// Only an absent key has none.
func TestValuesAreOnesOwn(t *testing.T) {
	f := New("")
	value := []byte("value")
	f.Send(backend.Entry{Key: "k", Value: value, Revision: 1})
	f.Send(backend.Entry{Key: "k", Revision: 2})
	f.Send(backend.Entry{Key: "k"})
	value[0] = 'X'
	all := rest(t, f)
	if string(all[0].Value) != "value" || all[1].Value == nil || all[2].Value != nil {
		t.Errorf("got %q, %v and %v", all[0].Value, all[1].Value, all[2].Value)
	}
}

func TestConcerns(t *testing.T) {
	for _, tt := range []struct {
		prefix, key string
		want        bool
	}{
		{"", "k", true}, {"a/", "a/b", true}, {"a/", "a/", true}, {"a/", "a0", false}, {"a/", "a", false}, {"a/", "A/b", false}, {"\xc3", "é", true},
	} {
		if got := New(tt.prefix).Concerns(tt.key); got != tt.want {
			t.Errorf("a watch of %q concerns %q: %t", tt.prefix, tt.key, got)
		}
	}
}
