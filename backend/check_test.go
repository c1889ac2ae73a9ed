package backend_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
)

// TestLimits looks at arguments at and just beyond each limit.
func TestLimits(t *testing.T) {
	longest := strings.Repeat("k", backend.MaxKeyBytes)
	largest := make([]byte, backend.MaxValueBytes)
	one := []backend.JournalEntry{{Stream: "s", Keep: time.Second}}
	appended := func(e backend.JournalEntry) error { return backend.CheckAppend([]backend.JournalEntry{e}) }
	for _, tt := range []struct {
		name string
		err  error
		says string // "" if the arguments are good
	}{
		{"a key of one byte", backend.CheckKey("k"), ""},
		{"a key of a NUL", backend.CheckKey("\x00"), ""},
		{"the longest key", backend.CheckKey(longest), ""},
		{"an empty key", backend.CheckKey(""), "key is empty"},
		{"a key one byte too long", backend.CheckKey(longest + "k"), "key has 1281 bytes, limit 1280"},
		{"a key too long, but not in characters", backend.CheckKey(strings.Repeat("é", 641)), "key has 1282 bytes, limit 1280"},
		{"a key that is not UTF-8", backend.CheckKey("secret\xff"), "key of 7 bytes is not valid UTF-8"},
		{"a key with a surrogate", backend.CheckKey("\xed\xa0\x80"), "key of 3 bytes is not valid UTF-8"},

		{"no value and no keep", backend.CheckWrite("k", nil, 0), ""},
		{"the largest value and the longest keep", backend.CheckWrite(longest, largest, math.MaxInt64), ""},
		{"a value one byte too large", backend.CheckWrite("k", append(largest, 0), 0), "value has 1048577 bytes, limit 1048576"},
		{"a negative keep", backend.CheckWrite("k", nil, -time.Nanosecond), "keep is -1ns, must not be negative"},
		{"a write to an empty key", backend.CheckWrite("", nil, 0), "key is empty"},

		{"a deletion at the greatest revision", backend.CheckDelete("k", math.MaxUint64), ""},
		{"a deletion at revision 0", backend.CheckDelete("k", 0), "expected revision is 0"},
		{"a deletion of an empty key", backend.CheckDelete("", 1), "key is empty"},
		{"a prefix of nothing", backend.CheckPrefix(""), ""},
		{"a prefix that ends within a character", backend.CheckPrefix("\xc3"), ""},
		{"the longest prefix", backend.CheckPrefix(longest), ""},
		{"a prefix one byte too long", backend.CheckPrefix(longest + "k"), "prefix has 1281 bytes, limit 1280"},

		{"no entries", backend.CheckAppend(nil), ""},
		{"the most entries", backend.CheckAppend(slices.Repeat(one, backend.MaxJournalBatch)), ""},
		{"the longest stream and id, the largest data and the longest keep", appended(backend.JournalEntry{Stream: longest, ID: longest[:64], Data: largest[:64<<10], Keep: math.MaxInt64}), ""},
		{"an entry of the shortest keep, with a position", appended(backend.JournalEntry{Stream: "s", Keep: 1, Position: 1}), ""},
		{"one entry too many", backend.CheckAppend(slices.Repeat(one, backend.MaxJournalBatch+1)), "append has 1001 entries, limit 1000"},
		{"an entry without a stream", appended(backend.JournalEntry{Keep: 1}), "stream is empty"},
		{"a stream one byte too long", appended(backend.JournalEntry{Stream: longest + "k", Keep: 1}), "stream has 1281 bytes, limit 1280"},
		{"a stream that is not UTF-8", appended(backend.JournalEntry{Stream: "secret\xff", Keep: 1}), "stream of 7 bytes is not valid UTF-8"},
		{"an id one byte too long", appended(backend.JournalEntry{Stream: "s", ID: longest[:65], Keep: 1}), "id has 65 bytes, limit 64"},
		{"an id that is not UTF-8", appended(backend.JournalEntry{Stream: "s", ID: "secret\xff", Keep: 1}), "id of 7 bytes is not valid UTF-8"},
		{"data one byte too large", appended(backend.JournalEntry{Stream: "s", Data: largest[:64<<10+1], Keep: 1}), "data has 65537 bytes, limit 65536"},
		{"an entry without a keep", appended(backend.JournalEntry{Stream: "s"}), "keep is 0s, must be positive"},
		{"an entry with a negative keep", appended(backend.JournalEntry{Stream: "s", Keep: -1}), "keep is -1ns, must be positive"},
		{"a bad entry among good ones", backend.CheckAppend([]backend.JournalEntry{one[0], {}}), "entry 2 of 2: invalid argument: stream is empty"},

		{"the smallest page", backend.CheckPage(0, 1), ""},
		{"the largest page, far away", backend.CheckPage(math.MaxInt, backend.MaxJournalBatch), ""},
		{"a page before the first", backend.CheckPage(-1, 1), "offset is -1, must not be negative"},
		{"a page of nothing", backend.CheckPage(0, 0), "limit is 0, must be at least 1"},
		{"a page that is too large", backend.CheckPage(0, backend.MaxJournalBatch+1), "limit is 1001, must be at most 1000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			switch {
			case tt.says == "" && tt.err != nil:
				t.Error(tt.err)
			case tt.says != "" && (!errors.Is(tt.err, backend.ErrInvalid) || !strings.Contains(tt.err.Error(), tt.says) || strings.Contains(tt.err.Error(), "secret")):
				t.Errorf("%v, want ErrInvalid, which says %q", tt.err, tt.says)
			}
		})
	}
}
