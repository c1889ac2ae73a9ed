"""Speaks like the clients of the hosted API, with the library of its guide.

They read response.json()["status"], whatever the HTTP status is.

Usage: client.py BASE_URL API_KEY [TASK]

TASK doubles the n of its metadata, and some worker knows it.
"""

import hashlib
import json
import sys
import threading
import time

import requests

BASE, KEY, *TASK = sys.argv[1:]


def call(method, endpoint, **fields):
    how = {"params": fields} if method == "GET" else {"json": fields}
    path = endpoint if endpoint == "check-lock" else "ai/" + endpoint
    response = requests.request(
        method, f"{BASE}/v1/{path}", headers={"Authorization": f"Bearer {KEY}"}, timeout=30, **how
    )
    answer = response.json()
    assert "allowed" not in answer and "decision" not in answer, answer  # it would be a tool's
    return answer


def want(answer, status, **fields):
    assert answer["status"] == status, (status, answer)
    for name, value in fields.items():
        assert answer.get(name) == value, (name, value, answer)
    return answer


def digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


# A support chat: one agent answers, another asks meanwhile.
chat = "support_chat_abc123"
assert type(want(call("GET", "status", key=chat), "not_found")["retry_after_sec"]) is int
mine = want(
    call("POST", "lease", key=chat, ttl=1800, metadata={"customer_id": "c_1", "priority": "high"}),
    "acquired", ok=True, ttl=1800, version=1, charged=1,
)
theirs = want(call("POST", "lease", key=chat, ttl=1800), "polling", lease_id=mine["lease_id"], version=1, charged=0)
assert 1790 <= theirs["ttl_left"] <= 1800, theirs
want(call("GET", "status", key=chat), "in_progress", version=1, retry_after_sec=5)
want(call("GET", "result", key=chat), "in_progress", result=None)
want(call("POST", "extend", key=chat, lease_id=mine["lease_id"], ttl=600), "extended", ttl=600, version=2)
want(call("POST", "extend", key=chat, lease_id=mine["lease_id"]), "extended", ttl=600, version=3)
result = {"status": "resolved", "messages": 15, "satisfaction": 5}
want(
    call("POST", "complete", key=chat, lease_id=mine["lease_id"], result=result, result_hash=digest(result)),
    "completed", version=4,
)
want(call("GET", "result", key=chat), "completed", result=result, result_hash=digest(result))
want(call("POST", "lease", key=chat), "completed", result_hash=digest(result), version=4)
want(call("POST", "fail", key=chat, lease_id=mine["lease_id"], error_code="fn_error"), "already_finished", ok=False)
want(call("GET", "result", key=chat), "completed", result=result)

# A newsletter that fails for good, and a run that is stopped.
letter = want(call("POST", "lease", key="newsletter_7", ttl=3600), "acquired")
want(call("POST", "fail", key="newsletter_7", lease_id=letter["lease_id"], error_code="processing_error"), "failed", version=2)
want(call("GET", "status", key="newsletter_7"), "failed", error_code="processing_error")
want(call("POST", "lease", key="newsletter_7"), "failed", error_code="processing_error", charged=0)
run = want(call("POST", "lease", key="run_1"), "acquired")
want(call("POST", "cancel", key="run_1", lease_id=run["lease_id"], reason="user left"), "failed", error_code="canceled:user left")

# A batch that is given back half-way, fails once, and is then done.
batch = want(call("POST", "lease", key="batch_1", nonce="n_1"), "acquired", charged=1, attempt=1)
again = want(call("POST", "lease", key="batch_1", nonce="n_1"), "acquired", charged=0, token=batch["token"], lease_id=batch["lease_id"])
assert 3590 <= again["ttl_left"] <= 3600, again
want(call("POST", "lease", key="batch_1", nonce="n_2"), "polling")
want(call("POST", "extend", key="batch_1", lease_id=batch["lease_id"], checkpoint={"sent": 40}, checkpoint_seq=2), "extended", version=2)
want(call("POST", "extend", key="batch_1", lease_id=batch["lease_id"], checkpoint={"sent": 20}, checkpoint_seq=1), "extended", version=2)
want(call("POST", "release", key="batch_1", lease_id=batch["lease_id"]), "released", ok=True, version=3)
assert type(want(call("GET", "status", key="batch_1"), "not_found")["retry_after_sec"]) is int
batch = want(call("POST", "lease", key="batch_1"), "acquired", attempt=2, checkpoint={"sent": 40})
want(call("POST", "fail", key="batch_1", lease_id=batch["lease_id"], error_code="busy", retryable=True), "failed", retryable=True)
batch = want(call("POST", "lease", key="batch_1"), "acquired", attempt=3, checkpoint={"sent": 40})
want(call("POST", "complete", key="batch_1", lease_id=batch["lease_id"]), "completed")

