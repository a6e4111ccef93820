"""Whether replay foretells what an adapting policy earns, and what a million decisions cost.

Users of `interest_exploration` meet an exploring policy that adapts to them; its decisions are written to files as a
service's log is, read back and replayed. Two truths are known from the simulator, both from code that is not
replay's:

- **in the logged places**: at every step of the logging run, what the judged policy would earn by one decision, from
  the users' hidden law. That is what SNIPS over decisions estimates.
- **deciding all along**: what the judged policy earns in its own first steps, with the histories that it brings about.
  That is what per-decision importance sampling over the first steps of each user estimates; its weights are products,
  so the horizon is short and the logging policy near.

The frozen policy, the same without anybody's history, is what a replay would judge that did not adapt.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import simulated_log
from benchmarks.report import Claim
from meta.experience import history
from meta.policy import Policy
from meta.ranking import gumbel_noise, plackett_luce
from meta.types import FloatArray, IntArray
from replay.adaptive import Replayed, replay
from replay.decisions import Log
from replay.estimators.per_decision_is import per_decision_is
from replay.estimators.snips import snips
from replay.intervals import Estimate, bootstrap
from replay.logged import Logged, Runs
from replay.reading import read
from simulators.interest_exploration import InterestExploration

RUNS, USERS, STEPS, CANDIDATES, HORIZON = 300, 400, 20, 10, 3
EXPLORING, JUDGED = 1.0, 0.6
"""Temperatures of the logging and of the judged policy, in standard deviations of the policy's scores."""
TRUTH = 20_000
"""Users in whom the truth of deciding all along is measured."""
ITERATIONS = 40


def world(users: int) -> InterestExploration:
    """Users who are offered ten documents and shown one, twenty times."""
    return InterestExploration(users, steps=STEPS, candidates=CANDIDATES, slate_size=1)


def trained(folder: Path, seed: int) -> Policy:
    """A policy trained shortly in that world."""
    from meta.trainer import worlds

    for _ in worlds.train(
        world(64), folder, adapter="maml", seed=seed, settings=worlds.Settings(iterations=ITERATIONS)
    ):
        pass
    return Policy.load(folder)


def foretold(
    folder: Path | None = None, runs: int = RUNS, seed: int = 17_000, tell: Callable[[str], None] = lambda _: None
) -> tuple[list[dict[str, Any]], list[Claim]]:
    """Coverage of both truths by the replay of the adapting policy and of the frozen one.

    Args:
        folder: of a policy trained in `world`; None: one is trained.
        runs: logs.
        seed: of the first log.
        tell: told of what is done.
    """
    with tempfile.TemporaryDirectory() as scratch:
        policy = trained(Path(scratch) / "policy", seed) if folder is None else Policy.load(folder)
        scale = spread(policy, seed)
        warm, cool = EXPLORING * scale, JUDGED * scale
        own = float(_meet(policy, TRUTH, seed - 1, cool, cool).reward[:, :HORIZON].mean())
        truths, found = [], []
        for run in range(runs):
            met = _meet(policy, USERS, seed + run, warm, cool)
            truths.append(met.judged.mean())
            found.append(_replayed(policy, met, Path(scratch) / f"log-{run}", cool, seed + run))
            if run % 10 == 9:
                tell(f"{run + 1} of {runs} logs")
    rows = []
    for name, truth in (("in the logged places", float(np.mean(truths))), ("deciding all along", own)):
        for who in ("adapting", "frozen"):
            each = [estimates[who, name] for estimates in found]
            rows.append(
                {
                    "truth is": name, "replayed": who, "truth": truth,
                    "mean estimate": float(np.mean([e.value for e in each])),
                    "mean half width": float(np.mean([(e.high - e.low) / 2 for e in each])),
                    "covered": float(np.mean([e.low <= truth <= e.high for e in each])), "logs": runs,
                }
            )  # fmt: skip
    covered: dict[tuple[Any, Any], Any] = {(row["truth is"], row["replayed"]): row["covered"] for row in rows}
    there, along = "in the logged places", "deciding all along"
    claims = [
        Claim(f"replay of the adapting policy covers its value, {there}", covered[there, "adapting"], ">=", 0.92),
        Claim(f"replay of the adapting policy covers its value, {along}", covered[along, "adapting"], ">=", 0.92),
        Claim(f"replay of the frozen policy covers that value, {there}", covered[there, "frozen"], "<=", 0.5),
    ]  # a run's first steps know few events, so there the frozen policy is hardly another one: no claim
    return rows, claims


