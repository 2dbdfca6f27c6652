"""Where a receipt may be sent: below the org's own prefixes, and nowhere else."""

import pytest

from shared.domain.replyto import is_inbox, is_receipts_list, replyto_of
from tests.events import message


@pytest.mark.parametrize("subject", ["_INBOX.acme.1", "_INBOX.acme.agent-7.x.1"])
def test_a_receipt_may_be_sent_when_it_is_below_the_orgs_inbox(subject: str) -> None:
    assert is_inbox(subject, "acme")


HOSTILE = [None, "", "_INBOX", "_INBOX.acme", "_INBOX.acme.", "_INBOX.acme..1", "_INBOX.acme.*", "_INBOX.acme.>", "_INBOX.acme.a b"]
HOSTILE += ["_INBOX.acme-2.1", "_INBOX.globex.1", "$JS.API.x", "$SYS.x.y", "sb.acme.x", "_INBOX.acme.\r\nPUB", "_INBOX.acme.é"]
HOSTILE += [f"_INBOX.acme.{'x' * 600}"]


@pytest.mark.parametrize("subject", HOSTILE)
def test_no_receipt_may_be_sent_when_it_is_elsewhere(subject: str | None) -> None:
    assert not is_inbox(subject, "acme")


ELSEWHERE = ["", "sb:receipts:{acme}:", "sb:receipts:{globex}:a", "sb:receipts:{acme}:a b", "sb:submit:{acme}", "sb:log:{0}:queue"]
ELSEWHERE += [f"sb:receipts:{{acme}}:{'x' * 201}", "sb:receipts:{acme}:\n", "sb:receipts:{acme}:é", " sb:receipts:{acme}:a"]


@pytest.mark.parametrize("place", ELSEWHERE)
def test_no_list_may_be_written_to_when_it_is_elsewhere(place: str) -> None:
    assert not is_receipts_list(place, "acme")


@pytest.mark.parametrize("place", ["sb:receipts:{acme}:agent-7", "_INBOX.acme.1"])
def test_place_is_the_events_own_when_it_is_its_orgs(place: str) -> None:
    assert replyto_of(message(extensions={"replyto": place})) == place
    assert replyto_of(message(extensions={"replyto": place}, org="globex")) is None


@pytest.mark.parametrize("extensions", [None, {}, {"replyto": 7}, {"replyto": True}, {"replyto": "mailto:a@example"}])
def test_there_is_no_place_when_the_event_names_none(extensions: dict[str, str | int | bool] | None) -> None:
    assert replyto_of(message(extensions=extensions)) is None
