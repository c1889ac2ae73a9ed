package lease

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// anyRecord draws records as the Manager writes them, with every field in use or not.
func anyRecord() *rapid.Generator[*record] {
	return rapid.Custom(func(t *rapid.T) *record {
		text := rapid.OneOf(rapid.Just(""), rapid.StringN(0, 20, -1), rapid.StringMatching(`[ -~]{0,9}`))
		instant := rapid.Custom(func(t *rapid.T) time.Time {
			return t0.Add(time.Duration(rapid.Int64Range(0, int64(30*365*24*time.Hour)).Draw(t, "ns")))
		})
		raw := func(name string) json.RawMessage {
			return rapid.SampledFrom([]json.RawMessage{nil, []byte(`{}`), []byte(`{"a":[1,"é","\u0000"]}`), []byte(`null`), []byte(`"x"`)}).Draw(t, name)
		}
		span := func(name string) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(longest)).Draw(t, name))
		}
		r := &record{
			Format:      recordFormat,
			State:       rapid.SampledFrom([]State{StateInProgress, stateReleased, StateCompleted, StateFailed, stateLocked}).Draw(t, "state"),
			LeaseID:     "lease_" + text.Draw(t, "lease id"),
			Version:     max(1, rapid.Uint64().Draw(t, "version")),
			Token:       max(1, rapid.Uint64().Draw(t, "token")),
			Attempt:     rapid.IntRange(1, 1000).Draw(t, "attempt"),
			Failures:    rapid.IntRange(0, 1000).Draw(t, "failures"),
			TTL:         span("ttl"),
			Retention:   span("retention"),
			Deadline:    instant.Draw(t, "deadline"),
			FirstSeenAt: instant.Draw(t, "first seen"),
			AcquiredAt:  instant.Draw(t, "acquired"),
			KeepUntil:   instant.Draw(t, "keep until"),
			Metadata:    raw("metadata"),
			Progress:    raw("progress"),
			Checkpoint:  raw("checkpoint"),
			Result:      raw("result"),
			ResultHash:  text.Draw(t, "result hash"),
			ErrorCode:   text.Draw(t, "error code"),
			ErrorHash:   text.Draw(t, "error hash"),
			ErrorText:   text.Draw(t, "error text"),
			Retryable:   rapid.Bool().Draw(t, "retryable"),
			Nonce:       text.Draw(t, "nonce"),
			InputHash:   text.Draw(t, "input hash"),
			AtMostOnce:  rapid.Bool().Draw(t, "at most once"),
			Op:          "op_" + text.Draw(t, "op"),
			PrevOp:      text.Draw(t, "prev op"),

			CheckpointSeq: rapid.Uint64().Draw(t, "checkpoint seq"),
		}
		if rapid.Bool().Draw(t, "run") && r.State != stateLocked {
			r.Run = &run{
				Ticket:     "lease_" + text.Draw(t, "ticket"),
				Task:       text.Draw(t, "task"),
				Input:      raw("input"),
				StartedAt:  instant.Draw(t, "started"),
				Due:        instant.Draw(t, "due"),
				Until:      instant.Draw(t, "until"),
				Attempts:   rapid.IntRange(0, 1000).Draw(t, "attempts"),
				PauseFirst: span("pause first"),
				PauseMost:  span("pause most"),
				LastCode:   text.Draw(t, "last code"),
				StoppingID: text.Draw(t, "stopping id"),
			}
			if r.Run.StoppingID != "" {
				r.Run.StoppingUntil = instant.Draw(t, "stopping until")
			}
			if rapid.Bool().Draw(t, "queued") {
				r.State = stateQueued
			}
		}
		if n := rapid.IntRange(0, mostReplaced).Draw(t, "replaced"); n > 0 {
			r.Replaced = rapid.SliceOfN(text, n, n).Draw(t, "the replaced")
		}
		if rapid.Bool().Draw(t, "prev") {
			r.Prev = &prev{
				LeaseID:    "lease_" + text.Draw(t, "prev lease id"),
				Version:    rapid.Uint64().Draw(t, "prev version"),
				Token:      rapid.Uint64().Draw(t, "prev token"),
				AcquiredAt: instant.Draw(t, "prev acquired"),
				State:      rapid.SampledFrom([]State{StateInProgress, stateReleased, StateCompleted, StateFailed}).Draw(t, "prev state"),
				End:        text.Draw(t, "prev end"),
			}
		}
		switch r.State {
		case StateCompleted, StateFailed:
			r.DoneAt = instant.Draw(t, "done")
		case stateLocked:
			r.LeaseID = ""
		}
		return r
	})
}

