"""Tokens: what is kept of them, and what a file of them may say."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import pytest

from service.access import tokens
from service.access.scopes import Scope
from service.access.tokens import Keyring
from service.errors import StartupError, UnauthenticatedError

LINE = {
    "name": "web",
    "tenant": "shop",
    "scopes": ["read"],
    "expires": "2999-01-01T00:00:00+00:00",
    "sha256": sha256(b"secret").hexdigest(),
}


def file_of(folder: Path, *lines: object) -> Path:
    """A file of tokens."""
    path = folder / "tokens"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def test_a_line_is_what_the_documentation_says(tmp_path: Path) -> None:
    """A token is found by its SHA-256; blank lines mean nothing."""
    keyring = Keyring(file_of(tmp_path, "", LINE))
    token = keyring.find("secret")
    assert (token.name, token.tenant, token.scopes) == ("web", "shop", {Scope.READ})
    assert token.expires == datetime.fromisoformat("2999-01-01T00:00:00+00:00")
    assert keyring.tenants == {"shop"}


def test_the_file_keeps_no_secret(tmp_path: Path) -> None:
    """What is written opens nothing, is for its owner only, and is read back as the token that was made."""
    path = tmp_path / "tokens"
    secret, token = tokens.create("web", "", ["read", "write"], 30)
    tokens.append(path, token)
    assert secret not in path.read_text()
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert json.loads(path.read_text())["sha256"] == sha256(secret.encode()).hexdigest()
    assert Keyring(path).find(secret).line() == token.line()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scopes": ["read", "root"]}, "scopes must be some of read, write, admin: 'root' is not a valid Scope"),
        ({"scopes": []}, "scopes must hold some of read, write, admin, got none"),
        ({"tenant": "a:b"}, "tenant must have 1..64 of a-z, 0-9, '-' and '_', or be empty, got 'a:b'"),
        ({"tenant": "{a}"}, "tenant must have 1..64 of a-z, 0-9, '-' and '_', or be empty, got '{a}'"),
        ({"name": ""}, "name must have 1..64 of a-z, 0-9, '-' and '_', got ''"),
        ({"expires": "2999-01-01"}, "expires must have a time zone, got '2999-01-01T00:00:00'"),
        ({"expires": "soon"}, "Invalid isoformat string: 'soon'"),
        ({"sha256": "00"}, "sha256 must have 64 hexadecimal digits, got 2"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, change: dict[str, object], words: str) -> None:
    """The text has the line, the rule and the value."""
    path = file_of(tmp_path, LINE, LINE | change)
    with pytest.raises(StartupError) as caught:
        Keyring(path)
    assert str(caught.value) == f"line 2 of {path} is no token: {words}"


def test_a_line_without_a_field_and_a_line_of_no_object_are_named(tmp_path: Path) -> None:
    """What is missing is told; so is a line that is no JSON, or none that means a token."""
    path = file_of(tmp_path, {"name": "web"})
    with pytest.raises(StartupError, match=r"line 1 of .* is no token: 'sha256' is missing"):
        Keyring(path)
    for line in ("nonsense", "[]", "3"):
        with pytest.raises(StartupError, match=r"line 1 of .* is no token: "):
            Keyring(file_of(tmp_path, line))
    with pytest.raises(StartupError, match=r"cannot read tokens of .*: No such file"):
        Keyring(tmp_path / "none")


def test_a_changed_file_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A token taken out is refused soon after; a file that cannot be read leaves the tokens as they were."""
    monkeypatch.setattr(tokens, "RECHECK_S", 0.0)
    other = LINE | {"sha256": sha256(b"another").hexdigest()}
    keyring = Keyring(file_of(tmp_path, LINE, other))
    with caplog.at_level(logging.ERROR):
        file_of(tmp_path, "nonsense")
        assert keyring.find("secret").name == "web"
    assert caplog.messages[0].endswith("; the tokens stay as they were")
    file_of(tmp_path, other)
    with pytest.raises(UnauthenticatedError, match="the bearer token is not known"):
        keyring.find("secret")
    assert keyring.find("another").name == "web"


def test_days_are_bounded() -> None:
    """A token that never lives or for ever is refused."""
    for days in (0, -1, 1e9, float("nan")):
        with pytest.raises(StartupError, match="days must be above 0 and at most 36500"):
            tokens.create("web", "", ["read"], days)
