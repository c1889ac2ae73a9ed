package timeline

import (
	"encoding/json"
	"time"
)

// Entry is one thing that happened to a lease or a run, or what a caller reports of it. It has no
// payloads and no lease ids.
type Entry struct {
	Namespace string
	RunID     string // the timeline: the run_id in the metadata of a lease or run, else its key
	ID        string // unless empty, the entry is the only one of its id in the timeline
	Position  uint64 // of an entry that was read; grows within the store

	Time      time.Time
	Type      string // "lease:acquired", "run_started", "tool_call", or what a caller reported
	Status    string
	Key       string
	AgentID   string
	Attempt   int
	Token     uint64
	ErrorCode string

	// Fields are further members, a JSON object or nil.
	Fields json.RawMessage
}

// IDs returns the run id and the agent id of a lease or run: those in its metadata, if they are
// texts of 1 to 256 bytes. The run id is the key otherwise.
func IDs(key string, metadata json.RawMessage) (runID, agentID string) {
	var m struct {
		RunID   any `json:"run_id"`
		AgentID any `json:"agent_id"`
	}
	_ = json.Unmarshal(metadata, &m)
	runID, agentID = key, ""
	if id, ok := m.RunID.(string); ok && id != "" && len(id) <= 256 {
		runID = id
	}
	if id, ok := m.AgentID.(string); ok && len(id) <= 256 {
		agentID = id
	}
	return runID, agentID
}
