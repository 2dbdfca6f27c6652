"""What `switchboard deploy` prints: what will change, how it goes, and where the result is reached."""

import sys
from typing import Any

from rich.text import Text

from infra.cli import output
from infra.cluster.changes import Change
from infra.cluster.manifests import key_of
from infra.cluster.plan import Plan

COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def say(line: str) -> None:
    """A line about how it goes: on stderr, so that stdout has the result alone."""
    sys.stderr.write(f"{output.cell(line)}\n")
    sys.stderr.flush()


def show(plan: Plan, prune: bool) -> None:
    """What will change, as a table; then each change as a diff; then what is left out."""
    rows: list[dict[str, object]] = [
        {"action": change.action, "kind": change.key.kind, "name": change.key.name}
        for change in plan.changes
        if change.action != "unchanged"
    ]
    rows += [{"action": "make", "kind": "Secret", "name": name} for name in plan.secrets]
    rows += [{"action": "delete" if prune else "not rendered", "kind": one["kind"], "name": one["metadata"]["name"]} for one in plan.stray]
    if rows:
        output.print_rows(rows, ("action", "kind", "name"))
    for change in plan.changes:
        _show_diff(change)
    same = sum(change.action == "unchanged" for change in plan.changes)
    output.console().print(f"namespace {plan.cluster.namespace}: {len(rows)} to do, {same} unchanged", markup=False)
    if plan.stray and not prune:
        output.console().print("not rendered: ours, and no longer in the manifests; --prune deletes it", markup=False)
    for line in plan.left_out:
        output.console().print(f"left out: {output.cell(line)}", markup=False)


def _show_diff(change: Change) -> None:
    if not change.diff:
        return
    console = output.console()
    console.print(Text(str(change.key), style="bold"))
    for line in change.diff:
        console.print(Text(f"  {output.cell(line)}", style=COLOURS.get(line[:1], "")), soft_wrap=True)


def as_json(name: str, plan: Plan, dry_run: bool) -> dict[str, Any]:
    """The plan, and whether it was carried out, for scripts."""
    changes = [
        {"action": change.action, "kind": change.key.kind, "name": change.key.name, **({"diff": list(change.diff)} if change.diff else {})}
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
