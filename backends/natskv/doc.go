// Package natskv keeps leases in a bucket of NATS JetStream, for any number of processes on many
// hosts.
//
//	store, err := natskv.Open(ctx, "nats://nats-1:4222,nats://nats-2:4222", natskv.WithReplicas(3))
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	manager, err := lease.NewManager(store, lease.WithClockSkew(2*time.Second))
//
// Importing this package registers URLs such as "nats://nats-1:4222,nats-2:4222?bucket=leases" with
// package backends.
//
// [Store] is a backend.Backend, and also a backend.Lister and a backend.Watcher. Several replicas
// need servers of version 2.11 or later, and so does dropping entries whose keep has ended: older
// servers keep them for ever. With several replicas on servers before 2.12 each read costs a write.
//
// # Guarantees
//
//   - A compare-and-set is one message. The stream stores it only if the last message under the key
//     has the expected number, and drops it when its keep ends. The numbers are the stream's own.
//     They only grow, and serve as revisions and fencing tokens.
//   - The stream's leader answers reads, never a replica that lags. A server that was cut off from
//     the others may believe for some twenty seconds that it still leads. So the answer of a
//     replicated bucket counts only if nobody else can have been elected since the leader took a
//     write. Otherwise, and for half a minute after an election, the leader must first take another
//     write, a message under the name "=fence" that compares with what was read.
//   - After backend.ErrUnavailable nothing was written, nor will be. After an error that wraps none
//     of the errors of package backend the write may have been applied, or may still be.
//
// # Limits
//
// JetStream acknowledges a write before it is on disk, unless the server's configuration has
//
//	jetstream { sync_interval: always }
//
// Without it, a power failure can undo the last two minutes. With it, a single server writes some
// 2,600 leases a second for one caller. Several replicas make leases survive the loss of a host.
// Use both where leases guard money.
//
// A bucket that is deleted and made anew begins its numbers anew, and with them the fencing tokens.
// Never do that while a resource remembers tokens.
//
// A bucket made by others is refused unless it keeps leases: on file, with a history of 1 (an older
// message would come back when the keep of a newer one ends), without a maximum age, dropping
// nothing when it is full, and read from its leader alone. [Open] says what to change.
//
// Servers refuse messages above max_payload, 1 MiB unless configured. Values that with their
// headers, some 150 bytes, are larger get backend.ErrInvalid. Leases stay far below that unless
// results of that size are allowed. "max_payload: 2MB" lifts the limit.
//
// # Reading the bucket
//
// Keys are legible: letters, digits, '_', '-' and '/' stand for themselves, every other byte is "="
// and two hexadecimal digits. Key "chat 42" of namespace "default" is "default/chat=2042":
//
//	$ nats kv get leases default/chat=2042 --raw
//	{"format":1,"state":"in_progress",...}
//	$ nats kv watch leases
//
// "=fence" is nobody's lease. Change nothing by hand.
package natskv
