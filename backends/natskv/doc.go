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
// [Store] is a backend.Backend, and also a backend.Lister and a backend.Watcher.
//
// # Guarantees
//
// Every call is linearizable, whichever server it asks, also while servers are cut off from each
// other, elect a leader or catch up.
//
//   - A compare-and-set is one message. The stream stores it only if the last message under the
//     key has the expected number, and drops it when its keep ends. The numbers are the stream's
//     own. They only grow, and serve as revisions and fencing tokens.
//   - A read of one replica is answered by the only server that has it.
//   - A read of several replicas is proved. The Store writes a fence, a message that means nothing,
//     and reads from a server that has stored this fence: so it has every write that was
//     acknowledged before. Calls that read at the same time share the fence and the request. A key
//     that seems to be absent is proved by a second fence, which the leader takes only if it is.
//   - A write that a server refuses is a conflict only if it is certain that no other server has
//     taken it. For some seconds around a cut two servers may lead, and both get every message. So
//     each write has a random id, and what stands under the key is read before a refusal is
//     believed, unless the refusal itself is proof.
//   - After backend.ErrUnavailable nothing was written, nor will be. After an error that wraps none
//     of the errors of package backend the write may have been applied, or may still be.
//
// # Limits
//
// Servers must be of version 2.11 or later for several replicas, and to drop entries whose keep
// has ended; older ones keep them for ever. Before 2.14 a replica may show a replaced value while
// it catches up. Then the Store has each read proved by a fence of its own, which takes three
// times as long for many callers. Update all servers before clients see the first of the newer
// version.
//
// JetStream acknowledges a write before it is on disk, unless the server's configuration has
//
//	jetstream { sync_interval: always }
//
// Without it, a power failure can undo the last two minutes. With it, a single server writes some
// 2 600 leases a second for one caller. Several replicas make leases survive the loss of a host.
// Use both where leases guard money.
//
// A bucket that is deleted, or lost with its server's disk, loses its leases: two callers may then
// hold one key. But the revisions of a new bucket begin at the time in microseconds, above those of
// the old one. So the holder of an old lease can neither extend nor complete it, and a resource
// that remembers fencing tokens refuses it. That holds unless the clock of the host that makes the
// bucket was set back.
//
// A read of several replicas costs a write of the majority, shared by those who read at the same
// time.
//
// How many replicas a bucket has may be changed while it is in use. A Store that knew one replica
// looks again every second, before new ones answer.
//
// A server takes messages up to its max_payload, 1 MiB unless configured, headers included. [Open]
// refuses one that takes values of less than 256 KiB. [Store.MaxValueBytes] tells how large a value
// may be, and "max_payload: 2MB" allows all that backend.MaxValueBytes does.
//
// # A full bucket
//
// A bucket with a limit (max_bytes, or the account's or server's storage) takes no writes when it
// is full: neither new leases nor extensions and completions of running work, which then loses its
// leases. A write needs room before the message that it replaces is dropped. So keep free as much
// as all writes under way at one time, which is one largest record for each lease that may be
// written at the same moment, and 1 KiB for fences; better, a tenth of the limit. Have monitoring
// warn well before that, for instance at 80 percent of max_bytes. Reads go on, but without a fence:
// what the server says that believes that it leads the bucket has to do.
//
// A bucket made by others is refused unless it keeps leases: on file, with a history of 1 (an older
// message would come back when the keep of a newer one ends), without a maximum age, and dropping
// nothing when it is full. [Open] says what to change. Buckets without direct reads (AllowDirect)
// work, more slowly.
//
// # Permissions
//
// The user needs to publish to these subjects, for a bucket "leases", and to subscribe to its inbox
// ("_INBOX.>", or the prefix that the connection sets):
//
//	$KV.leases.>                               writes and fences
//	$JS.API.DIRECT.GET.KV_leases               reads of several keys
//	$JS.API.DIRECT.GET.KV_leases.$KV.leases.>  reads of one key
//	$JS.API.STREAM.MSG.GET.KV_leases           reads by the leader
//	$JS.API.STREAM.INFO.KV_leases              opening, and names of keys
//	$JS.API.STREAM.CREATE.KV_leases            if the bucket is absent
//	$JS.API.CONSUMER.CREATE.KV_leases.>        watches
//	$JS.API.CONSUMER.DELETE.KV_leases.>        the end of watches
//	$JS.FC.KV_leases.>                         flow control of watches
//
// # Reading the bucket
//
// Names of keys are legible: letters, digits, '_', '-' and '/' stand for themselves, and every
// other byte is "=" and two hexadecimal digits. The first slash is a dot, unless the key begins or
// ends with it, so that NATS can select a namespace. Key "chat 42" of namespace "default" is
// "default.chat=2042":
//
//	$ nats kv get leases default.chat=2042 --raw
//	{"format":1,"state":"in_progress",...}
//	$ nats kv watch leases 'default.>'
//
// "=fence" is no key: fences lie there. Change nothing by hand.
package natskv