def spread(policy: Policy, seed: int) -> float:
    """Standard deviation of scores among the candidates of users half-way through an episode."""
    met = _meet(policy, 200, seed, 0.0, 1.0)
    return float(np.mean(met.scores[:, STEPS // 2].std(-1)))


class _Met:
    """What a logging run left: rows [B, G, C], shown [B, G], its chance, rewards, scores, and what was judged."""

    def __init__(self, users: int) -> None:
        self.rows: IntArray = np.zeros((users, STEPS, CANDIDATES), np.int32)
        self.shown: IntArray = np.zeros((users, STEPS), np.int32)
        self.chance: FloatArray = np.ones((users, STEPS))
        self.reward: FloatArray = np.zeros((users, STEPS))
        self.scores: FloatArray = np.zeros((users, STEPS, CANDIDATES))
        self.judged: FloatArray = np.zeros((users, STEPS))


def _meet(policy: Policy, users: int, seed: int, warm: float, cool: float) -> _Met:
    """Let new users meet the policy at one temperature, and ask at every step what another would have earned."""
    place, met = world(users), _Met(users)
    policy = policy.among(place.catalogue())
    observation, _ = place.reset(seed=seed)
    rng = np.random.default_rng(seed)
    every = np.arange(users)
    size, warmth = np.ones(users, int), np.full(users, warm)
    for step in range(STEPS):
        rows = observation["candidates"]
        events = history(met.shown[:, :step, None], np.where(met.reward[:, :step] > 0, 0, -1), met.reward[:, :step])
        scores, valid = policy.weigh(policy.adapt(events).copy, events, rows, slate_size=size)
        noise = gumbel_noise(rng.integers(2**63, size=users).astype(np.uint64), rows)
        drawn, propensity = plackett_luce(scores, valid, warmth, noise, 1)
        odds = np.exp((scores - scores.max(1, keepdims=True)) / cool)
        appeal = place.appeal(rows)
        clicks = 1 / (1 + np.exp(place.no_choice - appeal))
        met.judged[:, step] = (odds / odds.sum(1, keepdims=True) * clicks * place.worth(rows)).sum(1)
        met.rows[:, step], met.shown[:, step], met.scores[:, step] = rows, rows[every, drawn[:, 0]], scores
        met.chance[:, step] = np.exp(propensity[:, 0])
        observation, met.reward[:, step], _, _, _ = place.step(drawn)
    return met


def written(met: _Met, ids: tuple[str, ...], folder: Path, part: int = 0) -> None:
    """The run as a log of two files, or as a part of one."""
    shown, chance, reward = met.shown[..., None], met.chance[..., None], met.reward[..., None]
    simulated_log.written(folder, ids, met.rows, shown, chance, reward, part=part)


def _replayed(policy: Policy, met: _Met, folder: Path, cool: float, seed: int) -> dict[tuple[str, str], Estimate]:
    """Estimates of both values by who is replayed and which value it is."""
    written(met, policy.catalogue.ids, folder)
    found = read(folder)
    estimates = {}
    for who in ("adapting", "frozen"):
        target = np.exp(_outcome(policy, found, cool, who == "adapting").log_propensity[:, 0].astype(float))
        decisions = found.decisions
        user, reward = decisions.user, decisions.reward[:, 0].astype(float)
        logging = decisions.propensity[:, 0].astype(float)
        first = tuple(each.reshape(-1, STEPS)[:, :HORIZON] for each in (reward, logging, target))
        there = snips(Logged(user, reward, logging, target))
        # Of a run the estimate is the sum over its steps; the truth is told by step.
        along = per_decision_is(Runs(np.arange(len(first[0])), first[0] / HORIZON, first[1], first[2]))
        told = bootstrap({"there": there, "along": along}, np.random.default_rng(seed))
        estimates[who, "in the logged places"], estimates[who, "deciding all along"] = told["there"], told["along"]
    return estimates


def _outcome(policy: Policy, found: Log, temperature: float, adapting: bool) -> Replayed:
    *_, last = replay(policy, found, temperature=temperature, adapting=adapting)
    if not isinstance(last, Replayed):
        raise TypeError("a replay ends with what it found")
    return last


def cost(decisions: int = 1_000_000) -> tuple[list[dict[str, Any]], list[Claim]]:
    """What replaying a log of 20 decisions a user and 10 candidates each costs, in a process of its own on one core."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "benchmarks.replay_adaptive", scratch]
        subprocess.run([*command, "write", str(decisions)], check=True)
        told = subprocess.run([*command, "read", str(decisions)], check=True, capture_output=True, text=True).stdout
    found = json.loads(told)
    claims = [
        Claim("decisions that were replayed", found["decisions"], "==", decisions // STEPS * STEPS),
        Claim(
            "seconds of replaying 1,000,000 decisions with adaptation, one core",
            found["seconds"] * 1e6 / decisions,
            "<=",
            180.0,
        ),
        Claim("GB at most in memory meanwhile", found["gigabytes"], "<=", 2.0),
    ]
    return [found], claims


def _write_many(folder: Path, decisions: int) -> None:
    """A log of uniformly drawn slates and likes, in files of 1,000 users, with an untrained policy to replay in it."""
    from meta import q_network
    from meta.checkpoint import Manifest, save
    from meta.spec import Spec

    rng = np.random.default_rng(0)
    catalogue = world(1).catalogue()
    spec = Spec(items=len(catalogue), features=catalogue.features.shape[1], slate="logit")
    save(folder / "policy", Manifest(spec=spec, temperature=1.0), q_network.init(spec, rng), catalogue)
    users = decisions // STEPS
    for start in range(0, users, 1_000):
        met = _Met(min(1_000, users - start))
        met.rows = rng.integers(len(catalogue), size=met.rows.shape, dtype=np.int32)
        met.shown, met.chance = met.rows[..., 0], np.full(met.shown.shape, 1 / CANDIDATES)
        met.reward = (rng.random(met.reward.shape) < 0.3).astype(float)
        written(met, catalogue.ids, folder, start)


def _read_many(folder: Path) -> dict[str, Any]:
    from replay.reading import parts

    begun, cpu = time.perf_counter(), time.process_time()
    policy, done, of = Policy.load(folder / "policy"), 0, parts(folder)
    for part in range(of):
        found = read(folder, part, of)
        read_s = time.process_time() - cpu
        for _ in replay(policy, found, first=True):
            pass
        done += len(found.decisions)
    return {
        "decisions": done, "candidates": CANDIDATES, "parts": of, "seconds": time.process_time() - cpu,
        "of these reading": read_s, "wall seconds": time.perf_counter() - begun,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }  # fmt: skip


if __name__ == "__main__":
    scratch, what, n = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    if what == "write":
        _write_many(scratch, n)
    else:
        print(json.dumps(_read_many(scratch)))