// entry is r as it lies under a key for its kind.
func entry(r *record, revision uint64) backend.Entry {
	e := backend.Entry{Key: "default/k", Value: r.appendJSON(nil), Revision: revision}
	if r.State == stateLocked {
		e.Key = "default:lock/k"
	}
	return e
}

func TestRecordReadsBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyRecord().Draw(t, "record")
		written := entry(want, 3)
		got, err := decodeRecord(written)
		if err != nil {
			t.Fatalf("%v\n%s", err, written.Value)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("\n got %+v\nwant %+v\nfrom %s", got, want, written.Value)
		}
	})
}

func TestRecordNamesTheFieldsThatEncodingJSONWouldWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRecord().Draw(t, "record")
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var want, got map[string]any
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(r.appendJSON(nil), &got); err != nil {
			t.Fatal(err)
		}
		instants := func(got, want map[string]any, names ...string) {
			for _, name := range names {
				s, ok := got[name].(string)
				if ok && len(s) != len("2026-01-02T03:04:05.000000000Z") {
					t.Fatalf("%s is %q, which does not sort as text", name, s)
				}
				if w, wanted := want[name].(string); wanted != ok || ok && !sameInstant(s, w) {
					t.Fatalf("%s is %q, want %q", name, s, w)
				}
				delete(got, name)
				delete(want, name)
			}
		}
		instants(got, want, "deadline", "first_seen_at", "acquired_at", "done_at", "keep_until")
		if p, ok := got["prev"].(map[string]any); ok {
			wp, _ := want["prev"].(map[string]any)
			instants(p, wp, "acquired_at")
		}
		if n, ok := got["run"].(map[string]any); ok {
			wn, _ := want["run"].(map[string]any)
			instants(n, wn, "started_at", "due", "until", "stopping_until")
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("\n got %v\nwant %v", got, want)
		}
	})
}

func sameInstant(a, b string) bool {
	s, err := time.Parse(time.RFC3339Nano, a)
	t, err2 := time.Parse(time.RFC3339Nano, b)
	return err == nil && err2 == nil && s.Equal(t)
}

// TestEveryFieldOfARecordIsWritten fails if somebody adds a field and forgets appendJSON.
func TestEveryFieldOfARecordIsWritten(t *testing.T) {
	r := &record{Prev: new(prev), Run: new(run)}
	for _, v := range []reflect.Value{reflect.ValueOf(r).Elem(), reflect.ValueOf(r.Prev).Elem(), reflect.ValueOf(r.Run).Elem()} {
		for i := range v.NumField() {
			switch f := v.Field(i).Addr().Interface().(type) {
			case *string:
				*f = "s"
			case *State:
				*f = StateCompleted
			case *int:
				*f = 1
			case *uint64:
				*f = 1
			case *bool:
				*f = true
			case *time.Duration:
				*f = 1
			case *time.Time:
				*f = t0
			case *json.RawMessage:
				*f = json.RawMessage("1")
			case *[]string:
				*f = []string{"s"}
			case **prev, **run:
			default:
				t.Fatalf("field %s has a type that this test does not know", v.Type().Field(i).Name)
			}
		}
	}
	r.Format = recordFormat
	got, err := decodeRecord(entry(r, 3))
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("error %v\n got %+v\nwant %+v", err, got, r)
	}
}

func TestRecordWithoutATokenTakesItsRevision(t *testing.T) {
	r := inProgress()
	r.Token = 0
	got, err := decodeRecord(backend.Entry{Value: r.appendJSON(nil), Revision: 41})
	if err != nil || got.Token != 41 {
		t.Fatalf("token is %d, %v; want 41", got.Token, err)
	}
}

