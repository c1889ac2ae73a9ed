package natskv

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// duplicates is for how long the servers remember the ids of writes: twice as long as a write is
// sent again for, unless its caller's timeout is longer.
const duplicates = 10 * time.Second

// remadeWait is for how long making a bucket is tried again. While a server removes the files of a
// deleted bucket, it may refuse to make one of the same name, for some milliseconds.
const remadeWait = 3 * time.Second

func streamName(bucket string) string    { return "KV_" + bucket }
func subjectPrefix(bucket string) string { return "$KV." + bucket + "." }

// bind returns the bucket's stream, which it makes if it is absent. CreateKeyValue of the client
// library cannot set all that leases need.
func bind(ctx context.Context, js jetstream.JetStream, s settings) (jetstream.Stream, error) {
	stream, err := js.Stream(ctx, streamName(s.bucket))
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return stream, err
	}
	config := jetstream.StreamConfig{
		Name:              streamName(s.bucket),
		Description:       "AI leases: a record under each key. Do not delete: fencing tokens are its sequence numbers",
		Subjects:          []string{subjectPrefix(s.bucket) + ">"},
		Storage:           jetstream.FileStorage,
		Replicas:          s.replicas,
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardNew,
		DenyDelete:        true,
		AllowRollup:       true,
		AllowDirect:       true,
		Duplicates:        duplicates,
		AllowMsgTTL:       true, // ignored by servers before 2.11, which keep everything for ever
	}
	return create(ctx, js, config)
}

// create makes a stream, or returns the one of this name that another process has just made.
//
// The first sequence number is the time in microseconds. So all numbers of a stream that is
// deleted and made again are above those of the old one, unless that took a million writes a
// second. They stay below 1<<53 until the year 2255, and fit in a JavaScript number.
func create(ctx context.Context, js jetstream.JetStream, config jetstream.StreamConfig) (jetstream.Stream, error) {
	begun := time.Now()
	for p := (pauses{}); ; {
		config.FirstSeq = uint64(time.Now().UnixMicro())
		stream, err := js.CreateStream(ctx, config)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another process was faster
			return js.Stream(ctx, config.Name)
		}
		if apiCode(err) != codeStreamNotMade || time.Since(begun) > remadeWait || p.wait(ctx) != nil {
			return stream, err
		}
	}
}

// unsuitable says what is wrong with a bucket, and what to do about it, or "".
func unsuitable(c jetstream.StreamConfig, bucket string) string {
	edit := func(problem, flag string) string {
		return fmt.Sprintf("%s: give leases a bucket of their own, or run: nats stream edit %s %s", problem, streamName(bucket), flag)
	}
	switch {
	case c.Mirror != nil || len(c.Sources) > 0:
		return "it copies another stream, and cannot be compared and set: give leases a bucket of their own"
	case len(c.Subjects) != 1 || c.Subjects[0] != subjectPrefix(bucket)+">":
		return fmt.Sprintf("its subjects are %q, must be %q: give leases a bucket of their own", c.Subjects, subjectPrefix(bucket)+">")
	case c.Storage != jetstream.FileStorage:
		return "it is kept in memory, so that a restart loses all leases and fencing tokens begin again: give leases a bucket of their own"
	case c.MaxMsgsPerSubject != 1:
		// Of two messages the newer may be dropped first, and then the older would stand again.
		return edit(fmt.Sprintf("its history is %d, so that an old entry would come back when the keep of a newer one ends", c.MaxMsgsPerSubject), "--max-msgs-per-subject=1")
	case c.DiscardNewPerSubject:
		return "it refuses to replace an entry: give leases a bucket of their own"
	case c.SubjectTransform != nil:
		return "it stores entries under other subjects: give leases a bucket of their own"
	case c.Sealed:
		return "it is sealed, and takes no writes: give leases a bucket of their own"
	case c.PersistMode == jetstream.AsyncPersistMode:
		return "it acknowledges writes before they are written (persist mode async): give leases a bucket of their own"
	case c.MaxAge != 0:
		return edit(fmt.Sprintf("it drops every entry after %v", c.MaxAge), "--max-age=-1")
	case c.Retention != jetstream.LimitsPolicy:
		return fmt.Sprintf("its retention policy is %v, must be limits: give leases a bucket of their own", c.Retention)
	case c.Discard != jetstream.DiscardNew && (c.MaxBytes > 0 || c.MaxMsgs > 0):
		return edit("it drops old entries when it is full", "--discard=new")
	case c.NoAck:
		return edit("it does not acknowledge writes", "--ack")
	}
	return ""
}

// tooOld says what to do about a server that cannot make a write depend on the last message of
// another name, or "". A version that cannot be read is left to show what it can.
func tooOld(version string, replicas int) string {
	if replicas < 2 || !olderThan(version, 2, 11) {
		return ""
	}
	return fmt.Sprintf("a bucket of %d replicas needs servers of version 2.11 or later, this one has %s: upgrade them, or use one replica", replicas, version)
}
