"""Config's own shapes, as /openapi.json says them."""

from typing import Any

_DOCUMENT = {"$ref": "#/components/schemas/Document"}
REVISION = {
    "type": "object",
    "required": ["revision", "org", "path", "author", "time", "reason", "action", "before", "after"],
    "properties": {
        "revision": {"type": "integer"},
        "org": {"type": ["string", "null"], "description": "null: the document `global`."},
        "path": {"type": "string", "description": "What it is about: `topics/orders.>`, `principals/shop`, `rollback`."},
        "author": {"type": "string"},
        "time": {"type": "string", "format": "date-time"},
        "reason": {"type": "string"},
        "action": {"type": "string"},
        "before": {
            "description": "What was at the path; of a rollback, what was at each path. null: nothing, or a key, which is never shown."
        },
        "after": {"description": "What is there since, likewise."},
    },
}
CHANGE = {
    "type": "object",
    "required": ["path", "before", "after"],
    "properties": {"path": {"type": "string"}, "before": {"description": "null: nothing."}, "after": {"description": "null: nothing."}},
}


def document() -> Any:
    """The schema of a document."""
    return dict(_DOCUMENT)
