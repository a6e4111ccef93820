"""What the service says on stderr: lines for people, or JSON for machines. Users are in it as hashes only."""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any

from service.settings import LogSettings

USER = "user"
"""The field that is hashed, whoever logs it."""


def configure(settings: LogSettings) -> None:
    """Sets up the log of this process."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(settings.key) if settings.format == "json" else TextLines(settings.key))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def about(**fields: object) -> Mapping[str, Any]:
    """What a line is about, as `extra` of a logger's call: `decision_id`, `user` (a UserKey) and the like."""
    return {"about": fields}


def pseudonym(user: str, key: str = "") -> str:
    """A user as 16 hexadecimal digits: BLAKE2b of the UserKey, with a secret so that nobody can try out ids."""
    secret = hashlib.blake2b(key.encode()).digest() if key else b""  # as long as a key may be
    return hashlib.blake2b(user.encode(), digest_size=8, key=secret).hexdigest()


def _fields(record: logging.LogRecord, key: str) -> dict[str, Any]:
    fields = dict(getattr(record, "about", {}))
    if USER in fields:
        fields[USER] = pseudonym(fields[USER], key)
    return fields


class TextLines(logging.Formatter):
    """Time, level, message, and `name=value` of what the line is about.

    Args:
        key: secret of the hashes of users.
    """

    def __init__(self, key: str = "") -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._key = key

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 # the name is logging's
        """The line without a traceback."""
        told = (f"{name}={json.dumps(value)}" for name, value in _fields(record, self._key).items())
        return " ".join((super().formatMessage(record), *told))


class JsonLines(logging.Formatter):
    """An object a line: time (UTC), level, process, message, what it is about, and the traceback as `exception`.

    Args:
        key: secret of the hashes of users.
    """

    def __init__(self, key: str = "") -> None:
        super().__init__()
        self._key = key

    def format(self, record: logging.LogRecord) -> str:
        """The line; fields of other libraries' records are left out."""
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "process": record.process,
            "message": record.getMessage(),
            **_fields(record, self._key),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
