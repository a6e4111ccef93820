"""The load generator against a real gRPC server: what it sends arrives, what fails is counted, rates are kept."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import grpc
import numpy as np
import pytest

from benchmarks.load import Call, at_rate, closed

METHOD = "/quickstudy.v1.Recommender/Recommend"


class Heard:
    """A server that notes the bodies it hears, and refuses "no"."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.address = ""

    def answer(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        """The body again."""
        self.bodies.append(body)
        if body == b"no":
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        return body


@pytest.fixture
def heard() -> Iterator[Heard]:
    """A running server."""
    noted = Heard()
    server = grpc.server(ThreadPoolExecutor(4))
    handler = grpc.unary_unary_rpc_method_handler(noted.answer)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("quickstudy.v1.Recommender", {"Recommend": handler}),)
    )
    noted.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield noted
    server.stop(0).wait()


def test_every_call_is_sent_once_and_failures_are_told_apart(heard: Heard) -> None:
    """Forty calls of eight callers, one in four refused, one as long as a frame allows: all arrive as they were."""
    bodies = [b"no" if n % 4 == 0 else b"%d" % n for n in range(39)] + [bytes(16_000)]
    done = closed(
        heard.address, (Call(METHOD, body) for body in bodies), in_flight=8, seconds=5.0, warm_up_s=0.0, connections=2
    )
    assert (sorted(bodies), 10) == (sorted(heard.bodies), done.failed)
    assert 30 == len(done.latency_s)
    assert done.latency_s.tolist() == sorted(done.latency_s.tolist())


def test_calls_come_at_the_rate_that_is_asked_for(heard: Heard) -> None:
    """Four hundred a second for a quarter of a second are a hundred calls, none of which fails."""
    calls = cycle([Call(METHOD, b"yes")])
    done = at_rate(
        heard.address, calls, per_s=400.0, seconds=0.25, rng=np.random.default_rng(0), warm_up_s=0.0, connections=2
    )
    assert (100, 0) == (len(heard.bodies), done.failed)
