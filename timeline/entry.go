package timeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// TypeUnreadable is the type of an entry that cannot be decoded, because it is damaged or was
// written by a newer version of this package. Nothing else is known of it than where it stands.
const TypeUnreadable = "unreadable"

// Entry is one thing that happened to a lease or a run, or what a caller reports of it. It has no
// payloads and no lease ids.
type Entry struct {
	Namespace string
	RunID     string // the timeline: see [IDs]
	ID        string // up to 64 bytes; unless empty, the only one in the timeline
	Position  uint64 // of an entry that was read; grows within the store

	Time      time.Time // zero: when the Store took it
	Type      string    // "lease:acquired", "run_started", "tool_call", or what a caller reported
	Status    string
	Key       string
	AgentID   string
	Attempt   int
	Token     uint64
	ErrorCode string

	// Fields are further members, a JSON object or nil. The Store may read them until the entry is
	// in the store.
	Fields json.RawMessage
}

// EventID is a number for the entry from 1 to 1<<53-1, the same whenever it is read. It comes from
// ID, or else from Position, and is 0 of an entry that has neither.
func (e *Entry) EventID() int64 {
	if e.ID == "" {
		return int64(e.Position & (1<<53 - 1))
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%s/%s", e.Namespace, e.RunID, e.ID)
	return max(1, int64(h.Sum64()>>11))
}

// mostIDBytes is how long a run id or an agent id in metadata may be.
const mostIDBytes = 256

// IDs tells to which timeline a lease or run belongs, and who works on it. The run id is the member
// run_id of the metadata if that is a string of 1 to 256 bytes, else the key. The agent id is the
// member agent_id in the same way, else empty.
func IDs(key string, metadata json.RawMessage) (runID, agentID string) {
	runID = key
	if !bytes.Contains(metadata, []byte(`"run_id"`)) && !bytes.Contains(metadata, []byte(`"agent_id"`)) {
		return runID, ""
	}
	var members map[string]json.RawMessage // the names are matched exactly
	if json.Unmarshal(metadata, &members) != nil {
		return runID, ""
	}
	for name, id := range map[string]*string{"run_id": &runID, "agent_id": &agentID} {
		var s string
		if json.Unmarshal(members[name], &s) == nil && s != "" && len(s) <= mostIDBytes {
			*id = s
		}
	}
	return runID, agentID
}

// stream is the name of a timeline in the journal. A namespace has no slash.
func stream(namespace, runID string) string { return namespace + "/" + runID }

func checkNamespace(namespace string) error {
	if namespace == "" || strings.Contains(namespace, "/") || !utf8.ValidString(namespace) {
		return &lease.FieldError{Field: "namespace", Problem: fmt.Sprintf("%d bytes, must be UTF-8 from 1 byte on without a slash", len(namespace))}
	}
	return nil
}

func checkTimeline(namespace, runID string) error {
	if err := checkNamespace(namespace); err != nil {
		return err
	}
	most := backend.MaxKeyBytes - 1 - len(namespace)
	switch {
	case runID == "" || len(runID) > most:
		return &lease.FieldError{Field: "run_id", Problem: fmt.Sprintf("%d bytes, must be from 1 to %d", len(runID), most)}
	case !utf8.ValidString(runID):
		return &lease.FieldError{Field: "run_id", Problem: fmt.Sprintf("%d bytes that are not valid UTF-8", len(runID))}
	}
	return nil
}

// check returns a [lease.FieldError] unless the entry can be added.
func (e *Entry) check() error {
	if err := checkTimeline(e.Namespace, e.RunID); err != nil {
		return err
	}
	switch {
	case len(e.ID) > backend.MaxEntryIDBytes:
		return &lease.FieldError{Field: "id", Problem: fmt.Sprintf("%d bytes, limit %d", len(e.ID), backend.MaxEntryIDBytes)}
	case !utf8.ValidString(e.ID):
		return &lease.FieldError{Field: "id", Problem: fmt.Sprintf("%d bytes that are not valid UTF-8", len(e.ID))}
	case e.Type == "":
		return &lease.FieldError{Field: "type", Problem: "0 bytes, must be at least 1"}
	}
	if e.Fields != nil {
		if f := bytes.TrimLeft(e.Fields, " \t\r\n"); len(f) == 0 || f[0] != '{' || !json.Valid(f) {
			return &lease.FieldError{Field: "fields", Problem: fmt.Sprintf("%d bytes that are not a JSON object", len(e.Fields))}
		}
	}
	if e.size() > backend.MaxJournalDataBytes {
		if n := len(e.appendJSON(nil)); n > backend.MaxJournalDataBytes {
			return &lease.FieldError{Field: "entry", Problem: fmt.Sprintf("%d bytes, limit %d", n, backend.MaxJournalDataBytes)}
		}
	}
	return nil
}

// size is more than what the encoded entry has, or as much.
func (e *Entry) size() int {
	const names = 200 // and numbers
	return names + len(e.Fields) + 6*(len(e.Type)+len(e.Status)+len(e.Key)+len(e.AgentID)+len(e.ErrorCode))
}

// weight is what the entry holds in memory, about.
func (e *Entry) weight() int {
	const itself = 250
	return itself + len(e.Fields) + len(e.ID) + len(e.Namespace) + len(e.RunID) + len(e.Type) + len(e.Status) +
		len(e.Key) + len(e.AgentID) + len(e.ErrorCode)
}
