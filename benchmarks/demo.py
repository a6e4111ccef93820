"""The main job as a measurement: learn on simulated users, serve, and let new users click through gRPC.

Everybody meets the same users and the same offers. `adapted` goes through the real service with its store; the others
run in process: `session` is trained like it but sees the history only as features, `frozen` is the adapted policy that
has seen nothing of a user, and the rest are the simulator's own agents.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.processes import ROOT, service
from benchmarks.report import Claim, document
from meta.policy import Policy
from meta.types import FloatArray, IntArray
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from simulators import picture
from simulators.agents.beta_thompson import BetaThompson
from simulators.agents.oracle import Oracle
from simulators.agents.policy import PolicyAgent
from simulators.agents.port import Agent, JudgedWorld
from simulators.agents.quality import Quality
from simulators.agents.random import Random
from simulators.interest_exploration import InterestExploration
from simulators.run import STEPS, summarise
from simulators.run import run as meet

CLI = [sys.executable, "-m", "quickstudy"]
TEST_SEED = 20_261_122
"""Of the users who judge; training and every choice of a setting used others."""


class ServedAgent:
    """An agent that asks the service for every slate and tells it every outcome, each user by calls of their own."""

    name = "adapted"

    def __init__(self, target: str) -> None:
        self._target = target
        self._loop = asyncio.Runner()

    def begin(self, world: JudgedWorld, seed: int) -> None:
        """New users with names that the service has never heard."""
        self._visit = uuid.uuid4().hex[:8]
        self._ids = np.asarray(world.catalogue().ids)
        self._size = world.slate_size
        self._step = 0
        self._client = self._loop.run(self._connect())
        self.events = 0
        self.calls = 0
        self.reasons: Counter[str] = (
            Counter()
        )  # why a slate was not ranked by a copy of the user's own; "" where it was

    def act(self, rows: IntArray) -> IntArray:
        """One `Recommend` a user, all at once."""
        replies = self._loop.run(self._ask(self._ids[rows]))
        self._decisions = [reply.decision_id for reply in replies]
        self.calls += len(replies)
        self.reasons.update(reply.adaptation.reason for reply in replies)
        slates = [[item.item_id for item in reply.items] for reply in replies]
        return np.asarray(
            [[offer.index(i) for i in slate] for offer, slate in zip(self._ids[rows].tolist(), slates, strict=True)]
        )

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """One `RecordEvents` a user with what was shown; reward 0 where it was not clicked."""
        self._loop.run(self._tell(self._ids[slate].tolist(), choice, reward))
        self._step += 1

    def close(self) -> None:
        """Ends the connection."""
        self._loop.run(self._client.__aexit__(None, None, None))
        self._loop.close()

    async def _connect(self) -> Client:
        client = Client(self._target, timeout_s=30.0)
        await client.ready()
        return client

    async def _ask(self, offers: np.ndarray) -> list[pb.RecommendResponse]:
        calls = [
            self._client.recommend(f"{self._visit}-{user}", offer, slate_size=self._size)
            for user, offer in enumerate(offers.tolist())
        ]
        return await asyncio.gather(*calls)

    async def _tell(self, slates: list[list[str]], choice: IntArray, reward: FloatArray) -> None:
        now = time.time_ns() // 1_000_000
        calls = []
        for user, slate in enumerate(slates):
            events = []
            for position, item_id in enumerate(slate):
                event = pb.Event(
                    event_id=f"{self._step}-{position}",
                    user_id=f"{self._visit}-{user}",
                    item_id=item_id,
                    reward=float(reward[user]) if choice[user] == position else 0.0,
                    decision_id=self._decisions[user],
                    position=position + 1,
                )
                event.time.FromMilliseconds(now)
                events.append(event)
            calls.append(self._client.record(events))
        for statuses in await asyncio.gather(*calls):
            if any(status.result != pb.EVENT_RESULT_ADDED for status in statuses):
                raise RuntimeError(f"the service did not add every event: {statuses}")
            self.events += len(statuses)


def run(out: Path, *, users: int, retrain: bool, seed: int, command: str) -> dict[str, Any]:
    """Tells the whole story on the terminal, leaves `curve.png` in `out`, and returns rows and claims.

    Args:
        out: folder of policies and picture.
        users: new users who click.
        retrain: learn anew though `out` holds policies.
        seed: of the training.
        command: what a stranger types to repeat the run.
    """
    console = Console()
    adapted, session = out / "adapted", out / "session"
    console.print("[bold]1. Learn[/] what users have in common, on simulated ones (world interest_exploration)")
    if retrain or not (adapted.exists() and session.exists()):
        _learn(adapted, session, seed)
    else:
        console.print(f"   using the policies in {out}; --retrain learns them anew")
    console.print(f"[bold]2. Serve[/] the policy, and let {users} new users click through gRPC")
    rewards = {}
    with service(adapted) as served:
        agent = ServedAgent(served.address)
        started = time.perf_counter()
        rewards["adapted"] = meet(InterestExploration(users), agent, TEST_SEED)
        seconds = time.perf_counter() - started
        agent.close()
    console.print(
        f"   {agent.calls:,} recommendations and {agent.events:,} events in {seconds:.0f} s; "
        f"ranked by a copy of the user's own: {agent.reasons.pop(''):,}, "
        + ", ".join(f"{reason}: {count:,}" for reason, count in agent.reasons.items())
    )
    rewards |= {agent.name: meet(InterestExploration(users), agent, TEST_SEED) for agent in _beside(adapted, session)}
    rows = [summarise(name, earned) for name, earned in rewards.items()]
    table = Table("clicks at step", *map(str, STEPS), "all steps", "40 on", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for row in rows:
        half = row.overall.high - row.overall.value
        figures = [f"{mean.value:.2f}" for mean in row.by_step]
        table.add_row(row.agent, *figures, f"{row.overall.value:.3f} ±{half:.3f}", f"{row.late.value:.3f}")
    console.print(table)
    picture.draw(rewards, out / "curve.png", title=f"{users} new users, interest_exploration")
    first = rows[0]
    claims = [
        Claim("clicks a step over 60 steps, adapted, through gRPC", first.overall.value, ">=", 0.64),
        Claim("clicks a step from step 40 on, adapted, through gRPC", first.late.value, ">=", 0.70),
    ]
    about = {"users": users, "seed": seed, "test_seed": TEST_SEED}
    result = document(command=command, rows=[row.as_json() for row in rows], claims=claims, **about)
    console.print(f"[bold]3. See[/] the curve in {out / 'curve.png'}, the figures beside it")
    console.print("[bold]4. Go on[/] with your own data:")
    console.print("   quickstudy train --interactions events.csv --items items.csv --out policies/mine")
    console.print("   quickstudy coldstart --policy policies/mine --interactions events.csv --items items.csv")
    console.print("   quickstudy serve --policy policies/mine")
    return result


def _learn(adapted: Path, session: Path, seed: int) -> None:
    """Trains both policies at once, one on each core; the longer one shows its progress."""
    common = ["train", "--env", "interest_exploration", "--seed", str(seed)]
    control = [*CLI, *common, "--adapter", "session", "--out", str(session.resolve())]
    with subprocess.Popen(control, cwd=ROOT, stdout=subprocess.DEVNULL) as other:
        subprocess.run([*CLI, *common, "--adapter", "maml", "--out", str(adapted.resolve())], cwd=ROOT, check=True)
        if other.wait():
            raise RuntimeError("training of the session policy failed")


def _beside(adapted: Path, session: Path) -> list[Agent]:
    """Everyone else, in the order of the table."""
    makers: list[Callable[[], Agent]] = [
        lambda: PolicyAgent(Policy.load(session), name="session"),
        lambda: PolicyAgent(Policy.load(adapted), name="frozen", frozen=True),
        Quality,
        Random,
        BetaThompson,
        Oracle,
    ]
    return [make() for make in makers]
