"""Control: the adapters of the recommender, unchanged, on a robot and on a game, after 0, 1, 2 and 5 episodes.

Every adapter is meta-trained on random tasks of a family and then meets tasks it never saw: after k episodes, in which
it explores, it plays one without exploring, whose return counts. `dqn` is what it is held against: the same network
without adaptation, trained on a single task and judged on that one. The test tasks are the same for all adapters and
seeds, those of `dqn` are the first of them; intervals are over tasks, each the mean of its seeds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Claim, write
from meta.adapters import ADAPTERS
from meta.checkpoint import load
from meta.trainer import tasks
from meta.trainer.play import play
from meta.trainer.tasks import Settings
from meta.types import FloatArray
from simulators import TASKS

EPISODES = (0, 1, 2, 5)
"""Episodes of adaptation, the columns of the table."""
SEEDS = (0, 1, 2)
"""Of training."""
TEST_TASKS = 200
TEST_SEED = 90_000
"""Training seeds are far below; no setting was chosen on the tasks of this one."""
SINGLE = 5
"""Tasks that a DQN of their own is trained on."""
BATCH = 32
"""Tasks met at once in training."""


@dataclass(frozen=True, slots=True)
class Question:
    """One family and what is promised of it.

    Args:
        family: a key of `simulators.TASKS`.
        settings: of meta-training.
        single: iterations of a DQN on one task.
        explore: chance of a random action in the episodes of adaptation.
        after: episodes after which the adapted return is held against the bound.
        adapted, frozen: bounds of the returns of `maml` and `frozen`, as shares of the single-task DQN's.
    """

    family: str
    settings: Settings
    single: int
    explore: float
    after: int
    adapted: float
    frozen: float


QUESTIONS = (
    Question("cartpole", tasks.SETTINGS["cartpole"], single=50, explore=0.1, after=1, adapted=0.85, frozen=0.5),
    Question("grid", tasks.SETTINGS["grid"], single=15, explore=0.6, after=5, adapted=0.6, frozen=0.35),
)


def run(path: Path, picture: Path) -> dict[str, Any]:
    """Train and judge everybody, two processes at once; writes the result and its picture."""
    rows: list[dict[str, Any]] = []
    claims: list[Claim] = []
    curves: dict[str, dict[str, FloatArray]] = {}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        waiting = {
            question: {name: [pool.submit(job, question, *what) for what in jobs] for name, jobs in _jobs().items()}
            for question in QUESTIONS
        }
        for question, by_name in waiting.items():
            returns = {name: [each.result() for each in some] for name, some in by_name.items()}
            single = np.stack([x.mean(1) for x in returns.pop("dqn")], 1)
            earned = {name: np.mean(some, 0) for name, some in returns.items()} | {"dqn": single}
            rows += [
                _row(question, name, values, [float(_after(question, x).mean()) for x in returns.get(name, [])])
                for name, values in earned.items()
            ]
            claims += _claims(question, earned)
            curves[question.family] = earned
    draw(curves, picture)
    return write(
        path,
        command="quickstudy bench control",
        rows=rows,
        claims=claims,
        seeds=list(SEEDS),
        test={"seed": TEST_SEED, "tasks": TEST_TASKS, "single-task DQNs": SINGLE},
        questions=[asdict(question) for question in QUESTIONS],
    )


def job(question: Question, adapter: str, seed: int, task: int | None) -> FloatArray:
    """Train and judge one: returns [len(EPISODES), tasks], or [.., episodes] of the one task of a DQN."""
    import torch

    torch.set_num_threads(1)
    drawn = TASKS[question.family](TEST_TASKS)
    drawn.reset(seed=TEST_SEED)
    how, family, test = question.settings, TASKS[question.family](BATCH), drawn.only(np.arange(TEST_TASKS))
    if task is not None:
        how = replace(how, iterations=question.single)
        family, test = drawn.only(np.full(BATCH, task)), drawn.only(np.full(BATCH, task))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "policy"
        for _ in tasks.train(family, out, adapter=adapter, seed=seed, settings=how):
            pass
        policy = load(out)
    return judge(test, policy.params, policy.manifest.spec, how, question.explore, seed)


def judge(
    family: Any, params: Mapping[str, FloatArray], spec: Any, how: Settings, explore: float, seed: int
) -> FloatArray:
    """Return of one greedy episode of each task after k episodes of adaptation, float [len(EPISODES), B]."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in EPISODES:
        family.reset(seed=TEST_SEED)
        chances = np.array([[explore]] * k + [[0.0]])
        _, returns = play(family, params, spec, how.credit, rng, episodes=k + 1, epsilon=chances, window=how.window)
        rows.append(returns[:, -1])
    return np.stack(rows)


