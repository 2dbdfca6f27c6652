"""Helm as a program: an argument list, values on standard input, and no environment of ours but what it needs. Through pyhelm3."""

import asyncio
import os
import re
import subprocess
import tempfile
from pathlib import Path

from pyhelm3 import Client, Command, Error, ReleaseNotFoundError
from pyhelm3.errors import ConnectionError as NoConnection
from semver import VersionInfo

WITHIN = 300.0  # seconds for one command: an uninstall waits for what it takes away
ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "LANG")


class Helm(Command):  # type: ignore[misc]  # pyhelm3 has no types
    """pyhelm3's commands without a shell. `folder` is for what Helm keeps on disk."""

    def __init__(self, executable: str, kubeconfig: Path, folder: Path) -> None:
        super().__init__(executable=executable, kubeconfig=kubeconfig, default_timeout=f"{WITHIN:.0f}s")
        self._folder = folder

    async def run(self, command: list[object], input: bytes | None = None) -> bytes:
        """What it prints. Raises pyhelm3's errors."""
        arguments = [self._executable, *map(str, command), "--kubeconfig", str(self._kubeconfig)]
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL if input is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment(),
        )
        try:
            async with asyncio.timeout(WITHIN + 10):
                output, complaints = await process.communicate(input)
        except BaseException:
            if process.returncode is None:
                process.terminate()  # it undoes nothing, but lets go of the release
                await process.communicate()
            raise
        if process.returncode:
            raise _error(complaints)(process.returncode, output, complaints)
        return output

    def client_version(self) -> VersionInfo:
        """The program's version; one that was built from its module says no patch number."""
        command = [self._executable, "version", "--template", "{{ .Version }}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, env=self._environment())  # noqa: S603  # a list
        found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", done.stdout)
        if found is None:
            raise ValueError("helm says no version")
        return VersionInfo(*(int(part or 0) for part in found.groups()))

    def _environment(self) -> dict[str, str]:
        ours = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        homes = {f"HELM_{kind}_HOME": str(self._folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        # ConfigMaps hold the releases: our values have no secrets, and so the reconciler needs no right to write any.
        return ours | homes | {"HELM_DRIVER": "configmap", "NO_PROXY": "*"}


def _error(complaints: bytes) -> type[Error]:
    text = complaints.decode(errors="replace").lower()
    if "release: not found" in text:
        return ReleaseNotFoundError  # type: ignore[no-any-return]
    if "unreachable" in text or "connection refused" in text or "i/o timeout" in text:
        return NoConnection  # type: ignore[no-any-return]
    return Error  # type: ignore[no-any-return]


def private_file(text: str) -> Path:
    """A file for nobody else, with this text in it, in a folder of its own."""
    path = Path(tempfile.mkdtemp(prefix="switchboard-helm-")) / "kubeconfig"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return path


__all__ = ["Client", "Error", "Helm", "NoConnection", "ReleaseNotFoundError", "private_file"]
