package timeline_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/timeline"
)

func TestIDs(t *testing.T) {
	long := strings.Repeat("r", 256)
	for _, tt := range []struct {
		name, metadata string
		runID, agentID string
	}{
		{"no metadata", ``, "k", ""},
		{"neither", `{"a":1}`, "k", ""},
		{"both", `{"run_id":"r","agent_id":"a"}`, "r", "a"},
		{"spaces and escapes", "{ \"run_id\" :\t\"r\\u002f1\" }", "r/1", ""},
		{"a number", `{"run_id":7,"agent_id":"a"}`, "k", "a"},
		{"empty", `{"run_id":"","agent_id":""}`, "k", ""},
		{"null", `{"run_id":null}`, "k", ""},
		{"as long as may be", `{"run_id":"` + long + `"}`, long, ""},
		{"too long", `{"run_id":"` + long + `r"}`, "k", ""},
		{"further in", `{"x":{"run_id":"r","agent_id":"a"}}`, "k", ""},
		{"other capitals", `{"x":"\"run_id\"","RUN_ID":"r"}`, "k", ""},
		{"in a value", `{"x":["run_id"]}`, "k", ""},
		{"an array", `["run_id"]`, "k", ""},
		{"no JSON", `{"run_id":"r"`, "k", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if runID, agentID := timeline.IDs("k", json.RawMessage(tt.metadata)); runID != tt.runID || agentID != tt.agentID {
				t.Errorf("run id %q, agent id %q, want %q and %q", runID, agentID, tt.runID, tt.agentID)
			}
		})
	}
}

func TestEntriesComeBackAsTheyWere(t *testing.T) {
	onEach(t, func(t *testing.T, b backend.Backend) {
		s := mustOpen(t, b)
		at := time.Date(2026, 3, 31, 12, 0, 0, 123456000, time.UTC)
		want := []timeline.Entry{
			{RunID: "r", Time: at, Type: "t"},
			{RunID: "r", ID: "i\"/é", Time: at.Add(-time.Hour), Type: "a\"\\\x00\n\u2028é", Status: "s", Key: "k", AgentID: "a", Attempt: 3, Token: 1 << 63,
				ErrorCode: "e", Fields: json.RawMessage(`{"step": "1","x":[null]}`)},
		}
		for i := range want {
			want[i].Namespace = "ns"
		}
		mustAppend(t, s, want...)
		mustAppend(t, s, want[1]) // its id is there
		got := mustRead(t, s, "r")
		newest, err := s.Newest(t.Context(), "ns", 0, 1)
		if err != nil || len(newest) != 1 || !reflect.DeepEqual(newest[0], got[1]) {
			t.Errorf("the newest are %+v, error %v", newest, err)
		}
		for i := range got {
			if got[i].Position == 0 || i > 0 && got[i].Position <= got[i-1].Position {
				t.Errorf("entry %d has position %d", i, got[i].Position)
			}
			if id := got[i].EventID(); id <= 0 || id >= 1<<53 || i == 0 && uint64(id) != got[i].Position || i == 1 && id != want[i].EventID() {
				t.Errorf("entry %d has event id %d", i, id)
			}
			got[i].Position = 0
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("read\n%+v, want\n%+v", got, want)
		}
	})
}

// eventID is that of entry "e1" of timeline "ns/run_1". It never changes: callers keep it.
const eventID = 4136515254635063

func TestEventIDsDiffer(t *testing.T) {
	seen := make(map[int64]bool)
	for i := range 1000 {
		for _, e := range []timeline.Entry{{Namespace: "a", RunID: "r", ID: fmt.Sprint(i)}, {Namespace: "b", RunID: "r", ID: fmt.Sprint(i)}, {Namespace: "a", RunID: "s", ID: fmt.Sprint(i)}} {
			id := e.EventID()
			if seen[id] {
				t.Fatalf("%+v has the event id of another", e)
			}
			seen[id] = true
		}
	}
	if id := (&timeline.Entry{Namespace: "ns", RunID: "r"}).EventID(); id != 0 {
		t.Errorf("an entry that was not added has event id %d", id)
	}
	if id := (&timeline.Entry{Namespace: "ns", RunID: "run_1", ID: "e1"}).EventID(); id != eventID {
		t.Errorf("the event id is %d, and was %d in the first version", id, eventID)
	}
}

