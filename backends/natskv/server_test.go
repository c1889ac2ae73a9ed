package natskv_test

import (
	"testing"

	"github.com/ailease/lease/backends/natskv"
)

func open(t testing.TB, url string, opts ...natskv.Option) *natskv.Store {
	t.Helper()
	s, err := natskv.Open(t.Context(), url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
