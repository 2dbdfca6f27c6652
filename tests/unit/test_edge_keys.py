"""Edges' own keys at the hub: whose they are, and how a folder of them changes."""

from pathlib import Path

import pytest

from shared.edge_keys import EdgeKeys
from tests.unit.test_secret import Clock, write

ONE, TWO, NEW = "1" * 40, "2" * 40, "3" * 40


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def edges(tmp_path: Path, clock: Clock) -> EdgeKeys:
    """Two edges."""
    write(tmp_path / "eu-1", ONE)
    write(tmp_path / "us-1", TWO)
    return EdgeKeys(tmp_path, clock)


def test_key_is_one_edge_s_when_it_speaks_for_a_cluster(edges: EdgeKeys) -> None:
    assert (edges.of("eu-1"), edges.of("us-1"), edges.of("hub")) == ((ONE.encode(),), (TWO.encode(),), ())
    assert set(edges.all()) == {ONE.encode(), TWO.encode()}


def test_edges_come_go_and_change_their_keys_within_a_second_when_the_folder_changes(tmp_path: Path, clock: Clock, edges: EdgeKeys) -> None:
    assert edges.of("eu-1")
    write(tmp_path / "eu-1", ONE, NEW)
    (tmp_path / "us-1").unlink()
    write(tmp_path / "ap-1", NEW)
    clock.time += 1.0
    assert edges.of("eu-1") == (ONE.encode(), NEW.encode())
    assert (edges.of("us-1"), edges.of("ap-1")) == ((), (NEW.encode(),))


def test_edges_stay_let_in_when_the_folder_cannot_be_read_for_a_moment(tmp_path: Path, clock: Clock) -> None:
    folder, away = tmp_path / "keys", tmp_path / "away"
    folder.mkdir()
    write(folder / "eu-1", ONE)
    edges = EdgeKeys(folder, clock)
    assert edges.all() == (ONE.encode(),)
    folder.rename(away)
    folder.write_text("no folder")
    clock.time += 1.0
    assert edges.all() == (ONE.encode(),)
    folder.unlink()
    clock.time += 1.0
    assert edges.all() == ()


@pytest.mark.parametrize("content", ["", "short"])
def test_edge_is_refused_and_others_are_not_when_its_key_is_weak(
    tmp_path: Path, clock: Clock, edges: EdgeKeys, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    write(tmp_path / "ap-1", content)
    assert (edges.of("ap-1"), edges.of("eu-1")) == ((), (ONE.encode(),))
    clock.time += 1.0
    assert len(edges.all()) == 2
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["the edge ap-1 is refused"], "once"
    write(tmp_path / "ap-1", NEW)
    clock.time += 1.0
    assert edges.of("ap-1") == (NEW.encode(),)


def test_what_is_no_edge_is_passed_over_when_it_is_in_the_folder(tmp_path: Path, clock: Clock) -> None:
    """A Secret's volume has its files behind links, in a folder of Kubernetes' own."""
    (tmp_path / "..2026_11_27").mkdir()
    (tmp_path / "folder").mkdir()
    write(tmp_path / "..2026_11_27" / "eu-1", ONE)
    (tmp_path / "..data").symlink_to("..2026_11_27")
    (tmp_path / "eu-1").symlink_to("..data/eu-1")
    write(tmp_path / "No-Name", TWO)
    assert EdgeKeys(tmp_path, clock).all() == (ONE.encode(),)


def test_there_is_no_edge_when_there_is_no_folder(tmp_path: Path) -> None:
    assert EdgeKeys(None).all() == EdgeKeys(tmp_path / "nowhere").all() == ()
