"""A search for hyper-parameters with Optuna, on validation users of a log or by reward in a world; no test user is met.

The first trial has the defaults, so the best is never worse than they are on the same users. The suggestions of every
later one depend on the seed, its number and the trials before it, which a file keeps: a search that is killed goes on
as if it had not been. A trial whose intermediate figure is below the median of the others' at the same point is given
up (median pruning: Golovin et al. 2017).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from meta.catalogue import Catalogue
from meta.dataset import Interactions
from meta.errors import InputError
from meta.experience import World
from meta.trainer import logs, worlds
from meta.trainer.budget import Budget
from meta.trainer.settings import ADAPTER, from_json
from meta.trainer.stopping import Stopping

DEFAULT = "maml"
"""The adapter of the first trial."""

FIRST = 5
"""Trials before any is given up, and before suggestions follow the others' results."""


@dataclass(frozen=True, slots=True)
class Range:
    """Where a number is sought.

    Args:
        low, high: both may be chosen.
        log: whether orders of magnitude count rather than differences.
    """

    low: float
    high: float
    log: bool = False


Space = Mapping[str, Range | tuple[Any, ...]]
"""Settings by name: a range of numbers, or the values to choose from."""

LOG: Space = {
    ADAPTER: ("maml", "ridge", "lstm_memory", "session"),
    "rate": Range(1e-3, 1e-2, log=True), "steps": (1, 2, 3), "order": (1, 2), "inner_rate": Range(0.1, 10.0, log=True),
    "width": (16, 32, 48, 64), "td_weight": Range(0.003, 0.3, log=True), "discount": Range(0.0, 0.95),
    "dropout": Range(0.0, 0.5), "polyak": Range(0.01, 0.1, log=True), "decay": Range(0.01, 1.0, log=True),
}  # fmt: skip
WORLD: Space = {
    ADAPTER: ("maml", "ridge", "lstm_memory", "session"),
    "rate": Range(1e-3, 1e-2, log=True), "steps": (1, 2, 3, 5), "order": (1, 2),
    "inner_rate": Range(0.1, 10.0, log=True), "width": (8, 16, 32), "td_weight": Range(0.1, 2.0, log=True),
    "discount": Range(0.5, 0.97), "mix": Range(0.0, 1.0), "polyak": Range(0.01, 0.1, log=True),
}  # fmt: skip
"""What is hard to set, by the kind of training; what a training does not have is left out."""


class Objective(Protocol):
    """What a search maximises: the figures of one training, the last of which counts."""

    space: Space
    settings: type[Any]

    def figures(self, adapter: str, how: Any) -> Iterator[tuple[int, float]]:
        """Train, and tell now and then how well: step and figure."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One training of a search.

    Args:
        number: from 0.
        state: complete, pruned, or running while it has no end.
        value: figure it reached, None where it reached none.
        settings: what it tried, by name.
    """

    number: int
    state: str
    value: float | None
    settings: dict[str, Any]


class OnLog(Objective):
    """Mean NDCG@10 over k of validation users at the stopping point."""

    space, settings = LOG, logs.Settings

    def __init__(self, interactions: Interactions, catalogue: Catalogue, seed: int) -> None:
        self._data, self._seed = (interactions, catalogue), seed

    def figures(self, adapter: str, how: logs.Settings) -> Iterator[tuple[int, float]]:
        """The smoothed best after each look."""
        task = logs.Task.of(*self._data, adapter, self._seed, how)
        how = logs.with_best_memory(task, how)
        stopping: Stopping = logs.stopping_of(how)
        learner = logs.learner_of(task, task.split.train, how)
        for _ in logs.search(task, learner, how, stopping):
            if stopping.looked_at == learner.iteration:
                yield learner.iteration, stopping.best


