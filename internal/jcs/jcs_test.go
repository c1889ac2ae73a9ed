package jcs

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// selfMarshalled writes what it holds, as a Marshaler may.
type selfMarshalled string

func (s selfMarshalled) MarshalJSON() ([]byte, error) { return []byte(s), nil }

func TestMarshal(t *testing.T) {
	type inner struct {
		Z int    `json:"z"`
		A string `json:"a,omitempty"`
	}
	for _, tt := range []struct {
		name string
		v    any
		want string
	}{
		{"RFC 8785, 3.2.2 to 3.2.4: all kinds of values", json.RawMessage(`{
			"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
			"string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
			"literals": [null, true, false]
		}`), `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`},
		{"RFC 8785, 3.2.3: names sorted by their UTF-16 code units", json.RawMessage(`{
			"\u20ac": "Euro Sign",
			"\r": "Carriage Return",
			"\ufb33": "Hebrew Letter Dalet With Dagesh",
			"1": "One",
			"\ud83d\ude00": "Emoji: Grinning Face",
			"\u0080": "Control",
			"\u00f6": "Latin Small Letter O With Diaeresis"
		}`), `{"\r":"Carriage Return","1":"One","` + "\u0080" + `":"Control","ö":"Latin Small Letter O With Diaeresis","€":"Euro Sign",` +
			`"😀":"Emoji: Grinning Face","` + "\ufb33" + `":"Hebrew Letter Dalet With Dagesh"}`},
		{"nil is null", nil, `null`},
		{"a nil RawMessage is null", json.RawMessage(nil), `null`},
		{"an empty object and an empty array", json.RawMessage(` { "b" : { } , "a" : [ ] } `), `{"a":[],"b":{}}`},
		{"a scalar with white space around it", json.RawMessage("\t-1.50\r\n"), `-1.5`},
		{"objects are sorted at each depth, arrays are not", json.RawMessage(`{"b":[{"d":2,"c":[3,1,2]},0],"a":{"f":{"h":1,"g":2},"e":null}}`),
			`{"a":{"e":null,"f":{"g":2,"h":1}},"b":[{"c":[3,1,2],"d":2},0]}`},
		{"an object with members in order around one without", json.RawMessage(`{"a":{"c":1,"b":2},"d":{"f":3,"e":4},"g":5}`),
			`{"a":{"b":2,"c":1},"d":{"e":4,"f":3},"g":5}`},
		{"a name sorts before those it begins", json.RawMessage(`{"aa":1,"a":2,"":3,"ab":4}`), `{"":3,"a":2,"aa":1,"ab":4}`},
		{"names sort by what they say, not by how they are escaped", json.RawMessage(`{"\u0062":1,"a":2,"\n":3,"!":4}`), `{"\n":3,"!":4,"a":2,"b":1}`},
		{"a struct is its JSON", struct {
			inner
			When time.Time     `json:"when"`
			Wait time.Duration `json:"wait"`
			No   string        `json:"-"`
		}{inner{Z: 1}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Second, "\xff"}, `{"wait":1000000000,"when":"2026-01-02T03:04:05Z","z":1}`},
		{"a map is its JSON", map[int]any{10: inner{}, 9: []byte("bytes")}, `{"10":{"z":0},"9":"Ynl0ZXM="}`},
		{"a Marshaler is what it writes", []any{selfMarshalled(`{"b":1, "a":2}`), json.RawMessage(`1.0`)}, `[{"a":2,"b":1},1]`},
		{"what HTML and JavaScript would rather have escaped is not", "<a href='&'>\u2028\u2029\u007f", "\"<a href='&'>\u2028\u2029\u007f\""},
		{"control characters are escaped", "\x00\x01\b\t\n\v\f\r\x1f\"\\/", `"\u0000\u0001\b\t\n\u000b\f\r\u001f\"\\/"`},
		{"escapes of a quotation mark and of a backslash at the end", json.RawMessage(`["\"","\\","\\\"","\u005C\u0022"]`), `["\"","\\","\\\"","\\\""]`},
		{"a surrogate pair is one character", json.RawMessage(`"\uD83D\ude00"`), `"😀"`},
		{"U+FFFD is a character like others", []any{"\ufffd", json.RawMessage(`"\ufffd\uFFFD"`)}, "[\"\ufffd\",\"\ufffd\ufffd\"]"},
		{"integers of the safe range", []int64{1<<53 - 1, -1<<53 + 1, 0}, `[9007199254740991,-9007199254740991,0]`},
		{"spellings of one number", json.RawMessage(`[1, 1.0, 1e0, 10E-1, 0.1e+1]`), `[1,1,1,1,1]`},
		{"spellings of zero", json.RawMessage(`[0, -0, 0.0, -0e9, 1e-400]`), `[0,0,0,0,0]`},
		{"a float that is an integer", float64(100000), `100000`},
		{"a fraction is rounded to the nearest double", json.RawMessage(`[0.1, 0.1000000000000000055511151231257827, 9007199254740991.4]`),
			`[0.1,0.1,9007199254740991]`},
		{"the bounds of notation without exponent", json.RawMessage(`[1e21, 1e-6, 1e-7, 123e-7, 0.00000123, 1e100]`), `[1e+21,0.000001,1e-7,0.0000123,0.00000123,1e+100]`},
		{"256 arrays and objects within each other", json.RawMessage(strings.Repeat(`{"a":[`, 128) + strings.Repeat(`]}`, 128)),
			strings.Repeat(`{"a":[`, 128) + strings.Repeat(`]}`, 128)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Marshal(tt.v)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

// RFC 8785, appendix B.
func TestCanonicalNumbersAreThoseOfTheRFC(t *testing.T) {
	for _, tt := range []struct {
		bits uint64
		want string
	}{
		{0x0000000000000000, "0"},
		{0x8000000000000000, "0"},
		{0x0000000000000001, "5e-324"},
		{0x8000000000000001, "-5e-324"},
		{0x7fefffffffffffff, "1.7976931348623157e+308"},
		{0xffefffffffffffff, "-1.7976931348623157e+308"},
		{0x4340000000000000, "9007199254740992"},
		{0xc340000000000000, "-9007199254740992"},
		{0x4430000000000000, "295147905179352830000"},
		{0x44b52d02c7e14af5, "9.999999999999997e+22"},
		{0x44b52d02c7e14af6, "1e+23"},
		{0x44b52d02c7e14af7, "1.0000000000000001e+23"},
		{0x444b1ae4d6e2ef4e, "999999999999999700000"},
		{0x444b1ae4d6e2ef4f, "999999999999999900000"},
		{0x444b1ae4d6e2ef50, "1e+21"},
		{0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
		{0x3eb0c6f7a0b5ed8d, "0.000001"},
		{0x41b3de4355555553, "333333333.3333332"},
		{0x41b3de4355555554, "333333333.33333325"},
		{0x41b3de4355555555, "333333333.3333333"},
		{0x41b3de4355555556, "333333333.3333334"},
		{0x41b3de4355555557, "333333333.33333343"},
		{0xbecbf647612f3696, "-0.0000033333333333333333"},
		{0x43143ff3c1cb0959, "1424953923781206.2"},
	} {
		f := math.Float64frombits(tt.bits)
		if got := string(appendNumber(nil, f)); got != tt.want {
			t.Errorf("%016x is written %s, want %s", tt.bits, got, tt.want)
		}
		// The RFC has a form for the integers outside of the safe range, but no guard against two
		// of them that share it.
		got, err := Marshal(f)
		if beyond := math.Abs(f) >= 1<<53 && math.Abs(f) < 1e21; beyond != (err != nil) {
			t.Errorf("%s: error is %v", tt.want, err)
		} else if !beyond && string(got) != tt.want {
			t.Errorf("%016x becomes %s, want %s", tt.bits, got, tt.want)
		}
	}
}

func TestMarshalRefusesWhatHasNoCanonicalForm(t *testing.T) {
	type embedded struct{ Text string }
	type Node struct {
		*Node
		Text string
	}
	cyclic := &Node{Text: "\xff"}
	cyclic.Node = cyclic
	raw := func(s string) any { return json.RawMessage(s) }
	for _, tt := range []struct {
		name string
		v    any
		says string
	}{
		{"the first integer beyond the safe range", int64(1 << 53), `"9007199254740992", must be from -9007199254740991 to 9007199254740991`},
		{"the first negative one", int64(-1 << 53), `"-9007199254740992"`},
		{"one that a double does not hold", raw(`{"id":9007199254740993}`), `pass it as a string`},
		{"the largest uint64", uint64(math.MaxUint64), `"18446744073709551615"`},
		{"one in a json.Number", json.Number("9007199254740993"), `"9007199254740993"`},
		{"a float whose canonical form is such an integer", 1e20, `"100000000000000000000"`},
		{"the same with an exponent", raw(`1e20`), `"1e20"`},
		{"the same with a fraction", raw(`9007199254740992.0`), `"9007199254740992.0"`},
		{"a fraction that is rounded out of the safe range", raw(`9007199254740991.5`), `"9007199254740991.5"`},
		{"an integer of 22 digits, though 1e21 would do", raw(`1000000000000000000000`), `must be from`},
		{"an integer of 400 digits", raw(strings.Repeat("9", 400)), `(400 bytes), must be from`},
		{"a number that overflows", raw(`[1e400]`), `"1e400", larger than a 64-bit float`},
		{"a negative one", raw(`-1.0e309`), `larger than a 64-bit float`},
		{"not a number", math.NaN(), `NaN`},
		{"two members of one name", raw(`{"a":1,"b":2,"a":1}`), `member "a" stands in one object twice`},
		{"two members of one name in order", raw(`[{"a":1,"a":2}]`), `member "a"`},
		{"two members of one name, one with escapes", raw(`{"é/":1,"\u00e9\/":1}`), `member "é/"`},
		{"a leading surrogate alone", raw(`"\ud800"`), `lone surrogate \ud800`},
		{"a trailing surrogate alone", raw(`{"\uDC00":1}`), `lone surrogate \uDC00`},
		{"a leading surrogate before a character", raw(`["\ud83dx"]`), `lone surrogate \ud83d`},
		{"a leading surrogate before another escape", raw(`["\ud83d\n12345"]`), `lone surrogate \ud83d`},
		{"surrogates in the wrong order", raw(`"\ude00\ud83d"`), `lone surrogate \ude00`},
		{"two leading surrogates", raw(`"\ud83d\ud83d\ude00"`), `lone surrogate \ud83d`},
		{"invalid UTF-8 in JSON", raw("[\"\xff\"]"), `not valid UTF-8`},
		{"invalid UTF-8 in JSON within a value", map[string]any{"a": raw("\"\xff\"")}, `not valid UTF-8`},
		{"invalid UTF-8 in a string", "a\xff", `string "a\xff" of 2 bytes that are not valid UTF-8`},
		{"an encoded surrogate in a string", "\xed\xa0\x80", `not valid UTF-8`},
		{"invalid UTF-8 in a name", map[string]int{"\xff": 1}, `string "\xff"`},
		{"invalid UTF-8 beside U+FFFD", []string{"\ufffd", "\xff"}, `string "\xff"`},
		{"invalid UTF-8 in a field", struct{ P *[1]any }{&[1]any{"\xff"}}, `string "\xff"`},
		{"invalid UTF-8 in a field of an embedded struct", struct{ embedded }{embedded{"\xff"}}, `string "\xff"`},
		{"invalid UTF-8 in a field of an embedded struct with a name", struct {
			*embedded
			Node `json:"node"`
		}{nil, Node{Text: "\xff"}}, `string "\xff"`},
		{"invalid UTF-8 in what embeds itself", cyclic, `string "\xff"`},
		{"invalid UTF-8 in a map's value", map[string]map[int]string{"a": {1: "\xff"}}, `string "\xff"`},
		{"257 arrays within each other", raw(strings.Repeat("[", 257) + strings.Repeat("]", 257)), `more than 256 arrays and objects`},
		{"257 objects within each other", raw(strings.Repeat(`{"a":`, 257) + "1" + strings.Repeat("}", 257)), `more than 256 arrays and objects`},
		{"what JSON has no type for", func() {}, `unsupported type: func()`},
		{"no JSON at all", raw(``), `unexpected end of JSON input`},
		{"JSON with something after it", raw(`{} {}`), `invalid character '{' after top-level value`},
		{"a Marshaler that writes no JSON", selfMarshalled("{"), `unexpected end of JSON input`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Marshal(tt.v)
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(e.Problem, tt.says) {
				t.Errorf("error is %v, want an Error that says %q; canonical JSON is %s", err, tt.says, got)
			}
		})
	}
}

// A value that marshals itself answers for its strings. This one writes U+FFFD, and means it.
type quiet struct{ Hidden string }

func (*quiet) MarshalText() ([]byte, error) { return []byte("\ufffd"), nil }

func TestMarshalIgnoresInvalidTextThatIsNotWritten(t *testing.T) {
	type mixed struct {
		Said   string
		Unsaid string `json:"-"`
		unsaid string
		Quiet  *quiet
		Quiets []quiet
	}
	got, err := Marshal(mixed{"\ufffd", "\xff", "\xff", &quiet{"\xff"}, []quiet{{"\xff"}}})
	if want := "{\"Quiet\":\"\ufffd\",\"Quiets\":[\"\ufffd\"],\"Said\":\"\ufffd\"}"; err != nil || string(got) != want {
		t.Errorf("\n got %s, %v\nwant %s", got, err, want)
	}
}

// These are the worst texts of a megabyte each. If the work grew with the square of the length, the
// test would not end in time.
func TestMarshalOfLongTexts(t *testing.T) {
	const length = 1 << 20
	deep := strings.Repeat(`{"b":0,"a":`, maxNesting) + `"` + strings.Repeat(`\u0041`, length/6) + `"` + strings.Repeat("}", maxNesting)
	var wide strings.Builder
	for i := range length / 16 {
		fmt.Fprintf(&wide, `,"common%d":%d`, i^0x5555, i)
	}
	for _, text := range []string{deep, "{" + wide.String()[1:] + "}", `"` + strings.Repeat(`\\`, length/2) + `"`, "0." + strings.Repeat("1", length)} {
		if _, err := Marshal(json.RawMessage(text)); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzMarshal: a canonical form reads back as the original text does, and is its own canonical
// form.
func FuzzMarshal(f *testing.F) {
	for _, s := range []string{
		`{"b":[1E30,4.50,-0,1e-7],"a":{"\u20ac":"\ud83d\ude00","😀":null,"":"\/\\\"\b"}}`, ` [ true , false ] `, `{"a":1,"\u0061":2}`,
		`"\ud800"`, "\"\xff\"", `9007199254740993`, `123456789012345678901234567890.5`, `1e400`, `[[[[{}]]]]`, `"\ufffd` + "\ufffd\"", `{`, `nul`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) == 0 {
			return // which is null in a nil RawMessage
		}
		canonical, err := Marshal(json.RawMessage(slices.Clone(text)))
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("error is %v", err)
			}
			return
		}
		var want, got any
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("%q has a canonical form, %s, and is no JSON: %v", text, canonical, err)
		}
		if err := json.Unmarshal(canonical, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q becomes %s, which reads %#v, %v; want %#v", text, canonical, got, err, want)
		}
		if again := mustCanonical(t, json.RawMessage(canonical)); again != string(canonical) {
			t.Fatalf("%s becomes %s", canonical, again)
		}
		if decoded := mustCanonical(t, want); decoded != string(canonical) {
			t.Fatalf("%q becomes %s, but %s once decoded", text, canonical, decoded)
		}
	})
}