def draw(curves: Mapping[str, Mapping[str, FloatArray]], path: Path) -> None:
    """Write a PNG: return by episodes of adaptation, a panel a family.

    Args:
        curves: by family and name, returns [len(EPISODES), tasks].
        path: the file to write; its folder is made.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(curves), figsize=(11, 4), layout="constrained")
    for axes, (family, earned) in zip(np.atleast_1d(panels), curves.items(), strict=True):
        for name, values in earned.items():
            mean, half = values.mean(1), _half(values)
            style = {"color": "black", "linestyle": "--"} if name == "dqn" else {"marker": "."}
            (line,) = axes.plot(range(len(EPISODES)), mean, label=name, **style)
            axes.fill_between(range(len(EPISODES)), mean - half, mean + half, color=line.get_color(), alpha=0.12, lw=0)
        axes.set_xticks(range(len(EPISODES)), [str(k) for k in EPISODES])
        axes.set(xlabel="episodes of adaptation", ylabel="return of the next episode", title=family)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _jobs() -> dict[str, list[tuple[str, int, int | None]]]:
    """Whom to train, by name: adapter, seed, and the task where there is only one."""
    meta: dict[str, list[tuple[str, int, int | None]]] = {
        name: [(name, seed, None) for seed in SEEDS] for name in ADAPTERS
    }
    return meta | {"dqn": [("frozen", task, task) for task in range(SINGLE)]}


def _claims(question: Question, earned: Mapping[str, FloatArray]) -> list[Claim]:
    """What `maml` and `frozen` earn as shares of what the single-task DQN does."""
    single = float(_after(question, earned["dqn"]).mean())
    adapted, frozen = (float(_after(question, earned[name]).mean()) / single for name in ("maml", "frozen"))
    episodes = "one episode" if question.after == 1 else f"{question.after} episodes"
    return [
        Claim(f"{question.family}: maml after {episodes} / single-task DQN", adapted, ">=", question.adapted),
        Claim(f"{question.family}: frozen / single-task DQN", frozen, "<=", question.frozen),
    ]


def _after(question: Question, returns: FloatArray) -> FloatArray:
    """The column that the claims are about."""
    column: FloatArray = returns[EPISODES.index(question.after)]
    return column


def _row(question: Question, name: str, returns: FloatArray, seeds: Sequence[float]) -> dict[str, Any]:
    """Mean and half of its 95% interval over tasks for each number of episodes, and the claimed column by seed."""
    cells = {
        str(k): {"mean": float(values.mean()), "half": float(half)}
        for k, values, half in zip(EPISODES, returns, _half(returns), strict=True)
    }
    return {"family": question.family, "who": name, "tasks": returns.shape[1], **cells, "seeds": list(seeds)}


def _half(returns: FloatArray) -> FloatArray:
    """Half of a 95% interval of the mean over tasks (normal approximation): [rows, tasks] -> [rows]."""
    half: FloatArray = 1.96 * returns.std(1, ddof=1) / returns.shape[1] ** 0.5
    return half


def printable(result: Mapping[str, Any]) -> list[dict[str, str]]:
    """The rows of a result as cells."""
    return [
        {"family": row["family"], "who": row["who"]}
        | {f"{k} episodes": f"{row[str(k)]['mean']:.2f} +-{row[str(k)]['half']:.2f}" for k in EPISODES}
        for row in result["rows"]
    ]
