"""Settings: given values win over the environment, the environment over defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.settings import (
    AccessSettings,
    BatchSettings,
    ServerSettings,
    SettingsError,
    StoreSettings,
    TlsSettings,
    from_environment,
    to_environment,
)


def test_given_beats_environment_beats_default() -> None:
    """Each field is looked up in this order; None counts as not given."""
    environ = {"QUICKSTUDY_PORT": "1", "QUICKSTUDY_HOST": "::1", "QUICKSTUDY_BATCH_MAX_USERS": "3"}
    settings = from_environment(ServerSettings, environ, policy=Path("p"), port=2, host=None)
    assert (settings.port, settings.host, settings.batch.max_users) == (2, "::1", 3)
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
        ({"QUICKSTUDY_WORKERS": "0"}, "workers must be 1..256, got 0"),
        ({"QUICKSTUDY_STORE_HISTORY_CAP": "129"}, "store.history_cap must be 1..128, got 129"),
        ({"QUICKSTUDY_STORE_PREFIX": "{a}"}, "store.prefix must be free of braces, got '{a}'"),
        ({"QUICKSTUDY_STORE_FSYNC": "never"}, "store.fsync must be always, everysec or no, got 'never'"),
        ({}, "give either --policy, one folder, or --policies, a store of versions"),
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


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_this_machine_alone_needs_no_protection(host: str) -> None:
    """A loopback address may be served without TLS and tokens."""
    assert ServerSettings(Path("p"), host=host).host == host


TLS = TlsSettings(Path("c"), Path("k"))
MUTUAL = TlsSettings(Path("c"), Path("k"), Path("ca"))
TOKENS = AccessSettings(Path("t"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "db.example.org"])  # noqa: S104 # refused here
@pytest.mark.parametrize(
    ("tls", "access", "missing"),
    [
        (TlsSettings(), AccessSettings(), "a TLS certificate and key and tokens or a client CA"),
        (TlsSettings(), TOKENS, "a TLS certificate and key"),
        (TLS, AccessSettings(), "tokens or a client CA"),
        (TLS, TOKENS, ""),
        (MUTUAL, AccessSettings(), ""),
    ],
)
def test_an_open_door_must_be_asked_for(host: str, tls: TlsSettings, access: AccessSettings, missing: str) -> None:
    """Beyond this machine both TLS and a proof of who calls are needed, unless the operator says otherwise."""
    assert ServerSettings(Path("p"), host=host, tls=tls, access=access, insecure=True).host == host
    if missing:
        with pytest.raises(SettingsError) as caught:
            ServerSettings(Path("p"), host=host, tls=tls, access=access)
        reachable = f"host {host} can be reached from other machines"
        assert str(caught.value) == f"{reachable}: give {missing}, or --insecure where the network is trusted"
    else:
        assert ServerSettings(Path("p"), host=host, tls=tls, access=access).host == host


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("false", False), ("0", False), ("", False)])
def test_a_flag_is_read_as_it_is_meant(text: str, value: bool) -> None:
    """The word "false" is not true."""
    assert from_environment(ServerSettings, {"QUICKSTUDY_INSECURE": text}, policy=Path("p")).insecure is value


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"QUICKSTUDY_TLS_CERTIFICATE": "c"}, "tls.key must be given exactly with tls.certificate, got None"),
        ({"QUICKSTUDY_TLS_CLIENT_CA": "c"}, "tls.client_ca must be given with a tls.certificate, got PosixPath('c')"),
        ({"QUICKSTUDY_INSECURE": "maybe"}, "QUICKSTUDY_INSECURE must be 1, true, yes, 0, false or no, got 'maybe'"),
        ({"QUICKSTUDY_ACCESS_BURST": "0"}, "access.burst must be at least 1, got 0"),
        ({"QUICKSTUDY_ACCESS_RATE_PER_S": "-1"}, "access.rate_per_s must be a finite number of at least 0, got -1.0"),
        ({"QUICKSTUDY_ACCESS_RATE_PER_S": "nan"}, "access.rate_per_s must be a finite number of at least 0, got nan"),
        ({"QUICKSTUDY_ACCESS_REFLECTION": "x"}, "access.reflection must be token, open or off, got 'x'"),
        ({"QUICKSTUDY_ACCESS_TENANTS": "a"}, "access.tenants must be given with access.tokens, got 'a'"),
    ],
)
def test_a_bad_setting_of_access_is_named(environ: dict[str, str], words: str) -> None:
    """Half a pair of files, and limits that let nobody in, are refused at start."""
    with pytest.raises(SettingsError) as caught:
        from_environment(ServerSettings, environ, policy=Path("p"))
    assert str(caught.value) == words


def test_settings_are_printed_without_the_password_of_redis() -> None:
    """What ends up in a log by mistake holds no secret."""
    assert "secret" not in repr(ServerSettings(Path("p"), redis="redis://user:secret@host:6379/0"))


def test_settings_travel_by_the_environment() -> None:
    """Another process makes the same settings of the variables, whatever was set."""
    settings = ServerSettings(
        Path("p"),
        redis="redis://user:secret@host:6379/0",
        insecure=True,
        workers=3,
        batch=BatchSettings(window_s=0.1 + 0.2),
        store=StoreSettings(history_cap=7, binary=Path("/bin/x")),
        tls=MUTUAL,
        access=TOKENS,
    )
    assert settings == from_environment(ServerSettings, to_environment(settings))
    assert ServerSettings(Path("p")) == from_environment(ServerSettings, to_environment(ServerSettings(Path("p"))))
