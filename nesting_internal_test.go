package lease

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestNestingIsBounded(t *testing.T) {
	arrays := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	objects := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	for _, tt := range []struct {
		name, text string
		nesting    int
	}{
		{"a number", `1`, 0},
		{"an empty object", `{}`, 1},
		{"neighbours are not within each other", `[[],[],{"a":[]}]`, 3},
		{"brackets in a string do not count", `"[[[{{{"`, 0},
		{"a quotation mark in a string does not end it", `["\"[[", "\\", []]`, 2},
		{"arrays at the limit", arrays(maxNesting), maxNesting},
		{"arrays beyond it", arrays(maxNesting + 1), maxNesting + 1},
		{"objects at the limit", objects(maxNesting), maxNesting},
		{"objects beyond it", objects(maxNesting + 1), maxNesting + 1},
		{"as deep as encoding/json goes", arrays(10_000), 10_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := nesting([]byte(tt.text)); got != tt.nesting {
				t.Errorf("nesting is %d, want %d", got, tt.nesting)
			}
			_, err := compact("result", json.RawMessage(tt.text), 1<<20)
			if refused := errors.Is(err, ErrInvalid); refused != (tt.nesting > maxNesting) {
				t.Errorf("compact: %v", err)
			}
			var decoded any
			if err := json.Unmarshal([]byte(tt.text), &decoded); err != nil {
				t.Fatal(err)
			}
			if _, err := encode(decoded); (err != nil) != (tt.nesting > maxNesting) {
				t.Errorf("encode: %v", err)
			}
		})
	}
}
