"""Meta-training on a family of control tasks: the adapters of the recommender, unchanged, on a robot or a game.

One iteration plays fresh tasks for a few episodes each and puts them into the replay memory; a gradient step draws
tasks, and in each an episode at which the past ends. What is recalled of the past is the support, a block of steps from
there on is the query. The loss at the adapted copies is

    likelihood * cross-entropy(v(s, a), grade of the step) + Huber(Q(s, a) - y),
    y = r + gamma Q_target(s', argmax_a' Q(s', a'))

(double DQN: van Hasselt et al. 2016), y and grades under the Polyak target of the meta parameters and detached; the
target's Q adapts to the same support. The grades are explained in `recall`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from meta import q_network
from meta.adapters import ADAPTERS, finetune
from meta.catalogue import Catalogue
from meta.checkpoint import Manifest, save
from meta.errors import InputError
from meta.experience import ReplayMemory, Transitions
from meta.spec import Spec
from meta.td import double_q_target, huber
from meta.trainer import descent
from meta.trainer.budget import Budget, Pace
from meta.trainer.descent import Tensors, adam, descend, in_order
from meta.trainer.play import Family, at, begins, newest, play
from meta.trainer.recall import TAU, Credit, Steps, action_values, adapt, advantages, believe, recall
from meta.trainer.settings import from_json
from meta.trainer.snapshots import Snapshot, Snapshots, moments, numbers, put_back, put_moments_back
from meta.types import FloatArray

TRIAL = 2
"""Iterations that are timed where the time is limited."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train.

    Args:
        iterations: rounds of playing and learning; every schedule runs by it.
        updates: gradient steps an iteration.
        episodes: K, of each task.
        batch: tasks a gradient step.
        block: consecutive steps of a task that a gradient step learns from.
        memory: tasks that the replay memory keeps.
        rate: peak step size of Adam; embeddings and the adapter's rates take three times that.
        warm_up: gradient steps until the peak, from where a cosine falls to a fiftieth.
        clip: largest norm of the gradient.
        polyak: share of the online parameters in each move of the target's.
        likelihood: weight of the likelihood beside the TD loss.
        discount: gamma a step.
        mix: lambda of the grades, see `recall`.
        window: newest steps of a task among which those to recall are picked.
        history: most steps that are recalled.
        epsilon: chances of a random action in training, dealt out over tasks.
        width, hidden, steps: see `Spec`.
    """

    iterations: int = 50
    updates: int = 24
    episodes: int = 3
    batch: int = 32
    block: int = 16
    memory: int = 1024
    rate: float = 3e-3
    warm_up: int = 50
    clip: float = 2.0
    polyak: float = 0.02
    likelihood: float = 0.01
    discount: float = 0.97
    mix: float = 0.0
    window: int = 64
    history: int = 32
    epsilon: tuple[float, ...] = (0.05, 0.15, 0.4)
    width: int = 16
    hidden: int = 64
    steps: int = 3

    @property
    def credit(self) -> Credit:
        """How surprise is shared out."""
        return Credit(self.discount, self.mix)


SETTINGS = {
    "cartpole": Settings(),
    "grid": Settings(
        iterations=50, episodes=4, batch=48, block=12, rate=5e-3, polyak=0.05, likelihood=0.1, discount=0.9, mix=0.9,
        window=128, epsilon=(0.2, 0.5, 1.0), width=32,
    ),
}  # fmt: skip
"""What each family was tuned with, on tasks of other seeds than those that judge; `Settings()` for any other."""

FASTER = {"item.": 3.0, "maml.rate": 3.0, "evidence.decay": 3.0}
"""Parameters by the start of their name whose step size is a multiple of the others'."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """What one iteration reports.

    Args:
        iteration: counted from 1.
        iterations: how many there will be.
        first, last: mean return of the first and of the last episode of the tasks just played, exploration included.
        likelihood, td_loss: means over the iteration's gradient steps.
    """

    iteration: int
    iterations: int
    first: float
    last: float
    likelihood: float
    td_loss: float


def train(
    family: Family,
    out: Path,
    *,
    adapter: str = "maml",
    seed: int = 0,
    settings: Settings | None = None,
    git_revision: str = "",
    resume: bool = False,
    budget: Budget | None = None,
    keep_every: float = 10.0,
) -> Iterator[Metrics]:
    """Meta-train a policy on `family` and save it to `out` after the last metrics.

    Killed and resumed, a training ends in the same policy, to the bit, as one that was left alone; so does one in a
    budget and one of as many iterations.

    Args:
        family: tasks to play, `family.num_envs` an iteration.
        out: the policy folder to write; its catalogue are the actions, its weights the Polyak average.
        adapter: a key of `meta.adapters.ADAPTERS`.
        seed: decides parameters, tasks, exploration and replay.
        settings: how to train; None takes the family's of `SETTINGS`.
        git_revision: of the code, for the manifest.
        resume: go on from a killed training's state, `OUT.training`, where there is one.
        budget: wall time; `settings.iterations` is lowered where they do not fit.
        keep_every: seconds between states, at least.

    Raises:
        InputError: no adapter has this name.
        SnapshotError: the state to resume is damaged or of another training.
        BudgetError: too little time to learn anything.
        FloatingPointError: the loss is no longer finite.
    """
    if adapter not in ADAPTERS:
        raise InputError(f"adapter must be one of {', '.join(ADAPTERS)}, got {adapter!r}")
    how, budget = settings or SETTINGS.get(family.name, Settings()), budget or Budget()
    data = f"{family.name} {family.num_envs} {family.steps}"
    run = {"kind": "tasks", "data": data, "adapter": adapter, "seed": seed, "settings": asdict(how)}
    snapshots = Snapshots(out, run, keep_every)
    state = snapshots.found() if resume else None
    if state is None:
        how = replace(how, iterations=_fitting(family, out, adapter, seed, how, budget))
    else:
        how = from_json(Settings, state.facts["settings"])
    spec = Spec(
        items=family.actions, features=family.actions, width=how.width, hidden=how.hidden, slate="graded",
        adapter=ADAPTERS[adapter].learns_as, context=len(family.scale), steps=how.steps, history=how.history,
        discount=how.discount,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    params = {k: torch.tensor(v, requires_grad=True) for k, v in q_network.init(spec, rng).items()}
    target = {k: v.detach().clone() for k, v in params.items()} | {TAU: torch.tensor(0.05)}
    optimiser, schedule = adam(params, how.rate, FASTER, how.warm_up, how.iterations * how.updates)
    memory: ReplayMemory[Transitions] = ReplayMemory(how.memory)
    family.reset(seed=seed)
    chances = np.resize(np.asarray(how.epsilon), (1, family.num_envs))
    names, done, told = in_order(params, FASTER), 0, [0.0] * 4

    def keep() -> Snapshot:
        arrays = numbers(params, "online") | numbers(target, "target") | moments(optimiser, names)
        arrays |= {f"memory.{name}": value for name, value in memory.state().items()}
        return Snapshot(arrays, {
            "settings": asdict(how), "iteration": done, "told": told, "steps": schedule.last_epoch,
            "rates": [group["lr"] for group in optimiser.param_groups],
            "rng": rng.bit_generator.state, "tasks": family.np_random.bit_generator.state,
        })  # fmt: skip

    if state is not None:
        put_back(params, state.arrays, "online")
        put_back(target, state.arrays, "target")
        put_moments_back(optimiser, names, state.arrays)
        kept = {name.removeprefix("memory."): x for name, x in state.arrays.items() if name.startswith("memory.")}
        memory.resume(Transitions, kept)
        schedule.last_epoch, done, told = (state.facts[name] for name in ("steps", "iteration", "told"))
        for group, rate in zip(optimiser.param_groups, state.facts["rates"], strict=True):
            group["lr"] = rate
        rng.bit_generator.state = state.facts["rng"]
        family.np_random.bit_generator.state = state.facts["tasks"]
    for iteration in range(done, how.iterations):
        lived, returns = play(
            family, _numpy(params | {TAU: target[TAU]}), spec, how.credit, rng, episodes=how.episodes,
            epsilon=chances if iteration else np.ones((1, 1)), window=how.window,
        )  # fmt: skip
        memory.add(lived)
        losses = []
        for _ in range(how.updates):
            past, query = draw(memory.sample(how.batch, rng).rows, how, rng)
            likelihood, td_loss = block_losses(params, target, spec, past, query, how.credit)
            with descent.iteration(iteration + 1):
                descend(how.likelihood * likelihood + td_loss, params, optimiser, how.clip)
            schedule.step()
            with torch.no_grad():
                for name, value in params.items():
                    target[name].lerp_(value, how.polyak)
            losses.append((likelihood.item(), td_loss.item()))
        nll, td = np.mean(losses, 0).tolist()
        done, told = iteration + 1, [*returns.mean(0)[[0, -1]].tolist(), nll, td]
        snapshots.keep(keep)
        yield Metrics(done, how.iterations, *told)
    learnt = _numpy(target)
    if spec.adapter != adapter:
        spec = replace(spec, adapter=adapter)
        parts = draw(memory.sample(8 * how.batch, rng).rows, how, rng)
        learnt = finetune.tuned(learnt, lambda tried: -_foretold(tried, spec, *parts, how.credit))
    trained_on = {"kind": "tasks", "name": family.name, "tasks": how.iterations * family.num_envs, "seed": seed}
    metrics = dict(zip(("first_return", "last_return", "likelihood", "td_loss"), told, strict=True))
    manifest = Manifest(
        spec, trained_on=trained_on | {"settings": asdict(how)}, metrics=metrics, git_revision=git_revision
    )
    actions = [f"action-{row}" for row in range(family.actions)]
    save(out, manifest, learnt, Catalogue.from_features(actions, np.eye(family.actions), actions))
    snapshots.remove()


def _fitting(family: Family, out: Path, adapter: str, seed: int, how: Settings, budget: Budget) -> int:
    """The iterations that fit into a budget, measured on a training that is thrown away."""
    if not budget.limited:
        return how.iterations
    probe = iter(train(family, out, adapter=adapter, seed=seed, settings=how, keep_every=math.inf))
    next(probe)  # the first one warms up, and plays at random
    pace = Pace()
    for _ in range(TRIAL):
        next(probe)
    return budget.fitting(how.iterations, pace.seconds(TRIAL))


def draw(lived: Transitions, how: Settings, rng: np.random.Generator) -> tuple[Steps, Steps]:
    """Cut what tasks lived through where an episode begins: the newest steps before, and a block of later ones."""
    tasks = len(lived)
    begin = begins(lived, how.episodes)
    first, last = begin[np.arange(tasks), rng.integers(how.episodes, size=tasks)], begin[:, -1]
    start = first + (rng.random(tasks) * np.maximum(last - first - how.block + 1, 1)).astype(int)
    index = start[:, None] + np.arange(how.block)
    query = at(lived, np.minimum(index, last[:, None] - 1), index < last[:, None])
    return _torch(newest(lived, first, how.window)), _torch(query)


def block_losses(
    params: Tensors, target: Tensors, spec: Spec, past: Steps, query: Steps, credit: Credit
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the likelihood loss of the grades and the TD loss of the query's steps at the copies made of the past.

    The target's tau moves a twentieth of the way to the usual size of the query's advantages.
    """
    features = torch.eye(spec.items)
    every = torch.ones((*query.action.shape, spec.items), dtype=torch.bool)
    with torch.no_grad():
        events = recall(target, spec, past, credit)
        advantage = advantages(target, spec, query, credit)
        grade = torch.sigmoid(advantage / target[TAU])
        target[TAU].lerp_((query.valid * advantage**2).sum().div(query.valid.sum()).sqrt(), 0.05)
        table = q_network.items(target, spec, features)
        copy = adapt(target, spec, table, events)
        q_target = action_values(target, believe(target, spec, table, events, copy, query.next_observation), table)
    table = q_network.items(params, spec, features)
    copy = adapt(params, spec, table, events)
    belief = believe(params, spec, table, events, copy, query.observation)
    with torch.no_grad():
        q_online = action_values(params, believe(params, spec, table, events, copy, query.next_observation), table)
        discount = credit.discount * (~query.terminated).float()
        y = double_q_target(query.reward, discount, q_online, q_target, every)
    q = action_values(params, belief, table).gather(-1, query.action[..., None])[..., 0]
    logit = (belief.taste_v * table.e_v[query.action]).sum(-1) + table.b_v[query.action]
    weight = query.valid / query.valid.sum()
    return (weight * cross_entropy(logit, grade, reduction="none")).sum(), (weight * huber(q - y)).sum()


def _foretold(params: dict[str, FloatArray], spec: Spec, past: Steps, query: Steps, credit: Credit) -> float:
    """How badly learnt parameters foretell the grades of later steps."""
    tensors = {name: torch.from_numpy(value) for name, value in params.items()}
    with torch.no_grad():
        return float(block_losses(tensors, dict(tensors), spec, past, query, credit)[0])


def _torch(steps: Steps) -> Steps:
    arrays = {field.name: torch.from_numpy(getattr(steps, field.name)) for field in fields(steps)}
    return Steps(**arrays | {"action": arrays["action"].long()})


def _numpy(params: Tensors) -> dict[str, FloatArray]:
    return {k: v.detach().numpy().copy() for k, v in params.items()}
