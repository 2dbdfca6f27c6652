"""A browser's session cookie stands for its key wherever a key is taken, and for nothing that a foreign page asks."""

import time
from base64 import b64encode
from hashlib import sha256

import msgspec
import pytest

from shared.domain.errors import Forbidden, Unauthenticated
from shared.domain.principal import Grant, Principal
from shared.domain.snapshot import Snapshot
from shared.edge.asgi import Scope
from shared.edge.principals import Principals
from shared.session import COOKIE, Cookies, open_session, seal, unseal

KEYS = (b"s" * 32,)
SAME = {"origin": "http://front", "x-requested-with": "page"}


class State:
    current = Snapshot(revision=7, keys={sha256(b"sb_key").digest(): Principal("tester", "acme", ())})


def asked(method: str, value: str | None, **headers: str) -> Scope:
    given = {"host": "front", **({} if value is None else {"cookie": f"other=1; {COOKIE}={value}"}), **headers}
    return {"type": "http", "method": method, "headers": [(name.encode(), text.encode()) for name, text in given.items()]}


@pytest.fixture
def cookies() -> Cookies:
    return Cookies(lambda: KEYS)


@pytest.fixture
def principals(cookies: Cookies) -> Principals:
    return Principals(State(), cookies)


@pytest.fixture
def cookie() -> str:
    return seal(open_session("sb_key"), KEYS)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {}),
        ("GET", {"origin": "http://front"}),
        ("POST", SAME),
        ("DELETE", SAME),
        ("PUT", {**SAME, "host": "config-crud.switchboard", "x-forwarded-host": "front"}),
    ],
)
def test_cookie_stands_for_its_key_when_this_hosts_page_sends_it(
    principals: Principals, cookie: str, method: str, headers: dict[str, str]
) -> None:
    assert principals.of_request(asked(method, cookie, **headers)).name == "tester"
    assert principals.revision == 7


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"origin": "http://evil.example"}),
        ("GET", {"origin": "http://["}),
        ("POST", {}),
        ("POST", {"origin": "http://front"}),
        ("PUT", {"x-requested-with": "page"}),
        ("DELETE", {"origin": "http://evil.example", "x-requested-with": "page"}),
        ("PATCH", {"origin": "null", "x-requested-with": "page"}),
        ("PUT", {**SAME, "x-forwarded-host": "gateway.example"}),
    ],
)
def test_cookie_is_refused_when_a_foreign_page_may_have_sent_it(
    principals: Principals, cookie: str, method: str, headers: dict[str, str]
) -> None:
    with pytest.raises(Forbidden):
        principals.of_request(asked(method, cookie, **headers))


def test_cookie_is_worth_nothing_when_it_was_signed_out_or_not_signed_here(principals: Principals, cookies: Cookies, cookie: str) -> None:
    session = cookies.session_of(asked("GET", cookie))
    assert session is not None
    cookies.end(session)
    for value in (cookie, seal(open_session("sb_key"), (b"x" * 32,)), "nonsense", "", None):
        with pytest.raises(Unauthenticated):
            principals.of_request(asked("GET", value))
    assert principals.of_request(asked("GET", seal(open_session("sb_key"), KEYS))).name == "tester"


def test_cookie_is_worth_nothing_when_the_snapshot_has_it_signed_out(cookies: Cookies, cookie: str) -> None:
    session = unseal(cookie, KEYS)

    class Elsewhere:
        current = State.current

    principals = Principals(Elsewhere(), cookies)
    for ended in ({session.id: session.expires}, {session.key: session.expires}):
        Elsewhere.current = msgspec.structs.replace(State.current, ended=ended)
        with pytest.raises(Unauthenticated):
            principals.of_request(asked("GET", cookie))
    Elsewhere.current = msgspec.structs.replace(State.current, ended={session.key: session.expires - 1, bytes(16): session.expires})
    assert principals.of_request(asked("GET", cookie)).name == "tester"


@pytest.mark.parametrize("beside", ['json={"a": "b"}', "odd name=1", "a=b c", "=x", "flag", f"{COOKIE}x=1", f'{COOKIE}="forged"'])
def test_cookie_counts_when_another_one_is_odd(principals: Principals, cookie: str, beside: str) -> None:
    scope = {**asked("GET", None), "headers": [(b"cookie", f"{beside}; {COOKIE}={cookie}".encode())]}
    assert principals.of_request(scope).name == "tester"


@pytest.mark.parametrize("name", ["other", COOKIE])
def test_cookies_are_read_in_linear_time_when_one_is_64_kib_of_quoted_backslashes(principals: Principals, name: str) -> None:
    quoted = '\\"' * 32_000
    began = time.process_time()
    with pytest.raises(Unauthenticated):
        principals.of_request({**asked("GET", None), "headers": [(b"cookie", f'{name}="{quoted}"'.encode())]})
    assert time.process_time() - began < 0.5  # it was 6 s, with everybody waiting


def test_cookie_counts_only_when_there_is_no_authorization(principals: Principals, cookie: str) -> None:
    with pytest.raises(Unauthenticated):
        principals.of_request(asked("GET", cookie, authorization="Bearer wrong"))


class TriggerState:
    current = Snapshot(
        revision=7,
        keys={
            sha256(b"sb_key").digest(): Principal("trigger", "acme", (Grant("publish", ("orders.>",)),)),
            sha256(b"sb_more").digest(): Principal("more", "acme", (Grant("publish"), Grant("read"))),
            sha256(b"sb_none").digest(): Principal("none", "acme", ()),
            sha256(b"sb_system").digest(): Principal("root", "acme", (Grant("publish"),), system=True),
        },
    )


@pytest.mark.parametrize("said", ["trigger:sb_key", ":sb_key"])
def test_key_is_taken_as_the_password_of_basic_whoever_the_user_is(said: str) -> None:
    assert Principals(TriggerState(), basic=True).of(b"Basic " + b64encode(said.encode())).name == "trigger"


@pytest.mark.parametrize(
    "said", [b"sb_key:", b"sb_key", b"u:sb_key:", b"u:\xff", b"", b"u:other", b"u:sb_more", b"u:sb_none", b"u:sb_system"]
)
def test_basic_is_refused_when_its_password_is_no_key_that_only_publishes(said: bytes) -> None:
    door = Principals(TriggerState(), basic=True)
    for given in (b"Basic " + b64encode(said), b"Basic not base64"):
        with pytest.raises(Unauthenticated):
            door.of(given)


def test_basic_is_refused_anywhere_but_at_the_events_door() -> None:
    with pytest.raises(Unauthenticated):
        Principals(TriggerState()).of(b"Basic " + b64encode(b"trigger:sb_key"))
