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
func anyRecord() *rapid.Generator[record] {
	return rapid.Custom(func(t *rapid.T) record {
		text := rapid.OneOf(rapid.Just(""), rapid.StringN(0, 20, -1), rapid.StringMatching(`[ -~]{0,9}`))
		instant := rapid.Custom(func(t *rapid.T) time.Time {
			return t0.Add(time.Duration(rapid.Int64Range(0, int64(30*365*24*time.Hour)).Draw(t, "ns")))
		})
		raw := func(name string) json.RawMessage {
			return rapid.SampledFrom([]json.RawMessage{nil, []byte(`{}`), []byte(`{"a":[1,"é","\u0000"]}`), []byte(`null`), []byte(`"x"`)}).Draw(t, name)
		}
		r := record{
			Format:      recordFormat,
			State:       rapid.SampledFrom([]State{StateInProgress, StateCompleted, StateFailed, stateLocked}).Draw(t, "state"),
			LeaseID:     "lease_" + text.Draw(t, "lease id"),
			Version:     max(1, rapid.Uint64().Draw(t, "version")),
			Token:       max(1, rapid.Uint64().Draw(t, "token")),
			Attempt:     rapid.IntRange(1, 1000).Draw(t, "attempt"),
			TTL:         time.Duration(rapid.Int64Range(1, int64(longest)).Draw(t, "ttl")),
			Deadline:    instant.Draw(t, "deadline"),
			FirstSeenAt: instant.Draw(t, "first seen"),
			AcquiredAt:  instant.Draw(t, "acquired"),
			KeepUntil:   instant.Draw(t, "keep until"),
			Metadata:    raw("metadata"),
			Result:      raw("result"),
			ResultHash:  text.Draw(t, "result hash"),
			ErrorCode:   text.Draw(t, "error code"),
			ErrorHash:   text.Draw(t, "error hash"),
			RequestID:   text.Draw(t, "request id"),
			InputHash:   text.Draw(t, "input hash"),
			AtMostOnce:  rapid.Bool().Draw(t, "at most once"),
			Op:          "op_" + text.Draw(t, "op"),
			PrevOp:      text.Draw(t, "prev op"),
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
		written := entry(&want, 3)
		got, err := decodeRecord(written)
		if err != nil {
			t.Fatalf("%v\n%s", err, written.Value)
		}
		if !reflect.DeepEqual(*got, want) {
			t.Fatalf("\n got %+v\nwant %+v\nfrom %s", *got, want, written.Value)
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
		for _, instant := range []string{"deadline", "first_seen_at", "acquired_at", "done_at", "keep_until"} {
			delete(want, instant) // of fixed length in ours
			if s, ok := got[instant].(string); ok && len(s) != len("2026-01-02T03:04:05.000000000Z") {
				t.Fatalf("%s is %q, which does not sort as text", instant, s)
			}
			delete(got, instant)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("\n got %v\nwant %v", got, want)
		}
	})
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
		for _, r := range []*record{inProgress(), finished(verbComplete), finished(verbFail), locked()} {
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
		{"a finished one without its end", strings.Replace(good, "in_progress", "completed", 1), "done_at is missing"},
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
