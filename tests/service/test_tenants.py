"""Tenants: keys of their own in the store, in one round trip for all of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from meta.catalogue import id_hash
from meta.policy import Policy
from service.access.tenants import user_key
from service.decisions import stream
from service.metrics import Metrics
from service.popularity import Popularity
from service.store import Kept, Store, connect
from service.store.embedded import EmbeddedStore
from tests.service.test_popularity import time_policy, until


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store of its own."""
    embedded = EmbeddedStore(tmp_path / "data")
    embedded.start()
    opened = Store(connect(embedded.url), Metrics(), prefix="p:", read_timeout_s=2.0)
    await opened.start()
    yield opened
    await opened.close()
    embedded.stop()


def test_keys_begin_with_the_name_of_their_tenant() -> None:
    """Users and streams of a tenant carry its name; without tenants there is none to carry."""
    assert [user_key("shop", "u"), user_key("", "u")] == ["shop:{u}", "{u}"]
    assert [stream("shop", 3), stream("", 3)] == ["shop:qs:decisions:3", "qs:decisions:3"]


async def test_one_id_is_another_user_with_another_tenant(store: Store) -> None:
    """Histories of one user id lie apart, are read together, and erasing one leaves the others."""
    users = [user_key(tenant, "u") for tenant in ("", "shop", "blog")]
    await store.append({users[0]: bytes(28), users[1]: b"\1" * 28})
    kept = await store.read(users)
    assert [len(value or b"") for value in kept.histories] == [44, 44, 0]
    assert [await store.erase(user) for user in users[1:]] == [True, False]
    assert [value is None for value in (await store.read(users)).histories] == [False, True, True]
    assert await store.read([user_key("shop", "u")]) == Kept.nothing(1)


async def test_likes_of_one_tenant_do_not_move_another(store: Store, tmp_path: Path) -> None:
    """Each tenant's popularity follows the likes of its own users, in counts of its own."""
    popularity = Popularity(store, Metrics(), tenants=("shop", "blog"), refresh_s=0.05)
    trend = await popularity.follow(Policy.load(time_policy(tmp_path / "p")))
    now_ms = time.time_ns() // 1_000_000
    popularity.add("shop", [(id_hash("i3").to_bytes(8, "little"), now_ms)], now_ms)
    popularity.start()
    await until(lambda: (shop := trend.term("shop")) is not None and shop.any())
    found = [term.tolist() for tenant in ("shop", "blog") if (term := trend.term(tenant)) is not None]
    assert found == pytest.approx(np.array([[0, 0, 0, np.log1p(4)], [0, 0, 0, 0]]), rel=1e-4)
    await popularity.close()
