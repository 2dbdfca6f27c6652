"""Internal events to the stages' Services, from a pod, with a key of the test's choosing: prints each Service's status by name.

Reads one line of JSON from stdin: `namespace`, and `key`, what the proofs are made with (none: no proof at all).
"""

import json
import sys
from typing import Any

import httpx
import msgspec

from shared.domain.message import Message, message_digest, message_id
from shared.domain.record import Accepted, pack_flush, pack_records
from shared.stages import events as wire
from shared.stages.rows import EVENT_TYPE, PROOF, SHARD, pack_batch, proof_of, source_of

HOP = {"prefer": "reply"}


def message(revision: int) -> Message:
    digest = message_digest("proof.test", None, "proof.test", "application/json", None, b"{}")
    identity = message_id("default", "/proof", "1")
    now = wire.now()
    return Message(
        identity, digest, "default", "proof.test", None, "/proof", "1", "proof.test", None, "application/json", None, None, b"{}", now,
        "http", "admin", revision,
    )  # fmt: skip


def internal(type: str, plan: dict[str, Any]) -> bytes:
    """An event about a message, for a stage. Without a target nothing is published."""
    one = message(plan["revision"])
    said = wire.Said(one.id, one.org, one.principal, one.revision, (), wire.by_name(one), until=wire.now() + 60_000_000)
    event = wire.signed((plan["key"] or "k").encode(), type, "/clusters/local/test", said, one)
    return wire.encode(event if plan["key"] else msgspec.structs.replace(event, sbproof=""))


def asked(plan: dict[str, Any]) -> dict[str, int]:
    """The status that each stage's Service answers with."""
    structured = {"content-type": wire.STRUCTURED, **HOP}
    body = pack_batch([(1, pack_flush(wire.now(), b"-", pack_records([Accepted(message(plan["revision"]), ("local",))])))])
    proof = proof_of(plan["key"].encode(), source_of("local"), 0, body) if plan["key"] else ""
    batch = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": source_of("local"), "ce-type": EVENT_TYPE, SHARD: "0", PROOF: proof, **HOP}
    requests = {
        "check-constraints": (internal(wire.RECEIVED, plan), structured),
        "route": (internal(wire.ACCEPTED, plan), structured),
        "log-batch": (body, batch),
    }
    found = {}
    for name, (content, headers) in requests.items():
        url = f"http://{name}.{plan['namespace']}.svc.cluster.local/"
        answer = httpx.post(url, content=content, headers=headers, timeout=60)
        sys.stderr.write(f"{name}: {answer.status_code} {answer.text}\n")
        found[name] = answer.status_code
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asked(json.loads(sys.stdin.readline()))))
