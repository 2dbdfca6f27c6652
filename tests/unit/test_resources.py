"""What a process must be told before it starts."""

from pathlib import Path

import pytest

from shared.domain.errors import Misconfigured
from shared.resources import Resources

HUB = "SWITCHBOARD_HUB_URL"


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An edge's settings: hub and secret."""
    (tmp_path / "keys").write_text("k" * 48)
    monkeypatch.setenv(HUB, "https://hub.example")
    monkeypatch.setenv("SWITCHBOARD_SECRET_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("SWITCHBOARD_STATE_DIR", str(tmp_path))
    return monkeypatch


def test_home_is_the_cluster_s_own_when_its_hub_is_another(told: pytest.MonkeyPatch) -> None:
    told.setenv("SWITCHBOARD_CLUSTER", "eu")
    assert Resources.from_env().home == "eu"


@pytest.mark.parametrize("name", ["", "local"])
def test_edge_does_not_start_when_it_has_no_name_of_its_own(told: pytest.MonkeyPatch, name: str) -> None:
    told.setenv("SWITCHBOARD_CLUSTER", name)
    with pytest.raises(Misconfigured, match="SWITCHBOARD_CLUSTER: an edge needs a name"):
        Resources.from_env()


@pytest.mark.parametrize(("unset", "said"), [("SWITCHBOARD_SECRET_FILE", "SWITCHBOARD_SECRET_FILE"), (HUB, "SWITCHBOARD_DATABASE_URL")])
def test_process_does_not_start_when_it_does_not_know_where_config_is(told: pytest.MonkeyPatch, unset: str, said: str) -> None:
    told.setenv("SWITCHBOARD_CLUSTER", "eu")
    told.delenv(unset)
    with pytest.raises(Misconfigured, match=said):
        Resources.from_env()
