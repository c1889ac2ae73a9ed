package lease

import (
	"fmt"
	"testing"
)

func newCache() *cache { return &cache{m: make(map[string]stored)} }

func TestWhatIsCachedOfAKey(t *testing.T) {
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
		c := newCache()
		c.put("k", stored{tt.r, 3})
		if s, ok := c.get("k"); !ok || s.revision != 3 || (s.rec != nil) != tt.rec {
			t.Errorf("%s: cached is %+v, %t", tt.name, s, ok)
		}
		c.put("k", stored{})
		if s, ok := c.get("k"); ok {
			t.Errorf("%s: after it was seen to be absent, cached is %+v", tt.name, s)
		}
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	held := stored{inProgress(), 1}
	large := inProgress()
	large.Checkpoint = make([]byte, maxCheckpointBytes)
	saved := stored{large, 1}
	c := newCache()
	for i := range 2 * mostCached {
		c.put(fmt.Sprint(i), held)
	}
	if len(c.m) != mostCached || c.bytes != 0 {
		t.Errorf("%d keys of %d bytes are cached, want %d", len(c.m), c.bytes, mostCached)
	}
	const most = mostCachedBytes / maxCheckpointBytes
	for range 3 {
		for i := range 2 * most {
			key := fmt.Sprint("large ", i)
			c.put(key, saved)
			c.put(key, saved) // the same key again takes no more room
		}
		sum := 0
		for _, s := range c.m {
			sum += s.size()
		}
		if c.bytes != sum || sum > mostCachedBytes || sum == 0 {
			t.Errorf("%d bytes are counted, %d are cached, want %d at most", c.bytes, sum, mostCachedBytes)
		}
	}
	for key := range c.m {
		if len(key)%2 == 0 {
			c.drop(key)
		} else {
			c.put(key, held)
		}
	}
	if c.bytes != 0 {
		t.Errorf("%d bytes are counted, none are cached", c.bytes)
	}
	c.drop("never seen")
}