# A report that newer input overtakes.
report = want(call("POST", "lease", key="report_1", input_hash="monday"), "acquired")
want(call("POST", "lease", key="report_1", input_hash="tuesday"), "input_mismatch", ok=False)
want(call("POST", "lease", key="report_1", input_hash="tuesday", replace=True), "acquired", attempt=2)
want(call("POST", "complete", key="report_1", lease_id=report["lease_id"]), "lease_lost", ok=False)

# A charge, of which the webhook comes twice.
want(
    call("POST", "check-lock", key="charge_1", ttl=60, nonce="n_1", metadata={"order": 7}),
    "locked", success=True, key="charge_1", ttl=60, first_seen_at=None,
)
again = want(call("POST", "check-lock", key="charge_1"), "duplicate", success=False, key="charge_1", ttl=60)
assert again["first_seen_at"].endswith("Z"), again
want(call("POST", "check-lock", key="charge_1", nonce="n_1"), "locked", success=True)


# What the packaged clients do: one calls a function under a heartbeat, the others poll.
def wait(key):
    while True:
        answer = call("GET", "status", key=key)
        if answer["status"] in ("completed", "failed"):
            return call("GET", "result", key=key)
        assert type(answer["retry_after_sec"]) is int, answer  # else it is ignored
        time.sleep(min(answer["retry_after_sec"], 0.02))


def run_fn(key, fn):
    lease = call("POST", "lease", key=key, ttl=300)
    if lease["status"] != "acquired":
        return wait(key)
    stop = threading.Event()

    def heartbeat():
        while not stop.is_set():
            call("POST", "extend", key=key, lease_id=lease["lease_id"], ttl=300)
            stop.wait(0.01)

    beating = threading.Thread(target=heartbeat)
    beating.start()
    try:
        want(call("POST", "complete", key=key, lease_id=lease["lease_id"], result=fn()), "completed", ok=True)
    finally:
        stop.set()
        beating.join()
    return call("GET", "result", key=key)


calls, results, lock = [], [], threading.Lock()


def work():
    with lock:
        calls.append(1)
    time.sleep(0.1)
    return {"value": 42}


def agent():
    answer = run_fn("shared_1", work)
    with lock:
        results.append(answer)


agents = [threading.Thread(target=agent) for _ in range(4)]
for thread in agents:
    thread.start()
for thread in agents:
    thread.join()
assert len(calls) == 1 and len(results) == 4, (calls, results)
for answer in results:
    want(answer, "completed", ok=True, result={"value": 42})

# Runs: a worker does them, and the client extends its id while it waits.
def run_and_wait(key, **fields):
    answer = call("POST", "run", key=key, **fields)
    while answer["status"] in ("acquired", "polling", "in_progress"):
        if answer["lease_id"]:  # at once, and then every 30 seconds
            call("POST", "extend", key=key, lease_id=answer["lease_id"], ttl=300)
        time.sleep(0.02)
        answer = call("GET", "status", key=key)
        assert answer["status"] in ("in_progress", "completed", "failed"), answer  # never not_found
    return call("GET", "result", key=key)


