package httpserver

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
)

// FuzzMembers compares the fields of a body with those that encoding/json finds.
func FuzzMembers(f *testing.F) {
	for _, body := range []string{
		`{}`, ` {"key" : "k","ttl":5 , "metadata":{"a":[1,"}"]},"result":"\"\\","x":[]} `, `{"key":1,"key":2}`,
		`{"\u006bey":"\ud83d\ude00","reason":"\ud800","nonce":"\\ud800","lease_id":"\udc00\ud800"}`, `[1]`, `null`, `{"ttl":-1e9}`, "\n{\t\"ttl\"\r:true\n}",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !json.Valid(body) {
			return
		}
		got, twice := members(body, fieldNames)
		var want map[string]json.RawMessage
		json.Unmarshal(body, &want) // no object: nil
		if (got == nil) != (want == nil) {
			t.Fatalf("members of %q: %q, want %q", body, got, want)
		}
		for name, value := range want {
			if !fieldNames[name] {
				delete(want, name)
			} else if !bytes.Equal(got[name], value) {
				t.Errorf("%s of %q is %q, want %q", name, body, got[name], value)
			}
		}
		if len(got) != len(want) {
			t.Errorf("members of %q: %q, want %q", body, got, want)
		}
		if want := duplicates(t, body); !slices.Equal(twice, want) {
			t.Errorf("twice in %q: %q, want %q", body, twice, want)
		}
	})
}

// duplicates finds by a decoder of tokens which of our fields stand in body more than once.
func duplicates(t *testing.T, body []byte) (twice []string) {
	d := json.NewDecoder(bytes.NewReader(body))
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return nil
	}
	seen := make(map[string]bool)
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil
		}
		name := token.(string)
		if fieldNames[name] && seen[name] && !slices.Contains(twice, name) {
			twice = append(twice, name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return twice
}

func TestHalfPair(t *testing.T) {
	for _, tt := range []struct {
		text string
		half bool
	}{
		{`""`, false}, {`"a"`, false}, {`"\ufffd"`, false}, {`"\\ud800"`, false}, {`"\\\\udc00"`, false},
		{`"\ud83d\ude00"`, false}, {`"\uD83D\uDE00\ud83d\ude00"`, false}, {`"\ud7ff\ue000"`, false}, {`"\"\ud83d\ude00\\"`, false},
		{`"\ud800"`, true}, {`"\udc00"`, true}, {`"\ud800\\ufffd"`, true}, {`"\udc00\\ufffd"`, true}, {`"\ud800\ufffd"`, true},
		{`"\ud800\ud800"`, true}, {`"\udc00\ud800"`, true}, {`"\ud83d\ude00\ude00"`, true}, {`"\ud83dx\ude00"`, true}, {`"\\\ud800"`, true},
		{`"\ud800\n"`, true}, {`"\udbff\"\udfff"`, true},
	} {
		if got := halfPair([]byte(tt.text)); got != tt.half {
			t.Errorf("halfPair(%s) = %t", tt.text, got)
		}
	}
}
