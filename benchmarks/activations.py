"""Versions that come to serve and step back under load: calls that fail, replies that mix two, what a change takes."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from benchmarks.load import Call, Load, closed
from benchmarks.processes import Service, service
from benchmarks.report import Claim
from meta.checkpoint import load
from protos.quickstudy.v1 import policies_pb2
from protos.quickstudy.v1 import recommender_pb2 as pb
from protos.quickstudy.v1.policies_pb2_grpc import PoliciesStub
from service.client import Client
from service.client.habits import PLAIN, SERVICE
from service.policies.library import opened
from service.store.embedded import EmbeddedStore

ASKED, CANDIDATES, EVENTS = 64, 100, 20
"""Requests whose slates are known of both versions, and users under load, with so many events each."""
IN_FLIGHT, CHECKERS, STREAMS = 8, 4, 4
QUIET_S = 5.0
COUNTED_S = 6.0
"""Seconds until likes that were recorded just now are in what is popular."""
SHARE = 0.2
CLOSE = 1e-3
"""Relative error of a propensity: what is popular may have faded a little since it was noted down."""
Shown = tuple[tuple[str, ...], tuple[float, ...]]
"""A slate and its propensities."""


@dataclass(slots=True)
class Changes:
    """What became of calls and changes.

    Args:
        ms: milliseconds of each change, as its caller saw it.
        follow_s: seconds until the other replica served it too.
        replies: that were compared with what their version shows.
        mixed: of these, those that were not that.
        failed: calls that were not answered.
    """

    ms: list[float] = field(default_factory=list)
    follow_s: list[float] = field(default_factory=list)
    replies: int = 0
    mixed: int = 0
    failed: int = 0


def changed(
    policy: Path, other: Path, changes: int = 20, users: int = 100_000, kills: int = 10
) -> tuple[list[dict[str, Any]], list[Claim]]:
    """Changes versions under load, and kills services while they do.

    Args:
        policy: serves first.
        other: of the same items; comes and goes.
        changes: activations, each undone.
        users: asked for, to see whom a canary serves.
        kills: activations in which the service is killed.
    """
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        store = EmbeddedStore(Path(scratch) / "redis")
        store.start()
        stack.callback(store.stop)
        folder = Path(scratch) / "versions"
        library = opened(str(folder), folder)
        first = library.add(policy)
        options = ("--policies", str(folder), "--redis", store.url)
        one, two = (stack.enter_context(service(None, *options)) for _ in range(2))
        second = library.add(other)
        quiet, busy, told = asyncio.run(_under_load(policy, one, two, first, second, changes))
        served = asyncio.run(_canary(policy, one, second, users))
        killed = asyncio.run(_killed(lambda: service(None, *options), first, second, kills))
    rows: list[dict[str, Any]] = [
        {"row": "no change", "calls": quiet.calls, "failed": quiet.failed, **_tail(quiet)},
        {
            "row": f"{changes} activations and roll-backs",
            "calls": busy.calls + told.replies,
            "failed": busy.failed + told.failed,
            **_tail(busy),
            "compared": told.replies,
            "mixed": told.mixed,
            "change_ms": statistics.median(told.ms),
            "slowest_change_ms": max(told.ms),
            "follow_s": max(told.follow_s),
        },
        {"row": f"canary of {SHARE:.0%}", "calls": users, "share": served},
        {"row": f"killed in {kills} activations", **killed},
    ]  # fmt: skip
    return rows, [
        Claim("calls that failed by activations and roll-backs", busy.failed + told.failed, "==", 0),
        Claim("replies that mix two versions", told.mixed, "==", 0),
        Claim("seconds until another replica follows, most", max(told.follow_s), "<=", 2.0),
        Claim(f"canary's share of {users:,} users: off by", abs(served - SHARE), "<=", 0.01),
        Claim("killed in an activation: services that did not serve again", killed["silent"], "==", 0),
        Claim("killed in an activation: acknowledged activations lost", killed["lost"], "==", 0),
    ]


def _tail(load_: Load) -> dict[str, float]:
    return {"p50_ms": load_.ms(0.5), "p99_ms": load_.ms(0.99), "slowest_ms": load_.ms(1.0)}


async def _under_load(
    policy: Path, one: Service, two: Service, first: str, second: str, changes: int
) -> tuple[Load, Load, Changes]:
    """Calls without a change, and with many of them."""
    requests = _requests(policy)
    async with (
        Client(one.address, timeout_s=30.0, habits=PLAIN) as client,
        _Policies(one) as here,
        _Policies(two) as there,
    ):
        calls = await _warm(client, policy)
        await asyncio.sleep(COUNTED_S)
        known = {first: await _shown(client, requests)}
        await here.activate(second)
        known[second] = await _shown(client, requests)
        await here.roll_back()
        apart = sum(a != b for a, b in zip(*known.values(), strict=True))
        assert apart > ASKED / 2, f"the policies show the same in answer to {ASKED - apart} of {ASKED} requests"
        quiet = await asyncio.to_thread(closed, one.address, cycle(calls), in_flight=IN_FLIGHT, seconds=QUIET_S)
        told, done = Changes(), threading.Event()

        def until_done() -> Iterator[Call]:
            for call in cycle(calls):
                if done.is_set():
                    return
                yield call

        load_ = asyncio.create_task(
            asyncio.to_thread(closed, one.address, until_done(), in_flight=IN_FLIGHT, seconds=3_600.0, warm_up_s=0.0)
        )
        checkers = [asyncio.create_task(_check(client, requests, known, told, done, n)) for n in range(CHECKERS)]
        for _ in range(changes):
            for change in (lambda: here.activate(second), here.roll_back):
                told.ms.append(await _milliseconds(change))
                told.follow_s.append(await _milliseconds(lambda: _follows(here, there)) / 1e3)
        done.set()
        await asyncio.gather(*checkers)
        return quiet, await load_, told


async def _check(
    client: Client,
    requests: list[pb.RecommendRequest],
    known: dict[str, list[Shown]],
    told: Changes,
    done: threading.Event,
    start: int,
) -> None:
    """Asks strangers' questions, and compares each slate with what the version that it names shows."""
    for n in range(start, 10**9):
        if done.is_set():
            return
        request = requests[n % ASKED]
        try:
            reply = await client.recommend(
                f"stranger-{start}-{n}", request.candidate_ids, mode=pb.MODE_EXPLORE, seed=request.seed
            )
        except grpc.RpcError:
            told.failed += 1
            continue
        items, propensities = known[reply.adaptation.policy_version][n % ASKED]
        alike = np.allclose(propensities, [item.propensity for item in reply.items], rtol=CLOSE)
        told.replies += 1
        told.mixed += not (list(items) == reply.item_ids and alike)


