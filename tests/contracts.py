"""What every implementation of a port must do, stated once; subclasses provide the implementation as a fixture."""

from __future__ import annotations

import asyncio

import numpy as np

from meta.catalogue import id_hash
from service.store import NAMED, NAMED_BYTES, PIECE, FreshCopy, Kept, Store, history
from service.store.named import find, name_of

CAP = 64
"""Events that the stores under test keep of each user."""


def record(event: str, time_ms: int, item: str = "i0") -> bytes:
    """One packed event with reward 1."""
    return history.pack(event, time_ms, item, 1.0, "", 0)


def event_times(value: bytes | None) -> list[int]:
    """Times of a stored history, oldest first."""
    times: list[int] = history.times(history.records(value)).tolist()
    return times


async def counts(store: Store, key: str) -> dict[bytes, float]:
    """The counts of items under a key."""
    return {item: float(n) async for piece in store.counts(key) for item, n in piece.items()}


def append_by_the_book(kept: list[tuple[int, str]], new: list[tuple[int, str]]) -> str:
    """What appending (time, event) to a history in time order must do, in the plainest words; returns the results."""
    results, seen = "", {event for _, event in kept}
    for time_ms, event in new:
        if event in seen:
            results += "2"
        elif len(kept) == CAP and time_ms < kept[0][0]:
            results += "3"
        else:
            seen.add(event)
            kept.append((time_ms, event))
            kept.sort(key=lambda pair: pair[0])  # stable: of equal times the later arrival comes last
            del kept[:-CAP]
            results += "1"
    return results


