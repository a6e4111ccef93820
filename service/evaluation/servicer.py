"""The call of service Evaluation: check, one process, news of it as they come."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import grpc

from protos.quickstudy.v1 import evaluation_pb2 as pb
from replay.question import DEFAULT, ESTIMATORS, JUDGING, REPLAYING, Question
from service.access.gate import Context, Gate
from service.errors import DrainingError, InvalidFieldError, OverloadedError, UnanswerableError, UnknownLogError
from service.evaluation.job import EXPORTING, Job, Source
from service.evaluation.process import Replay, started
from service.interceptors import news_handler
from service.metrics import Metrics
from service.policies.library import Fixed, Library
from service.serving import Serving
from service.settings import MAX_HISTORY, EvaluationSettings
from service.store import Store

if TYPE_CHECKING:
    from service.traces import Traces

SERVICE = "quickstudy.v1.Evaluation"
MAX_VERSIONS, MAX_VERSION_BYTES, MAX_LOG_BYTES = 8, 128, 256
MAX_WINDOW_S = 3_660 * 86_400
RETRY_S = 30.0
"""When a replay that found no room should be asked for again, seconds."""
PIECE = 1 << 16
"""Bytes of a piece of the report."""
_LOG_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
_PHASES: Mapping[str, pb.ReplayPhase] = {
    EXPORTING: pb.REPLAY_PHASE_EXPORTING,
    REPLAYING: pb.REPLAY_PHASE_REPLAYING,
    JUDGING: pb.REPLAY_PHASE_JUDGING,
}
_OUTCOMES: Mapping[str, pb.Verdict.Outcome] = {
    "BETTER": pb.Verdict.OUTCOME_BETTER,
    "WORSE": pb.Verdict.OUTCOME_WORSE,
    "CANNOT TELL": pb.Verdict.OUTCOME_CANNOT_TELL,
}


class Evaluation:
    """The handler of service Evaluation.

    Args:
        serving: the policy that serves.
        library: the versions that can be judged.
        store: says how many events of a user are kept.
        source: the log that the service keeps; of which tenant, the caller's token says.
        gate: whom every call has to pass; None: nobody.
        traces: makes a span of each call; None: nobody wants them.
    """

    def __init__(
        self,
        serving: Serving,
        library: Library | Fixed,
        store: Store,
        source: Source,
        settings: EvaluationSettings,
        metrics: Metrics,
        gate: Gate | None,
        traces: Traces | None,
    ) -> None:
        self._serving = serving
        self._library = library
        self._store = store
        self._source = source
        self._most = settings.processes
        self._logs = settings.logs
        self._nice = settings.nice
        self._metrics = metrics
        self._gate = gate
        self._traces = traces
        self._room = settings.processes
        self._running: set[Replay] = set()
        self._draining = False

    def handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        """All methods, wrapped, as grpc.aio takes them."""
        around = partial(self._traces.around, SERVICE) if self._traces else None
        replay = news_handler("Replay", self.replay, pb.ReplayRequest.FromString, self._metrics, self._gate, around)
        return grpc.method_handlers_generic_handler(SERVICE, {"Replay": replay})

    def drain(self) -> None:
        """Ends all replays; from now on none begins."""
        self._draining = True
        for each in self._running:
            each.stop()

    async def replay(self, request: pb.ReplayRequest, context: Context, tenant: str) -> AsyncGenerator[bytes, None]:
        """Steps, then the result, then the report."""
        began = perf_counter()
        check(request)
        job = await self._job(request, tenant)
        if not self._room:
            raise OverloadedError(f"{self._most} replays may be under way at once, and are", RETRY_S, "replay running")
        self._room -= 1
        self._metrics.replays_running.inc()
        outcome = "broken off"
        try:
            async with started(job, self._nice) as running:
                self._running.add(running)
                try:
                    if self._draining:
                        running.stop()
                    async for step in running.steps():
                        seconds = perf_counter() - began
                        told = pb.ReplayStep(
                            phase=_PHASES[step.phase], done=step.done, total=step.total, seconds=seconds
                        )
                        yield pb.ReplayProgress(step=told).SerializeToString()
                    found = _result(running.result())
                    outcome = "passed" if found.passed else "not passed"
                    self._metrics.replay_seconds.observe(perf_counter() - began)
                    yield pb.ReplayProgress(result=found).SerializeToString()
                    page = running.report() if job.report else b""
                    for at in range(0, len(page), PIECE):
                        yield pb.ReplayProgress(report=page[at : at + PIECE]).SerializeToString()
                finally:
                    self._running.discard(running)
        except UnanswerableError:
            outcome = "unanswerable"
            raise
        except (GeneratorExit, asyncio.CancelledError, DrainingError):
            outcome = "cancelled"
            raise
        finally:
            self._room += 1
            self._metrics.replays_running.dec()
            self._metrics.replays.labels(outcome).inc()

    async def _job(self, request: pb.ReplayRequest, tenant: str) -> Job:
        """What the process is to do. Raises UnknownVersionError, UnknownLogError and UnanswerableError."""
        if not self._most:
            raise UnanswerableError("replays are switched off here: QUICKSTUDY_EVALUATION_PROCESSES is 0")
        policies = {}
        for version in request.policy_versions or (self._serving.active.policy.version,):
            folder = await asyncio.to_thread(self._library.folder, version)
            policies[version] = str(folder.resolve())
        question = Question(
            policies,
            estimator=request.estimator or DEFAULT,
            temperature=request.temperature if request.HasField("temperature") else None,
            reward_window_s=_seconds(request) if request.HasField("reward_window") else None,
            default_reward=request.default_reward if request.HasField("default_reward") else None,
            history=request.history or self._store.cap,
            frozen=not request.without_frozen,
            not_worse=request.not_worse,
            seed=request.seed,
        )
        if not request.log:
            source = replace(self._source, tenant=tenant)
            return Job(question, "", "the log of this service", source, request.report)
        return Job(question, str(self._folder(request.log, tenant)), request.log, None, request.report)

    def _folder(self, log: str, tenant: str) -> Path:
        """The folder that has a log of the tenant in it."""
        if self._logs is None:
            raise UnanswerableError(
                "this service has no folder of logs: set QUICKSTUDY_EVALUATION_LOGS, or ask for the service's own log"
            )
        folder = (self._logs / tenant).resolve()
        if not (folder / log).resolve().is_relative_to(folder):
            raise InvalidFieldError("log", f"must not lead out of the folder of logs, got {log!r}")
        if not (folder / log).is_dir():
            raise UnknownLogError(f"there is no log {log!r}; export one into the operator's folder of logs")
        return folder


def check(request: pb.ReplayRequest) -> None:
    """Raises InvalidFieldError for the first field that breaks a rule."""
    if (n := len(request.policy_versions)) > MAX_VERSIONS:
        raise InvalidFieldError("policy_versions", f"must hold 0..{MAX_VERSIONS} versions, got {n:,}")
    for at, version in enumerate(request.policy_versions):
        if not 1 <= (size := len(version.encode())) <= MAX_VERSION_BYTES:
            raise InvalidFieldError(f"policy_versions[{at}]", f"must have 1..{MAX_VERSION_BYTES} bytes, got {size:,}")
        if version in request.policy_versions[:at]:
            raise InvalidFieldError(f"policy_versions[{at}]", f"must differ from those before it, got {version!r}")
    if request.log:
        if (size := len(request.log.encode())) > MAX_LOG_BYTES:
            raise InvalidFieldError("log", f"must have 0..{MAX_LOG_BYTES} bytes, got {size:,}")
        if not _LOG_NAME.fullmatch(request.log):
            rule = "must be names of a-z, A-Z, 0-9, '_', '-' and '.', with '/' between, none with a dot first"
            raise InvalidFieldError("log", f"{rule}, got {request.log!r}")
    if request.estimator and request.estimator not in ESTIMATORS:
        raise InvalidFieldError("estimator", f"must be one of {', '.join(ESTIMATORS)}, got {request.estimator[:64]!r}")
    if not 0 <= request.temperature < math.inf:
        raise InvalidFieldError("temperature", f"must be finite and at least 0, got {request.temperature:g}")
    if request.HasField("reward_window") and not 0.001 <= (seconds := _seconds(request)) <= MAX_WINDOW_S:
        raise InvalidFieldError("reward_window", f"must be 0.001..{MAX_WINDOW_S:,} s, got {seconds:,g} s")
    if not math.isfinite(request.default_reward):
        raise InvalidFieldError("default_reward", f"must be finite, got {request.default_reward:g}")
    if request.history > MAX_HISTORY:
        raise InvalidFieldError("history", f"must be in 1..{MAX_HISTORY}, or 0, got {request.history:,}")


def _seconds(request: pb.ReplayRequest) -> float:
    return float(request.reward_window.seconds + request.reward_window.nanos / 1e9)


def _result(text: str) -> pb.ReplayResult:
    """What the process found, its verdicts as fields."""
    told = json.loads(text)
    verdicts = [
        pb.Verdict(
            policy=policy["name"],
            beside=beside,
            outcome=_OUTCOMES[found["outcome"]],
            difference=pb.Estimate(**found["difference"]),
            reasons=found["reasons"],
        )
        for policy in told["policies"]
        for beside, found in policy["verdicts"].items()
    ]
    return pb.ReplayResult(passed=told["passed"], verdicts=verdicts, json=text)
