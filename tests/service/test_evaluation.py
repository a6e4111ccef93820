"""Replays as a call: what the command line finds, in a process of low priority that ends with the call."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from redis import Redis
from typer.testing import CliRunner

from meta.policy import Policy
from protos.quickstudy.v1 import evaluation_pb2 as pb
from protos.quickstudy.v1 import evaluation_pb2_grpc
from quickstudy import app
from replay.question import Question
from service.client import Client, answers
from service.evaluation.job import Job
from service.store.embedded import EmbeddedStore
from tests.service.support import ROOT, Server, start_server, stop_store
from tests.service.test_access import key

USERS, STEPS = 40, 3
SECONDS = 30.0
"""Deadline of every call."""


@pytest.fixture(scope="module")
def server(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a log of its own, and a folder of logs; its temporary files are in a folder of theirs."""
    folder = tmp_path_factory.mktemp("judged")
    (folder / "logs" / "empty").mkdir(parents=True)
    (folder / "logs" / "out").symlink_to(folder)
    running = start_server(policy, folder / "data", EVALUATION_LOGS=str(folder / "logs"), EVALUATION_NICE="1")
    asyncio.run(calls(running))
    yield running
    assert running.stop() == 0


async def calls(server: Server) -> None:
    """Real users who get slates and like some of what they see."""
    rng = random.Random(5)
    async with Client(server.target) as client:
        for user in (f"u{k}" for k in range(USERS)):
            for _ in range(STEPS):
                slate = await client.recommend(user, [f"i{n}" for n in rng.sample(range(120), 8)], slate_size=2)
                liked = {item: 1.0 for item in slate.item_ids if rng.random() < 0.4}
                await client.record(answers(user, slate, liked))
    with redis_of(server) as redis:
        async with asyncio.timeout(20):
            while sum(redis.xlen(f"qs:decisions:{n}") for n in range(4)) < USERS * STEPS:  # type: ignore[misc]
                await asyncio.sleep(0.02)


def redis_of(server: Server) -> Redis:
    """The store of a server."""
    return Redis.from_url(EmbeddedStore(server.data_dir).url)


@pytest.fixture
async def stub(server: Server) -> AsyncIterator[evaluation_pb2_grpc.EvaluationStub]:
    """The generated stub, on a connection of its own."""
    async with grpc.aio.insecure_channel(server.target) as channel:
        yield evaluation_pb2_grpc.EvaluationStub(channel)


async def news(stub: Any, **fields: Any) -> list[pb.ReplayProgress]:
    """All that a replay tells."""
    return [each async for each in stub.Replay(pb.ReplayRequest(**fields), timeout=SECONDS)]


def processes(server: Server) -> dict[int, Path]:
    """The replays that a server runs, each with its folder."""
    pid = server.process.pid
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # threads and processes end
            for child in (task / "children").read_text().split():
                command = Path(f"/proc/{child}/cmdline").read_text().split("\0")
                if "service.evaluation.child" in command:
                    found[int(child)] = Path(command[-2])
    return found


async def begun(stub: Any, server: Server, timeout: float = SECONDS, **fields: Any) -> tuple[Any, int, Path]:
    """A replay at work that will not come to an end by itself: the call, its process and its folder."""
    call = stub.Replay(pb.ReplayRequest(**fields), timeout=timeout)
    async with asyncio.timeout(SECONDS):
        while not (found := processes(server)):
            assert not call.done(), await call.code()
            await asyncio.sleep(0.01)
    ((pid, folder),) = found.items()
    os.kill(pid, signal.SIGSTOP)
    assert folder.is_dir()
    return call, pid, folder


async def gone(pid: int, folder: Path, within: float = 1.0) -> None:
    """Waits for so many seconds until a replay has ended and left nothing."""
    async with asyncio.timeout(within):
        while folder.exists() or alive(pid):
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process is there and has not ended; nobody may be there to hear of its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ended(server: Server) -> dict[str, float]:
    """How many replays ended in each way."""
    return {name: n for name, n in server.metrics().items() if name.startswith("quickstudy_replays_total")}


