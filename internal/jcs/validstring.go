package jcs

import (
	"encoding"
	"encoding/json"
	"reflect"
	"unicode/utf8"
)

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// invalidString finds a string in v that is not valid UTF-8. encoding/json silently writes U+FFFD
// in place of invalid bytes, as an escape or as itself, and different strings become one.
//
// The search goes where encoding/json went. That ended, and so does the search. It does not look
// into values that marshal themselves: they answer for their own strings.
func invalidString(v reflect.Value) (string, bool) {
	if !v.IsValid() || marshalsItself(v) {
		return "", false
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), !utf8.ValidString(v.String())
	case reflect.Pointer, reflect.Interface:
		return invalidString(v.Elem())
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if s, found := invalidString(v.Index(i)); found {
				return s, true
			}
		}
	case reflect.Map:
		for key, value := range v.Seq2() {
			// encoding/json asks no Marshaler for a key that is a string.
			if key.Kind() == reflect.String && !utf8.ValidString(key.String()) {
				return key.String(), true
			}
			if s, found := invalidString(value); found {
				return s, true
			}
		}
	case reflect.Struct:
		for _, f := range reflect.VisibleFields(v.Type()) {
			tag := f.Tag.Get("json")
			if !f.IsExported() || tag == "-" || f.Anonymous && tag == "" && isStruct(f.Type) {
				continue // an embedded struct's fields are among the visible ones
			}
			field, err := v.FieldByIndexErr(f.Index)
			if err != nil {
				continue // of an embedded nil
			}
			if s, found := invalidString(field); found {
				return s, true
			}
		}
	}
	return "", false
}

func marshalsItself(v reflect.Value) bool {
	if t := v.Type(); t.Implements(jsonMarshaler) || t.Implements(textMarshaler) {
		return true
	}
	t := reflect.PointerTo(v.Type())
	return v.CanAddr() && (t.Implements(jsonMarshaler) || t.Implements(textMarshaler))
}

func isStruct(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct
}
