"""Ports of the tests' own servers: given once, in whatever process."""

import json
import socket
import subprocess
import sys
from pathlib import Path

from infra.local.state import FIRST_PORT, open_state
from tests.ports import FIRST, LAST, SERVERS, free_port, give_ports

ALL = "from tests import ports\nfound = [ports.free_port() for _ in range({count})]\nprint(*found, flush=True)\n"


def test_no_port_is_given_twice_while_several_processes_ask_for_many() -> None:
    own = {free_port() for _ in range(100)}
    script = ALL.format(count=500) + "input()"  # of ten thousand: by chance alone three would have dozens in common
    asking = [
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
        for _ in range(3)
    ]
    given = list(own)
    for one in asking:
        assert one.stdout is not None
        given += map(int, one.stdout.readline().split())
    for one in asking:
        one.communicate("\n")
    assert len(given) == len(set(given)) == 100 + 3 * 500
    assert all(FIRST <= port <= LAST < FIRST_PORT for port in given)


def test_port_is_not_given_when_somebody_listens_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken = listening.getsockname()[1]
        script = f"from tests import ports; ports._untried().append({taken}); print(ports.free_port())"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert int(done.stdout) != taken


def test_state_keeps_the_ports_it_has_when_it_is_given_some(tmp_path: Path) -> None:
    give_ports(tmp_path / "state", SERVERS)
    given = json.loads((tmp_path / "state" / "ports.json").read_text())
    assert set(given) == set(SERVERS)
    give_ports(tmp_path / "state", SERVERS)
    state = open_state(tmp_path / "state")
    assert {name: state.port(name) for name in SERVERS} == given
