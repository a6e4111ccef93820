"""What training costs: a step by items, users and events, a training from end to end, and a policy of a million items.

Steps are of the learner for very many items (sampled softmax) on synthetic logs, in CPU seconds of one thread, so that
other work on the machine does not count; each figure is the median of several steps after a warm-up.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import RESULTS, Claim, write
from meta.catalogue import Catalogue
from meta.tasks import Sequences

ITEMS = (1_000, 10_000, 100_000, 1_000_000)
USERS = (24, 48, 96, 192)
EVENTS = (16, 32, 64, 128)
MANY = 100_000
"""Items while users and events vary."""
STEPS, WARM_UP = 15, 3


def run(movielens: Path, out: Path = RESULTS / "train.json", seed: int = 0) -> dict[str, Any]:
    """Measure everything, write the table with its claims, and return it."""
    from meta.trainer.log_learner import Settings

    how = Settings()
    by_items = {items: step_seconds(items, how, seed) for items in ITEMS}
    by_users = {users: step_seconds(MANY, replace(how, batch=users), seed) for users in USERS}
    by_events = {events: step_seconds(MANY, replace(how, length=events, short=events), seed) for events in EVENTS}
    whole, served = end_to_end(movielens, seed), serving(max(ITEMS), seed)
    rows = [
        {"axis": axis, "value": value, "milliseconds a step": 1e3 * seconds}
        for axis, measured in (("items", by_items), ("users a step", by_users), ("events of a user", by_events))
        for value, seconds in measured.items()
    ]
    claims = [
        Claim("step at 1,000,000 items over step at 10,000", by_items[1_000_000] / by_items[10_000], "<=", 2.0),
        Claim("step at most, when users double", worst(by_users), "<=", 2.2),
        Claim("step at most, when events double", worst(by_events), "<=", 2.2),
        Claim("CPU seconds of training the default policy, ml-latest-small", whole["cpu_seconds"], "<=", 180.0),
        Claim("peak memory of training the default policy, GB", whole["gigabytes"], "<=", 2.0),
    ]
    return write(
        out, command=f"quickstudy bench train --movielens {movielens.name}", rows=rows, claims=claims, seed=seed,
        end_to_end=whole, serving_a_million_items=served,
    )  # fmt: skip


def step_seconds(items: int, how: Any, seed: int) -> float:
    """CPU seconds of one step of the sampled learner, the median of some."""
    learner = _learner(items, how, seed)
    seconds = []
    for _ in range(WARM_UP + STEPS):
        begun = time.process_time()
        learner.step()
        seconds.append(time.process_time() - begun)
    return float(np.median(seconds[WARM_UP:]))


def synthetic(items: int, rng: np.random.Generator, users: int = 1500, each: int = 200) -> tuple[Sequences, Catalogue]:
    """A log whose items are liked as by Zipf's law, half of all events; 8 features of an item."""
    chance = 1.0 / (10.0 + np.arange(items))
    item = np.searchsorted(np.cumsum(chance), rng.random(users * each) * chance.sum()).astype(np.int32)
    log = Sequences(
        np.arange(users + 1) * each, rng.permutation(items).astype(np.int32)[item],
        (rng.random(users * each) < 0.5).astype(np.float32), np.tile(np.arange(each) * 60_000, users),
        tuple(map(str, range(users))), items,
    )  # fmt: skip
    features = rng.standard_normal((items, 8)).astype(np.float32)
    return log, Catalogue.from_features([f"i{row}" for row in range(items)], features, [f"f{j}" for j in range(8)])


def end_to_end(movielens: Path, seed: int) -> dict[str, float]:
    """The default policy by the command line in a process of its own: wall and CPU seconds, peak memory."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "quickstudy", "train", "--movielens", str(movielens.resolve())]
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(
            [*command, "--out", f"{scratch}/p", "--seed", str(seed)],
            cwd=Path(__file__).parents[1], check=True, capture_output=True,
        )  # fmt: skip
        wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_seconds": wall, "cpu_seconds": cpu, "gigabytes": after.ru_maxrss / 1e6}  # Linux counts in kB


def serving(items: int, seed: int) -> dict[str, float]:
    """A policy of so many items, saved and loaded: CPU seconds to load, CPU milliseconds to rank for one user."""
    from meta.checkpoint import save
    from meta.policy import Policy
    from meta.tasks import windows
    from meta.trainer.log_learner import Settings

    rng = np.random.default_rng(seed)
    log, catalogue = synthetic(items, rng)
    learner = _learner(items, Settings(), seed)
    with tempfile.TemporaryDirectory() as scratch:
        save(Path(scratch) / "p", learner.manifest, learner.learnt(), catalogue)
        begun = time.process_time()
        policy = Policy.load(Path(scratch) / "p")
        load = time.process_time() - begun
    events = windows(log, log.offsets[:1], log.offsets[:1] + 50, 50)
    one: dict[str, Any] = {"slate_size": np.asarray([10]), "temperature": np.zeros(1), "seed": np.zeros(1, np.uint64)}
    copy, few = policy.adapt(events).copy, rng.integers(items, size=(1, 100))
    told = {"load_seconds": load}
    for name, candidates in (("rank_100_milliseconds", few), ("rank_all_milliseconds", None)):
        taken = []
        for _ in range(7):
            begun = time.process_time()
            policy.rank(copy, events, candidates, **one)
            taken.append(time.process_time() - begun)
        told[name] = 1e3 * float(np.median(taken))
    return told


def draw(result: dict[str, Any], path: Path) -> None:
    """Three panels: milliseconds a step by items, users and events, each on a logarithmic scale."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    axes_of = list(dict.fromkeys(row["axis"] for row in result["rows"]))
    figure, panels = pyplot.subplots(1, len(axes_of), figsize=(10, 3.2), layout="constrained", sharey=True)
    for panel, axis in zip(panels, axes_of, strict=True):
        rows = [row for row in result["rows"] if row["axis"] == axis]
        values = [row["value"] for row in rows]
        panel.plot(values, [row["milliseconds a step"] for row in rows], marker=".")
        panel.set(xscale="log", xlabel=axis)
        panel.set_xticks(values, [f"{value:,}" for value in values])
        panel.xaxis.minorticks_off()
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("CPU milliseconds a step")
    panels[0].set_ylim(bottom=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _learner(items: int, how: Any, seed: int) -> Any:
    import torch

    from meta.trainer.sampled_learner import SampledLearner

    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    log, catalogue = synthetic(items, rng)
    return SampledLearner(log, catalogue, np.arange(len(log.users)), "maml", rng, how)


def worst(seconds: dict[int, float]) -> float:
    """The largest ratio of neighbours."""
    return max(b / a for a, b in pairwise(seconds.values()))
