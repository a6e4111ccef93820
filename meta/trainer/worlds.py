"""Meta-training in a world: meet users, remember their episodes, learn to infer their taste and to plan by it.

One iteration lets fresh users click through the current policy with exploration, puts their episodes into the replay
memory, and takes a few gradient steps. A gradient step draws episodes, those that surprised more often where that is
wanted, and a block of consecutive steps; one forward pass adapts to every prefix that ends in the block, so each step
is the query of the history before it. The loss is

    cross-entropy of the users' choices + td_weight * Huber(V(s) + clicked * Adv(s, a) - y),

y the lambda- or n-step return bootstrapped by the Polyak target on the NEXT state's slate, which the online network
chooses (SlateQ: Ie et al. 2019, with the next state's slate; double DQN: van Hasselt et al. 2016). The choice term
keeps the copies honest without any bootstrapping; the TD term values what a slate does to the future. What it leaves
under-priced is found at the end, by trying prices on further users (`prices`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from meta.adapters import ADAPTERS, finetune
from meta.adapters.port import alert
from meta.checkpoint import Manifest, save
from meta.errors import InputError
from meta.experience import World
from meta.spec import Spec
from meta.trainer import descent
from meta.trainer.budget import Budget, Pace
from meta.trainer.prices import meetings, priced
from meta.trainer.rollout import meet
from meta.trainer.settings import from_json
from meta.trainer.snapshots import Snapshot, Snapshots
from meta.trainer.world_learner import Learner, Settings
from meta.trainer.world_losses import Block, Targets, losses, spread
from meta.types import FloatArray

__all__ = ["Metrics", "Settings", "train"]

TRIAL = 2
"""Iterations that are timed where the time is limited."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """What one iteration reports.

    Args:
        iteration: counted from 1.
        iterations: how many there will be.
        reward: reward a step of the users just met, exploration included.
        choice_loss, td_loss: means over the iteration's gradient steps.
        epsilon: chance of a random position just used.
    """

    iteration: int
    iterations: int
    reward: float
    choice_loss: float
    td_loss: float
    epsilon: float


def train(
    world: World,
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
    """Train a policy in `world` and save it to `out` after the last metrics.

    Killed and resumed, a training ends in the same policy, to the bit, as one that was left alone; so does one in a
    budget and one of as many iterations.

    Args:
        world: users to meet, `world.num_envs` an iteration.
        out: the policy folder to write; the state of the training is `OUT.training` beside it until then.
        adapter: a key of `meta.adapters.ADAPTERS`.
        seed: decides parameters, users, exploration and replay.
        settings: how to train.
        git_revision: of the code, for the manifest.
        resume: go on from a killed training's state, where there is one.
        budget: wall time; `settings.iterations` is lowered where they do not fit.
        keep_every: seconds between states, at least.

    Raises:
        InputError: no adapter has this name.
        SnapshotError: the state to resume is damaged or of another training.
        BudgetError: too little time to learn anything.
        FloatingPointError: the loss or its gradient is no longer finite; nothing is saved.
    """
    if adapter not in ADAPTERS:
        raise InputError(f"adapter must be one of {', '.join(ADAPTERS)}, got {adapter!r}")
    how, budget = settings or Settings(), budget or Budget()
    catalogue = world.catalogue()
    spec = Spec(  # its history counts decisions in training, where the service counts events
        items=len(catalogue), features=catalogue.features.shape[1], width=how.width, hidden=how.hidden, tower=how.tower,
        slate="logit", adapter=ADAPTERS[adapter].learns_as, context=world.context, steps=how.steps, order=how.order,
        history=max(1, how.history // world.slate_size), discount=how.discount,
    )  # fmt: skip
    data = f"{world.name} {world.num_envs} {world.steps} {catalogue.fingerprint}"
    run = {"kind": "world", "data": data, "adapter": adapter, "seed": seed, "settings": asdict(how)}
    snapshots = Snapshots(out, run, keep_every)
    state = snapshots.found() if resume else None
    if state is None:
        how = replace(how, iterations=_fitting(world, spec, catalogue.features, seed, how, budget))
    else:
        how = from_json(Settings, state.facts["settings"])
    rng = np.random.default_rng(seed)
    learner = Learner(spec, catalogue.features, world.steps, rng, how)
    world.reset(seed=seed)
    done, choice, td = 0, 0.0, 0.0
    if state is not None:
        learner.resume(state)
        rng.bit_generator.state, world.np_random.bit_generator.state = state.facts["rng"], state.facts["world"]
        done, (choice, td) = state.facts["iteration"], state.facts["losses"]
    for iteration in range(done, how.iterations):
        with descent.iteration(iteration + 1):
            reward, choice, td, epsilon = _iterate(world, learner, rng, how, iteration)
        snapshots.keep(lambda: _snapshot(world, learner, rng, how, iteration + 1, [choice, td]))  # noqa: B023 - at once
        yield Metrics(iteration + 1, how.iterations, reward, choice, td, epsilon)
    learnt = learner.learnt()
    if spec.adapter != adapter:
        spec = replace(spec, adapter=adapter)
        learnt = _transferred(learner, spec, rng, how)
    learnt = alert(learnt, how.alert)
    if how.discount:
        learnt = priced(world, catalogue.features, learnt, spec, rng, how.prices)
    final = meet(world, catalogue.features, learnt, spec, rng, epsilon=0.0, temperatures=(0.0,))
    tensors = {name: torch.as_tensor(value) for name, value in learnt.items()}
    scale = spread(tensors, spec, learner.features, Block.of(final, 0, world.steps)) if how.exploration else 0.0
    trained_on = {"kind": "world", "name": world.name, "users": how.iterations * world.num_envs, "seed": seed}
    metrics = {"reward_per_step": float(final.reward.mean()), "choice_loss": choice, "td_loss": td}
    manifest = Manifest(
        replace(spec, history=how.history),
        temperature=how.exploration * scale,
        trained_on=trained_on | {"settings": asdict(how)},
        metrics=metrics,
        git_revision=git_revision,
    )
    save(out, manifest, learnt, catalogue)
    snapshots.remove()


def _iterate(
    world: World, learner: Learner, rng: np.random.Generator, how: Settings, iteration: int
) -> tuple[float, float, float, float]:
    """Meet users and learn from the memory: reward a step, choice loss, TD loss, epsilon."""
    progress = iteration / how.iterations
    epsilon = _epsilon(progress, how)
    features = learner.features.numpy()
    episodes = meet(
        world, features, learner.learnt(), learner.spec, rng, epsilon=epsilon, temperatures=how.temperatures
    )
    learner.memory.add(episodes)
    choice, td = np.mean([learner.step(progress) for _ in range(how.updates)], 0).tolist()
    return float(episodes.reward.mean()), choice, td, epsilon


def _fitting(world: World, spec: Spec, features: FloatArray, seed: int, how: Settings, budget: Budget) -> int:
    """The iterations that fit into a budget, measured on a learner that is thrown away."""
    if not budget.limited:
        return how.iterations
    rng = np.random.default_rng(seed)
    learner = Learner(spec, features, world.steps, rng, how)
    world.reset(seed=seed)
    _iterate(world, learner, rng, how, 0)  # the first one warms up
    pace = Pace()
    for iteration in range(1, 1 + TRIAL):
        _iterate(world, learner, rng, how, iteration)
    seconds = pace.seconds(TRIAL)
    pace = Pace()
    meet(world, features, learner.learnt(), spec, rng, epsilon=0.0, temperatures=(0.0,))
    met_after = 1 + (meetings(how.prices) if how.discount else 0)
    return budget.fitting(how.iterations, seconds, seconds + met_after * pace.seconds(1))


def _snapshot(
    world: World, learner: Learner, rng: np.random.Generator, how: Settings, iteration: int, losses: list[float]
) -> Snapshot:
    """The learner's state, and that of all randomness."""
    of = learner.snapshot()
    drawn = {"rng": rng.bit_generator.state, "world": world.np_random.bit_generator.state}
    facts = {"settings": asdict(how), "iteration": iteration, "losses": losses}
    return Snapshot(of.arrays, of.facts | drawn | facts)


def _transferred(learner: Learner, spec: Spec, rng: np.random.Generator, how: Settings) -> dict[str, FloatArray]:
    """A pooled model with the rate of fine-tuning that foretells the last choices of remembered users best."""
    rows = learner.memory.sample(4 * how.batch, rng).rows
    block = Block.of(rows, max(0, int(rows.active.sum(1).mean()) - how.block), how.block)

    def foretold(params: Mapping[str, FloatArray]) -> float:
        tensors = {name: torch.from_numpy(value) for name, value in params.items()}
        with torch.no_grad():
            return -losses(tensors, tensors, spec, learner.features, block, Targets()).choice.item()

    return finetune.tuned(learner.learnt(), foretold)


def _epsilon(progress: float, how: Settings) -> float:
    first, last = how.epsilon
    return max(last, first + (last - first) * progress / how.explore) if how.explore else last
