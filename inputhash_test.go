package lease

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestInputHashIsTheDigestOfKeyOf(t *testing.T) {
	for _, v := range []any{nil, json.RawMessage(`{"b": 1.0, "a": [true, "<\u00e9>"]}`), map[string]any{"to": "ann"}} {
		key, err := KeyOf("tool", v)
		if err != nil {
			t.Fatal(err)
		}
		if hash, err := inputHash(v); err != nil || "tool:"+hash != key {
			t.Errorf("the input hash of %v is %s, %v; its key is %s", v, hash, err, key)
		}
	}
}

func TestInputHashRefusesWhatHasNoCanonicalJSON(t *testing.T) {
	hash, err := inputHash(int64(1 << 53))
	var field *FieldError
	if hash != "" || !errors.As(err, &field) || field.Field != "input" || !strings.Contains(field.Problem, "pass it as a string") {
		t.Errorf("hash is %q, error is %v, want a FieldError of input", hash, err)
	}
}