async def refusal(call: Any) -> tuple[str, str, str]:
    """Status, reason and words of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        [each async for each in call]
    metadata: Any = caught.value.trailing_metadata()
    info = error_details_pb2.ErrorInfo()
    for detail in status_pb2.Status.FromString(dict(metadata)["grpc-status-details-bin"]).details:
        detail.Unpack(info)
    return caught.value.code().name, info.reason, caught.value.details() or ""


async def test_it_finds_what_the_command_line_finds(server: Server, stub: Any, policy: Path, tmp_path: Path) -> None:
    """On the export of the same log, from Redis and from a folder of logs: all numbers, verdicts and the report."""
    logs = server.data_dir.parent / "logs"
    exported, told = logs / "weekly", tmp_path / "told.json"
    runner = CliRunner()
    assert 0 == runner.invoke(app, ["export", "--data-dir", str(server.data_dir), "--out", str(exported)]).exit_code
    arguments = ["--policy", policy, "--log", exported, "--seed", 3, "--json", told, "--reward-window", 1]
    assert runner.invoke(app, ["replay", *map(str, arguments)]).exit_code in (0, 1)
    expected = json.loads(told.read_text())
    version = Policy.load(policy).version

    for fields in ({}, {"log": "weekly"}):
        heard = await news(stub, seed=3, report=True, reward_window=Duration(seconds=3_600), **fields)
        steps = [each.step for each in heard if each.WhichOneof("news") == "step"]
        assert sorted(step.phase for step in steps) == [step.phase for step in steps]
        counted = [(step.done, step.total) for step in steps if step.phase == pb.REPLAY_PHASE_REPLAYING]
        assert (counted[0], counted[-1]) == ((0, 2 * USERS * STEPS), (2 * USERS * STEPS,) * 2)
        assert steps[-1].seconds >= steps[0].seconds > 0
        (result,) = [each.result for each in heard if each.WhichOneof("news") == "result"]
        found = json.loads(result.json)
        assert found["log"].pop("lost") == 0
        assert found["log"].pop("path") == (fields.get("log") or "the log of this service")
        assert found == json.loads(json.dumps(expected).replace(str(policy), version)) | {"log": found["log"]}
        assert found["log"] == {name: value for name, value in expected["log"].items() if name != "path"}
        first, frozen = expected["policies"]
        verdict = first["verdicts"]["the log"]
        assert result.passed == expected["passed"]
        assert [(each.policy, each.beside) for each in result.verdicts] == [
            (version, "the log"),
            (f"{version}, nobody's history", "the log"),
            (f"{version}, nobody's history", version),
        ]
        assert pb.Verdict.Outcome.Name(result.verdicts[0].outcome) == f"OUTCOME_{verdict['outcome'].replace(' ', '_')}"
        assert result.verdicts[0].difference.low == verdict["difference"]["low"]
        assert list(result.verdicts[2].reasons) == frozen["verdicts"][str(policy)]["reasons"]
        page = b"".join(each.report for each in heard).decode()
        assert page.startswith("<!doctype html>")
        assert page.count(version) >= 4
    assert not processes(server)
    assert b"pyarrow" not in Path(f"/proc/{server.process.pid}/maps").read_bytes()


async def test_a_cancelled_call_ends_its_process(server: Server, stub: Any) -> None:
    """Within a second, with all that it wrote; meanwhile one more is refused, afterwards there is room again."""
    before = ended(server).get('quickstudy_replays_total{outcome="cancelled"}', 0.0)
    call, pid, folder = await begun(stub, server)
    async with asyncio.timeout(SECONDS):
        while Path(f"/proc/{pid}/oom_score_adj").read_text() != "1000\n":
            await asyncio.sleep(0.01)
    assert (os.getpriority(os.PRIO_PROCESS, pid), os.getpgid(pid)) == (1, pid)
    assert server.metrics()["quickstudy_replays_running"] == 1
    assert await refusal(stub.Replay(pb.ReplayRequest())) == (
        "RESOURCE_EXHAUSTED", "OVERLOADED", "1 replays may be under way at once, and are",
    )  # fmt: skip
    call.cancel()
    await gone(pid, folder)
    assert ended(server)['quickstudy_replays_total{outcome="cancelled"}'] == before + 1
    assert server.metrics()["quickstudy_replays_running"] == 0


async def test_a_deadline_ends_the_process(server: Server, stub: Any) -> None:
    """As cancelling does."""
    call, pid, folder = await begun(stub, server, timeout=1.5)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        [each async for each in call]
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await gone(pid, folder)


async def test_cancelling_at_any_moment_leaves_room(server: Server, stub: Any) -> None:
    """Before the process is there, as it starts, and while it works."""
    for wait in (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4):
        call = stub.Replay(pb.ReplayRequest(), timeout=SECONDS)
        await asyncio.sleep(wait)
        found = processes(server)
        call.cancel()
        for pid, folder in found.items():
            await gone(pid, folder)
        async with asyncio.timeout(1.0):
            while server.metrics()["quickstudy_replays_running"] or processes(server):
                await asyncio.sleep(0.01)


async def test_a_process_that_dies_is_one_clear_error(server: Server, stub: Any) -> None:
    """The caller learns how it ended, and the service goes on."""
    call, pid, folder = await begun(stub, server)
    os.kill(pid, signal.SIGKILL)
    assert await refusal(call) == (
        "ABORTED", "BROKEN_OFF",
        "the replay's process ended by signal SIGKILL before its answer; the server's log has the details",
    )  # fmt: skip
    await gone(pid, folder)


@pytest.mark.parametrize(
    ("code", "fields", "words"),
    [
        ("INVALID_ARGUMENT", {"policy_versions": ["v"] * 9}, "policy_versions must hold 0..8 versions, got 9"),
        ("INVALID_ARGUMENT", {"policy_versions": [""]}, "policy_versions[0] must have 1..128 bytes, got 0"),
        ("INVALID_ARGUMENT", {"policy_versions": "aa"}, "policy_versions[1] must differ from those before it, got 'a'"),
        ("NOT_FOUND", {"policy_versions": ["0" * 16]}, "alone, not 0000000000000000"),
        ("INVALID_ARGUMENT", {"log": "../data"}, "none with a dot first, got '../data'"),
        ("INVALID_ARGUMENT", {"log": "a/../../data"}, "none with a dot first, got 'a/../../data'"),
        ("INVALID_ARGUMENT", {"log": "/etc"}, "none with a dot first, got '/etc'"),
        ("INVALID_ARGUMENT", {"log": "a\0b"}, "none with a dot first, got 'a\\x00b'"),
        ("INVALID_ARGUMENT", {"log": "x" * 257}, "log must have 0..256 bytes, got 257"),
        ("INVALID_ARGUMENT", {"log": "out/data"}, "log must not lead out of the folder of logs, got 'out/data'"),
        ("NOT_FOUND", {"log": "nowhere"}, "there is no log 'nowhere'; export one into the operator's folder of logs"),
        ("FAILED_PRECONDITION", {"log": "empty"}, "empty holds no decisions-*.parquet"),
        ("INVALID_ARGUMENT", {"estimator": "magic8"}, "estimator must be one of replay, ips"),
        ("INVALID_ARGUMENT", {"temperature": -1.0}, "temperature must be finite and at least 0, got -1"),
        ("INVALID_ARGUMENT", {"temperature": math.nan}, "temperature must be finite and at least 0, got nan"),
        ("INVALID_ARGUMENT", {"reward_window": Duration()}, "reward_window must be 0.001..316,224,000 s, got 0 s"),
        ("INVALID_ARGUMENT", {"default_reward": math.inf}, "default_reward must be finite, got inf"),
        ("INVALID_ARGUMENT", {"history": 129}, "history must be in 1..128, or 0, got 129"),
    ],
)
async def test_what_cannot_be_answered_is_refused(stub: Any, code: str, fields: dict[str, Any], words: str) -> None:
    """Field, rule and value, or what is missing; no path of the server's is told."""
    found, _, told = await refusal(stub.Replay(pb.ReplayRequest(**fields), timeout=SECONDS))
    assert (found, words in told) == (code, True), told
    assert "/judged" not in told


