"""Goes through a lease's life with the requests library, as users of the hosted API do: they read response.json()["status"], whatever the HTTP status was.

Usage: client.py BASE_URL API_KEY
"""

import hashlib
import json
import sys

import requests

BASE, KEY = sys.argv[1:]


def call(method, endpoint, **fields):
    how = {"params": fields} if method == "GET" else {"json": fields}
    response = requests.request(method, f"{BASE}/v1/{endpoint if endpoint == 'check-lock' else 'ai/' + endpoint}", headers={"Authorization": f"Bearer {KEY}"}, timeout=30, **how)
    return response.json()


def want(answer, status, **fields):
    assert answer["status"] == status, (status, answer)
    for name, value in fields.items():
        assert answer[name] == value, (name, value, answer)
    return answer


# A support chat: one agent answers, another asks meanwhile.
chat = "support_chat_abc123"
want(call("GET", "status", key=chat), "not_found")
mine = want(call("POST", "lease", key=chat, ttl=1800, metadata={"customer_id": "c_1", "priority": "high"}), "acquired", ok=True, ttl=1800, version=1)
theirs = want(call("POST", "lease", key=chat, ttl=1800), "polling", lease_id=mine["lease_id"], version=1)
assert 1790 <= theirs["ttl_left"] <= 1800, theirs
want(call("GET", "status", key=chat), "in_progress", version=1, retry_after_sec=5)
want(call("GET", "result", key=chat), "in_progress", result=None)
want(call("POST", "extend", key=chat, lease_id=mine["lease_id"], ttl=600), "extended", ttl=600, version=2)
result = {"status": "resolved", "messages": 15, "satisfaction": 5}
digest = hashlib.sha256(json.dumps(result, sort_keys=True).encode()).hexdigest()
want(call("POST", "complete", key=chat, lease_id=mine["lease_id"], result=result, result_hash=digest), "completed", version=3)
want(call("GET", "result", key=chat), "completed", result=result, result_hash=digest)
want(call("POST", "lease", key=chat), "completed", result_hash=digest, version=3)

# A newsletter that fails, and a run that is stopped.
letter = want(call("POST", "lease", key="newsletter_7", ttl=3600), "acquired")
want(call("POST", "fail", key="newsletter_7", lease_id=letter["lease_id"], error_code="processing_error"), "failed", version=2)
want(call("GET", "status", key="newsletter_7"), "failed", error_code="processing_error")
run = want(call("POST", "lease", key="run_1"), "acquired")
want(call("POST", "cancel", key="run_1", lease_id=run["lease_id"], reason="user left"), "failed", error_code="canceled:user left")

# A charge, of which the webhook comes twice.
want(call("POST", "check-lock", key="charge_1", ttl=60, metadata={"order": 7}), "locked", success=True, key="charge_1", ttl=60, first_seen_at=None)
again = want(call("POST", "check-lock", key="charge_1"), "duplicate", success=False, key="charge_1", ttl=60)
assert again["first_seen_at"].endswith("Z"), again

# Errors have a status as well.
want(call("POST", "extend", key="nobody's", lease_id="lease_x"), "not_found", ok=False)
want(call("POST", "complete", key="run_1", lease_id=run["lease_id"]), "already_finished", ok=False)
want(call("POST", "lease"), "invalid_request", ok=False)
KEY = "not_the_key"
want(call("GET", "status", key=chat), "forbidden", detail="Invalid API key")
print("all answers are as the client expects")
