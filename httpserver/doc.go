// Package httpserver exposes a [lease.Manager] over HTTP, in the wire format of the hosted OnceOnly API: its clients
// work unchanged when their base URL points here.
//
//	h, err := httpserver.New(manager, httpserver.WithAPIKeys(map[string]string{os.Getenv("API_KEY"): "default"}))
//	...
//	mux.Handle("/v1/", h)                                       // beside the routes that are there already
//	mux.Handle("/leases/", http.StripPrefix("/leases", h))      // or under a prefix: /leases/v1/ai/lease
//
// # Endpoints
//
//	POST /v1/ai/lease      acquire     key, ttl, metadata; input_hash, retry_failed, at_most_once; header Idempotency-Key
//	POST /v1/ai/extend     extend      key, lease_id, ttl
//	POST /v1/ai/complete   complete    key, lease_id, result, result_hash
//	POST /v1/ai/fail       fail        key, lease_id, error_code, error_hash
//	POST /v1/ai/cancel     cancel      key, lease_id, reason
//	GET  /v1/ai/status     state       key; wait
//	GET  /v1/ai/result     and result  key
//	POST /v1/check-lock    lock once   key, ttl, metadata; header Idempotency-Key
//
// An expired lease is open to whoever asks for it, and so is answered with "not_found", as by the hosted API.
//
// With wait, such as 30s, the answer of status is held until the lease has ended or expired, but for 60s at most; it tells how the lease stands by then. Servers
// need a write timeout longer than that, and [Handler.EndWaits] at their shutdown.
//
// All else is answered within [WithStoreTimeout], also by a store that hangs.
//
// Bodies are JSON objects; fields that are not known are ignored. ttl is in whole seconds; times are RFC 3339 in UTC, to the second;
// ttl_left and retry_after_sec are whole seconds, rounded up. Every answer is JSON with a top-level "status", an error too, and carries
// X-Request-Id, the one that was sent if it is printable ASCII of up to 256 bytes.
//
// A check-lock is answered "locked" to the first who asks, and "duplicate" to all others until the TTL has passed; the header X-OnceOnly-Status says the
// same. [WithDuplicateConflict] answers duplicates with 409. Locks and leases of the same key have nothing to do with each other.
//
// # Who may ask what
//
// A caller is authenticated by one of [WithAPIKeys], [WithAuthenticator] and [WithoutAuth], which have to be chosen from. An API key
// names a namespace, and keys of one namespace do not exist for another. Within a namespace a poller is shown the holder's lease id, as by the hosted API;
// [WithHiddenLeaseIDs] ends that.
//
// # What an error means to a client
//
// 409 says that the work must stop: the lease is lost, or has ended otherwise, or the key is locked. 503 is worth repeating, with the same
// arguments: "unavailable" says that nothing was written, "unknown_outcome" that it may have been; an Idempotency-Key makes also an
// acquire and a check-lock safe to repeat. A check-lock that is repeated after an unknown outcome may find its own lock a duplicate. 4xx besides are the client's mistakes. 500 is ours, but for status "unreadable_record": the store
// holds a record that this version cannot read and will not overwrite.
package httpserver
