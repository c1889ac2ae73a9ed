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
// [Store] is a backend.Backend, and also a backend.Lister, a backend.Watcher, a
// backend.PrefixWatcher and a backend.Journal.
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
//   - A read of several replicas is proved. The Store writes a fence, a message without content,
//     and then reads from a server that has stored this fence. What that server has under a key is
//     not older than the fence. Calls that read at the same time share the fence and the request.
//     If the server has nothing under the key, a second fence proves that: the leader takes it only
//     if the key is absent.
//   - A refused write is a conflict only if no server can have taken it. For some seconds around a
//     cut two servers may act as leader, and a message may reach both. So each write has a random
//     id. After a refusal the Store reads the key and compares, unless the refusal itself is proof.
//   - After backend.ErrUnavailable nothing was written, nor will be. After an error that wraps none
//     of the errors of package backend the write may have been applied, or may still be.
//
// # Limits
//
// Versions of the servers:
//
//   - Before 2.11, they keep entries for ever, and buckets of several replicas are refused.
//   - Before 2.14, a replica may show a replaced value while it catches up with the others. So the
//     Store proves each key by a fence of its own. With many callers that takes three times as
//     long. The Store goes by the server that it is connected to. Update from below 2.14 only while
//     no Store is open, or update last the servers that Stores connect to.
//
// JetStream acknowledges a write before it is on disk, unless the server's configuration has
//
//	jetstream { sync_interval: always }
//
// Without it, a power failure can undo the last two minutes. With it, a single server writes some
// 2,600 leases a second for one caller. Several replicas make leases survive the loss of a host.
// Use both where leases guard money.
//
// If a bucket is deleted, or lost with its server's disk, its leases are lost: two callers may then
// hold one key. But the revisions of a new bucket begin at the time in microseconds, above those of
// the old one. So the old holder can neither extend nor complete its lease, and a resource that
// remembers fencing tokens refuses it. This assumes that the clock of the host that makes the
// bucket was not set back.
//
// A read of several replicas costs a write that a majority stores. Callers that read at the same
// time share it.
//
// The number of replicas may be changed while the bucket is in use. A Store that knows of one
// replica asks again every second, and a new replica answers later than that.
//
// A server takes messages up to its max_payload, headers included. Unless configured, that is
// 1 MiB. [Open] refuses a server that takes values of less than 320 KiB, which a Manager with
// default limits may write. lease.NewManager refuses limits that allow larger records than
// [Store.MaxValueBytes]. With "max_payload: 2MB" the server takes all that
// backend.MaxValueBytes allows.
//
// # A full bucket
//
// A bucket may have a limit: max_bytes, a maximum number of messages, or the storage of the account
// or the server. When it is full, it takes no new leases and, unless the number of messages is the
// limit, no extensions and completions of running work. Holders then lose their leases. How to
// avoid that:
//
//   - Leave a fifth of the limit free. A write needs room before the message that it replaces is
//     dropped: the size of its record, for each lease that may be written at the same moment, and
//     1 KiB for fences.
//   - Set the retention of leases so that those which have ended leave room.
//   - Call [Store.CheckRoom] once a minute. It returns an error when less than a fifth is free. The
//     daemon, leased, does that and logs a warning.
//
// A full bucket can be read, but takes no fences. The answer of the server that acts as leader then
// counts without proof.
//
// # Buckets made by others
//
// [Open] makes the bucket if it is absent. It refuses a bucket made by others unless it is kept on
// file, has a history of 1 (an older message would come back when the keep of a newer one ends),
// has no maximum age, and drops nothing when it is full. The error says what to change. Reads are
// slower in a bucket of several replicas without direct reads (AllowDirect).
//
// # The journal
//
// The entries of timelines are messages of a stream beside the bucket: JOURNAL_leases, for a bucket
// "leases". The first Append makes it on as many servers as the bucket is on. After that, change
// its number of replicas with `nats stream edit`. It needs servers of version 2.11 or later.
//
//   - Append sends all entries at once and waits for all acknowledgements. If the outcome of an
//     entry is unknown, so is that of the call.
//   - A keep is rounded up to whole seconds.
//   - A read of several replicas costs a write that a majority stores, as a read of leases does.
//     ReadStream, and ReadNewest with a prefix that is empty or ends with its first slash, cost
//     what they find. Streams, and ReadNewest with other prefixes, cost as much as there are
//     streams and ids in the namespace, or in the journal if the prefix has no slash.
//   - If the stream is deleted, its entries are gone. The next Append makes it anew, with
//     positions above the old ones.
//   - If the stream is full, it takes neither entries nor fences. Then a read may lack what was
//     added in the moment before.
//   - With "sync_interval: always", a single server writes each entry to disk by itself, some
//     2,500 a second.
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
// For the journal:
//
//	$JOURNAL.leases.>                          entries and fences
//	$JS.API.DIRECT.GET.JOURNAL_leases          reads
//	$JS.API.STREAM.INFO.JOURNAL_leases         how it is kept, and names of streams
//	$JS.API.STREAM.CREATE.JOURNAL_leases       if it is absent
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
// In the journal's subjects the namespace, the rest of the stream's name and the id of an entry are
// three tokens; "=" is an entry without an id:
//
//	$ nats stream view JOURNAL_leases --subject '$JOURNAL.leases.default.chat=2042.*'
//
// The name "=fence" is that of fences, and of no key. Change nothing by hand.
package natskv
