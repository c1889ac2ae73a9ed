package backend_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
)

// TestLimits looks at arguments at and just beyond each limit.
func TestLimits(t *testing.T) {
	longest := strings.Repeat("k", backend.MaxKeyBytes)
	largest := make([]byte, backend.MaxValueBytes)
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