nobody = want(
    call("POST", "run", key="digest_1", ttl=600, metadata={"task": "nobody_knows", "run_id": "digest/1"}),
    "acquired", ok=True, ttl=600, version=1, charged=1, run_id="digest/1",
)
want(call("POST", "run", key="digest_1", metadata={"n": 1}), "polling", lease_id=nobody["lease_id"], charged=0, run_id="digest/1")
want(call("POST", "lease", key="digest_1"), "polling", lease_id=nobody["lease_id"], charged=0)
want(call("POST", "extend", key="digest_1", lease_id=nobody["lease_id"], ttl=300), "extended", ok=True, lease_id=nobody["lease_id"])
assert type(want(call("GET", "status", key="digest_1"), "in_progress")["retry_after_sec"]) is int
want(call("POST", "complete", key="digest_1", lease_id=nobody["lease_id"], result={}), "lease_lost", ok=False)
want(call("POST", "cancel", key="digest_1", lease_id=nobody["lease_id"], reason="user left"), "failed")
want(call("GET", "result", key="digest_1"), "failed", error_code="canceled:user left", result=None)
want(call("POST", "run", key="digest_1"), "failed", error_code="canceled:user left", charged=0)
want(call("POST", "lease", key="digest_2", ttl=60), "acquired")
want(call("POST", "run", key="digest_2"), "polling", lease_id=None, charged=0, run_id="digest_2")
want(call("POST", "run", agent_id="agent_1", tool="send_mail"), "tool_not_found", ok=False)
want(call("POST", "run", agent_id="agent_1"), "invalid_request", ok=False)
for task in TASK:
    asked = threading.Barrier(4)
    results.clear()

    def ask():
        asked.wait()
        answer = run_and_wait("double_1", metadata={"task": task, "n": 21})
        with lock:
            results.append(answer)

    agents = [threading.Thread(target=ask) for _ in range(4)]
    for thread in agents:
        thread.start()
    for thread in agents:
        thread.join()
    assert len(results) == 4, results
    for answer in results:
        want(answer, "completed", ok=True, result=42)
    want(call("POST", "run", key="double_1", metadata={"task": task, "n": 4}), "completed", charged=0)
# Timelines: what the server has done, and what the client tells of its run.
def plain(method, path, **fields):
    how = {"params": fields} if method == "GET" else {"json": fields}
    response = requests.request(method, f"{BASE}/v1/{path}", headers={"Authorization": f"Bearer {KEY}"}, timeout=30, **how)
    assert response.status_code == 200, (response.status_code, response.text)
    return response.json()


story = "support x/y"
told = want(call("POST", "lease", key="story_1", metadata={"run_id": story, "agent_id": "agent_7"}), "acquired")
event = plain("POST", "events", run_id=story, type="tool_call", status="start", step="reply", tool="send_mail", ts=1711871400,
              lease_id=told["lease_id"], data={"to": "c_1"}, color="red")
assert event["ok"] is True and event["run_id"] == story and type(event["event_id"]) is int, event
plain("POST", "events", run_id=story, type="tool_result", status="ok", duration_ms=12.5, message="sent")
want(call("POST", "complete", key="story_1", lease_id=told["lease_id"], result={"ok": 1}), "completed")
page = plain("GET", "runs/" + requests.utils.quote(story, safe=""), limit=200, offset=0)
assert page["run_id"] == story and page["total"] == 4, page
assert [e["type"] for e in page["events"]] == ["lease:acquired", "tool_call", "tool_result", "lease:completed"], page
first, called = page["events"][:2]
assert first["key"] == "story_1" and first["agent_id"] == "agent_7" and abs(first["ts"] - time.time()) < 60, first
assert (called["ts"], called["step"], called["tool"], called["message"]) == (1711871400, "reply", "send_mail", None), called
assert called["data"] == {"to": "c_1"} and called["color"] == "red" and called["event_id"] == event["event_id"], called
newest = plain("GET", "events", limit=2)
assert [e["event"] for e in newest] == ["lease:completed", "tool_result"], newest
found = plain("GET", "runs", q="support x", limit=10)
assert found["total"] == 1 and found["items"][0]["events_count"] == 4 and found["items"][0]["last_type"] == "lease:completed", found
assert plain("GET", "runs/nobody's") == {"run_id": "nobody's", "total": 0, "events": []}
assert told["lease_id"] not in json.dumps([page, newest, found])

# Errors have a status as well.
want(call("POST", "extend", key="nobody's", lease_id="lease_x"), "not_found", ok=False)
want(call("POST", "complete", key="run_1", lease_id=run["lease_id"]), "already_finished", ok=False)
want(call("POST", "lease"), "invalid_request", ok=False)
large = {"x": "x" * 1_100_000}
want(call("POST", "lease", key="large_1", metadata=large), "too_large", ok=False)
KEY = "not_the_key"
want(call("POST", "lease", key="large_1", metadata=large), "forbidden", detail="Invalid API key")
want(call("GET", "status", key=chat), "forbidden", detail="Invalid API key")
print("all answers are as the client expects")
