// Package httpserver serves a [lease.Manager] over HTTP, in the wire format of the hosted OnceOnly
// API. Clients of that API work unchanged once their base URL points here.
//
//	h, err := httpserver.New(manager, httpserver.WithAPIKeys(map[string]string{
//		os.Getenv("API_KEY"): "default", // an API key and its namespace
//	}))
//	...
//	mux.Handle("/v1/", h)                                  // beside other routes
//	mux.Handle("/leases/", http.StripPrefix("/leases", h)) // or under a prefix: /leases/v1/ai/lease
//
// # Endpoints
//
//	POST /v1/ai/lease     acquire a lease      key, ttl, metadata, nonce, input_hash, replace,
//	                                           at_most_once, retry_failed, retention
//	POST /v1/ai/extend    set its time left    key, lease_id, ttl, metadata,
//	                                           checkpoint, checkpoint_seq
//	POST /v1/ai/release   give it back         key, lease_id
//	POST /v1/ai/complete  end it well          key, lease_id, result, result_hash
//	POST /v1/ai/fail      end it badly         key, lease_id, error_code, error_hash, retryable
//	POST /v1/ai/cancel    stop it              key, lease_id, reason, retryable
//	GET  /v1/ai/status    how it stands        key, wait
//	GET  /v1/ai/result    the same, with       key
//	                      the result
//	POST /v1/ai/run       have a worker do it  key, ttl, metadata, run_id, nonce, delay, within,
//	                                           attempts, input_hash, replace, at_most_once,
//	                                           retry_failed, retention
//	POST /v1/check-lock   lock a key once      key, ttl, metadata, nonce
//
//	GET  /v1/me           whose API key it is
//	POST /v1/me/notifications
//	                      set what is sent     email_notifications_enabled,
//	                                           tool_error_notifications_enabled,
//	                                           run_failure_notifications_enabled
//	GET  /v1/usage        what was asked       kind: make (check-lock), unless sent, or ai
//	                      this month
//	GET  /v1/usage/all    the same, both kinds
//	GET  /v1/metrics      the same, by day     from_day, to_day: 2026-03-31, at most 366 days;
//	                                           the last 30 unless sent
//
// With [WithTimeline] there are these too. Otherwise they do not exist:
//
//	POST /v1/events       add to a timeline    run_id, type, ts, status, duration_ms, step, tool,
//	                                           req_id, agent_id, message, data, and any other
//	GET  /v1/events       what happened last   limit, offset
//	GET  /v1/runs         which timelines      limit, offset, q: how their run ids begin
//	                      there are
//	GET  /v1/runs/ID      one timeline, of     limit, offset
//	                      the run id ID
//
// A POST takes its fields from a JSON object in the body, a GET from the query. Unknown fields are
// ignored. A field that is null counts as absent. A path may begin with more than one slash, unless
// a mux in front redirects such paths.
//
// The server refuses with 422 what a request gives twice, also if both are the same: a field of a
// body, key or wait in a query, and the headers Authorization, Content-Type and Content-Encoding. A
// proxy in front may have looked at the other one. A text with half of a surrogate pair, such as
// "\ud800", is refused too. Metadata, checkpoints and results are kept as they were sent.
//
//	key             1 to 256 characters
//	lease_id        from the answer that acquired the lease
//	ttl             seconds until the lease expires, at least 1. Above the Manager's maximum it is
//	                clamped. Absent: the Manager's default; with extend, the lease's own
//	metadata        an object of up to 2048 bytes, for others to read; extend replaces it. With run,
//	                the input of the run, of up to 64 KiB
//	nonce           random for each call. The call may then be repeated after a lost answer, and
//	                gets its lease or lock again. Never derive it from the key: two workers with
//	                one nonce would both hold the lease
//	input_hash      what the work is about. The same key with another input_hash is refused
//	replace         true: take the key from work on another input_hash instead
//	at_most_once    true: the lease is never taken over. Past its deadline it reads as failed, with
//	                the error_code "expired". Over other work that stopped half-way the answer is
//	                failed too, with "expired", "released" or its own error_code
//	retry_failed    true: acquire also what has failed for good, or is not open to at_most_once
//	retention       seconds for which the lease stays readable once it has ended, at least 60. Above
//	                the Manager's maximum it is refused
//	checkpoint      any JSON of up to 64 KiB, for whoever acquires the lease next. A completed
//	                lease drops it
//	checkpoint_seq  1 or more, and more with each checkpoint. A request that comes late, with a
//	                number that is not above the one that stands, succeeds and changes nothing
//	result          any JSON of up to 256 KiB
//	error_code      1 to 128 bytes
//	reason          up to 256 bytes; the error_code is then "canceled:" and the reason, else
//	                "canceled". With retryable that error_code has up to 128 bytes
//	retryable       true: whoever asks next acquires the lease anew. Absent: the failure stands
//	                until its retention is over
//	result_hash,    up to 256 bytes each, stored as given
//	error_hash
//	wait            a duration such as 30s, or seconds; see below
//
//	run_id          the name of the run's timeline, 1 to 256 bytes, here or in its metadata. Absent:
//	                the key
//	delay           seconds until the first attempt at a run. They count towards within
//	within          seconds until the deadline of a whole run. Absent: 24 hours
//	attempts        how many failures end a run. Absent: 5
//
// Byte limits are the Manager's defaults, and its options change them. Metadata, checkpoints and
// results have up to 256 arrays and objects within each other.
//
// # Answers
//
// Every answer about a key is a JSON object with a top-level "status", and so is every error. Those
// about timelines, usage and the API key have other forms, see below. Times are RFC 3339 in UTC, in
// whole seconds. Durations are whole seconds, rounded up. Fields that are not known are null.
//
//	lease     status acquired, polling, completed or failed; key, ttl, ttl_left, lease_id, version,
//	          first_seen_at, done_at, result_hash, error_code, retry_after_sec, charged
//	status    the same without ttl and charged; status in_progress, completed, failed or not_found
//	result    status, key, result, result_hash, done_at, error_code, error_hash, version
//	extend    status extended; key, lease_id, ttl, version
//	release   status released; key, version
//	run       the same as lease, and run_id
//	complete, status completed or failed; key, version, done_at, result_hash, error_code
//	fail,
//	cancel
//
// "ok": true is in all of them. These are there only if there is something to tell:
//
//	attempt          which acquisition of the key this is, counted from 1
//	token            acquired: the fencing token
//	checkpoint       acquired: what the last holder saved
//	metadata         lease and status: the holder's
//	progress         lease and status: the holder's note, see [lease.Progress]
//	retryable        failed, and the next to ask acquires the lease anew
//	error_text       result: the text of the failure, if it was stored
//	retry_after_sec  result: when to ask again, if the lease has not ended
//
// A lease acquired again by its nonce is answered with "acquired", with its ttl_left, and with
// charged 0.
//
// An expired or released lease is open to whoever asks for it, and so its status is "not_found".
// That answer has a retry_after_sec too.
//
// With wait, the answer of status is held until the lease has ended or expired, for 60s at most. It
// then tells how the lease stands. Servers need a write timeout longer than that, the store timeout
// and the time for a body together, and [Handler.EndWaits] at their shutdown. Every other answer
// comes within [WithStoreTimeout], also if the store hangs.
//
// A check-lock answers "success": true and "status": "locked" to the first who asks, and
// "success": false and "duplicate" to all others until the TTL has passed; with key, ttl and
// first_seen_at, which is null for the first. The header X-OnceOnly-Status has the status too.
// With [WithDuplicateConflict] duplicates are answered with 409. Locks and leases of one key do not
// see each other.
//
// # Runs
//
// POST /v1/ai/run starts a run of package runs. The answer is that of lease, with the run_id of
// what stands. A worker does the run: any process that calls [runs.Runner.Work] on the same store
// and namespace. This server does not work on runs.
//
//	alice, err := manager.InNamespace("alice")
//	r := runs.New(alice)
//	Summary.Handle(r, summarize) // the task of the metadata {"task": "summary"}
//	err = r.Work(ctx)
//
// The metadata is the input of the run, {} if it is absent. Its "task" is the name of the task,
// [runs.DefaultTask] if it is absent, or none of [WithTasks]. Status shows run_id, task and the
// metadata's agent_id, as far as they were sent and fit into the metadata of a lease. The worker
// alone reads the rest.
//
// The lease_id of the answer is a ticket, and the worker has an id of its own:
//
//   - cancel ends the run, unless it is sent with retryable, and the worker's context ends.
//   - extend is acknowledged, and changes nothing. A client that extends while it waits keeps no
//     dead worker's run alive.
//   - complete, fail and release are refused with lease_lost.
//
// The answer has no token and no checkpoint: these are the worker's. A ttl is granted as for a
// lease, and is not a deadline of the run. Afterwards ttl and ttl_left are those of the whole run,
// see within.
//
// A run reads as in_progress from its start to its end. If the key is leased by hand, the answer is
// polling, with no lease_id. A client that extends what it was given would keep a dead holder's
// lease alive.
//
// Two calls for one key share one run. With other metadata, or for another task, the second still
// gets the first one's run. If both have an input_hash, and these differ, it is input_mismatch.
//
// A run of a task that no worker handles waits for one until its deadline. attempts, within and
// retention that a request leaves out are those of [WithTasks]; and a task there that is at most
// once stays so.
//
// # Usage
//
// With [WithUsage] the handler counts the answers of lease, run and check-lock, in the store: all
// servers of the store together, each namespace by itself. Errors are not counted. Days and months
// are those of UTC.
//
//	usage      plan, month, kind, usage, limit, requests_total_month, blocked_total_month,
//	           charged_total_month, polling_total_month; headers X-OnceOnly-Plan and
//	           X-OnceOnly-Month
//	usage/all  plan, month; make and ai, each with usage, limit and the four totals
//	metrics    from_day, to_day; days, oldest first: day; make and ai, each with requests, charged,
//	           blocked, polling
//	me         plan, namespace, email, and the three settings of notifications
//
// "charged" and "usage" count what was acquired or locked, "blocked" duplicates and leases that had
// ended, "polling" leases that another held. A call that got its lease or lock again by its nonce
// is a request, and none of these. The plan is "self-hosted"; limit and email are null.
//
// A server has its own counts at once, and those of others about a second later. See package usage
// for what is lost when a process dies. Notifications are settings for programs that read them. The
// handler keeps them, all false unless set, and sends nothing.
//
// # Timelines
//
// A timeline tells what happened to the leases and runs of a run id, and what clients report, for
// as long as the [timeline.Store] keeps it. See package timeline for the order of entries, and for
// what may be missing. Each namespace has its own. An entry has, with null for what is not known:
//
//	event_id  a number below 2^53
//	event     lease:acquired, lease:extended, lease:released, lease:completed, lease:failed,
//	          lease:lost, lock:checked, run_started, run_finished, attempt_started or the like; or
//	          the type that was posted
//	type      the same
//	ts        in whole Unix seconds
//	status, run_id, key, agent_id, step, tool, message
//	attempt, token, error_code and further fields, if there is something to tell
//
// The run id of a lease is the run_id in its metadata, or else its key. An entry has no lease ids,
// no metadata and no results.
//
//	POST events  ok, event_id, run_id. The event is in the store then
//	GET events   a list of entries, newest first: no object. limit from 1 to 500, 50 unless sent;
//	             offset up to 10000
//	runs         total; items, the one with the newest entry first: run_id, last_ts, last_type,
//	             last_status, events_count. limit from 1 to 500, 50 unless sent
//	runs/ID      run_id; total; events, oldest first. limit from 1 to 2000, 200 unless sent. An
//	             unknown run id has none
//
// A page ends early with the entry that reaches 4 MiB, or a quarter of [WithMaxHeldBytes] if that
// is less. So the total of runs tells the last page of a timeline, and an empty page the last of
// events. ID is one segment of the path, percent-encoded: "run x/y" is run%20x%2Fy.
//
// An event needs a run_id and a type. Its limits, and what becomes of its fields:
//
//	run_id                  from 1 byte to what is left of 1280 by the namespace and a slash
//	type, status, agent_id  texts of up to 256 bytes
//	ts                      Unix seconds or RFC 3339, from 1970 to 9999. Absent: now. It does not
//	                        change the order
//	lease_id                is not kept: whoever reads it could end the lease. Do not put it into
//	                        data or a message either
//	event, event_id, key,   are the server's to say. What is sent under these names is kept as a
//	namespace               member of data, which must be an object then, without that member
//	all others              are kept as they were sent
//
// All of it is up to 64 KiB as JSON, in a body of up to 128 KiB, with up to 256 arrays and objects
// within each other and no number that overflows 64-bit floating point. No field may be sent twice.
// An event that is posted again after unknown_outcome may stand in its timeline twice.
//
// # Request ids
//
// X-Request-Id is sent back if it is printable ASCII of up to 256 bytes, and is given once.
// Otherwise the answer has a new one.
//
// # Errors
//
// An error has "ok": false, its status, and a detail with "error" and "message". It has the key if
// the Manager has taken it. Nothing that was refused is sent back. If a lease stands in the way,
// the detail says how it stands: state, version, done_at and error_code.
//
//	401  unauthorized            no bearer token; the detail is a text
//	403  forbidden               an unknown API key; the detail is a text
//	403  cross_origin            a browser sent it for a page of another origin; see [WithoutAuth]
//	403  foreign_host            the Host header names another host; see [WithHosts]
//	404  not_found               no such lease
//	404  no_such_endpoint
//	404  tool_not_found          a run of an agent_id and a tool; noted in the timeline of the run_id
//	                             in its args or metadata
//	404  usage_not_counted       there is no [WithUsage]; zeros would be untrue
//	405  method_not_allowed
//	408  request_timeout         the body did not come within the server's read timeout
//	409  lease_lost              another holds the lease, or it was released or replaced
//	409  already_finished        the lease has ended, with a different outcome
//	409  input_mismatch          the key stands for another input_hash
//	409  duplicate               a locked key, with [WithDuplicateConflict]
//	413  too_large               the body, see [WithMaxBodyBytes], told before it is sent if it is
//	                             announced; or the record for the store
//	415  unsupported_media_type  the body is not declared as JSON, or is compressed
//	422  invalid_request         the detail is a list: type, loc and msg of each problem
//	429  rate_limited            with Retry-After of up to a minute; see [WithRateLimit]
//	500  unreadable_record       the record is damaged, or from a newer version; it is left alone
//	500  internal_error          a bug; the log has more under the request id
//	503  unavailable             the store could not be asked, or there is no memory for the
//	                             request or its answer; see [WithMaxHeldBytes]. Nothing was
//	                             written. With Retry-After
//	503  unknown_outcome         the store went away during the write, which may have been applied;
//	                             with Retry-After
//
// 409 means that the work must stop. 503 is worth repeating with the same fields. A lease or a
// check-lock can be repeated safely after unknown_outcome only if it had a nonce: without one, a
// check-lock may find its own lock and call it a duplicate. A run that is repeated without a nonce
// may be answered with polling. [WithCheckLockDown] has a check-lock answered with 429 instead of
// any 5xx.
//
// A request that is refused before its body was read ends its connection, and so does a sender who
// is not admitted.
//
// # Authentication
//
// One of [WithAPIKeys], [WithAuthenticator] and [WithoutAuth] must be chosen. An API key names a
// namespace. Keys of one namespace do not exist for another. Within a namespace, pollers are shown
// the holder's lease id, as in the hosted API. [WithHiddenLeaseIDs] hides it.
//
// Without API keys, a web page could use the server through the browser of whoever visits it.
// [WithoutAuth] refuses what browsers send for pages of other origins, and [WithHosts] pages whose
// own name was made to point here.
package httpserver
