package httpserver

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/ailease/lease/timeline"
)

// maxToolBytes cuts the name of a tool in a timeline: it is nobody's but the sender's.
const maxToolBytes = 128

// tellNoTool notes in the timeline of the run that a request of an agent's tool names, in its args
// or metadata, how that run has ended: there is no such tool. A request that is repeated is noted
// once.
func (c *call) tellNoTool(agent, tool string) {
	var runID string
	for _, object := range []string{"args", "metadata"} {
		if v := c.raw(object); v != nil {
			fields, _ := members(v, runNames)
			id, kind, _ := decodeText(fields["run_id"])
			if kind == "" && nameProblem(id) == "" {
				runID = cmp.Or(runID, id)
			}
		}
	}
	if c.timeline == nil || runID == "" {
		return
	}
	if len(agent) > maxEventTextBytes {
		agent = ""
	}
	about := struct {
		Tool    string `json:"tool"`
		Message string `json:"message"`
	}{strings.ToValidUTF8(tool[:min(len(tool), maxToolBytes)], ""), "tool_not_found"}
	sum := sha256.Sum256([]byte(agent + "\x00" + tool))
	for _, kind := range []string{"tool_result", "run_finished"} {
		c.timeline.Note(timeline.Entry{
			Namespace: c.namespace(), RunID: runID, ID: kind + ":" + hex.EncodeToString(sum[:16]),
			Type: kind, Status: "failed", AgentID: agent, ErrorCode: "tool_not_found",
			Fields: bytes.TrimSpace(encode(about)),
		})
	}
}
