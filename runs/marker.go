package runs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/internal/runlink"
)

// The protocol of runs. The record of a key is the truth. A marker is a hint by which workers find
// what is due: an entry beside the record, kept until it is deleted. No run that waits may be
// without one, and its due time is never later than the record's. Neither store entry is written
// together with the other, any write may come late, and anyone may die between two steps. So the
// order of steps is the protocol: start.go, look.go and clear.go keep it, one rule a comment.

// markerMark stands between a namespace, which has no colon, and the slash, as the mark of locks
// does: no marker shares a store key with a lease of whatever namespace.
const markerMark = ":due/"

// marker is the marker of a key as it stood at a revision; 0 is absence.
type marker struct {
	key      string
	revision uint64
	due      time.Time
}

// markerKey is where the marker of key lies.
func markerKey(namespace, key string) (string, error) {
	storeKey := namespace + markerMark + key
	if len(storeKey) > backend.MaxKeyBytes {
		return "", &lease.FieldError{Field: "key", Problem: fmt.Sprintf("%d bytes, limit %d in this namespace: the store takes %d",
			len(key), backend.MaxKeyBytes-len(namespace)-len(markerMark), backend.MaxKeyBytes)}
	}
	return storeKey, nil
}

// markerValue is what a marker holds.
type markerValue struct {
	Due time.Time `json:"due"`
}

// readMarker decodes a marker. One that cannot be read is due at once: the record tells the rest.
func readMarker(key string, e backend.Entry) marker {
	var v markerValue
	_ = json.Unmarshal(e.Value, &v)
	return marker{key, e.Revision, v.Due}
}

// loadMarker reads the marker of key.
func loadMarker(ctx context.Context, s runlink.Steps, key string) (marker, error) {
	b, namespace := s.Store()
	storeKey, err := markerKey(namespace, key)
	if err != nil {
		return marker{}, err
	}
	e, err := b.Get(ctx, storeKey)
	if errors.Is(err, backend.ErrNotFound) {
		return marker{key: key}, nil
	}
	return readMarker(key, e), err
}

// writeMarker writes the marker of m.key anew at the revision of m. It returns
// [backend.ErrConflict] if another revision stands.
func writeMarker(ctx context.Context, s runlink.Steps, m marker, due time.Time) (marker, error) {
	b, namespace := s.Store()
	storeKey, err := markerKey(namespace, m.key)
	if err != nil {
		return m, err
	}
	value, _ := json.Marshal(markerValue{due.UTC()}) // an instant always marshals
	revision, err := b.CompareAndSet(ctx, storeKey, m.revision, value, 0)
	return marker{m.key, revision, due}, err
}

// deleteMarker deletes the marker at the revision of m, and no other.
func deleteMarker(ctx context.Context, s runlink.Steps, m marker) error {
	b, namespace := s.Store()
	storeKey, err := markerKey(namespace, m.key)
	if err != nil {
		return err
	}
	err = b.CompareAndDelete(ctx, storeKey, m.revision)
	if errors.Is(err, backend.ErrNotFound) || errors.Is(err, backend.ErrConflict) {
		return nil // gone, or written by a start since: that is not ours to delete
	}
	return err
}
