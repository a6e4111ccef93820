"""A killed training goes on to the policy that it would have reached, or says in one line why it cannot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from meta.policy import Policy  # noqa: E402  # after the skip
from meta.trainer import logs, tasks, worlds  # noqa: E402
from meta.trainer.snapshots import Snapshot, SnapshotError, Snapshots  # noqa: E402
from simulators.control import CartPoles  # noqa: E402
from simulators.interest_exploration import InterestExploration  # noqa: E402
from tests.meta.tastes import SMALL, tastes  # noqa: E402

ROOT = Path(__file__).parents[2]
BRIEF = replace(SMALL, iterations=12, judge_every=4, penalty=(20.0,), met=(0.5,))


def train_logs(out: Path, kill_at: int = 0, **options: object) -> None:
    """Train on the log of tastes; this very process is killed once iteration `kill_at` is over."""
    for metrics in logs.train(*tastes(), out, seed=3, settings=BRIEF, keep_every=0.0, **options):  # type: ignore[arg-type]
        if metrics.iteration == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def train_world(out: Path, kill_at: int = 0, **options: object) -> None:
    """Train in a small world, likewise."""
    how = worlds.Settings(
        iterations=5, updates=3, batch=8, block=5, memory=20, width=4, hidden=8, steps=1, priority=0.6, prices=2
    )
    world = InterestExploration(8, steps=8, num_items=200, candidates=6)
    for metrics in worlds.train(world, out, seed=3, settings=how, keep_every=0.0, **options):  # type: ignore[arg-type]
        if metrics.iteration == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def train_tasks(out: Path, kill_at: int = 0, **options: object) -> None:
    """Train on a few cart-poles, likewise."""
    how = tasks.Settings(iterations=5, updates=2, episodes=2, batch=4, block=4, memory=12, width=4, hidden=8, steps=1)
    family = CartPoles(4, steps=12)
    for metrics in tasks.train(family, out, seed=3, settings=how, keep_every=0.0, **options):  # type: ignore[arg-type]
        if metrics.iteration == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def killed(which: str, out: Path, kill_at: int, **options: object) -> None:
    """Let a process of its own train, and be killed with SIGKILL after an iteration."""
    call = f"{which}(Path({str(out)!r}), {kill_at}, **{options!r})"
    code = f"from pathlib import Path; from tests.meta.test_resume import {which}; {call}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(
    ("which", "adapter", "kill_at"),
    [
        ("train_logs", "maml", 7),
        ("train_logs", "finetune", 19),
        ("train_world", "finetune", 4),
        ("train_tasks", "finetune", 3),
    ],
)
def test_a_killed_training_ends_in_the_same_policy(tmp_path: Path, which: str, adapter: str, kill_at: int) -> None:
    """Killed on a log while the stopping point is sought or in the kept round, or in a world: the twin's version."""
    train, twin, out = globals()[which], tmp_path / "twin", tmp_path / "policy"
    train(twin, adapter=adapter)
    killed(which, out, kill_at, adapter=adapter)
    assert not out.exists()
    assert (tmp_path / "policy.training").is_file()
    train(out, adapter=adapter, resume=True)
    assert Policy.load(twin).version == Policy.load(out).version
    assert ["policy", "twin"] == sorted(path.name for path in tmp_path.iterdir())


RUN = {"kind": "log", "seed": 1, "settings": {"rate": 0.1, "width": 4}}
STATE = Snapshot({"online.w": np.arange(6.0).reshape(2, 3), "noise": np.arange(3, dtype=np.uint8)}, {"iteration": 5})


def test_a_snapshot_is_read_as_it_was_kept(tmp_path: Path) -> None:
    """Arrays and facts come back; another file of the folder is never touched; without a file there is nothing."""
    snapshots = Snapshots(tmp_path / "p", RUN, every=0.0)
    assert snapshots.found() is None
    snapshots.keep(lambda: STATE)
    found = Snapshots(tmp_path / "p", RUN).found()
    assert found is not None
    assert {"iteration": 5} == found.facts
    for name, value in STATE.arrays.items():
        np.testing.assert_array_equal(value, found.arrays[name])
    assert ["p.training"] == [path.name for path in tmp_path.iterdir()]
    snapshots.remove()
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ({**RUN, "seed": 2}, "seed was 1, now it is 2"),
        ({**RUN, "settings": {"rate": 0.2, "width": 4}}, "settings was rate 0.1, now it is rate 0.2"),
        ({**RUN, "kind": "world"}, "kind was log, now it is world"),
    ],
)
def test_a_snapshot_of_another_run_is_refused(tmp_path: Path, run: dict[str, object], words: str) -> None:
    """The error says what differs, and how to start anew."""
    Snapshots(tmp_path / "p", RUN, every=0.0).keep(lambda: STATE)
    with pytest.raises(SnapshotError, match=f"{words}; train without --resume to start anew"):
        Snapshots(tmp_path / "p", run).found()


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign"])
def test_a_damaged_snapshot_is_refused(tmp_path: Path, damage: str) -> None:
    """Cut short, with one bit turned, empty, or another file altogether: one sentence."""
    snapshots = Snapshots(tmp_path / "p", RUN, every=0.0)
    snapshots.keep(lambda: STATE)
    whole = snapshots.path.read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    snapshots.path.write_bytes({"cut": whole[:-9], "flip": flipped, "empty": b"", "foreign": b"{}" * 50}[damage])
    with pytest.raises(SnapshotError, match=r"damaged.*train without --resume to start anew"):
        snapshots.found()
