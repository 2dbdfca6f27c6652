"""One OpenAPI document of all functions (OpenAPI 3.1), and a page that shows it without a script."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

METHODS = ("get", "put", "post", "delete", "options", "head", "patch")


def merged(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The paths and schemas of all parts. A path that two parts have gets the operations of both."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {}
    for part in parts:
        for path, operations in part.get("paths", {}).items():
            paths.setdefault(path, {}).update(operations)
        schemas |= part.get("components", {}).get("schemas", {})
    return {
        "openapi": "3.1.0",
        "info": {"title": "Switchboard", "version": "1"},
        "security": [{"key": []}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


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
