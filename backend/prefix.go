package backend

import (
	"context"
	"fmt"
)

// MaxWaiting is how many states a watch of a prefix may hold for a caller who does not read them.
const MaxWaiting = 4096

// PrefixWatcher is a [Backend] that tells of changes of all keys with one prefix.
type PrefixWatcher interface {
	// WatchPrefix sends the later states of the keys that begin with prefix, byte for byte; "" is
	// the prefix of all. All that is written after WatchPrefix has returned is a later state. What
	// stands at the time of the call is not sent. Whoever needs that lists once WatchPrefix has
	// returned.
	//
	// Of each key the watch may skip a state that is followed by another, but the newest always
	// comes, and no state comes after a later one. An Entry with Revision 0 says that its Key is
	// absent. A store need not tell when it drops an entry whose keep has ended. If ctx has already
	// ended, WatchPrefix returns its error. A prefix longer than any key is refused with
	// [ErrInvalid].
	//
	// A watch that nobody reads holds nobody up. It holds at most [MaxWaiting] states.
	//
	// The channel is closed after ctx ends, when the store is closed, and when a state may have
	// been missed: because too many wait, or because a connection was lost. A caller who still
	// wants to know then watches again, and lists again. Nothing is left running afterwards,
	// whether or not the channel was drained.
	WatchPrefix(ctx context.Context, prefix string) (<-chan Entry, error)
}

// CheckPrefix returns an error that wraps [ErrInvalid] unless prefix is one that every WatchPrefix
// must accept. It may end within a character, so it need not be valid UTF-8.
func CheckPrefix(prefix string) error {
	if len(prefix) > MaxKeyBytes {
		return fmt.Errorf("%w: prefix has %d bytes, limit %d", ErrInvalid, len(prefix), MaxKeyBytes)
	}
	return nil
}
