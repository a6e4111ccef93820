"""The rate limit: what a token bucket lets through, and how it is told."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from service.access import limits
from service.access.limits import Limits
from service.access.scopes import Scope
from service.client import Client
from service.errors import LimitedError
from tests.service.support import start_server
from tests.service.test_access import key


def passed(limit: Limits, caller: str, calls: int) -> int:
    """How many of some calls at one moment pass."""
    found = 0
    for _ in range(calls):
        try:
            limit.take(caller)
            found += 1
        except LimitedError:
            pass
    return found


def test_a_burst_passes_and_then_the_rate() -> None:
    """Ten at once, then two a second, a rest fills the bucket up to ten again and no further."""
    now = 0.0
    limit = Limits(2.0, 10, lambda: now)
    found = [passed(limit, "a", 50)]
    for seconds in (0.5, 1.0, 3.0, 1_000.0):
        now += seconds
        found.append(passed(limit, "a", 50))
    assert found == [10, 1, 2, 6, 10]


def test_callers_do_not_share_a_bucket() -> None:
    """One caller's calls cost another nothing."""
    limit = Limits(1.0, 3, lambda: 0.0)
    assert [passed(limit, caller, 5) for caller in ("a", "b", "a")] == [3, 3, 0]


def test_a_refusal_says_when_there_is_a_call_again() -> None:
    """With an empty bucket and four calls a second the next one is a quarter of a second away."""
    limit = Limits(4.0, 1, lambda: 100.0)
    limit.take("a")
    with pytest.raises(LimitedError, match="the caller's rate is above 4 calls a second") as caught:
        limit.take("a")
    assert caught.value.retry_s == pytest.approx(0.25)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more callers than are remembered, those who called longest ago start anew."""
    monkeypatch.setattr(limits, "MOST_CALLERS", 3)
    now = 0.0
    limit = Limits(0.001, 1, lambda: now)
    for now, caller in enumerate("abcd"):  # noqa: B007 # the clock
        limit.take(caller)
    assert [passed(limit, caller, 1) for caller in "dcba"] == [0, 0, 0, 1]


async def test_a_caller_over_its_rate_is_told_when_to_try_again(policy: Path, tmp_path: Path) -> None:
    """RESOURCE_EXHAUSTED with RetryInfo for the one, while another caller is served."""
    file = tmp_path / "tokens"
    one, other = (key(file, "shop", Scope.READ, name=name) for name in ("one", "other"))
    server = start_server(
        policy, tmp_path / "data", ACCESS_TOKENS=str(file), ACCESS_RATE_PER_S="0.01", ACCESS_BURST="2"
    )
    async with Client(server.target, token=one) as client, Client(server.target, token=other) as untouched:
        assert [len((await client.recommend("u")).items) for _ in range(2)] == [10, 10]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.recommend("u")
        assert len((await untouched.recommend("u")).items) == 10
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    raw = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
    assert isinstance(raw, bytes)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    found = [(detail.Unpack(info), detail.Unpack(retry)) for detail in status_pb2.Status.FromString(raw).details]
    assert (found, info.reason) == ([(True, False), (False, True)], "RATE_LIMITED")
    assert server.metrics()['quickstudy_shed_total{method="Recommend",reason="caller too fast"}'] == 1
    assert 90_000 < retry.retry_delay.ToMilliseconds() <= 100_000
    assert server.stop() == 0


async def test_without_tokens_an_address_is_a_caller(policy: Path, tmp_path: Path) -> None:
    """Two connections of one machine share a bucket."""
    server = start_server(policy, tmp_path / "data", ACCESS_RATE_PER_S="0.01", ACCESS_BURST="1")
    async with Client(server.target) as one:
        assert len((await one.recommend("u")).items) == 10
    async with Client(server.target) as again:
        with pytest.raises(grpc.aio.AioRpcError, match=r"the caller's rate is above 0\.01 calls"):
            await again.recommend("u")
    assert server.stop() == 0
