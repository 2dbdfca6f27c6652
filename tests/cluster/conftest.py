"""What the tests on a cluster share: the install, pods of their own, keys, and a table of how long things took."""

import secrets
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cluster.clients import Clients
from tests.cluster.edge import NAMESPACE as EDGE_NAMESPACE
from tests.cluster.install import BROKERED, INLINE, NAMESPACE, REMOTE, Install, run

HERE = Path(__file__).parent
TIMES = pytest.StashKey[dict[str, str]]()
Took = Callable[[str, str], None]  # what, how long
LINES = 60
LOOKS = {
    "pods and functions": ("get", "pods,ksvc", "--output=wide"),
    "events": ("get", "events", "--sort-by=.lastTimestamp", "--field-selector=type=Warning"),
    "logs": ("logs", "--selector=app.kubernetes.io/part-of=switchboard", "--all-containers", "--prefix", "--tail=5"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--deployed", action="store_true", help="use what is deployed already, and leave it there: for working on a test")
    parser.addoption(
        "--undeploy-first", action="store_true", help="take away what is deployed already, with its data: on a throwaway cluster"
    )


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Only who asks for these tests gets them: `pytest` alone deploys nothing, on whatever cluster kubectl knows."""
    asked = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(HERE) for path in asked) else True


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TIMES] = {}


def of_an_edge(item: pytest.Item) -> bool:
    """Whether a test wants the install as a hub, and an edge beside it."""
    return item.path.name == "test_edges.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For time's sake alone: those that need no install, while it is being deployed; inline, at last what rolls all of it; then the test
    that goes from wiring to wiring, those of the wiring that it ends with, hub and edge. Undeploying is last. Any other order deploys
    more often."""
    order = ("rolls_out_under_load", "wiring_makes_no_difference", "brokered", "remote", "test_edges.py", "undeploy")
    items.sort(
        key=lambda item: (
            next((place for place, word in reversed([*enumerate(order, 1)]) if word in f"{item.path.name} {item.name}"), 0),
            wants_install(item),
        )
    )


def wants_install(item: pytest.Item) -> bool:
    return "install" in getattr(item, "fixturenames", ())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With a failure, what the cluster says at that moment: afterwards it is gone."""
    report = yield
    if report.failed:
        for namespace in (NAMESPACE, *((EDGE_NAMESPACE,) if of_an_edge(item) else ())):
            for title, command in LOOKS.items():
                done = run("kubectl", "--namespace", namespace, *command, within=30)
                report.sections.append((f"{namespace}: {title}", "\n".join((done.out or done.said).splitlines()[-LINES:])))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table of timings, above pytest's own summary line."""
    if times := config.stash[TIMES]:
        terminalreporter.section("how long things took on this cluster")
        for what, took in times.items():
            terminalreporter.write_line(f"{took:>24}  {what}")


@pytest.fixture(scope="session")
def took(pytestconfig: pytest.Config) -> Took:
    """Note how long something took, for the table."""
    return pytestconfig.stash[TIMES].__setitem__


@pytest.fixture(scope="session", autouse=True)
def arriving(took: Took, request: pytest.FixtureRequest) -> Iterator[Future[Install] | None]:
    """The install on its way, from the first moment; None where nobody wants it."""
    if not any(wants_install(item) for item in request.session.items):
        yield None
        return
    pytestconfig = request.config
    reached = run("kubectl", "get", "--raw", "/readyz", "--request-timeout=10s", within=30)
    if reached.status != 0:
        pytest.exit(f"no cluster answers: {reached.said.strip()}", returncode=2)
    one, given = Install(), pytestconfig.getoption("--deployed")
    if one.is_there() and not given and not pytestconfig.getoption("--undeploy-first"):
        pytest.exit(f"the namespace {NAMESPACE} is there already: --undeploy-first takes it away, its data too", returncode=2)

    def deploy() -> Install:
        if given:
            one.deploy(INLINE)
        else:
            took("deploy from nothing", f"{one.from_nothing().seconds:.1f} s")
        return one

    with ThreadPoolExecutor(1) as meanwhile:
        yield meanwhile.submit(deploy)
    if one.deployed is not None and not given:
        one.undeploy()


@pytest.fixture(scope="session")
def install(arriving: Future[Install] | None) -> Install:
    """Deployed from nothing, and taken away at the end. Prefer `inline` or `remote`."""
    assert arriving is not None
    return arriving.result()


@pytest.fixture
def inline(install: Install) -> Install:
    """The install with the stages called directly."""
    install.has(INLINE)
    return install


@pytest.fixture
def remote(install: Install) -> Install:
    """The install with the stages as Services of their own."""
    install.has(REMOTE)
    return install


@pytest.fixture
def brokered(install: Install) -> Install:
    """The install with a Broker between ingest and the stages, and both sources before ingest."""
    install.has(BROKERED)
    return install


@pytest.fixture(scope="session")
def clients(install: Install) -> Iterator[Clients]:
    """Pods of the tests' own."""
    image = install.pods("logger")[0]["spec"]["containers"][0]["image"]
    one = Clients(image)
    try:
        one.start()
        yield one
    finally:
        one.stop()


@pytest.fixture
def org() -> str:
    """An org nobody else uses."""
    return f"t-{secrets.token_hex(4)}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a cluster of the test's own may be described."""
    return tmp_path / "cluster"
