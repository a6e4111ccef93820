"""The main job as a measurement: learn on simulated users, serve, and let new users click through gRPC.

Everybody meets the same users and the same offers. `adapted` goes through the real service with its store; the others
run in process: `session` is trained like it but sees the history only as features, `frozen` is the adapted policy that
has seen nothing of a user, and the rest are the simulator's own agents.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.processes import ROOT, service
from benchmarks.report import Claim, document
from meta.policy import Policy
from service.client.crowd import Crowd
from simulators import agents, picture
from simulators.agents.policy import PolicyAgent
from simulators.agents.port import Agent, JudgedWorld
from simulators.agents.served import ServedAgent
from simulators.earnings import STEPS
from simulators.interest_exploration import InterestExploration
from simulators.run import meet
from simulators.summary import summarise

CLI = [sys.executable, "-m", "quickstudy"]
TEST_SEED = 20_261_122
"""Of the users who judge; training and every choice of a setting used others."""


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
    world = InterestExploration(users)
    with service(adapted) as served, Crowd(served.address, "demo") as crowd:
        started = time.perf_counter()
        earned = [meet(world, [ServedAgent(crowd, name="adapted")], [TEST_SEED])]
        seconds = time.perf_counter() - started
    console.print(
        f"   {crowd.calls:,} recommendations and {crowd.events:,} events in {seconds:.0f} s; "
        f"ranked by a copy of the user's own: {crowd.reasons.pop(''):,}, "
        + ", ".join(f"{reason}: {count:,}" for reason, count in crowd.reasons.items())
    )
    earned += [meet(world, [agent], [TEST_SEED]) for agent in _beside(world, adapted, session)]
    rows = [summarise(each, earned[-1]) for each in earned]
    table = Table("clicks at step", *map(str, STEPS), "all steps", "40 on", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for row in rows:
        figures = [f"{mean.value:.2f}" for mean in row.by_step]
        table.add_row(row.agent, *figures, f"{row.overall.value:.3f} ±{row.overall.half:.3f}", f"{row.late.value:.3f}")
    console.print(table)
    picture.draw({f"{users} new users, {world.name}": earned}, out / "curve.png", unit="clicks")
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


def _beside(world: JudgedWorld, adapted: Path, session: Path) -> list[Agent]:
    """Everyone else, in the order of the table; the oracle is last."""
    return [
        PolicyAgent(Policy.load(session), name="session"),
        PolicyAgent(Policy.load(adapted), name="frozen", frozen=True),
        *agents.beside(world),
    ]
