package natskv

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/internal/natstest"
)

// scripted plays the servers that keep a replicated bucket: a real NATS server without JetStream,
// and functions that answer what a Store asks. By default there is one entry under each name that
// was set, all servers agree, and each fence is taken.
type scripted struct {
	t     *testing.T
	store *Store

	mu       sync.Mutex
	last     uint64
	entries  map[string]message
	requests map[string]int // by kind: "fence", "compare", "write", "snapshot", "leader"

	// What differs, nil for the default. They run one at a time.
	write    func(m *nats.Msg) (answer any) // also for fences; nil is no answer
	snapshot func(names []string) []*nats.Msg
}

func newScripted(t *testing.T) *scripted {
	t.Helper()
	o := natstest.Options(t.TempDir())
	o.JetStream = false
	nc, err := nats.Connect(natstest.Start(t, o).ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	// The script has a connection of its own, as servers have.
	server, err := nats.Connect(nc.ConnectedUrl())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	s := &scripted{t: t, last: 1000, entries: map[string]message{}, requests: map[string]int{}}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	answers, err := newInbox(nc)
	if err != nil {
		t.Fatal(err)
	}
	life, end := context.WithCancel(context.Background())
	s.store = &Store{nc: nc, js: js, inbox: answers, bucket: "leases", prefix: subjectPrefix("leases"), timeout: 5 * time.Second, life: life, end: end}
	s.store.layouts = layouts{known: layout{replicated: true, direct: true, duplicates: duplicates}, asked: time.Now().Add(time.Hour)}
	s.store.rounds.s, s.store.comparisons.s = s.store, s.store
	t.Cleanup(func() { s.store.Close() })
	for subject, answer := range map[string]func(*nats.Msg){
		"$KV.leases.>":             s.onWrite,
		directSubject("leases"):    s.onSnapshot,
		"$JS.API.STREAM.MSG.GET.>": s.onLeader,
		"$JS.API.STREAM.INFO.>":    func(*nats.Msg) { t.Error("the layout was asked for") },
	} {
		if _, err := server.Subscribe(subject, func(m *nats.Msg) {
			s.mu.Lock()
			defer s.mu.Unlock()
			answer(m)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Flush(); err != nil {
		t.Fatal(err)
	}
	return s
}

// set puts an entry under name.
func (s *scripted) set(name, value string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	s.entries[name] = message{sequence: s.last, value: []byte(value)}
	return s.last
}

func (s *scripted) count(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[kind]
}

func (s *scripted) kind(m *nats.Msg) string {
	switch {
	case m.Subject != s.store.prefix+fenceName:
		return "write"
	case m.Header.Get(jetstream.ExpectedLastSubjSeqHeader) != "":
		return "compare"
	}
	return "fence"
}

func (s *scripted) onWrite(m *nats.Msg) {
	s.requests[s.kind(m)]++
	answer := any(nil)
	if s.write != nil {
		answer = s.write(m)
	} else {
		answer = s.take(m)
	}
	if answer == nil {
		return
	}
	data, err := json.Marshal(answer)
	if err != nil {
		s.t.Error(err)
	}
	m.Respond(data)
}

// take compares and stores m, as a leader does.
func (s *scripted) take(m *nats.Msg) any {
	subject := m.Header.Get(jetstream.ExpectedLastSubjSeqSubjHeader)
	if subject == "" {
		subject = m.Subject
	}
	if expected := m.Header.Get(jetstream.ExpectedLastSubjSeqHeader); expected != "" {
		if stands := s.entries[strings.TrimPrefix(subject, s.store.prefix)].sequence; expected != fmt.Sprint(stands) {
			return refuses(codeWrongSequence, fmt.Sprintf("wrong last sequence: %d", stands))
		}
	}
	s.last++
	s.entries[strings.TrimPrefix(m.Subject, s.store.prefix)] = newMessage(s.last, m.Header, m.Data)
	return takes(s.last)
}

func takes(number uint64) any { return map[string]any{"stream": "KV_leases", "seq": number} }

func refuses(code jetstream.ErrorCode, text string) any {
	return map[string]any{"error": map[string]any{"code": 400, "err_code": code, "description": text}}
}

func (s *scripted) onSnapshot(m *nats.Msg) {
	s.requests["snapshot"]++
	var request struct {
		Last []string `json:"multi_last"`
	}
	if err := json.Unmarshal(m.Data, &request); err != nil {
		s.t.Error(err)
	}
	for i := range request.Last {
		request.Last[i] = strings.TrimPrefix(request.Last[i], s.store.prefix)
	}
	answer := s.answer
	if s.snapshot != nil {
		answer = s.snapshot
	}
	for _, r := range answer(request.Last) {
		m.RespondMsg(r)
	}
}

// answer is what a replica says that has everything.
func (s *scripted) answer(names []string) (messages []*nats.Msg) {
	for _, name := range names {
		if m, ok := s.entries[name]; ok {
			messages = append(messages, s.found(name, m))
		}
	}
	return append(messages, status("204", "0"))
}

func (s *scripted) found(name string, m message) *nats.Msg {
	return &nats.Msg{Data: m.value, Header: nats.Header{
		jetstream.SubjectHeader:  {s.store.prefix + name},
		jetstream.SequenceHeader: {fmt.Sprint(m.sequence)},
		jetstream.MsgIDHeader:    {m.id},
	}}
}

func status(code, pending string) *nats.Msg {
	return &nats.Msg{Header: nats.Header{"Status": {code}, "Nats-Num-Pending": {pending}}}
}

func (s *scripted) onLeader(m *nats.Msg) {
	s.requests["leader"]++
	var request struct {
		Last string `json:"last_by_subj"`
	}
	if err := json.Unmarshal(m.Data, &request); err != nil {
		s.t.Error(err)
	}
	e, ok := s.entries[strings.TrimPrefix(request.Last, s.store.prefix)]
	answer := refuses(jetstream.JSErrCodeMessageNotFound, "no message found")
	if ok {
		answer = map[string]any{"message": map[string]any{"seq": e.sequence, "data": e.value}}
	}
	data, err := json.Marshal(answer)
	if err != nil {
		s.t.Error(err)
	}
	m.Respond(data)
}
