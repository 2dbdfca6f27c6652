"""Which rules a message falls under, and that what did not change is not compiled again."""

from shared.domain.rules import rules as remembered
from shared.domain.rules.rules import Rules
from tests.unit.config_samples import stored

DOCUMENTS = stored(
    {
        "global": {"max_bytes": 10},
        "org": {"max_bytes": 20},
        "topics/orders.>": {"max_bytes": 30},
        "topics/orders.eu": {"max_bytes": 40},
        "subjects/agent-7": {"max_bytes": 50},
    }
)


def test_a_message_is_judged_by_the_documents_that_are_for_it() -> None:
    whole = Rules(DOCUMENTS)
    for org, topic, subject, limit in [
        ("other", "orders.eu", "agent-7", 10),
        ("acme", "pay", None, 20),
        ("acme", "orders.us", None, 30),
        ("acme", "orders.eu", "agent-8", 40),
        ("acme", "orders.eu", "agent-7", 50),
    ]:
        assert whole.scope(org, topic, subject).max_bytes == limit
    assert [one.path.text for one in whole.matching("acme", "orders.us", "agent-7")] == [
        "global",
        "org",
        "topics/orders.>",
        "subjects/agent-7",
    ]


def test_many_topics_share_a_scope_when_the_same_documents_are_for_them() -> None:
    whole = Rules(DOCUMENTS)
    assert len({id(whole.scope("acme", f"orders.{number}", None)) for number in range(100)}) == 1


def test_what_did_not_change_is_not_compiled_again() -> None:
    first = Rules(DOCUMENTS)
    before = {topic: first.scope("acme", topic, None) for topic in ("pay", "orders.us", "orders.eu")}
    changed = {org: dict(documents) for org, documents in DOCUMENTS.items()}
    changed["acme"]["topics/orders.eu"] = b'{"max_bytes": 41}'
    second = Rules(changed, first)
    assert second.scope("acme", "pay", None) is before["pay"]
    assert second.scope("acme", "orders.us", None) is before["orders.us"]
    assert second.scope("acme", "orders.eu", None).max_bytes == 41
    assert first.scope("acme", "orders.eu", None).max_bytes == 40


def test_a_document_is_out_of_force_when_it_is_gone() -> None:
    first = Rules(DOCUMENTS)
    first.scope("acme", "orders.eu", None)
    second = Rules({"acme": {"org": DOCUMENTS["acme"]["org"]}}, first)
    assert second.scope("acme", "orders.eu", "agent-7").max_bytes == 20
    assert Rules({}, second).scope("acme", "orders.eu", None).max_bytes == 1_048_576
    assert second.scope("other", "a", None).max_bytes == 1_048_576


def test_what_is_remembered_is_bounded() -> None:
    whole = Rules(DOCUMENTS)
    for number in range(remembered.MAX_KNOWN + 10):
        whole.scope("acme", f"orders.{number}", None)
    assert len(whole._known) <= remembered.MAX_KNOWN
