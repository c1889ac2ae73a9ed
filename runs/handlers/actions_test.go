package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/ailease/lease"
	"github.com/ailease/lease/leasetest"
	"github.com/ailease/lease/runs/handlers"
)

// book keeps what tools were called with, and what was noted.
type book struct {
	mu    sync.Mutex
	calls []string
	notes []string
}

func (b *book) called(tool string, args json.RawMessage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, tool+" "+string(args))
}

func (b *book) note(_ context.Context, e handlers.NoteEntry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notes = append(b.notes, fmt.Sprintf("%s %s %s %d %s", e.Type, e.Status, e.Tool, e.Step, e.Message))
}

func (b *book) mustBe(t *testing.T, calls, notes []string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !reflect.DeepEqual(b.calls, calls) {
		t.Errorf("the tools were called as %q, want %q", b.calls, calls)
	}
	if !reflect.DeepEqual(b.notes, notes) {
		t.Errorf("noted was %q, want %q", b.notes, notes)
	}
}

// tools has a tool that answers with its arguments, and one that fails.
func tools(b *book) *handlers.Actions {
	return &handlers.Actions{Note: b.note, Tools: map[string]handlers.Func{
		"echo": func(_ context.Context, args json.RawMessage) (json.RawMessage, error) {
			b.called("echo", args)
			return args, nil
		},
		"fail": func(_ context.Context, args json.RawMessage) (json.RawMessage, error) {
			b.called("fail", args)
			return nil, lease.Permanent(errors.New("boom"))
		},
	}}
}

func TestActionsInARow(t *testing.T) {
	var b book
	large := `"` + strings.Repeat("<", 100) + `"` // as JSON for web pages it has six times the size
	got, err := tools(&b).Run(leasetest.Context(t, lease.Lease{}), json.RawMessage(`{"task":"x","actions":[{"tool":"echo","args":{"n":1}},{"tool":"echo"},{"tool":"echo","args":`+large+`}]}`))
	if want := `{"actions":[{"tool":"echo","status":"completed","result":{"n":1}},{"tool":"echo","status":"completed","result":null},{"tool":"echo","status":"completed","result_bytes":102}]}`; err != nil || string(got) != want {
		t.Errorf("the result is %s, error %v, want %s", got, err, want)
	}
	b.mustBe(t, []string{`echo {"n":1}`, "echo null", "echo " + large}, []string{
		"tool_call start echo 0 ", "tool_result completed echo 0 ", "tool_call start echo 1 ", "tool_result completed echo 1 ",
		"tool_call start echo 2 ", "tool_result completed echo 2 ",
	})
}

func TestWhatIsNoCall(t *testing.T) {
	for input, want := range map[string]string{
		``:               `{"actions":[]}`,
		`null`:           `{"actions":[]}`,
		`{}`:             `{"actions":[]}`,
		`{"actions":[]}`: `{"actions":[]}`,
		`{"actions":[{"tool":"echo"},{"tool":"fail","args":1}],"dry_run":true}`: `{"actions":[{"tool":"echo","status":"dry_run"},{"tool":"fail","status":"dry_run"}],"dry_run":true}`,
	} {
		var b book
		got, err := tools(&b).Run(leasetest.Context(t, lease.Lease{}), json.RawMessage(input))
		if err != nil || string(got) != want {
			t.Errorf("%s: the result is %s, error %v", input, got, err)
		}
		var notes []string
		if strings.Contains(input, "dry_run") {
			notes = []string{"tool_call dry_run echo 0 ", "tool_call dry_run fail 1 "}
		}
		b.mustBe(t, nil, notes)
	}
}

