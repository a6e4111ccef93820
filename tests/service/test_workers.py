"""Several workers on one port: one store, one page of metrics, one error where a start fails, nobody left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from protos.quickstudy.v1 import recommender_pb2 as pb
from service import supervisor
from service.client import CallError, Client
from service.errors import StartupError
from service.ports import check_free, held
from service.store.embedded import EmbeddedStore
from service.supervisor import Supervisor
from tests.service.support import Server, start_server, workers

CANDIDATES = [f"i{n}" for n in range(20)]
CLIENTS = 8
"""So many connections that all of them ending up at one of two workers is an event of one run in 128."""


@pytest.fixture(scope="module")
def pair(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of two workers."""
    running = start_server(policy, tmp_path_factory.mktemp("pair"), WORKERS="2")
    yield running
    assert running.stop() == 0


@pytest.fixture
async def clients(pair: Server) -> AsyncIterator[list[Client]]:
    """Clients with a connection each."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Client(pair.target)) for _ in range(CLIENTS)]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(condition: Callable[[], bool], at_most_s: float = 20.0) -> None:
    """Waits for a condition."""
    async with asyncio.timeout(at_most_s):
        while not condition():
            await asyncio.sleep(0.02)


async def test_every_worker_knows_what_any_was_told(clients: list[Client]) -> None:
    """An event recorded through one connection is in the next ranking through every other."""
    await clients[0].record([pb.Event(event_id="e", user_id="shared", item_id="i1", reward=1.0)])
    slates = await asyncio.gather(*(client.recommend("shared", CANDIDATES) for client in clients))
    assert [1] * CLIENTS == [slate.adaptation.events_used for slate in slates]


async def test_the_page_of_metrics_sums_all_workers(pair: Server, clients: list[Client]) -> None:
    """Calls are counted wherever they were answered, and gauges tell of workers that live."""
    name = 'quickstudy_request_seconds_count{method="GetUser"}'
    for client in clients:
        for _ in range(5):
            await client.get_user("nobody")
    page = pair.metrics()
    assert (page[name], page["quickstudy_workers"]) == (5 * CLIENTS, 2)
    assert page['process_cpu_seconds_total{worker="1"}'] > 0
    version = next(sample for sample in page if sample.startswith("quickstudy_policy_info"))
    assert page[version] == 1


@pytest.mark.parametrize("others", ["1", "2"])
def test_a_port_in_use_is_one_clear_line(pair: Server, policy: Path, tmp_path: Path, others: str) -> None:
    """No second service joins the workers of the first, though they share their port with each other."""
    port = pair.target.rpartition(":")[2]
    with pytest.raises(RuntimeError, match=f"StartupError: cannot listen on 127.0.0.1:{port}: Address already in use"):
        start_server(policy, tmp_path / "data", PORT=port, WORKERS=others)
    assert not EmbeddedStore(tmp_path / "data").socket.exists()


def test_a_start_that_fails_says_why_once(tmp_path: Path) -> None:
    """The error is the worker's own, and no process stays behind."""
    with pytest.raises(RuntimeError, match=r"StartupError: policy folder .*nowhere does not exist") as caught:
        start_server(tmp_path / "nowhere", tmp_path / "data", WORKERS="2")
    assert str(caught.value).count("does not exist") == 1
    assert not (tmp_path / "data" / "store.pid").exists()


async def test_workers_end_with_their_parent(policy: Path, tmp_path: Path) -> None:
    """After kill -9 of the parent its workers drain by themselves; the next start takes their port and their store."""
    server = start_server(policy, tmp_path / "data", WORKERS="2")
    pids = workers(server).values()
    assert all(map(alive, pids))
    server.kill()
    await until(lambda: not any(map(alive, pids)))
    again = start_server(policy, tmp_path / "data", WORKERS="2", PORT=server.target.rpartition(":")[2])
    async with Client(again.target) as client:
        assert len((await client.recommend("u", CANDIDATES)).items) == 10
    assert again.stop() == 0


async def test_a_killed_worker_is_replaced_and_stays_counted(policy: Path, tmp_path: Path) -> None:
    """Another process follows in its slot; what was counted is not lost, and nobody notices but the restarts."""
    server = start_server(policy, tmp_path / "data", WORKERS="2")
    async with Client(server.target) as client:
        for _ in range(10):
            await client.get_user("nobody")
    before = workers(server)
    os.kill(before[0], signal.SIGKILL)
    await until(lambda: workers(server)[0] != before[0])
    os.kill(before[1], signal.SIGKILL)
    await until(lambda: workers(server)[1] != before[1])
    page = server.metrics()
    assert page['quickstudy_request_seconds_count{method="GetUser"}'] == 10
    assert (page["quickstudy_workers"], page["quickstudy_worker_restarts_total"]) == (2, 2)
    async with Client(server.target) as client:
        assert len((await client.recommend("u", CANDIDATES)).items) == 10
    assert server.stop() == 0
    assert not (tmp_path / "data" / "store.pid").exists()


async def test_a_killed_store_is_started_again(policy: Path, tmp_path: Path) -> None:
    """The parent keeps the store of all its workers: an event that was acknowledged is there again."""
    server = start_server(policy, tmp_path / "data", WORKERS="2", STORE_FSYNC="always")
    file = tmp_path / "data" / "store.pid"
    async with Client(server.target, 20.0) as client:
        await client.record([pb.Event(event_id="e", user_id="u", item_id="i1", reward=1.0)])
        before = file.read_text()
        os.kill(int(before), signal.SIGKILL)
        await until(lambda: file.exists() and file.read_text() not in ("", before))
        async with asyncio.timeout(20):
            while True:  # breakers may be open until their next probe
                try:
                    kept = await client.get_user("u")
                except CallError:
                    await asyncio.sleep(0.05)
                else:
                    break
        assert len(kept.events) == 1
    assert server.stop() == 0


def supervised(tmp_path: Path, script: str, drain_s: float = 10.0) -> Supervisor:
    """A supervisor of one worker that is this script; its folder is the first argument."""
    command = (sys.executable, "-c", script, str(tmp_path))
    return Supervisor(1, os.environ, tmp_path, drain_s=drain_s, command=command)


async def test_a_worker_that_never_comes_back_ends_the_service(tmp_path: Path) -> None:
    """It served once; then it cannot start again, try after try, and its words are the error."""
    script = """
import pathlib, sys
lives = pathlib.Path(sys.argv[1]) / "lives"
lives.write_text(lives.read_text() + "." if lives.exists() else ".")
print("serving on nothing" if lives.read_text() == "." else "failed: the policy is gone", flush=True)
"""
    served: list[bool] = []
    with pytest.raises(StartupError, match=r"^the policy is gone$"):
        await supervised(tmp_path, script).run(asyncio.Event(), lambda: served.append(True))
    assert (served, len((tmp_path / "lives").read_text())) == ([True], supervisor.TRIES)


async def test_a_worker_that_does_not_drain_is_killed(tmp_path: Path) -> None:
    """The parent does not wait longer than it was told to."""
    script = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("serving on nothing", flush=True)
time.sleep(600)
"""
    stop = asyncio.Event()
    async with asyncio.timeout(20):
        await supervised(tmp_path, script, drain_s=0.2).run(stop, stop.set)


def test_a_held_port_refuses_others_and_connections() -> None:
    """It is bound and not listened on: nobody is connected to nobody."""
    with held("127.0.0.1", 0) as port:
        with pytest.raises(StartupError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            check_free("127.0.0.1", port)
        with socket.socket() as caller, pytest.raises(ConnectionRefusedError):
            caller.connect(("127.0.0.1", port))
