"""Settings: given values win over the environment, the environment over defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.settings import BatchSettings, ServerSettings, SettingsError, StoreSettings, from_environment


def test_given_beats_environment_beats_default() -> None:
    """Each field is looked up in this order; None counts as not given."""
    environ = {"QUICKSTUDY_PORT": "1", "QUICKSTUDY_HOST": "h", "QUICKSTUDY_BATCH_MAX_USERS": "3"}
    settings = from_environment(ServerSettings, environ, policy=Path("p"), port=2, host=None)
    assert (settings.port, settings.host, settings.batch.max_users) == (2, "h", 3)
    assert settings.batch.window_s == BatchSettings().window_s


def test_optional_fields_are_parsed() -> None:
    """A field that may be None takes its other type from the environment."""
    environ = {"QUICKSTUDY_STORE_HISTORY_CAP": "7", "QUICKSTUDY_STORE_BINARY": "/bin/x"}
    store = from_environment(ServerSettings, environ, policy=Path("p")).store
    assert (store.history_cap, store.binary) == (7, Path("/bin/x"))


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"QUICKSTUDY_PORT": "x"}, "QUICKSTUDY_PORT must be of type int, got 'x'"),
        ({"QUICKSTUDY_PORT": "65536"}, "port must be 0..65535, got 65536"),
        ({"QUICKSTUDY_STORE_HISTORY_CAP": "129"}, "store.history_cap must be 1..128, got 129"),
        ({"QUICKSTUDY_STORE_PREFIX": "{a}"}, "store.prefix must be free of braces, got '{a}'"),
        ({"QUICKSTUDY_STORE_FSYNC": "never"}, "store.fsync must be always, everysec or no, got 'never'"),
        ({}, "policy must be given, or QUICKSTUDY_POLICY set"),
    ],
)
def test_a_bad_setting_is_named(environ: dict[str, str], words: str) -> None:
    """The text has the setting, the rule and the value."""
    given = {"policy": Path("p")} if environ else {}
    with pytest.raises(SettingsError) as caught:
        from_environment(ServerSettings, environ, **given)
    assert str(caught.value) == words


def test_a_history_of_no_event_is_refused() -> None:
    """A cap of 0 would keep nothing."""
    with pytest.raises(SettingsError, match=r"must be 1\.\.128, got 0"):
        StoreSettings(history_cap=0)
