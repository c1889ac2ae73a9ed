package lease

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"unicode/utf8"
)

// encodeResult is v as it is stored; nil for no result.
func (m *Manager) encodeResult(v any) (json.RawMessage, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case json.RawMessage:
		return compact("result", v, m.maxResultBytes)
	}
	encoded, err := encode(v)
	if err != nil {
		return nil, &FieldError{"result", fmt.Sprintf("cannot be encoded as JSON: %v", err)}
	}
	if len(encoded) > m.maxResultBytes {
		return nil, &FieldError{"result", fmt.Sprintf("%d bytes, limit %d", len(encoded), m.maxResultBytes)}
	}
	return encoded, nil
}

// encoder is a json.Encoder, which is worth keeping, with the buffer that it writes to.
type encoder struct {
	b    bytes.Buffer
	json *json.Encoder
}

var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.json = json.NewEncoder(&e.b)
	e.json.SetEscapeHTML(false)
	return e
}}

// encode is json.Marshal without the escapes for HTML, which make six bytes of each '<'. A panic
// of a method of v becomes an error.
func encode(v any) (encoded json.RawMessage, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("encoding panicked: %v", p)
		}
	}()
	e := encoders.Get().(*encoder)
	e.b.Reset()
	if err := e.json.Encode(v); err != nil {
		return nil, err
	}
	if err := checkNesting(e.b.Bytes()); err != nil {
		return nil, err
	}
	encoded = bytes.Clone(bytes.TrimSuffix(e.b.Bytes(), []byte("\n")))
	if e.b.Cap() <= maxCheckpointBytes { // else it would keep more than most need
		encoders.Put(e)
	}
	return encoded, nil
}

// unmarshal is json.Unmarshal. A panic of a method of v becomes an error.
func unmarshal(data []byte, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoding panicked: %v", p)
		}
	}()
	return json.Unmarshal(data, v)
}

// elem is the type that the pointer v points to, for messages.
func elem(v any) reflect.Type {
	t := reflect.TypeOf(v)
	if t != nil && t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// storable is value as it is stored, and as others will get it. A T of struct{} is no result.
func storable[T any](m *Manager, value T) (encoded json.RawMessage, result T, err error) {
	kind := any((*T)(nil)) // an interface type may hold any value, and others get what JSON makes of it
	if _, ok := kind.(*struct{}); ok {
		return nil, value, nil
	}
	switch v := any(value).(type) {
	case nil:
		encoded = json.RawMessage("null")
	case json.RawMessage:
		encoded, err = m.encodeResult(json.RawMessage(cmp.Or(string(v), "null")))
	default:
		encoded, err = m.encodeResult(v)
	}
	if err != nil {
		return nil, result, err
	}
	switch kind.(type) {
	case *bool, *int, *int64, *int32, *uint, *uint64, *uint32: // come back as they are
		return encoded, value, nil
	case *string:
		if utf8.ValidString(any(value).(string)) {
			return encoded, value, nil
		}
	}
	l := Lease{State: StateCompleted, Result: encoded}
	return encoded, result, l.decode(&result)
}
