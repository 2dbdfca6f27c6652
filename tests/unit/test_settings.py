"""Settings from the environment."""

import logging
from pathlib import Path

import pytest

from shared.domain.errors import Misconfigured
from shared.settings import Settings


def test_everything_has_a_default_when_nothing_is_set() -> None:
    settings = Settings.from_env({})
    assert (settings.cluster, settings.bind, settings.port, settings.log_shards) == ("local", "127.0.0.1", 8080, 1)
    assert settings.log_bytes == 1024**3
    assert settings.redis_url is None


def test_port_is_stronger_when_both_are_set() -> None:
    assert Settings.from_env({"PORT": "1", "SWITCHBOARD_PORT": "2"}).port == 1
    assert Settings.from_env({"SWITCHBOARD_PORT": "2"}).port == 2


def test_an_empty_variable_counts_as_unset_when_given() -> None:
    assert Settings.from_env({"SWITCHBOARD_CLUSTER": "", "SWITCHBOARD_REDIS_URL": ""}) == Settings.from_env({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("SWITCHBOARD_PORT", "65536"),
        ("SWITCHBOARD_REDIS_URL", "http://u:hunter2@x"),
        ("SWITCHBOARD_NATS_URL", "x:4222"),
        ("SWITCHBOARD_DATABASE_URL", "mysql://u:hunter2@x"),
        ("SWITCHBOARD_DATABASE_URL", "postgresql://[hunter2"),
        ("SWITCHBOARD_DATABASE_URL", "postgresql://us\u2100er:hunter2@x"),
        ("SWITCHBOARD_LOG_DURABILITY", "maybe"),
        ("SWITCHBOARD_LOG_SHARDS", "0"),
        ("SWITCHBOARD_LOG_SHARDS", "1025"),
        ("SWITCHBOARD_LOG_BYTES", "1.5e9"),
        ("SWITCHBOARD_LOG_WAIT", "0"),
        ("SWITCHBOARD_LOG_WAIT", "61"),
        ("SWITCHBOARD_FRONT_FD", "-1"),
        ("SWITCHBOARD_CLUSTER", "A b"),
        ("SWITCHBOARD_HUB_URL", "ftp://x"),
        ("K_SINK", "broker"),
    ],
)
def test_a_bad_value_is_refused_by_name_when_read(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"^{name}: ") as caught:
        Settings.from_env({name: value})
    assert "hunter2" not in caught.value.detail


def test_an_unknown_variable_is_warned_of_when_it_has_our_prefix(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Settings.from_env({"SWITCHBOARD_REDIS_ULR": "x", "SWITCHBOARD_KEY": "k", "SWITCHBOARD_SPEEDUPS": "off", "HOME": "/"})
    assert [record.getMessage() for record in caplog.records] == [
        "SWITCHBOARD_REDIS_ULR is not a setting: did you mean SWITCHBOARD_REDIS_URL?"
    ]


def test_passwords_are_not_shown_when_settings_are_printed() -> None:
    assert "hunter2" not in repr(Settings.from_env({"SWITCHBOARD_REDIS_URL": "redis://:hunter2@x"}))


def test_a_missing_setting_is_named_when_it_is_required() -> None:
    with pytest.raises(Misconfigured, match="SWITCHBOARD_DATABASE_URL"):
        Settings.from_env({}).required("database_url")


def test_the_first_key_comes_first_when_the_secret_file_has_several(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("a" * 32 + "\n\n" + "b" * 32 + "\n")
    assert tuple(Settings.from_env({"SWITCHBOARD_SECRET_FILE": str(file)}).secret_keys()) == (b"a" * 32, b"b" * 32)


@pytest.mark.parametrize("content", ["", "\n", "short\n", "a" * 32 + "\nshort\n"])
def test_a_weak_secret_file_is_refused_when_read(tmp_path: Path, content: str) -> None:
    file = tmp_path / "secret"
    file.write_text(content)
    with pytest.raises(Misconfigured, match="SWITCHBOARD_SECRET_FILE"):
        Settings.from_env({"SWITCHBOARD_SECRET_FILE": str(file)}).secret_keys()


def test_an_unreadable_secret_file_is_refused_when_read(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="SWITCHBOARD_SECRET_FILE"):
        Settings.from_env({"SWITCHBOARD_SECRET_FILE": str(tmp_path / "none")}).secret_keys()