func TestLocksAndLeasesAreNotReadForEachOther(t *testing.T) {
	for _, tt := range []struct {
		key   string
		locks bool
	}{
		{"default:lock/k", true},
		{"default:lock/a/b", true},
		{"default/k", false},
		{"default/x:lock/k", false}, // a key with all that makes a lock's
		{"lock/k", false},
		{":lock", true}, // nobody's
		{"", false},
	} {
		for _, r := range []*record{inProgress(), finished(verbComplete), finished(verbFail), finished(verbRelease), locked()} {
			e := entry(r, 3)
			e.Key = tt.key
			_, err := decodeRecord(e)
			if fits := tt.locks == (r.State == stateLocked); fits != (err == nil) || !fits && !errors.Is(err, ErrUnreadable) {
				t.Errorf("a record that is %s under %q: %v", r.State, tt.key, err)
			}
		}
	}
}

func TestDamagedAndForeignRecords(t *testing.T) {
	good := string(inProgress().appendJSON(nil))
	without := func(field string) string {
		var m map[string]any
		if err := json.Unmarshal([]byte(good), &m); err != nil {
			t.Fatal(err)
		}
		delete(m, field)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, tt := range []struct{ name, value, says string }{
		{"nothing", "", "0 bytes"},
		{"cut off", good[:len(good)-1], "unexpected end"},
		{"not JSON", "lease", "invalid character"},
		{"JSON, but no object", "[]", "cannot unmarshal"},
		{"another's object", `{"id":1}`, "format is 0"},
		{"a field of another type", strings.Replace(good, `"version":1`, `"version":"1"`, 1), "cannot unmarshal"},
		{"a newer format", strings.Replace(good, `"format":1`, `"format":2`, 1), "format 2"},
		{"a newer format with fields of other types", `{"format":2,"state":7}`, "format 2"},
		{"an unknown state", strings.Replace(good, "in_progress", "paused", 1), `"paused"`},
		{"a completed one without its end", strings.Replace(good, "in_progress", "completed", 1), "done_at is missing"},
		{"a failed one without its end", strings.Replace(good, "in_progress", "failed", 1), "done_at is missing"},
		{"a lease that expired, which is no state of a record", strings.Replace(good, "in_progress", "expired", 1), `"expired"`},
		{"a lock under a lease's key", strings.Replace(good, "in_progress", "locked", 1), "not for this key"},
		{"a predecessor that is none", strings.Replace(good, `"op":`, `"prev":"x","op":`, 1), "cannot unmarshal"},
		{"replaced calls that are none", strings.Replace(good, `"op":`, `"replaced":{},"op":`, 1), "cannot unmarshal"},
		{"a negative sequence", strings.Replace(good, `"op":`, `"checkpoint_seq":-1,"op":`, 1), "cannot unmarshal"},
		{"no lease id", without("lease_id"), "lease_id is missing"},
		{"no version", without("version"), "version is 0"},
		{"no attempt", without("attempt"), "attempt is 0"},
		{"no deadline", without("deadline"), "instant is missing"},
		{"no operation", without("op"), "op is missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decodeRecord(backend.Entry{Value: []byte(tt.value), Revision: 3})
			if !errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error is %v, want ErrUnreadable that says %q", err, tt.says)
			}
		})
	}
}

// TestOddRecordsThatCanBeRead: fields of later versions of one format, and others that this one
// does not write but understands.
func TestOddRecordsThatCanBeRead(t *testing.T) {
	good := string(inProgress().appendJSON(nil))
	for _, tt := range []struct{ name, value string }{
		{"a field that is not known", strings.Replace(good, `"op":`, `"later":{"a":1},"op":`, 1)},
		{"white space", " " + strings.ReplaceAll(good, `,"`, ",\n \"")},
		{"fields that are null", strings.Replace(good, `"op":`, `"prev":null,"replaced":null,"failures":null,"op":`, 1)},
		{"fields that could be left out", strings.Replace(good, `"op":`, `"retryable":false,"failures":0,"checkpoint_seq":0,"replaced":[],"op":`, 1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeRecord(backend.Entry{Key: "default/k", Value: []byte(tt.value), Revision: 3})
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, inProgress())
		})
	}
	for _, state := range []State{stateReleased, StateInProgress} {
		got, err := decodeRecord(backend.Entry{Key: "default/k", Value: []byte(strings.Replace(good, "in_progress", string(state), 1)), Revision: 3})
		if err != nil || got.State != state {
			t.Errorf("%s: %v", state, err)
		}
	}
}
