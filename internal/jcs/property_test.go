package jcs

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"
)

// anyJSON draws values as json.Unmarshal makes them. All of them have a canonical form.
func anyJSON(depth int) *rapid.Generator[any] {
	number := rapid.OneOf(
		rapid.Map(rapid.Int64Range(-maxSafeInteger, maxSafeInteger), func(n int64) float64 { return float64(n) }),
		rapid.Float64Range(-2, 2),
		rapid.Float64().Filter(func(f float64) bool { return math.Abs(f) <= maxSafeInteger || math.Abs(f) >= 1e21 }),
	)
	scalar := rapid.OneOf(rapid.Just[any](nil), rapid.Bool().AsAny(), number.AsAny(), anyText().AsAny())
	if depth == 0 {
		return scalar
	}
	inner := rapid.Deferred(func() *rapid.Generator[any] { return anyJSON(depth - 1) })
	return rapid.OneOf(scalar, rapid.SliceOfN(inner, 0, 4).AsAny(), rapid.MapOfN(anyText(), inner, 0, 6).AsAny())
}

// anyText draws strings with characters that must be escaped, characters that need not be, and
// characters that UTF-16 and UTF-8 put in different orders.
func anyText() *rapid.Generator[string] {
	const special = "\x00\x1f\n\"\\/a<&\u007f\u0080é\u2028\ud7ff\ue000\ufb33\ufffd\uffff\U00010000😀\U0010ffff"
	return rapid.StringOfN(rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune(special))), 0, 6, -1)
}

// respelled writes v with the freedom that JSON leaves: white space, order of members, escapes, and
// notation of numbers.
func respelled(t *rapid.T, v any) string {
	space := func() string { return rapid.SampledFrom([]string{"", "", " ", "\n\t", "\r"}).Draw(t, "space") }
	var parts []string
	begin, end := "[", "]"
	switch v := v.(type) {
	case string:
		var b strings.Builder
		for _, r := range v {
			switch {
			case r < ' ' || r == '"' || r == '\\' || rapid.IntRange(0, 3).Draw(t, "escape") == 0:
				for _, unit := range utf16.Encode([]rune{r}) {
					fmt.Fprintf(&b, rapid.SampledFrom([]string{`\u%04x`, `\u%04X`}).Draw(t, "case"), unit)
				}
			default:
				b.WriteRune(r)
			}
		}
		return `"` + b.String() + `"`
	case float64:
		s := strconv.FormatFloat(v, rapid.SampledFrom([]byte("eEf")).Draw(t, "notation"), -1, 64)
		if math.Abs(v) >= 1e21 && !strings.ContainsAny(s, "eE") {
			s += ".0"
		}
		return s
	case []any:
		for _, item := range v {
			parts = append(parts, space()+respelled(t, item)+space())
		}
	case map[string]any:
		begin, end = "{", "}"
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names) // for rapid, which must draw alike when it draws again
		for _, name := range rapid.Permutation(names).Draw(t, "order") {
			parts = append(parts, space()+respelled(t, name)+space()+":"+space()+respelled(t, v[name])+space())
		}
	default:
		return fmt.Sprint(map[any]string{nil: "null", true: "true", false: "false"}[v])
	}
	return begin + strings.Join(parts, ",") + space() + end
}

func mustCanonical(t rapid.TB, v any) string {
	t.Helper()
	b, err := Marshal(v)
	if err != nil {
		t.Fatalf("%v\n%#v", err, v)
	}
	return string(b)
}

func TestAllSpellingsHaveOneCanonicalForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := anyJSON(3).Draw(t, "value")
		want := mustCanonical(t, v)
		text := respelled(t, v)
		if got := mustCanonical(t, json.RawMessage(text)); got != want {
			t.Fatalf("\n got %s\nwant %s\nfrom %s", got, want, text)
		}
		if again := mustCanonical(t, json.RawMessage(want)); again != want {
			t.Fatalf("its canonical form is another:\n got %s\nfrom %s", again, want)
		}
	})
}

func TestCanonicalFormKeepsTheValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyJSON(2).Draw(t, "a"), anyJSON(2).Draw(t, "b")
		textA, textB := mustCanonical(t, a), mustCanonical(t, b)
		var back any
		if err := json.Unmarshal([]byte(textA), &back); err != nil || !reflect.DeepEqual(back, a) {
			t.Fatalf("%s reads back as %#v, %v; want %#v", textA, back, err, a)
		}
		if same := reflect.DeepEqual(a, b); same != (textA == textB) {
			t.Fatalf("%#v and %#v are the same: %t, but become %s and %s", a, b, same, textA, textB)
		}
	})
}

func TestNamesAreOrderedAsInUTF16(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		common, a, b := anyText().Draw(t, "common"), anyText().Draw(t, "a"), anyText().Draw(t, "b")
		a, b = common+a, common+b
		want := slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		if got := compareUTF16([]byte(a), []byte(b)); got != want {
			t.Fatalf("%q to %q is %d, want %d", a, b, got, want)
		}
	})
}