@pytest.fixture
def guarded(policy: Path, tmp_path: Path) -> Iterator[tuple[Server, dict[str, str]]]:
    """A server of two tenants without decisions, the first of whom has a folder of logs; and their tokens."""
    (tmp_path / "logs" / "shop" / "weekly").mkdir(parents=True)
    keys = {tenant: key(tmp_path / "tokens", tenant, "admin") for tenant in ("shop", "blog")}
    settings = {"ACCESS_TOKENS": str(tmp_path / "tokens"), "EVALUATION_LOGS": str(tmp_path / "logs")}
    server = start_server(policy, tmp_path / "data", EVALUATION_NICE="0", **settings)
    yield server, keys
    if server.process.poll() is None:
        assert server.stop() == 0


async def test_tenants_and_the_end_of_the_service(guarded: tuple[Server, dict[str, str]]) -> None:
    """A tenant's logs are nobody else's; a service that stops ends its replays and says so."""
    server, keys = guarded
    async with grpc.aio.insecure_channel(server.target) as channel:
        stub: Any = evaluation_pb2_grpc.EvaluationStub(channel)

        def asked(tenant: str, name: str = "") -> Any:
            metadata = (("authorization", f"Bearer {keys[tenant]}"),)
            return stub.Replay(pb.ReplayRequest(log=name), timeout=SECONDS, metadata=metadata)

        assert "weekly holds no decisions" in (await refusal(asked("shop", "weekly")))[2]
        for name in ("weekly", "shop/weekly"):
            assert (await refusal(asked("blog", name)))[:2] == ("NOT_FOUND", "UNKNOWN_LOG")
        assert "the service's log must hold a decision, got none" in (await refusal(asked("blog")))[2]
        call = asked("shop")
        while not (found := processes(server)):
            await asyncio.sleep(0.01)
        ((pid, folder),) = found.items()
        os.kill(pid, signal.SIGSTOP)
        server.process.send_signal(signal.SIGTERM)
        assert (await refusal(call))[:2] == ("UNAVAILABLE", "DRAINING")
        await gone(pid, folder)
    assert server.end() == 0


