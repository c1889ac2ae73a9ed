package lease

import (
	"fmt"
	"testing"
)

func newKnown() *known { return &known{m: make(map[string]stored)} }

func TestWhatIsKnownOfAKey(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    *record
		rec  bool // the record is kept, and not the revision alone
	}{
		{"a lease in progress", inProgress(), true},
		{"a completed lease", finished(verbComplete), false},
		{"a failed lease", finished(verbFail), false},
		{"a released lease", finished(verbRelease), false},
		{"a lock", locked(), false},
	} {
		k := newKnown()
		k.put("k", stored{tt.r, 3})
		if s, ok := k.get("k"); !ok || s.revision != 3 || (s.rec != nil) != tt.rec {
			t.Errorf("%s: known is %+v, %t", tt.name, s, ok)
		}
		k.put("k", stored{})
		if s, ok := k.get("k"); ok {
			t.Errorf("%s: after it was seen to be absent, known is %+v", tt.name, s)
		}
	}
}

func TestWhatIsKnownIsBounded(t *testing.T) {
	held := stored{inProgress(), 1}
	large := inProgress()
	large.Checkpoint = make([]byte, maxCheckpointBytes)
	saved := stored{large, 1}
	k := newKnown()
	for i := range 2 * mostKnown {
		k.put(fmt.Sprint(i), held)
	}
	if len(k.m) != mostKnown || k.bytes != 0 {
		t.Errorf("%d keys of %d bytes are known, want %d", len(k.m), k.bytes, mostKnown)
	}
	const most = mostKnownBytes / maxCheckpointBytes
	for range 3 {
		for i := range 2 * most {
			key := fmt.Sprint("large ", i)
			k.put(key, saved)
			k.put(key, saved) // the same key again takes no more room
		}
		sum := 0
		for _, s := range k.m {
			sum += s.size()
		}
		if k.bytes != sum || sum > mostKnownBytes || sum == 0 {
			t.Errorf("%d bytes are counted, %d are known, want %d at most", k.bytes, sum, mostKnownBytes)
		}
	}
	for key := range k.m {
		if len(key)%2 == 0 {
			k.drop(key)
		} else {
			k.put(key, held)
		}
	}
	if k.bytes != 0 {
		t.Errorf("%d bytes are counted, none are known", k.bytes)
	}
	k.drop("never seen")
}
