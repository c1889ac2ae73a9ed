package timeline

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ailease/lease/backend"
)

func TestDecodeTolerates(t *testing.T) {
	bad := Entry{Namespace: "ns", RunID: "a/b", ID: "i", Position: 7, Type: TypeUnreadable}
	good := bad
	good.Type, good.Time = "t", time.UnixMicro(5).UTC()
	for _, tt := range []struct {
		name, data string
		want       Entry
	}{
		{"nothing", ``, bad},
		{"no JSON", `{"ts":5,"type":"t"`, bad},
		{"no object", `"t"`, bad},
		{"null", `null`, bad},
		{"no type", `{"ts":5}`, bad},
		{"a type that is a number", `{"ts":5,"type":1}`, bad},
		{"members of a later version", `{"ts":5,"type":"t","later":{"x":[1]}}`, good},
		{"fields that are no object", `{"ts":5,"type":"t","f":[1]}`, good},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := decode(&backend.JournalEntry{Stream: "ns/a/b", ID: "i", Position: 7, Data: []byte(tt.data)}); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("it is %+v, want %+v", got, tt.want)
			}
		})
	}
}

// What decode makes of any bytes can be encoded, and stays as it is then.
func FuzzDecode(f *testing.F) {
	whole := Entry{Time: time.UnixMicro(1), Type: "t\"", Status: "s", Key: "k", AgentID: "a", Attempt: 1, Token: 2, ErrorCode: "e", Fields: []byte(`{"x":1}`)}
	f.Add(whole.appendJSON(nil))
	f.Add([]byte(`{"ts":-1,"type":"\ud800","n":-1}`))
	f.Add([]byte("{\"type\":\"\xff\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e := decode(&backend.JournalEntry{Stream: "ns/r", ID: "i", Position: 1, Data: data})
		if e.Type == "" || e.Namespace != "ns" || e.RunID != "r" || e.ID != "i" || e.Position != 1 {
			t.Fatalf("it is %+v", e)
		}
		if e.Type == TypeUnreadable {
			return
		}
		again := e.appendJSON(nil)
		if !json.Valid(again) || len(again) > e.size() {
			t.Fatalf("it is encoded as %q, %d bytes, of a size of at most %d", again, len(again), e.size())
		}
		if got := decode(&backend.JournalEntry{Stream: "ns/r", ID: "i", Position: 1, Data: again}); !reflect.DeepEqual(got, e) {
			t.Fatalf("it is %+v, and then %+v", e, got)
		}
	})
}

func FuzzStrings(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\\x00\x1f\x7f", "é\u2028\ufffd", "\xff", "a\xf0\x9f", "\xed\xa0\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := Entry{Type: "t", Status: s}
		data := e.appendJSON(nil)
		if !utf8.Valid(data) || len(data) > e.size() {
			t.Fatalf("%q is encoded as %q, of a size of at most %d", s, data, e.size())
		}
		want := string([]rune(s)) // with U+FFFD for each byte that is not UTF-8
		if got := decode(&backend.JournalEntry{Stream: "ns/r", Data: data}); got.Status != want {
			t.Fatalf("%q comes back as %q, want %q", s, got.Status, want)
		}
	})
}
