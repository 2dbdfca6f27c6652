"""What /openapi.json says of config requests beyond what their signatures do."""

from typing import Any

from fastapi import Query

ORG = Query(None, description="Another org than the key's own: for system admins.")

_DOCUMENT = {"$ref": "#/components/schemas/Document"}
_HEADERS = {
    "if-match": 'Entity tags: only where what is there has one of them (`"42"`), or is there at all (`*`). Else 412, with the tag now.',
    "if-none-match": "`*`: only where there is nothing yet. Else 412.",
    "switchboard-reason": "Why: kept with the revision. At most 500 characters.",
}
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


def body(schema: Any, content_type: str = "application/json", required: bool = True) -> dict[str, Any]:
    """The part of an operation that says what its body is."""
    return {"requestBody": {"required": required, "content": {content_type: {"schema": schema}}}}


def headers(*names: str) -> dict[str, Any]:
    """The part of an operation that says which headers it heeds."""
    return {
        "parameters": [
            {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": _HEADERS[name]} for name in names
        ]
    }


def answers(description: str, schema: Any, *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation that succeeds with these statuses (200 where none is given)."""
    return {status: {"description": description, "content": {"application/json": {"schema": schema}}} for status in statuses or (200,)}


def document() -> Any:
    """The schema of a document."""
    return dict(_DOCUMENT)


def object_of(**properties: Any) -> dict[str, Any]:
    """The schema of an object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def items_of(item: Any) -> dict[str, Any]:
    """The schema of a list."""
    return object_of(items={"type": "array", "items": item}, next={"type": ["string", "null"]})
