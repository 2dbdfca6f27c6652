"""What `switchboard deploy` prints: what will change, how it goes, and where the result is reached."""

import sys
from collections import Counter
from typing import Any

from rich.text import Text

from infra.cli import output
from infra.cluster.changes import Change
from infra.cluster.manifests import Key, key_of
from infra.cluster.plan import Plan

QUIET = ("unchanged", "label")
COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def say(line: str) -> None:
    """A line about how it goes: on stderr, so that stdout has the result alone."""
    sys.stderr.write(f"{output.cell(line)}\n")
    sys.stderr.flush()


def show(plan: Plan, prune: bool) -> None:
    """What will change, as a table; then each change as a diff; then what is left out."""
    rows: list[dict[str, object]] = [_row(change.action, change.key) for change in plan.changes if change.action not in QUIET]
    rows += [{"action": "make", "kind": "Secret", "name": name} for name in plan.secrets]
    rows += [_row("delete" if prune else "not rendered", key_of(one)) for one in plan.stray]
    if rows:
        output.print_rows(rows, ("action", "kind", "name"))
    for change in plan.changes:
        if change.diff and change.action != "label":
            _show_diff(change)
    counts = Counter(change.action for change in plan.changes)
    _print(f"{plan.cluster.title()}: {', '.join(f'{number} {what}' for what, number in counts.items())}")
    if counts["label"]:
        _print("label: the version's label, and nothing else")
    if plan.stray and not prune:
        _print("not rendered: ours, and no longer in the manifests; --prune deletes it")
    for line in plan.left_out:
        _print(f"left out: {line}")


def _row(action: str, key: Key) -> dict[str, object]:
    return {"action": action, "kind": key.title, "name": key.name}


def _print(line: str) -> None:
    output.console().print(Text(output.cell(line)), soft_wrap=True)


def _show_diff(change: Change) -> None:
    console = output.console()
    console.print(Text(str(change.key), style="bold"))
    for line in change.diff:
        console.print(Text(f"  {output.cell(line)}", style=COLOURS.get(line[:1], "")), soft_wrap=True)


def as_json(name: str, plan: Plan, dry_run: bool) -> dict[str, Any]:
    """The plan, and whether it was carried out, for scripts."""
    changes = [
        {"action": change.action, "kind": change.key.title, "name": change.key.name, **({"diff": list(change.diff)} if change.diff else {})}
        for change in plan.changes
    ]
    return {
        "cluster": name,
        "namespace": plan.cluster.namespace,
        "applied": not dry_run,
        "changes": changes,
        "secrets": plan.secrets,
        "not_rendered": [str(key_of(one)) for one in plan.stray],
        "left_out": plan.left_out,
    }
