package natskv

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// TestRefusedByOneAndTakenByAnother: while a cut heals, a write reaches two servers. The deposed
// one refuses it, and the client sees only that.
func TestRefusedByOneAndTakenByAnother(t *testing.T) {
	wrong := refuses(codeWrongSequence, "wrong last sequence: 7")
	constant := refuses(codeWrongConstant, "wrong last sequence")
	for _, tt := range []struct {
		name    string
		refusal any
	}{
		{"by a number", wrong},
		{"without comparing", constant},
		{"since it is full", refuses(codeStoreFailed, "maximum bytes exceeded")},
		{"for want of room", refuses(codeResources, "insufficient resources")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScripted(t)
			expected := s.set("k", "v")
			s.store.granted.add(expected)
			taken := false
			s.write = func(m *nats.Msg) any {
				if s.kind(m) == "write" && !taken {
					taken = true
					s.take(m)
					return tt.refusal
				}
				return s.take(m)
			}
			revision, err := s.store.CompareAndSet(t.Context(), "k", expected, []byte("w"), 0)
			if err != nil || revision != expected+1 {
				t.Errorf("revision %d, %v, want %d", revision, err, expected+1)
			}
		})
	}
}

// TestRefusedAndReplaced: the write was refused by one server, taken by another, and replaced
// before anybody looked. Only the servers' memory of its id can tell.
func TestRefusedAndReplaced(t *testing.T) {
	for _, tt := range []struct {
		name    string
		refusal any
		forgets bool // the servers do not know the id
	}{
		{"a deposed server has an old number", refuses(codeWrongSequence, "wrong last sequence: 7"), false},
		{"a deposed server does not compare", refuses(codeWrongConstant, "wrong last sequence"), false},
		{"nobody knows", refuses(codeWrongSequence, "wrong last sequence: 7"), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScripted(t)
			expected := s.set("k", "v")
			s.store.granted.add(expected)
			ids := map[string]uint64{}
			s.write = func(m *nats.Msg) any {
				id := m.Header.Get(jetstream.MsgIDHeader)
				switch number, known := ids[id]; {
				case s.kind(m) != "write":
					return s.take(m)
				case known && tt.forgets:
					return tt.refusal
				case known:
					return takes(number)
				}
				s.take(m)
				ids[id] = s.last
				for range 2 { // replaced twice
					s.last++
					s.entries["k"] = message{sequence: s.last, id: "other", compared: true, replaced: s.last - 1}
				}
				return tt.refusal
			}
			revision, err := s.store.CompareAndSet(t.Context(), "k", expected, []byte("w"), 0)
			switch {
			case !tt.forgets && (err != nil || revision != expected+1):
				t.Errorf("revision %d, %v, want %d", revision, err, expected+1)
			case tt.forgets && (err == nil || errors.Is(err, backend.ErrConflict) || errors.Is(err, backend.ErrUnavailable)):
				t.Errorf("%v, want an unknown outcome", err)
			}
		})
	}
}

// TestConflictsThatNeedNoRead: a number above the expected one, told about the only copy, is proof.
func TestConflictsThatNeedNoRead(t *testing.T) {
	s := newScripted(t)
	expected := s.set("k", "v")
	s.store.granted.add(expected)
	s.set("k", "w")
	if _, err := s.store.CompareAndSet(t.Context(), "k", expected, nil, 0); !errors.Is(err, backend.ErrConflict) {
		t.Errorf("%v, want a conflict", err)
	}
	if n := s.count("fence") + s.count("compare") + s.count("snapshot") + s.count("leader"); n != 0 {
		t.Errorf("%d requests for a read", n)
	}
}

// TestRefusedByADeposedServer: nothing was written, and the caller may try again.
func TestRefusedByADeposedServer(t *testing.T) {
	s := newScripted(t)
	expected := s.set("k", "v")
	s.store.granted.add(expected)
	s.write = func(m *nats.Msg) any {
		if s.kind(m) == "write" {
			return refuses(codeWrongSequence, "wrong last sequence: 7")
		}
		return s.take(m)
	}
	_, err := s.store.CompareAndSet(t.Context(), "k", expected, nil, 0)
	if !errors.Is(err, backend.ErrUnavailable) || errors.Is(err, backend.ErrConflict) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
}

// TestRefusedAndUnreadable: without a proof the outcome is unknown, whatever the server has said.
func TestRefusedAndUnreadable(t *testing.T) {
	s := newScripted(t)
	expected := s.set("k", "v")
	s.store.granted.add(expected)
	s.write = func(m *nats.Msg) any { return refuses(codeWrongSequence, "wrong last sequence: 7") }
	s.store.timeout = pauseMost
	_, err := s.store.CompareAndSet(t.Context(), "k", expected, nil, 0)
	if err == nil || errors.Is(err, backend.ErrConflict) || errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("%v, want an unknown outcome", err)
	}
}

// TestCreateReplacesMarkers: a marker that a create meets is replaced, whoever writes meanwhile.
func TestCreateReplacesMarkers(t *testing.T) {
	s := newScripted(t)
	s.set("k", "v")
	s.mu.Lock()
	s.entries["k"] = message{sequence: s.entries["k"].sequence, marker: true}
	s.mu.Unlock()
	s.snapshot = func(names []string) []*nats.Msg { // with the header that makes it a marker
		messages := s.answer(names)
		for i, m := range messages {
			if m.Header.Get(jetstream.SubjectHeader) == "$KV.leases.k" && s.entries["k"].marker {
				messages[i].Header["KV-Operation"] = []string{"DEL"}
			}
		}
		return messages
	}
	revision, err := s.store.CompareAndSet(t.Context(), "k", 0, []byte("w"), 0)
	if err != nil || revision != s.last {
		t.Errorf("revision %d, %v, want %d", revision, err, s.last)
	}
}
