"""Popularity that follows time in the service, from recorded likes to the slates of others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from meta import eras, q_network
from meta.catalogue import Catalogue, id_hash
from meta.checkpoint import Manifest, save
from meta.policy import Policy
from meta.spec import Spec
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from service.metrics import Metrics
from service.popularity import Popularity
from service.store import Store, connect
from service.store.embedded import EmbeddedStore
from tests.service.support import start_server

ITEMS = ["i0", "i1", "i2", "i3"]
DAY_MS = 86_400_000
REFRESH = {"POPULARITY_REFRESH_S": "0.05"}


def time_policy(folder: Path) -> Path:
    """Ranks by what was liked lately alone, with a half-life of a day; its log has counted nothing."""
    spec = Spec(items=4, features=1, width=2, hidden=2, adapter="frozen", eras=2)
    blank = {name: np.zeros_like(value) for name, value in q_network.init(spec, np.random.default_rng(0)).items()}
    blank |= eras.init(spec) | {eras.RATE: np.array([1 / DAY_MS, 0]), eras.GAIN: np.float32([1, 0, 0])}
    save(folder, Manifest(spec), blank, Catalogue.from_features(ITEMS, np.zeros((4, 1)), ["x"]))
    return folder


def like(name: str, item: str, days_ago: float = 0.0, reward: float = 1.0) -> pb.Event:
    """An event of a user of its own."""
    made = pb.Event(event_id=name, user_id=f"user-{name}", item_id=item, reward=reward)
    made.time.FromMilliseconds(round(time.time() * 1000 - days_ago * DAY_MS))
    return made


async def until(holds: Callable[[], bool]) -> None:
    """Waits for what happens behind the requests."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.02)


async def scores(client: Client) -> dict[str, float]:
    """What a stranger's slate is ranked by."""
    reply = await client.recommend("stranger", ITEMS, mode=pb.MODE_GREEDY)
    return {item.item_id: item.score for item in reply.items}


async def test_what_others_like_lately_comes_first(tmp_path: Path) -> None:
    """Likes of three days count 1, 1/2, 1/4; duplicates, dislikes, unknown items nothing; a restart forgets nothing."""
    folder = time_policy(tmp_path / "p")
    server = start_server(folder, tmp_path / "data", **REFRESH)
    counted = 'quickstudy_popularity_likes_total{result="counted"}'
    async with Client(server.target) as client:
        likes = [like("a", "i1", 2), like("b", "i2", 1), like("c", "i2", 1), like("d", "i3", 0), like("e", "?")]
        await client.record([*likes, like("f", "i0", reward=0.0), like("g", "i0", reward=-1.0)])
        for _ in range(5):
            await client.record([likes[0]])
        await until(lambda: server.metrics().get(counted) == 5)
        await asyncio.sleep(0.2)
        found = await scores(client)
        expected = {f"i{n}": np.log1p(4 * share / 2.25) for n, share in enumerate((0.0, 0.25, 1.0, 1.0))}
        assert expected == pytest.approx(found, rel=1e-4)
        assert server.metrics()["quickstudy_popularity_age_seconds"] < 5
    assert server.stop() == 0
    again = start_server(folder, tmp_path / "data", **REFRESH)
    async with Client(again.target) as client:
        await until(lambda: again.metrics()["quickstudy_popularity_age_seconds"] < 5)
        assert expected == pytest.approx(await scores(client), rel=1e-4)
    assert again.stop() == 0


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """A store that plays the part of an external Redis."""
    store = EmbeddedStore(tmp_path / "redis")
    store.start()
    yield store
    store.stop()


async def test_two_services_count_together(tmp_path: Path, redis: EmbeddedStore) -> None:
    """What one records, the other ranks by, under the same prefix only."""
    folder = time_policy(tmp_path / "p")
    servers = [
        start_server(folder, tmp_path / str(n), REDIS=redis.url, STORE_PREFIX=prefix, **REFRESH)
        for n, prefix in enumerate(("a:", "a:", "b:"))
    ]
    async with Client(servers[0].target) as one, Client(servers[1].target) as two, Client(servers[2].target) as other:
        await one.record([like("a", "i3")])
        async with asyncio.timeout(10):
            while (await scores(two))["i3"] == 0:
                await asyncio.sleep(0.02)
        assert dict.fromkeys(ITEMS, 0.0) == await scores(other)
    assert [0, 0, 0] == [server.stop() for server in servers]


async def test_a_store_that_is_away_leaves_popularity_as_it_was(tmp_path: Path, redis: EmbeddedStore) -> None:
    """Slates keep following the last counts, and the metrics say how old those are."""
    server = start_server(time_policy(tmp_path / "p"), tmp_path / "data", REDIS=redis.url, **REFRESH)
    async with Client(server.target) as client:
        await client.record([like("a", "i3")])
        async with asyncio.timeout(10):
            while (before := await scores(client))["i3"] == 0:
                await asyncio.sleep(0.02)
        redis.stop()
        await until(lambda: server.metrics()["quickstudy_popularity_errors_total"] > 0)
        assert before == await scores(client)
    assert server.stop() == 0


async def test_nothing_is_counted_for_a_policy_that_does_not_ask(policy: Path) -> None:
    """A policy without eras has no half-lives: the store is never called."""
    store = Store(connect("redis://127.0.0.1:1"), Metrics())
    popularity = Popularity(store, Metrics())
    trend = await popularity.follow(Policy.load(policy))
    popularity.start()
    popularity.add("", [(id_hash("i1").to_bytes(8, "little"), 0)], 0)
    await popularity.close()
    assert trend.term("") is None
    await store.close()