class StoreContract:
    """The behaviour of a store, whatever server is behind it. Needs a fixture `store` with a cap of 64 events."""

    async def test_unknown_user_has_nothing(self, store: Store) -> None:
        """A user that nobody has seen has neither history nor copy."""
        assert await store.read(["nobody"]) == Kept.nothing(1)

    async def test_order_of_arrival_does_not_matter(self, store: Store) -> None:
        """Events that arrive out of order are kept in time order, ties in order of arrival."""
        await store.append({"u": record("b", 20) + record("a", 10, "first") + record("d", 30)})
        await store.append({"u": record("c", 25) + record("e", 10, "second")})
        (value,), *_ = await store.read(["u"])
        items = history.records(value)["item"].tolist()
        assert event_times(value) == [10, 10, 20, 25, 30]
        assert items[:2] == [id_hash("first"), id_hash("second")]

    async def test_same_event_counts_once(self, store: Store) -> None:
        """The same event id is a duplicate within a call, in a later call, and with other contents."""
        first = await store.append({"u": record("a", 10) + record("a", 10)})
        again = await store.append({"u": record("a", 11, "other") + record("b", 12)})
        (value,), *_ = await store.read(["u"])
        assert (first["u"].results, again["u"].results) == ("12", "21")
        assert event_times(value) == [10, 12]

    async def test_watermark_is_count_and_mixed_hashes(self, store: Store) -> None:
        """The watermark holds the accepted total above and the exclusive or of event hashes below."""
        done = await store.append({"u": record("a", 2) + record("b", 1) + record("a", 3)})
        mixed = (id_hash("a") ^ id_hash("b")) & 0xFFFFFFFF
        assert done["u"].watermark == (2 << 32) + mixed

    async def test_oldest_leave(self, store: Store) -> None:
        """A full history lets its oldest event go, and refuses one that is older still."""
        await store.append({"u": b"".join(record(f"e{t}", t) for t in range(100, 100 + CAP))})
        done = await store.append({"u": record("old", 99) + record("new", 1_000)})
        (value,), *_ = await store.read(["u"])
        assert (done["u"].results, done["u"].length) == ("31", CAP)
        assert event_times(value) == [*range(101, 100 + CAP), 1_000]

    async def test_any_stream_ends_as_by_the_book(self, store: Store) -> None:
        """Random streams with repeats, ties and stragglers give the results and the history of a plain model."""
        rng = np.random.default_rng(0)
        for user in ("a", "b", "c"):
            kept: list[tuple[int, str]] = []
            for _ in range(25):
                times, events = rng.integers(60, size=9).tolist(), rng.integers(200, size=9).tolist()
                new = [(at, f"e{n}") for at, n in zip(times, events, strict=True)]
                done = await store.append({user: b"".join(record(event, at) for at, event in new)})
                assert done[user].results == append_by_the_book(kept, new)
            (value,), *_ = await store.read([user])
            stored = list(zip(event_times(value), history.records(value)["event"].tolist(), strict=True))
            assert stored == [(at, id_hash(event)) for at, event in kept]

    async def test_times_beyond_32_bits(self, store: Store) -> None:
        """Times of today, in milliseconds, need 41 bits and come back exactly."""
        await store.append({"u": record("b", 1_760_000_000_002) + record("a", 1_760_000_000_001)})
        (value,), *_ = await store.read(["u"])
        assert event_times(value) == [1_760_000_000_001, 1_760_000_000_002]

    async def test_users_are_independent(self, store: Store) -> None:
        """One call appends to many users, and each has what was meant for it."""
        users = {f"u{n}": record("a", n) + record("b", n + 100) for n in range(20)}
        done = await store.append(users)
        values, *_ = await store.read(list(users))
        assert {user: reply.results for user, reply in done.items()} == dict.fromkeys(users, "11")
        assert [event_times(value) for value in values] == [[n, n + 100] for n in range(20)]

    async def test_concurrent_appends_lose_nothing(self, store: Store) -> None:
        """Fifty callers who append to one user at once all find their event in the history."""
        await asyncio.gather(*(store.append({"u": record(f"e{n}", n)}) for n in range(50)))
        (value,), *_ = await store.read(["u"])
        assert event_times(value) == list(range(50))

    async def test_odd_user_ids(self, store: Store) -> None:
        """Braces, spaces, line ends and other scripts in a user id do no harm."""
        users = ["a}b{c", "{}", " ", "a\r\nb", "ü" * 128, "用户"]
        await store.append({user: record(user, n) for n, user in enumerate(users)})
        values, *_ = await store.read(users)
        assert [event_times(value) for value in values] == [[n] for n in range(len(users))]

    async def test_copy_of_the_newest_history_is_kept(self, store: Store) -> None:
        """A copy is kept beside the history it was made from."""
        await store.append({"u": record("a", 1)})
        (value,), *_ = await store.read(["u"])
        assert value is not None
        await store.save([FreshCopy("u", value[: history.HEADER], b"copy")], {"qs:decisions:0": [b"decision"]}, 10)
        assert (await store.read(["u"])).copies == [b"copy"]

    async def test_late_copy_is_dropped(self, store: Store) -> None:
        """A copy made before the last event, or before an erasure, is not kept."""
        await store.append({"u": record("a", 1)})
        (value,), *_ = await store.read(["u"])
        assert value is not None
        await store.append({"u": record("b", 2)})
        await store.save([FreshCopy("u", value[: history.HEADER], b"old")], {}, 10)
        await store.erase("u")
        await store.save([FreshCopy("u", value[: history.HEADER], b"old")], {}, 10)
        assert await store.read(["u"]) == Kept.nothing(1)

    async def test_erasure_is_complete(self, store: Store) -> None:
        """Erasing removes history, copy and attributes, and says whether there was anything."""
        await store.append({"u": record("a", 1)})
        (value,), *_ = await store.read(["u"])
        assert value is not None
        await store.save([FreshCopy("u", value[: history.HEADER], b"copy")], {}, 10)
        await store.describe({"u": b"attributes", "v": b"others"})
        assert [await store.erase("u"), await store.erase("u")] == [True, False]
        assert (await store.read(["v"])).attributes == [b"others"]
        assert await store.read(["u"]) == Kept.nothing(1)

    async def test_decisions_with_names(self, store: Store) -> None:
        """The first reply of a name stands, the newest names are kept, and erasing a user takes them along."""
        names = [name_of("u", f"d{n}") for n in range(NAMED + 2)]
        await store.save([], {}, 10, [(name, b"first %d" % n) for n, name in enumerate(names)])
        await store.save([], {}, 10, [(names[-1], b"second"), (names[1], b"second"), (name_of("v", "d0"), b"other")])
        _, (mine, other) = await store.read_named(["u"], ["u", "v"])
        assert [find(mine, name) for name in names[1:4]] == [b"second", None, b"first 3"]
        assert [find(mine, names[-1]), find(other, name_of("v", "d0"))] == [b"first %d" % (NAMED + 1), b"other"]
        await store.erase("u")
        assert (await store.read_named(["u"], ["u"]))[1] == [None]

    async def test_replies_of_named_decisions_are_bounded_in_bytes(self, store: Store) -> None:
        """Large replies push out the oldest, and one that is larger than all the room is not kept at all."""
        sizes = [NAMED_BYTES // 2, 100, NAMED_BYTES // 2, NAMED_BYTES]
        names = [name_of("u", f"d{size}-{n}") for n, size in enumerate(sizes)]
        await store.save([], {}, 10, [(name, bytes(size)) for name, size in zip(names, sizes, strict=True)])
        _, (kept,) = await store.read_named(["u"], ["u"])
        assert [len(find(kept, name) or b"") for name in names] == [0, 100, NAMED_BYTES // 2, 0]

    async def test_attributes_are_replaced_and_removed(self, store: Store) -> None:
        """What is said last of a user is kept, without a history too; nothing said removes it."""
        await store.describe({"u": b"old", "v": b"v"})
        await store.describe({"u": b"new", "w": b""})
        assert await store.read(["u", "v", "w"]) == ([None] * 3, [None] * 3, [b"new", b"v", None])
        await store.describe({"u": b""})
        assert await store.read(["u"]) == Kept.nothing(1)

    async def test_attributes_are_read_only_where_asked_for(self, store: Store) -> None:
        """A policy that knows no attributes does not pay for them."""
        await store.describe({"u": b"told"})
        await store.append({"u": record("a", 1)})
        (value,), _, known = await store.read(["u"], attributes=False)
        assert (event_times(value), known) == ([1], [None])

    async def test_counts_add_up(self, store: Store) -> None:
        """What several callers add under a key is summed by item; keys are apart, and an unknown one is empty."""
        added = {"a": (60, {b"x": 1.5, b"y": 2.0**60}), "b": (0, {b"x": 1.0})}
        await asyncio.gather(*(store.count(added) for _ in range(4)))
        found = [await counts(store, key) for key in ("a", "b", "c")]
        assert found == [{b"x": 6.0, b"y": 2.0**62}, {b"x": 4.0}, {}]

    async def test_many_counts_are_read_whole(self, store: Store) -> None:
        """More items than are read at a time all come back."""
        many = {n.to_bytes(8, "little"): float(n) for n in range(5 * PIECE)}
        await store.count({"many": (60, many)})
        assert many == await counts(store, "many")
