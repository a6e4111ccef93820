"""Items that come, change and go while the service runs: seen by all processes on one store, and after a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from meta import q_network
from meta.catalogue import Catalogue
from meta.checkpoint import Manifest, save
from meta.columns import Column
from meta.spec import Spec
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from service.client.messages import attributes, event
from service.client.results import Source
from service.store import connect
from service.store.embedded import EmbeddedStore
from tests.service.support import Server, start_server

COLUMNS = (Column("kind", "category", vocabulary=("tea", "mug")), Column("worth", "number", mean=(0.0,), std=(1.0,)))
IDS = ("i0", "i1", "i2")


def worth_policy(folder: Path) -> Path:
    """Items are worth what their feature says; who likes a kind finds items of that kind worth more."""
    spec = Spec(items=3, features=3, width=3, hidden=3, adapter="maml")
    params = q_network.init(spec, np.random.default_rng(0))
    params |= {name: np.zeros_like(params[name]) for name in params if name.startswith(("item.", "prior", "taste"))}
    axes = np.float32([[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    params |= {
        "item.v.linear": 3 * axes,
        "item.q.linear": 3 * axes,
        "item.q.bias": np.float32([0, 0, 1]),
        "taste.m": np.eye(3, dtype=np.float32),
    }
    features = np.float32([[1, 0, 0.1], [0, 1, 0.2], [0, 0, 0.3]])
    save(folder, Manifest(spec), params, Catalogue(IDS, features, COLUMNS))
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That policy in a folder."""
    return worth_policy(tmp_path_factory.mktemp("shop") / "p")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    """A store that several services share."""
    running = EmbeddedStore(tmp_path_factory.mktemp("store"))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def replicas(shop: Path, store: EmbeddedStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two services on one store."""
    folder = tmp_path_factory.mktemp("replicas")
    servers = [start_server(shop, folder / str(n), REDIS=store.url, STORE_PREFIX="two:") for n in range(2)]
    yield servers
    assert [server.stop() for server in servers] == [0, 0]


@pytest.fixture
async def both(replicas: list[Server]) -> AsyncIterator[list[Client]]:
    """A client of each."""
    async with Client(replicas[0].target) as one, Client(replicas[1].target) as other:
        yield [one, other]


def item(item_id: str, **features: Any) -> pb.Item:
    """An item with features."""
    return pb.Item(item_id=item_id, features=attributes(**features))


async def ranked(client: Client, user: str = "nobody", **arguments: Any) -> list[str]:
    """The whole catalogue of a user."""
    return (await client.recommend(user, mode=pb.MODE_GREEDY, include_seen=True, **arguments)).item_ids


async def within(seconds: float, holds: Callable[[], Any]) -> None:
    """Waits until something holds; fails where it takes longer."""
    until = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < until, f"it does not hold within {seconds} s"
        await asyncio.sleep(0.02)


async def test_all_replicas_rank_a_new_item_by_its_features_within_a_second(both: list[Client]) -> None:
    """Who was told ranks it at once, the other one within a second; taken out, it is gone as fast."""
    here, there = both
    assert await here.upsert_items([item("new", kind="tea", worth=0.25)]) == []
    assert await ranked(here) == ["i2", "new", "i1", "i0"]
    await within(1.0, lambda: _equal(there, ["i2", "new", "i1", "i0"]))
    assert await there.delete_items(["new", "i2", "new"]) == []
    assert await ranked(there) == ["i1", "i0"]
    await within(1.0, lambda: _equal(here, ["i1", "i0"]))
    slate = await here.recommend("nobody", ["i0", "i2", "new"])
    assert (slate.item_ids, slate.unknown_ids) == (["i0"], ("i2", "new"))
    await here.upsert_items([item("i2", worth=0.3)])
    await within(1.0, lambda: _equal(there, ["i2", "i1", "i0"]))


async def _equal(client: Client, expected: list[str]) -> bool:
    return await ranked(client) == expected


async def test_new_features_replace_the_old_ones(both: list[Client]) -> None:
    """The same item with another worth has another place, once."""
    await both[0].upsert_items([item("i0", kind="tea", worth=0.9)])
    assert await ranked(both[0]) == ["i0", "i2", "i1"]
    await both[0].upsert_items([item("i0", kind="tea", worth=0.5), item("i0", kind="tea", worth=0.1)])
    assert await ranked(both[0]) == ["i2", "i1", "i0"]


async def test_an_item_of_a_history_becomes_known_and_is_forgotten_again(both: list[Client]) -> None:
    """A user who liked an item that nobody knew is adapted as soon as it is known, though a copy had been kept."""
    client = both[0]
    await client.record([event("fan", "mystery"), event("fan", "i2", 0.0)])
    before = await client.recommend("fan")
    await asyncio.sleep(0.1)  # until the copy is kept
    assert (await client.get_user("fan")).copy.current
    await client.upsert_items([item("mystery", kind="mug", worth=0.0)])
    assert [stored.item_id for stored in (await client.get_user("fan")).events] == ["mystery", "i2"]
    after = await client.recommend("fan", mode=pb.MODE_GREEDY)
    assert [before.adaptation.events_used, after.adaptation.events_used] == [1, 2]
    assert after.item_ids[0] == "i1"  # the other mug; what was seen is left out
    await client.delete_items(["mystery"])
    again = await client.recommend("fan")
    assert (again.adaptation.events_used, again.adaptation.source) == (1, Source.ADAPTED)


async def test_what_the_policy_cannot_use_is_named(both: list[Client]) -> None:
    """Unknown columns, and known ones of another kind, are kept, named once and ignored."""
    told = [item("odd", colour="red", kind=3.0, worth=0.0), item("even", colour="blue")]
    assert await both[0].upsert_items(told) == ["colour", "kind"]
    assert {"odd", "even"} <= set(await ranked(both[0]))
    assert await both[0].delete_items(["odd", "even", "never"]) == ["never"]


@pytest.mark.parametrize(
    ("items", "field", "rule"),
    [
        ([], "items", "must hold 1..1,000 items, got 0"),
        ([pb.Item(item_id="x")] * 1_001, "items", "must hold 1..1,000 items, got 1,001"),
        ([item("fine", worth=1.0), pb.Item()], "items[1].item_id", "must have 1..256 bytes, got 0"),
        ([item("x", worth=float("nan"))], 'items[0].features.numbers["worth"]', "must be finite, got nan"),
    ],
)
async def test_a_bad_item_changes_nothing(both: list[Client], items: list[pb.Item], field: str, rule: str) -> None:
    """The first broken rule is told, and no item of the call is taken in."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await both[0].upsert_items(items)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == f"{field} {rule}"
    assert "fine" not in await ranked(both[0])


async def test_ids_to_delete_keep_the_rules(both: list[Client]) -> None:
    """None, too many, and one too long."""
    for ids, told in (
        ([], "item_ids must hold 1..1,000 ids, got 0"),
        (["x"] * 1_001, "item_ids must hold 1..1,000 ids, got 1,001"),
        (["x", "y" * 257], "item_ids[1] must have 1..256 bytes, got 257"),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="INVALID_ARGUMENT") as caught:
            await both[0].delete_items(ids)
        assert caught.value.details() == told


async def test_changes_outlive_a_restart(shop: Path, store: EmbeddedStore, tmp_path: Path) -> None:
    """A service that starts on a store with changes ranks by them from its first call on, however many there were."""
    first = start_server(shop, tmp_path / "a", REDIS=store.url, STORE_PREFIX="restart:")
    async with Client(first.target) as client:
        await client.delete_items(["i2"])
        await client.upsert_items([item("passing", worth=9.0)])
        await client.delete_items(["passing"])
        await client.upsert_items([item(f"n{n}", worth=-float(n)) for n in range(1, 5)])
        expected = await ranked(client)
    first.kill()
    second = start_server(shop, tmp_path / "b", REDIS=store.url, STORE_PREFIX="restart:")
    async with Client(second.target) as client:
        assert expected == ["i1", "i0", "n1", "n2", "n3", "n4"] == await ranked(client)
    assert second.metrics()["quickstudy_items"] == 6
    assert second.stop() == 0


async def test_a_change_that_the_store_does_not_take_is_not_acknowledged(shop: Path, tmp_path: Path) -> None:
    """Without a store the call fails, says when to come again, and nothing is ranked by it; afterwards it works."""
    away = EmbeddedStore(tmp_path / "store")
    away.start()
    server = start_server(shop, tmp_path / "a", REDIS=away.url, STORE_WRITE_TIMEOUT_S="0.3")
    async with Client(server.target) as client:
        away.stop()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.upsert_items([item("new", worth=1.0)])
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert caught.value.retry_s == 0.5
        assert "new" not in await ranked(client)
        again = EmbeddedStore(tmp_path / "store")
        again.start()

        async def taken() -> bool:
            try:
                await client.upsert_items([item("new", worth=1.0)])
            except grpc.aio.AioRpcError:
                return False
            return (await ranked(client))[0] == "new"

        await within(10.0, taken)
    assert server.stop() == 0
    again.stop()


async def test_a_store_that_was_emptied_is_read_anew(shop: Path, store: EmbeddedStore, tmp_path: Path) -> None:
    """Changes that the store has lost do not stand, although their numbers begin anew."""
    server = start_server(shop, tmp_path / "a", REDIS=store.url, STORE_PREFIX="empty:")
    async with Client(server.target) as client, connect(store.url) as redis:
        for n in range(3):
            await client.upsert_items([item(f"n{n}", worth=1.0)])
        await redis.delete("empty:{qs:items}", "empty:{qs:items}:state")
        await within(1.0, lambda: _equal(client, ["i2", "i1", "i0"]))
        await client.upsert_items([item("n1", worth=1.0)])
        assert await ranked(client) == ["n1", "i2", "i1", "i0"]
    assert server.stop() == 0


async def test_who_has_missed_too_much_reads_all(shop: Path, store: EmbeddedStore, tmp_path: Path) -> None:
    """A reader for whom the stream has forgotten changes finds them in what stands."""
    server = start_server(shop, tmp_path / "a", REDIS=store.url, STORE_PREFIX="gap:", ITEMS_REFRESH_S="0.3")
    other = start_server(shop, tmp_path / "b", REDIS=store.url, STORE_PREFIX="gap:", ITEMS_REFRESH_S="0.3")
    async with Client(server.target) as client, Client(other.target) as late, connect(store.url) as redis:
        for n in range(4):
            await client.upsert_items([item(f"n{n}", worth=1.0 - n)])
            await redis.xtrim("gap:{qs:items}", maxlen=1, approximate=False)
        await within(1.0, lambda: _equal(late, ["n0", "i2", "i1", "i0", "n1", "n2", "n3"]))
    assert [server.stop(), other.stop()] == [0, 0]
