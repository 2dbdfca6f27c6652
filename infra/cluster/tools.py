"""kubectl and kn as subprocesses: argument lists only, secrets by stdin only, and their refusals as errors named by what to do."""

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.domain.errors import (
    Conflict,
    Forbidden,
    Misconfigured,
    NotFound,
    NotProcessable,
    SwitchboardError,
    Unauthenticated,
    Unavailable,
)

Manifest = dict[str, Any]  # an object of the Kubernetes API, as its JSON says it

LONGEST = 900.0  # seconds for any call; those that wait have a shorter limit of their own
SHOWN = 12  # lines of a refusal

NOISE = re.compile(r"Warning:|Creating service|[EWI]\d{4} \d\d:")  # klog's lines repeat what the last one says
# What kubectl says on stderr -> whose turn it is. The first that fits; the API's own reasons are in parentheses.
REFUSALS: tuple[tuple[str, type[SwitchboardError]], ...] = (
    (r"context \S+ does not exist|context was not found|error loading config file|current-context is not set", Misconfigured),
    (r"no configuration has been provided|invalid configuration", Misconfigured),
    (
        r"connection to the server .* was refused|unable to connect to the server|i/o timeout|TLS handshake timeout|\(ServiceUnavailable\)",
        Unavailable,
    ),
    (r"\(Unauthorized\)|must be logged in|provide credentials", Unauthenticated),
    (r"\(Forbidden\)|is forbidden", Forbidden),
    (r"\(NotFound\)|not found|could not find the requested resource", NotFound),
    (r"\(AlreadyExists\)|\(Conflict\)|conflicts? with", Conflict),
    (r"\(Invalid\)|is invalid|\(BadRequest\)|denied the request|error validating|unknown field", NotProcessable),
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster of a kubeconfig's context (None: the current one), and the namespace to work in."""

    context: str | None
    namespace: str

    @classmethod
    def named(cls, context: str | None, namespace: str) -> "Cluster":
        """The cluster of a context, else of the one that is current now. Every call names it, so that a switch of the current context in
        another terminal, or between a question and its answer, takes nothing to another cluster."""
        if context is None:
            with contextlib.suppress(Misconfigured):  # there is none: kubectl has other ways, as in a pod
                context = run(["kubectl", "config", "current-context"]).strip() or None
        return cls(context, namespace)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace and return its stdout. Raises what REFUSALS says; Misconfigured where there is no kubectl."""
        return run(["kubectl", *self._where(), *arguments], stdin)

    def kn(self, *arguments: str) -> str:
        """The same for kn."""
        return run(["kn", *self._where(), *arguments])

    def get(self, *arguments: str, stdin: str | None = None) -> list[Manifest]:
        """The objects that `kubectl get` finds; none where there is none."""
        return listed(self.kubectl("get", *arguments, "--ignore-not-found", "--output=json", stdin=stdin))

    def title(self) -> str:
        """The context's name and the namespace, for a person to check."""
        context = self.context or run(["kubectl", "config", "current-context"]).strip()
        return f"namespace {self.namespace} of context {context}"

    def find(self, what: str) -> Manifest | None:
        """One object, e.g. `deployment.apps/logger`; None where it isn't there."""
        found = self.get(what)
        return found[0] if found else None

    def _where(self) -> list[str]:
        return [*(["--context", self.context] if self.context else []), "--namespace", self.namespace]


def run(command: list[str], stdin: str | None = None) -> str:
    """Run a program and return its stdout. Raises Misconfigured where it is missing, and what REFUSALS says where it refuses."""
    try:
        done = subprocess.run(command, input=stdin or "", capture_output=True, text=True, check=False, timeout=LONGEST)
    except FileNotFoundError as error:
        raise Misconfigured(f"{command[0]} isn't installed, or not in PATH") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]} gave no answer within {LONGEST:.0f} s") from error
    if done.returncode != 0:
        raise refusal(command[0], done.stderr or done.stdout)
    return done.stdout


def refusal(program: str, text: str) -> SwitchboardError:
    """The error for what a program said when it refused: its own words, without its warnings."""
    lines = [line for line in text.strip().splitlines() if line.strip() and not NOISE.match(line)]
    said = "\n".join(lines[-SHOWN:]) or "it failed and said nothing"
    kind = next((kind for pattern, kind in REFUSALS if re.search(pattern, said, re.IGNORECASE)), SwitchboardError)
    return kind(f"{program}: {said}")


def listed(text: str) -> list[Manifest]:
    """The objects in what `kubectl -o json` printed: nothing, one, a List, or several documents in a row."""
    found: list[Manifest] = []
    decode: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().raw_decode
    at = 0
    while (at := _skip_space(text, at)) < len(text):
        document, at = decode(text, at)
        found += document["items"] if document.get("kind", "").endswith("List") and "items" in document else [document]
    return found


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def as_list(objects: list[Manifest]) -> str:
    """Objects as one document for kubectl's stdin."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


def has(program: str) -> bool:
    """Whether a program is in PATH."""
    return shutil.which(program) is not None