class InWorld(Objective):
    """Reward a step: of the users met in training now and then, of users met greedily in the end."""

    space, settings = WORLD, worlds.Settings

    def __init__(self, world: World, seed: int) -> None:
        self._world, self._seed = world, seed

    def figures(self, adapter: str, how: worlds.Settings) -> Iterator[tuple[int, float]]:
        """A tenth of the iterations lies between two figures."""
        from meta.checkpoint import load

        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "policy"
            for metrics in worlds.train(self._world, out, adapter=adapter, seed=self._seed, settings=how):
                if metrics.iteration % max(1, how.iterations // 10) == 0:
                    yield metrics.iteration, metrics.reward
            yield how.iterations + 1, load(out).manifest.metrics["reward_per_step"]


def tune(
    objective: Objective,
    study_file: Path,
    *,
    base: Mapping[str, Any],
    trials: int,
    budget: Budget,
    seed: int,
    space: Space | None = None,
) -> Iterator[list[Trial]]:
    """Search, and give all trials so far after each one.

    Args:
        objective: what is maximised.
        study_file: where trials are kept; a file of an earlier search is gone on with.
        base: settings of every trial, by name; what they set is not searched.
        trials: how many there will be in all, those of the file included.
        budget: no trial begins after it; one that has begun ends.
        seed: of the suggestions.
        space: other than the objective's own.

    Raises:
        InputError: the file is of a search for something else, or is no study.
    """
    space = {name: where for name, where in (space or objective.space).items() if name not in base}
    known = {*objective.settings.__dataclass_fields__, ADAPTER}
    space = {name: where for name, where in space.items() if name in known}
    study = _study(study_file, {"base": dict(base), "space": {k: _plain(v) for k, v in space.items()}, "seed": seed})
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # its process was killed
    while len(told := _told(study)) < trials and budget.left > 0:
        study.sampler = optuna.samplers.TPESampler(seed=seed + len(told), n_startup_trials=FIRST)
        _one(objective, study, space, base)
        yield _told(study)


def best(trials: list[Trial]) -> list[Trial]:
    """Complete trials, the best first."""
    return sorted((t for t in trials if t.state == "complete"), key=lambda t: -(t.value or 0.0))


def _one(objective: Objective, study: optuna.Study, space: Space, base: Mapping[str, Any]) -> None:
    """Run one trial; a training that diverges has the lowest value there is, one that is refused ends the search."""
    fields = objective.settings.__dataclass_fields__
    if not study.get_trials(deepcopy=False):
        default = {name: DEFAULT if name == ADAPTER else fields[name].default for name in space}
        study.enqueue_trial(default)
    trial = study.ask()
    tried = {name: _suggest(trial, name, where) for name, where in space.items()} | dict(base)
    adapter = str(tried.pop(ADAPTER, DEFAULT))
    reached = 0.0
    try:
        for step, reached in objective.figures(adapter, from_json(objective.settings, tried)):
            trial.report(reached, step)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                return
    except FloatingPointError:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return
    study.tell(trial, reached)


def _suggest(trial: optuna.Trial, name: str, where: Range | tuple[Any, ...]) -> Any:
    if isinstance(where, Range):
        return trial.suggest_float(name, where.low, where.high, log=where.log)
    return trial.suggest_categorical(name, where)


def _study(file: Path, of: dict[str, Any]) -> optuna.Study:
    """The study in a file, made where there is none; InputError where it is of another search."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        storage = JournalStorage(JournalFileBackend(str(file)))
        study = optuna.create_study(
            storage=storage, study_name="quickstudy", direction="maximize", load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=FIRST),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is no study, or damaged ({error}); name another --study file") from error
    was = study.user_attrs.get("of")
    if was is not None and was != of:
        raise InputError(f"{file} is a study of other settings, ranges or seed; name another --study file")
    if was is None:
        study.set_user_attr("of", of)
    return study


def _told(study: optuna.Study) -> list[Trial]:
    """Trials that ended, oldest first."""
    over = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    ended = study.get_trials(deepcopy=False, states=over)
    return [Trial(t.number, t.state.name.lower(), t.value, dict(t.params)) for t in ended]


def _plain(where: Range | tuple[Any, ...]) -> Any:
    return asdict(where) if isinstance(where, Range) else list(where)