func TestActionsThatFail(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat(`{"tool":"echo"},`, 51), ",")
	for name, tt := range map[string]struct {
		input, code  string
		calls, notes []string
	}{
		"a tool that is not there": {
			`{"actions":[{"tool":"echo","args":1},{"tool":"none"}]}`, "tool_not_found", nil, []string{"tool_result failed none 1 tool_not_found"},
		},
		"a tool that is not there, dry": {
			`{"actions":[{"tool":"none"}],"dry_run":true}`, "tool_not_found", nil, []string{"tool_result failed none 0 tool_not_found"},
		},
		"a tool that fails": {
			`{"actions":[{"tool":"echo","args":1},{"tool":"fail","args":2},{"tool":"echo","args":3}]}`, "", []string{"echo 1", "fail 2"},
			[]string{"tool_call start echo 0 ", "tool_result completed echo 0 ", "tool_call start fail 1 ", "tool_result failed fail 1 error"},
		},
		"too many":         {`{"actions":[` + many + `]}`, "input", nil, nil},
		"no list":          {`{"actions":"s3cret"}`, "input", nil, nil},
		"no object":        {`["s3cret"]`, "input", nil, nil},
		"no name":          {`{"actions":[{"tool":["s3cret"]}]}`, "input", nil, nil},
		"no truth":         {`{"dry_run":"s3cret"}`, "input", nil, nil},
		"an empty action":  {`{"actions":[{}]}`, "tool_not_found", nil, []string{"tool_result failed  0 tool_not_found"}},
		"nothing, as such": {`{"actions":[null]}`, "tool_not_found", nil, []string{"tool_result failed  0 tool_not_found"}},
	} {
		t.Run(name, func(t *testing.T) {
			var b book
			_, err := tools(&b).Run(leasetest.Context(t, lease.Lease{}), json.RawMessage(tt.input))
			if err == nil || strings.Contains(err.Error(), "s3cret") {
				t.Fatalf("the error is %v", err)
			}
			if tt.code != "" {
				mustFail(t, err, tt.code, true)
			}
			b.mustBe(t, tt.calls, tt.notes)
		})
	}
}

// A worker stops in the middle of an action, as if it had died: the next goes on with that action,
// and with what its tool has saved, and calls none again that has ended.
func TestATakeoverInTheMiddleOfActions(t *testing.T) {
	m := newManager(t)
	var mu sync.Mutex
	var calls []string
	began := make(chan struct{})
	tool := func(ctx context.Context, args json.RawMessage) (json.RawMessage, error) {
		mu.Lock()
		calls = append(calls, string(args))
		first := len(calls) == 2
		mu.Unlock()
		if first {
			close(began)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return args, nil
	}
	actions := func() handlers.Func { return (&handlers.Actions{Tools: map[string]handlers.Func{"t": tool}}).Run }
	first, stop := work(t, m, actions())
	mustStart(t, first, "k", `{"actions":[{"tool":"t","args":1},{"tool":"t","args":2},{"tool":"t","args":3}]}`)
	<-began
	stop()
	second, _ := work(t, m, actions())
	want := `{"actions":[{"tool":"t","status":"completed","result":1},{"tool":"t","status":"completed","result":2},{"tool":"t","status":"completed","result":3}]}`
	if got := mustComplete(t, second, "k"); got != want {
		t.Errorf("the result is %s", got)
	}
	if want := []string{"1", "2", "2", "3"}; !reflect.DeepEqual(calls, want) {
		t.Errorf("the tool was called with %q, want %q", calls, want)
	}
}

// All results of the longest run fit into its checkpoint, beside what the last tool saves there.
func TestTheLargestCheckpointOfActions(t *testing.T) {
	m := newManager(t)
	name := strings.Repeat("n", 128)
	result, _ := json.Marshal(strings.Repeat("r", 510))
	large, _ := json.Marshal(strings.Repeat("c", 24<<10-2))
	tooLarge, _ := json.Marshal(strings.Repeat("c", 24<<10))
	r, _ := work(t, m, (&handlers.Actions{Tools: map[string]handlers.Func{
		name: func(ctx context.Context, args json.RawMessage) (json.RawMessage, error) {
			if err := handlers.Save(ctx, large); err != nil {
				t.Errorf("action %s: %v", args, err)
			}
			if err := handlers.Save(ctx, tooLarge); !errors.Is(err, lease.ErrInvalid) {
				t.Errorf("a checkpoint of %d bytes is saved: %v", len(tooLarge), err)
			}
			return result, nil
		},
	}}).Run)
	mustStart(t, r, "k", `{"actions":[`+strings.TrimSuffix(strings.Repeat(`{"tool":"`+name+`"},`, 50), ",")+`]}`)
	if got := mustComplete(t, r, "k"); strings.Count(got, "rrr\"") != 50 {
		t.Errorf("the result has %d bytes", len(got))
	}
}