// An entry out of limits is refused by its field and size, without its value, and nothing is added.
func TestEntriesOutOfLimits(t *testing.T) {
	s := mustOpen(t, memory.New())
	const secret = "hunter2"
	for _, tt := range []struct {
		field string
		entry timeline.Entry
		size  string // and the limit, if there is one
	}{
		{"namespace", timeline.Entry{RunID: "r", Type: "t"}, "0 bytes"},
		{"namespace", timeline.Entry{Namespace: "a/" + secret, RunID: "r", Type: "t"}, "9 bytes"},
		{"run_id", timeline.Entry{Namespace: "ns", Type: "t"}, "0 bytes, must be from 1 to 1277"},
		{"run_id", timeline.Entry{Namespace: "ns", RunID: strings.Repeat("r", 1278), Type: "t"}, "1278 bytes, must be from 1 to 1277"},
		{"run_id", timeline.Entry{Namespace: "ns", RunID: secret + "\xff", Type: "t"}, "8 bytes"},
		{"id", timeline.Entry{Namespace: "ns", RunID: "r", ID: strings.Repeat("i", 65), Type: "t"}, "65 bytes, limit 64"},
		{"id", timeline.Entry{Namespace: "ns", RunID: "r", ID: secret + "\xff", Type: "t"}, "8 bytes"},
		{"type", timeline.Entry{Namespace: "ns", RunID: "r"}, "0 bytes"},
		{"fields", timeline.Entry{Namespace: "ns", RunID: "r", Type: "t", Fields: []byte(`["` + secret + `"]`)}, "11 bytes"},
		{"fields", timeline.Entry{Namespace: "ns", RunID: "r", Type: "t", Fields: []byte(`{"` + secret + `"`)}, "10 bytes"},
		{"fields", timeline.Entry{Namespace: "ns", RunID: "r", Type: "t", Fields: []byte{}}, "0 bytes"},
		{"entry", timeline.Entry{Namespace: "ns", RunID: "r", Type: "t", Status: strings.Repeat("\n", 11_000)}, "limit 65536"},
	} {
		t.Run(tt.field+" of "+tt.size, func(t *testing.T) {
			dropped := s.Dropped()
			err := s.Append(t.Context(), timeline.Entry{Namespace: "ns", RunID: "r", Type: "good"}, tt.entry)
			var field *lease.FieldError
			if !errors.As(err, &field) || field.Field != tt.field || !strings.Contains(field.Problem, tt.size) || !errors.Is(err, lease.ErrInvalid) {
				t.Errorf("error is %v", err)
			}
			if strings.Contains(fmt.Sprint(err), secret) {
				t.Errorf("the error shows the value: %v", err)
			}
			if s.Note(tt.entry); s.Dropped() != dropped+1 {
				t.Errorf("a note of it counts %d", s.Dropped()-dropped)
			}
		})
	}
	if newest, err := s.Newest(t.Context(), "ns", 0, 1); err != nil || len(newest) > 0 {
		t.Errorf("there is %+v, error %v", newest, err)
	}
	longest := timeline.Entry{Namespace: "ns", RunID: strings.Repeat("r", 1277), ID: strings.Repeat("i", 64), Type: "t", Status: strings.Repeat("s", 65_000)}
	mustAppend(t, s, longest)
	if err := s.Append(t.Context(), make([]timeline.Entry, 1001)...); !errors.Is(err, lease.ErrInvalid) || !strings.Contains(err.Error(), "entries: 1001, limit 1000") {
		t.Errorf("with 1001 entries the error is %v", err)
	}
}

func TestOptionsOutOfRange(t *testing.T) {
	for field, o := range map[string]timeline.Option{
		"keep": timeline.WithKeep(0), "buffer": timeline.WithBuffer(0), "logger": timeline.WithLogger(nil),
	} {
		if _, err := timeline.New(memory.New(), o); !errors.Is(err, lease.ErrInvalid) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error is %v", field, err)
		}
	}
	if _, err := timeline.New(nil); !errors.Is(err, lease.ErrInvalid) {
		t.Errorf("without a backend: error is %v", err)
	}
	if _, err := timeline.New(struct{ backend.Backend }{memory.New()}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("without a journal: error is %v", err)
	}
}
