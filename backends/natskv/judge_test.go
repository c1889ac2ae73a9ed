package natskv

import (
	"context"
	"errors"
	"testing"

	"github.com/ailease/lease/backend"
)

// TestJudge: what a refused write came to, from what stands under its name afterwards.
func TestJudge(t *testing.T) {
	full := errFull
	found := func(sequence, replaced uint64) state {
		return state{message: message{sequence: sequence, id: "other", compared: sequence != 0, replaced: replaced}}
	}
	mine := found(9, 5)
	mine.id = "mine"
	taken := errors.New("taken")
	for _, tt := range []struct {
		name     string
		expected uint64
		told     int // -1: nothing
		because  error
		found    state
		long     bool // it took long enough for an entry to expire
		moved    bool // to another connection
		want     error
	}{
		{name: "its own", expected: 5, told: 5, because: backend.ErrConflict, found: mine, want: taken},
		{name: "its own, created", expected: 0, told: 4, because: backend.ErrConflict, found: mine, want: taken},
		{name: "its own, refused as full", expected: 5, told: -1, because: full, found: mine, moved: true, want: taken},
		{name: "refused by a deposed server", expected: 5, told: 3, because: backend.ErrConflict, found: found(5, 3), want: errDeposed},
		{name: "the same, but a copy may be under way", expected: 5, told: 3, because: backend.ErrConflict, found: found(5, 3), moved: true, want: errUnknown},
		{name: "full, and nothing changed", expected: 5, told: -1, because: full, found: found(5, 3), want: full},
		{name: "busy to the end, and nothing changed", expected: 5, told: -1, because: errBusy, found: found(5, 3), want: errBusy},
		{name: "what stood there has expired", expected: 0, told: 4, because: backend.ErrConflict, found: state{}, want: backend.ErrConflict},
		{name: "the same, but a copy may be under way", expected: 0, told: 4, because: backend.ErrConflict, found: state{}, moved: true, want: errUnknown},
		{name: "what was told stands there", expected: 0, told: 4, because: backend.ErrConflict, found: found(4, 2), want: backend.ErrConflict},
		{name: "the entry has expired", expected: 5, told: 0, because: backend.ErrConflict, found: state{}, want: backend.ErrConflict},
		{name: "the same, or it was taken and has expired", expected: 5, told: 0, because: backend.ErrConflict, found: state{}, long: true, want: errUnclear},
		{name: "another took its place", expected: 5, told: -1, because: errBusy, found: found(8, 5), want: backend.ErrConflict},
		{name: "another created it", expected: 0, told: -1, because: errBusy, found: found(8, 0), want: backend.ErrConflict},
		{name: "the same, or it was taken and has expired", expected: 0, told: -1, because: errBusy, found: found(8, 0), long: true, want: errUnclear},
		{name: "what stood in the way was replaced once", expected: 0, told: 4, because: backend.ErrConflict, found: found(8, 4), want: backend.ErrConflict},
		{name: "and more than once", expected: 0, told: 4, because: backend.ErrConflict, found: found(8, 7), want: errUnclear},
		{name: "replaced more than once since", expected: 5, told: 3, because: backend.ErrConflict, found: found(8, 7), want: errUnclear},
		{name: "by a tool, which compares nothing", expected: 5, told: -1, because: errBusy, found: state{message: message{sequence: 8}}, want: errUnclear},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &refusal{because: tt.because, found: tt.found, read: true, told: uint64(max(tt.told, 0)), named: tt.told >= 0}
			got := judge(write{expected: tt.expected}, "mine", r, !tt.long, !tt.moved)
			switch tt.want {
			case taken:
				if got != nil {
					t.Errorf("%v, want that it was taken", got)
				}
			case errUnknown:
				for _, certain := range []error{backend.ErrConflict, backend.ErrUnavailable, backend.ErrInvalid} {
					if got == nil || errors.Is(got, certain) {
						t.Errorf("%v, want an unknown outcome", got)
					}
				}
			default:
				if !errors.Is(got, tt.want) {
					t.Errorf("%v, want %v", got, tt.want)
				}
			}
		})
	}
}

var errUnknown = errors.New("unknown")

// TestUnknown: an error of unknown outcome hides what would say that nothing was written, and
// shows that a context has ended.
func TestUnknown(t *testing.T) {
	for _, err := range []error{backend.ErrUnavailable, backend.ErrConflict, backend.ErrClosed} {
		if errors.Is(unknown(err), err) {
			t.Errorf("%v is shown", err)
		}
	}
	for _, err := range []error{context.Canceled, context.DeadlineExceeded} {
		if !errors.Is(unknown(readFailed(err)), err) || errors.Is(unknown(readFailed(err)), backend.ErrUnavailable) {
			t.Errorf("%v", unknown(readFailed(err)))
		}
	}
}