async def test_a_killed_service_takes_its_replays_along(guarded: tuple[Server, dict[str, str]]) -> None:
    """The process sees the end of the service, and cleans up after both."""
    server, keys = guarded
    metadata = (("authorization", f"Bearer {keys['shop']}"),)
    async with grpc.aio.insecure_channel(server.target) as channel:
        call = evaluation_pb2_grpc.EvaluationStub(channel).Replay(pb.ReplayRequest(), metadata=metadata)
        await call.read()
        ((pid, folder),) = processes(server).items()
        server.kill()
        await gone(pid, folder, within=SECONDS)
    stop_store(server.data_dir)


def test_a_service_without_pyarrow_says_what_to_install(policy: Path, tmp_path: Path) -> None:
    """The one package that a replay needs beside those of the service."""
    (tmp_path / "pyarrow.py").write_text("raise ModuleNotFoundError('gone', name='pyarrow')")
    job = Job(Question({"v": str(policy)}), str(tmp_path), "log", None, report=False)
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    child = [sys.executable, "-m", "service.evaluation.child", str(tmp_path)]
    with subprocess.Popen(child, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(job.line())
        process.stdin.flush()
        told = json.loads(process.stdout.readline())
        process.stdin.close()
    assert told == {"refused": "a replay needs pyarrow beside the service; install quickstudy[export] there"}
