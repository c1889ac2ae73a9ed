// Package natskv keeps leases in a bucket of NATS JetStream, for any number of processes on many hosts.
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
// [Store] is a backend.Backend, and also a backend.Lister and a backend.Watcher. It needs servers of version 2.11 or
// later to drop what need not be kept, or for several replicas; older ones keep everything. With several replicas those before 2.12 cost a write with each read.
//
// # What it guarantees
//
// A compare-and-set is one message that the stream stores only if the last one under the key has the expected number; it carries the keep as the message's
// TTL. The numbers are the stream's own, which only grow, and serve as revisions. Reads are answered by the stream's leader, never by a replica that lags, nor by a
// server that leads no more: one that was cut off from the others does not know that for some twenty seconds. So an answer of a replicated bucket is believed if nobody else can have been elected
// since a write that the leader took, and else, or for half a minute after an election, if the leader takes another, of no consequence, that compares with what was read: a message under the name
// "=fence". A call that fails with backend.ErrUnavailable has written nothing, and will not; after any other error the write may have been applied, or may still be.
//
// # What it does not
//
// JetStream acknowledges a write before it is on disk, unless the server's configuration has
//
//	jetstream { sync_interval: always }
//
// Without it, a power failure can undo the last two minutes. With it, a single server writes some 2 600 leases a second for one caller; three replicas are what
// makes leases survive the loss of a host. Use both where leases guard money.
//
// A deleted and recreated bucket begins its numbers anew, and with them the fencing tokens. Never do that while a resource remembers tokens.
//
// A bucket made by others is refused unless it keeps leases: on file, with a history of 1 (an older message would come back when the keep of a newer one ends),
// without a maximum age, dropping nothing when it is full, and read from its leader alone. [Open] says what to change.
//
// Servers refuse messages above max_payload, 1 MiB unless configured: values that with their headers (some 150 bytes) are larger get
// backend.ErrInvalid. Leases stay far below unless results of that size are allowed; "max_payload: 2MB" lifts the limit.
//
// # Reading the bucket
//
// Keys are legible: letters, digits, '_', '-' and '/' stand for themselves, every other byte is "=" and two hexadecimal digits. Key
// "chat 42" of namespace "default" is "default/chat=2042":
//
//	$ nats kv get leases default/chat=2042 --raw
//	{"format":1,"state":"in_progress",...}
//	$ nats kv watch leases
//
// "=fence" is nobody's lease. Change nothing by hand.
package natskv