async def _canary(policy: Path, one: Service, version: str, users: int) -> float:
    """The share of users who were served by a version as canary."""
    candidates = load(policy).catalogue.ids[:2]
    async with Client(one.address, habits=PLAIN) as client, _Policies(one) as here:
        await here.activate(version, SHARE)

        async def ask(part: int) -> int:
            async def questions() -> AsyncIterator[pb.RecommendRequest]:
                for n in range(part, users, STREAMS):
                    yield pb.RecommendRequest(user_id=f"somebody-{n}", candidate_ids=candidates)

            return sum(
                [reply.adaptation.policy_version == version async for reply in client.recommend_stream(questions())]
            )

        share = sum(await asyncio.gather(*map(ask, range(STREAMS)))) / users
        await here.roll_back()
        return share


async def _killed(start: Callable[[], Any], first: str, second: str, kills: int) -> dict[str, int]:
    """What becomes of a service that is killed while it activates a version, each time a little later."""
    came, silent, lost = 0, 0, 0
    for n in range(kills):
        with start() as one:
            async with _Policies(one) as here:
                call = asyncio.ensure_future(here.activate(second))
                await asyncio.sleep(0.01 * n)
                os.kill(one.pid, signal.SIGKILL)
                await asyncio.wait({call})
        acknowledged = call.exception() is None
        with start() as again:
            async with Client(again.address, habits=PLAIN) as client, _Policies(again) as here:
                serves = (await client.recommend("u")).adaptation.policy_version
                silent += serves not in (first, second)
                lost += acknowledged and serves != second
                if serves == second:
                    came += 1
                    await here.roll_back()
    return {"kills": kills, "activated": came, "silent": silent, "lost": lost}


class _Policies:
    """Service Policies of one service."""

    def __init__(self, at: Service) -> None:
        self._channel = grpc.aio.insecure_channel(at.address)
        self._stub: Any = PoliciesStub(self._channel)  # type: ignore[no-untyped-call] # generated

    async def __aenter__(self) -> _Policies:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close(None)

    async def activate(self, version: str, share: float = 0.0) -> None:
        """Has a version serve."""
        await self._stub.ActivatePolicy(policies_pb2.ActivatePolicyRequest(version=version, canary_share=share))

    async def roll_back(self) -> None:
        """Undoes the last change."""
        await self._stub.RollBackPolicy(policies_pb2.RollBackPolicyRequest())

    async def generation(self) -> int:
        """The number of what serves."""
        return int((await self._stub.ListPolicies(policies_pb2.ListPoliciesRequest())).generation)


async def _follows(here: _Policies, there: _Policies) -> None:
    """Waits until one service serves what another does."""
    now = await here.generation()
    while await there.generation() != now:
        await asyncio.sleep(0.01)


async def _milliseconds(does: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await does()
    return 1e3 * (time.perf_counter() - began)


def _requests(policy: Path) -> list[pb.RecommendRequest]:
    """Questions whose answers depend on nothing but the version: strangers, and seeds of their own."""
    items, rng = load(policy).catalogue.ids, np.random.default_rng(0)
    drawn = rng.integers(len(items), size=(ASKED, CANDIDATES))
    return [pb.RecommendRequest(candidate_ids=[items[i] for i in some], seed=n) for n, some in enumerate(drawn)]


async def _shown(client: Client, requests: list[pb.RecommendRequest]) -> list[Shown]:
    """What the version that serves shows in answer to each."""
    shown = []
    for request in requests:
        reply = await client.recommend("nobody", request.candidate_ids, mode=pb.MODE_EXPLORE, seed=request.seed)
        shown.append((tuple(reply.item_ids), tuple(item.propensity for item in reply.items)))
    return shown


async def _warm(client: Client, policy: Path) -> list[Call]:
    """Calls of users with histories, whose copies every change makes anew."""
    items, calls = load(policy).catalogue.ids, []
    for n, request in enumerate(_requests(policy)):
        user = f"user-{n}"
        some = items[n : n + EVENTS]
        await client.record([pb.Event(event_id=item, user_id=user, item_id=item, reward=1.0) for item in some])
        request.user_id = user
        calls.append(Call(f"/{SERVICE}/Recommend", request.SerializeToString()))
    return calls
