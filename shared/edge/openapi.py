"""One OpenAPI document of all functions (OpenAPI 3.1), and a page that shows it without a script."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from shared.session import COOKIE

SECURITY = {"key": {"type": "http", "scheme": "bearer"}, "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE}}
METHODS = ("get", "put", "post", "delete", "options", "head", "patch")


PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence for the caller."},
        "instance": {"type": "string", "description": "/v1/messages/<id> of a refused message."},
        "rule": {"type": "string", "description": "The rule that decided."},
        "config_revision": {"type": "integer"},
        "errors": {
            "type": "array",
            "items": {"type": "object", "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}}},
        },
    },
}


PROBLEM_CONTENT = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}

# What every REST operation may answer. `default` keeps FastAPI's own 422 out of the document: nothing here ever sends that.
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "Malformed: fix the request; `errors` names the field."},
    401: {"description": "Unauthenticated: get a key."},
    403: {"description": "Forbidden: get a grant."},
    404: {"description": "There is no such thing, or not for this caller."},
    503: {"description": "Unavailable: outcome unknown, try again after Retry-After."},
    "default": {"description": "Any other refusal."},
}


def merged(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The paths and schemas of all parts. A path that two parts have gets the operations of both; every refusal is a problem."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {"Problem": PROBLEM}
    for part in parts:
        for path, operations in part.get("paths", {}).items():
            paths.setdefault(path, {}).update({method: _with_problems(operation) for method, operation in operations.items()})
        schemas |= part.get("components", {}).get("schemas", {})
    return {
        "openapi": "3.1.0",
        "info": {"title": "Switchboard", "version": "1"},
        "security": [{"key": []}, {"cookie": []}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": SECURITY},
    }


def _with_problems(operation: Mapping[str, Any]) -> dict[str, Any]:
    """The operation with the body of its refusals described."""
    answers = operation.get("responses", {})
    refusals = {status: {**found, "content": PROBLEM_CONTENT} for status, found in answers.items() if status[0] in "45d"}
    return {**operation, "responses": {**answers, **refusals}}


def page(document: Mapping[str, Any]) -> bytes:
    """The document as plain HTML."""
    operations = [
        _operation(method, path, item[method]) for path, item in sorted(document["paths"].items()) for method in METHODS if method in item
    ]
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Switchboard API</title><h1>Switchboard API</h1>'
    intro = '<p>The same as <a href="/openapi.json">OpenAPI</a>. Send <code>Authorization: Bearer &lt;key&gt;</code>.</p>'
    return (head + intro + "".join(operations) + "</html>").encode()


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    title = f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation.get('summary', ''))}</p>"
    parameters = "".join(
        f"<li><code>{escape(found['name'])}</code> ({escape(found['in'])}) {escape(found.get('description', ''))}</li>"
        for found in operation.get("parameters", ())
    )
    answers = "".join(
        f"<li><code>{escape(status)}</code> {escape(found.get('description', ''))}</li>"
        for status, found in operation.get("responses", {}).items()
    )
    return f"{title}<ul>{parameters}</ul><p>Answers</p><ul>{answers}</ul>"
