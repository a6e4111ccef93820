"""What the benchmark of scale is made of: its crowd in a real store, its sums for very many users, its picture."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis

pytest.importorskip("matplotlib", reason="needs the extra `bench`")

from benchmarks import sizing
from benchmarks.scale_catalogue import KINDS, checkpoint, in_process
from benchmarks.scale_picture import draw
from benchmarks.stored_users import StoredUsers
from meta.assortment import Assortment
from meta.policy import Policy
from service.store import history
from service.store.embedded import EmbeddedStore


@pytest.fixture(scope="module")
def items() -> Assortment:
    """The items of a small policy."""
    return Policy(checkpoint("from a world", 30)).items


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real store that is thrown away."""
    store = EmbeddedStore(tmp_path_factory.mktemp("scale") / "store")
    store.start()
    yield store.url
    store.stop()


def test_a_stored_crowd_is_what_the_service_would_have_written(url: str, items: Assortment) -> None:
    """Bytes are the script's, the service reads all events of known items, and what they take is counted."""
    crowd = StoredUsers(url, items.catalogue.hashes, prefix="u", events=5)
    crowd.grow(3)
    crowd.grow(7)
    keys = sorted(Redis.from_url(url).scan_iter())
    assert [f"{{{crowd.name(n)}}}:h".encode() for n in range(7)] == keys
    read = history.decode(Redis.from_url(url).mget(keys), items)
    assert (7, 5) == read.events.item.shape
    assert (read.events.item >= 0).all()
    assert {5} == {int(watermark) >> 32 for watermark in read.watermark}
    assert crowd.same_as_the_script(4)
    assert 7 == Redis.from_url(url).dbsize()  # the sample is gone
    each, copies = crowd.bytes_each(list(range(7)))
    assert 16 + 5 * 28 < each < 400
    assert 0.0 == copies


def test_both_kinds_of_policies_are_ranked() -> None:
    """A row for the best slate and one for a draw, of each kind."""
    rows = [row for kind in KINDS for row in in_process(Policy(checkpoint(kind, 30)), kind, 2)]
    assert [f"{kind}, {mode}, in process" for kind in KINDS for mode in ("best", "draw")] == [
        row["catalogue"] for row in rows
    ]
    assert all(0.0 < row["p50_ms"] <= row["p99_ms"] for row in rows)


def test_sizes_are_sums_of_what_was_measured() -> None:
    """A million users of 1.5 kB, a tenth with copies of 200 B; ten calls a day, thrice as many at the peak.

    The log of 100,000 decisions of 2 kB comes on top.
    """
    cost = sizing.Cost(
        user_bytes=1_500.0,
        copy_bytes=200.0,
        decision_bytes=2_000.0,
        call_cpu_s=0.001,
        store_cpu_s=0.00001,
        call_bytes=1_000.0,
    )
    one, hundred = sizing.table(cost, sizing.Habits(), (10**6, 10**8))
    assert {
        "users": 10**6, "store_GB": 1.72, "nodes": 1, "calls_a_s": 347.2, "cores": 1, "store_Mbit_a_s": 2.78
    } == one  # fmt: skip
    busy = sizing.table(replace(cost, store_cpu_s=0.0001), sizing.Habits(), (10**8,))
    assert 6 == busy[0]["nodes"]  # not for their memory, but as each has one core
    assert [152.2, 4, 58] == [hundred[name] for name in ("store_GB", "nodes", "cores")]


def test_the_picture_shows_all_parts(tmp_path: Path) -> None:
    """A PNG is written."""
    latency = {f"{kind}_{part}_ms": 1.0 for kind in ("record", "adapting", "warm") for part in ("p50", "p99")}
    sizes = {"bytes_a_user": 1_600.0, "history_bytes": 1_500.0, "copy_bytes": 190.0}
    result: dict[str, Any] = {
        "rows": [{"catalogue": "from a log, best, over gRPC", "items": n, "p50_ms": 1.0} for n in (10, 100)],
        "by_events": [{"events": n, **latency} for n in (1, 2)],
        "by_users": [{"users": n, **latency, **sizes} for n in np.array([10, 100]).tolist()],
    }
    draw(result, tmp_path / "new" / "scale.png")
    assert b"\x89PNG" == (tmp_path / "new" / "scale.png").read_bytes()[:4]
