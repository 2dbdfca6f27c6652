"""Keys, tokens and what agents are given, without a server."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.adapters.memory.config_store import MemoryConfigStore
from shared.adapters.memory.credentials import MemoryCredentials
from shared.domain.errors import Misconfigured, NotProcessable
from shared.domain.principal import Grant, Principal
from shared.domain.registry.agents import MAX_TAILS, Credential, consumers_of, lost_by, read_grants, tails_of
from shared.domain.registry.deploying import Undeployed
from shared.domain.registry.login import Login, read_login
from shared.trust.backbone import BackboneTrust
from shared.trust.claims import read_claims
from shared.trust.keeping import KeptTrusts
from shared.trust.nkeys import NKey, from_seed, verified

FIRST, SECOND, OTHER = b"a" * 48, b"b" * 48, b"c" * 48
# A seed and its public key, as other libraries have them.
PUBLIC = "UBQRQBKW2LPUL5HZSFHZ2ZZ4NYHJB3PSZG5PLFMALMOII3GERMM6BRJT"
SEED = "SUAGMJH5XLGZKQQWAWKRZJIGMOU4HPFUYLXJMXOO5NLFEO2OOQJ5LPRDPM"


def test_seed_is_read_as_it_was_written_when_it_is_ours() -> None:
    key = NKey("user", bytes(range(32)))
    assert (key.seed[:2], key.public[0], len(key.public), len(key.seed)) == ("SU", "U", 56, 58)
    again = from_seed(key.seed)
    assert (again.public, again.seed) == (key.public, key.seed)
    assert Ed25519PrivateKey.from_private_bytes(bytes(range(32))).sign(b"x") == key.sign(b"x")
    assert [NKey(kind, bytes(32)).public[0] for kind in ("operator", "account", "user")] == ["O", "A", "U"]
    assert (from_seed(SEED).seed, from_seed(SEED).public) == (SEED, PUBLIC)
    assert "SU" not in repr(key)


@pytest.mark.parametrize("seed", ["", "SU", SEED[:-1], SEED[:-1] + "A", SEED.lower(), "X" + SEED[1:], SEED + "A", "SU€", PUBLIC])
def test_seed_is_refused_without_being_shown_when_it_is_none(seed: str) -> None:
    with pytest.raises(ValueError, match="not the seed of a NATS key"):
        from_seed(seed)


def test_signature_is_its_holders_alone() -> None:
    key, other = NKey("user", bytes(32)), NKey("user", bytes(range(32)))
    assert verified(key.public, b"nonce", key.sign(b"nonce"))
    assert not verified(other.public, b"nonce", key.sign(b"nonce"))
    assert not verified(key.public, b"another", key.sign(b"nonce"))
    assert not verified("nonsense", b"nonce", key.sign(b"nonce"))
    assert not verified("", b"nonce", b"")


def test_login_is_read_from_its_file_with_remarks_or_without() -> None:
    login = Login("a.b.c", SEED)
    assert read_login(login.file()) == read_login(login.file("server: nats://x:4222", "more")) == login
    assert SEED not in repr(login)
    for text in ("", "user:password", login.file().replace("SEED", "SEAT"), login.token):
        with pytest.raises(ValueError, match="not a credentials file"):
            read_login(text)


def test_tokens_are_the_same_when_they_are_made_again_of_the_same_secret() -> None:
    trust, again, other = (BackboneTrust("main-0a", master) for master in (b"m" * 32, b"m" * 32, b"n" * 32))
    assert trust.server == again.server
    assert trust.login("leaf-0b") == again.login("leaf-0b") != trust.login("leaf-0c")
    keys = [key.public for one in (trust, other) for key in (one.operator, one.account, one.agents, one.system)]
    assert len(set(keys)) == 8
    claims = read_claims(trust.account_token({"UA": 5}, 7))
    assert (claims["iss"], claims["sub"], claims["iat"]) == (trust.operator.public, trust.account.public, 7)
    assert claims["nats"]["revocations"] == {"UA": 5}
    [scope] = claims["nats"]["signing_keys"]
    assert (scope["key"], scope["template"]["sub"]) == (trust.agents.public, {"allow": ["_INBOX.{{tag(org)}}.{{tag(inbox)}}.>"]})


def test_filters_are_what_grants_to_read_say() -> None:
    grants = (
        Grant("read", ("orders.>", "pay"), ("agent-7", "*")),
        Grant("publish", ("secret",)),
        Grant("read", ("a.*.c",), ("x.y",)),
    )
    assert tails_of(read_grants(Principal("p", "acme", grants))) == (
        "agent-7.orders.>",
        "agent-7.pay",
        "*.orders.>",
        "*.pay",
        "x%2Ey.a.*.c",
    )
    assert tails_of(read_grants(Principal("p", "acme", (Grant("admin"),)))) == (">",)
    assert tails_of(()) == ()


@pytest.mark.parametrize("topic", ["*", "orders.*", "*.*"])
def test_grant_is_refused_when_a_server_would_let_more_through(topic: str) -> None:
    with pytest.raises(NotProcessable) as caught:
        tails_of((Grant("read", (topic,)),))
    assert [fault.pointer for fault in caught.value.faults] == ["/principal"]


def test_grants_are_refused_when_they_do_not_fit() -> None:
    topics = tuple(f"t{number}" for number in range(MAX_TAILS))
    assert len(tails_of((Grant("read", topics),))) == MAX_TAILS
    with pytest.raises(NotProcessable):
        tails_of((Grant("read", (*topics, "one-more")),))


def test_consumers_are_eight_but_those_that_others_are_called_like() -> None:
    assert consumers_of("a", ["a", "b"]) == ("a", *(f"a-{number}" for number in range(2, 9)))
    assert consumers_of("a", ["a", "a-2", "a-8", "a-9"]) == ("a", *(f"a-{number}" for number in range(3, 8)))


def test_it_is_lost_when_the_principal_has_less_and_kept_when_it_has_more() -> None:
    held = tuple(Grant("read", ("orders.>",), (name,)) for name in ("a", "b"))
    made = _credential(held)
    assert lost_by(made, Principal("p", "acme", (Grant("admin"),))) == ""
    assert lost_by(made, Principal("p", "acme", (*held, Grant("publish")))) == ""
    assert lost_by(made, Principal("p", "acme", held[:1])) == "the principal lost grants"
    assert lost_by(made, None) == "the principal was removed"


def _credential(grants: tuple[Grant, ...]) -> Credential:
    return Credential("c_1", "main-0a", "acme", "p", "U", grants, ("p",), 0, 10, "boss")


async def test_keys_are_opened_with_whatever_key_of_the_secret_and_sealed_with_the_first() -> None:
    store = MemoryCredentials(MemoryConfigStore())
    assert not await KeptTrusts(store, ()).make("main-0a")
    assert await KeptTrusts(store, ()).of("main-0a") is None
    assert await KeptTrusts(store, (FIRST,)).make("main-0a")
    before = await store.keys("main-0a")
    trust = await KeptTrusts(store, (FIRST,)).of("main-0a")
    assert trust is not None
    assert await store.keys("main-0a") == before

    keys = [FIRST]
    kept = KeptTrusts(store, keys)
    assert await kept.server("main-0a") == trust.server
    keys.insert(0, SECOND)  # while it runs
    assert await kept.server("main-0a") == trust.server
    assert await store.keys("main-0a") != before
    assert await KeptTrusts(store, (SECOND,)).server("main-0a") == trust.server
    for secrets in ((OTHER,), ()):
        with pytest.raises(Misconfigured, match="SWITCHBOARD_SECRET_FILE"):
            await KeptTrusts(store, secrets).of("main-0a")
        with pytest.raises(Undeployed, match="SWITCHBOARD_SECRET_FILE"):
            await KeptTrusts(store, secrets).server("main-0a")
    assert await store.keep_keys("other-0b", await store.keys("main-0a") or b"", None)
    with pytest.raises(Misconfigured):
        await KeptTrusts(store, (SECOND,)).of("other-0b")  # another's


async def test_token_is_refused_when_no_server_would_read_it() -> None:
    store = MemoryCredentials(MemoryConfigStore())
    trusts = KeptTrusts(store, (FIRST,))
    await trusts.make("main-0a")
    login, key = await trusts.agent("main-0a", "acme/p", ["org:acme"], 1, 2) or (Login(), "")
    assert (read_claims(login.token)["sub"], from_seed(login.seed).public) == (key, key)
    with pytest.raises(NotProcessable):
        await trusts.agent("main-0a", "acme/p", [f"tail:{'x' * 100}{number}" for number in range(60)], 1, 2)
    assert await trusts.agent("other-0b", "acme/p", [], 1, 2) is None
