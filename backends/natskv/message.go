package natskv

import (
	"bytes"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// message is the last message of a name's subject: a value, a marker that says that the key was
// deleted, or nothing, with sequence 0.
type message struct {
	sequence uint64
	value    []byte
	marker   bool

	id       string // of the write, if it has one
	replaced uint64 // the number that the write expected
	compared bool   // whether it expected any
}

func newMessage(sequence uint64, h nats.Header, value []byte) message {
	m := message{sequence: sequence, value: value}
	if h == nil {
		return m
	}
	// A deletion of ours or by a tool, or what a bucket with limit markers leaves of an expired
	// entry.
	m.marker = h.Get("KV-Operation") != "" || h.Get(jetstream.MarkerReasonHeader) != ""
	m.id = h.Get(jetstream.MsgIDHeader)
	if v := h.Get(jetstream.ExpectedLastSubjSeqHeader); v != "" {
		m.replaced, _ = strconv.ParseUint(v, 10, 64)
		m.compared = true
	}
	return m
}

func (m message) live() bool { return m.sequence != 0 && !m.marker }

// entry copies the value, since callers may share the message.
func (m message) entry(key string) backend.Entry {
	value := bytes.Clone(m.value)
	if value == nil {
		value = []byte{}
	}
	return backend.Entry{Key: key, Value: value, Revision: m.sequence}
}
