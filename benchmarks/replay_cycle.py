"""Whether the loop is worth closing: a world that changes, and a policy that learns from its own log round by round.

In `drifting_taste` the fashion turns in three steps: sweets stop winning, and what looks like quality is liked at
first and disliked in the end. A policy that was trained before serves, with exploration, users of each step; their log
is exported, teaches the next policy (`train --decisions --from`), and judges it on users who were left out. The policy
after three rounds then meets fresh users of the last step beside the first one. In the first round of the first
training users go through the real service, gRPC and store, and `quickstudy export`; in the others they meet the same
policy in process, and their log has the same files.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import retraining
from benchmarks import simulated_log
from benchmarks.processes import ROOT, service
from benchmarks.report import Claim
from meta.checkpoint import load
from meta.experience import history
from meta.policy import Policy
from meta.trainer import decisions, worlds
from replay import log, reading
from replay.held_out import held_out
from replay.question import Question
from service.client.crowd import Crowd
from simulators.agents.policy import PolicyAgent
from simulators.agents.served import ServedAgent
from simulators.drifting_taste import DriftingTaste
from simulators.run import meet, run

ROUNDS, TRAININGS, USERS, FRESH = 3, 6, 200, 500
EXPLORATION, HOLD_OUT = 0.3, 0.2
TEST_SEED = 9_100
LEARNING = worlds.Settings(iterations=40, prices=4, exploration=EXPLORATION)
AGAIN = decisions.Settings(iterations=15, exploration=EXPLORATION)


def world(users: int, step: int, steps: int = 40) -> DriftingTaste:
    """Users of a step of the fashion, from 0, as the first policy knew them, to `ROUNDS`."""
    gone = step / ROUNDS
    return DriftingTaste(
        users, steps=steps, sweetness_weight=2.0 - 2.0 * gone, quality_weight=0.4 - 1.4 * gone,
        watch_quality=0.3 - 0.8 * gone,
    )  # fmt: skip


def closed(
    seed: int = TEST_SEED,
    trainings: int = TRAININGS,
    users: int = USERS,
    fresh: int = FRESH,
    learning: worlds.Settings = LEARNING,
    again: decisions.Settings = AGAIN,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[list[dict[str, Any]], list[Claim]]:
    """Rounds of the loop, and what the first and the last policy earn of fresh users.

    Args:
        seed: of everything.
        trainings: loops, each from a first policy of its own.
        users: who meet a policy in a round.
        fresh: users who judge.
        learning, again: how the first policy and the later ones learn.
        tell: told of each round.
    """
    rows: list[dict[str, Any]] = []
    first: list[Policy] = []
    last: list[Policy] = []
    with tempfile.TemporaryDirectory() as scratch:
        for k in range(trainings):
            folder = Path(scratch) / f"{k}-0"
            for _ in worlds.train(world(64, 0), folder, seed=seed + k, settings=learning):
                pass
            first.append(Policy.load(folder))
            for step in range(1, ROUNDS + 1):
                tell(f"training {k + 1}, round {step}")
                mine = seed + 100 * (k + 1) + step
                serve = _through_the_service if k == 0 and step == 1 else _in_process
                row: dict[str, Any] = {"training": k + 1, "round": step, "users are met": serve.__name__.strip("_")}
                row["earned a step"] = serve(folder, world(users, step), mine, Path(scratch) / f"log-{k}-{step}")
                following = Path(scratch) / f"{k}-{step}"
                _learn(Path(scratch) / f"log-{k}-{step}", folder, following, mine, again)
                row |= _judged(Path(scratch) / f"log-{k}-{step}", following, folder)
                rows.append(row)
                folder = following
            last.append(Policy.load(folder))
    earned = {
        name: meet(world(fresh, ROUNDS), [PolicyAgent(each, temperature=0.0) for each in those], [seed + 99]).overall
        for name, those in (("first", first), ("last", last))
    }
    rows += [{"policy": name, "reward a step": x.value, "from": x.low, "to": x.high} for name, x in earned.items()]
    through = [row for row in rows if row.get("users are met") == "through_the_service"]
    claims = [
        Claim(
            "reward a step of the changed world: lower end of the policy's interval after three rounds, less the upper "
            "end of the first one's", earned["last"].low - earned["first"].high, ">", 0.0,
        ),
        Claim("rounds in which users went through the real service", float(len(through)), ">=", 1.0),
    ]  # fmt: skip
    return rows, claims


def _learn(folder: Path, start: Path, out: Path, seed: int, how: decisions.Settings) -> None:
    """The next policy, as `quickstudy train --decisions FOLDER --from START --hold-out .2` makes it."""
    before = load(start)
    found = reading.read(folder, among=lambda user: not held_out(user, HOLD_OUT))
    book, _ = retraining.logbook(found, before.catalogue)
    about = {"held_out": HOLD_OUT}
    for _ in decisions.train(
        book, before.catalogue, out, start=before, about=about, adapter=before.manifest.spec.adapter, seed=seed,
        settings=how,
    ):  # fmt: skip
        pass


def _judged(folder: Path, following: Path, before: Path) -> dict[str, Any]:
    """What `quickstudy replay --held-out` says of the next policy beside the one that logged."""
    question = Question({"next": str(following), "before": str(before)}, frozen=False)
    parts = reading.in_parts(folder, None, None, HOLD_OUT)
    told = question.answer(question.contenders(), str(folder), parts, lambda *_: None)
    verdict = told["policies"][0]["verdicts"]["the log"]
    return {"replay says": verdict["outcome"], "by": verdict["difference"]["value"]}


def _through_the_service(folder: Path, met: DriftingTaste, seed: int, out: Path) -> float:
    """Serve, let users click, export: reward a step."""
    whole = met.num_envs * met.steps
    with tempfile.TemporaryDirectory() as data, service(folder, "--data-dir", data) as served:
        with Crowd(served.address, f"cycle-{seed}") as crowd:
            earned = float(run(met, ServedAgent(crowd), seed).mean())
        for _ in range(100):  # the last decisions are logged a moment after their replies
            _export(["--data-dir", data, "--out", str(out)])
            if log.rows(out, "decisions") >= whole:
                return earned
            time.sleep(0.1)
    raise RuntimeError(f"the log must hold {whole} decisions, got {log.rows(out, 'decisions')}")


def _export(options: Sequence[str]) -> None:
    """What `quickstudy export` does with these options."""
    command = [sys.executable, "-m", "quickstudy", "export", *options]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def _in_process(folder: Path, met: DriftingTaste, seed: int, out: Path) -> float:
    """Let users meet the policy as the service would serve it, and write their log: reward a step."""
    policy, rng = Policy.load(folder), np.random.default_rng(seed)
    users, steps, size = met.num_envs, met.steps, met.slate_size
    offer = np.zeros((users, steps, met.candidates), np.int32)
    slate = np.zeros((users, steps, size), np.int32)
    chance, choice, earned = np.ones(slate.shape), np.full((users, steps), -1), np.zeros((users, steps))
    observation, _ = met.reset(seed=seed)
    for step in range(steps):
        offer[:, step] = observation["candidates"]
        known = slice(max(0, step - policy.manifest.history_cap // size), step)
        events = history(slate[:, known], choice[:, known], earned[:, known])
        ranking = policy.rank(
            policy.adapt(events).copy, events, offer[:, step], slate_size=np.full(users, size),
            temperature=np.full(users, policy.manifest.temperature),
            seed=rng.integers(2**63, size=users).astype(np.uint64),
        )  # fmt: skip
        slate[:, step], chance[:, step] = ranking.row, np.exp(ranking.log_propensity)
        shown = (offer[:, step, None, :] == ranking.row[:, :, None]).argmax(-1)
        observation, earned[:, step], _, _, info = met.step(shown)
        choice[:, step] = info["choice"]
    reward = np.where(np.arange(size) == choice[..., None], earned[..., None], 0.0)
    simulated_log.written(out, met.catalogue().ids, offer, slate, chance, reward)
    return float(earned.mean())
