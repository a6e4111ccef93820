"""The log: what a line is about, as text and as JSON, users as hashes, and a line for a share of the decisions."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.access.tenants import user_key
from service.access_log import AccessLog
from service.client import Client
from service.logs import JsonLines, TextLines, about, pseudonym
from service.ranker import Query
from service.settings import LogSettings, ServerSettings, SettingsError, from_environment
from tests.service.support import start_server

CANDIDATES = [f"i{n}" for n in range(20)]
ANN = user_key("shop", "ann")


def record(**fields: object) -> logging.LogRecord:
    """What a logger hands to its handlers."""
    logger = logging.getLogger("quickstudy")
    return logger.makeRecord("quickstudy", logging.INFO, "f", 1, "ranked %d", (3,), None, extra=dict(about(**fields)))


def test_a_json_line_is_one_object() -> None:
    """Time in UTC, level, message and fields; the user is a hash that depends on the key."""
    line = json.loads(JsonLines("secret").format(record(decision_id="d", user=ANN)))
    assert (line["level"], line["message"], line["decision_id"]) == ("INFO", "ranked 3", "d")
    assert line["time"].endswith("Z")
    assert line["user"] == pseudonym(ANN, "secret") != pseudonym(ANN)
    assert "ann" not in json.dumps(line)


def test_a_text_line_tells_the_same() -> None:
    """The fields follow the message."""
    line = TextLines().format(record(decision_id="d", user=ANN))
    assert line.endswith(f'INFO ranked 3 decision_id="d" user="{pseudonym(ANN)}"')


def test_a_traceback_stays_on_its_line() -> None:
    """A line break in an exception does not break a JSON line."""
    broken = record()
    try:
        raise ValueError("two\nlines")
    except ValueError:
        broken.exc_info = sys.exc_info()
    line = JsonLines().format(broken)
    assert "\n" not in line
    assert "ValueError: two\nlines" in json.loads(line)["exception"]


def test_a_hash_is_of_the_tenants_user() -> None:
    """16 digits, the same in every process, others for another tenant's user of that id."""
    assert pseudonym(ANN) == "83e152a294ebd305"
    assert pseudonym(user_key("bank", "ann")) != pseudonym(ANN)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"QUICKSTUDY_LOG_FORMAT": "xml"}, "log.format must be text or json, got 'xml'"),
        ({"QUICKSTUDY_LOG_SAMPLE": "1.1"}, r"log.sample must be in 0\.\.1, got 1\.1"),
    ],
)
def test_a_bad_setting_of_the_log_is_named(environ: dict[str, str], words: str) -> None:
    """The text has the setting, the rule and the value."""
    with pytest.raises(SettingsError, match=words):
        from_environment(ServerSettings, environ, policy=Path("p"))


def test_the_key_of_hashes_is_not_printed() -> None:
    """What ends up in a log by mistake holds no secret."""
    assert "secret" not in repr(LogSettings(key="secret"))


async def test_a_service_tells_of_its_decisions(policy: Path, tmp_path: Path) -> None:
    """Every line is JSON; each decision has one, with its id, its source and no user id."""
    server = start_server(policy, tmp_path / "data", LOG_FORMAT="json", LOG_SAMPLE="1", LOG_KEY="k")
    async with Client(server.target) as client:
        ids = [(await client.recommend("somebody", CANDIDATES)).decision_id for _ in range(3)]
    assert server.stop() == 0
    text = (tmp_path / "data" / "service.log").read_text()
    told = [line for line in map(json.loads, text.splitlines()) if line["message"] == "recommended"]
    assert ids == [line["decision_id"] for line in told]
    assert ("PRIOR", "no events", 20, 10) == tuple(
        told[0][name] for name in ("source", "reason", "candidates", "items")
    )
    assert told[0]["user"] == pseudonym(user_key("", "somebody"), "k")
    assert "somebody" not in text


def test_a_share_of_the_decisions_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Which ones depends on the id alone, and they are about as many as asked for."""
    caplog.set_level(logging.INFO)
    queries = [Query.of(pb.RecommendRequest(user_id="u"), f"{n:024x}", "") for n in range(2_000)]
    for _ in range(2):
        for query in queries:
            AccessLog(0.1).tell(query, b"", 0.001)
    told = [record.about["decision_id"] for record in caplog.records]  # type: ignore[attr-defined] # by `about`
    assert told[: len(told) // 2] == told[len(told) // 2 :]
    assert 150 < len(told) / 2 < 250
