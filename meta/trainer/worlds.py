"""Meta-training in a world: meet users, remember their episodes, learn to infer their taste and to plan by it.

One iteration lets fresh users click through the current policy with exploration, puts their episodes into the replay
memory, and takes a few gradient steps. A gradient step draws episodes and a block of consecutive steps; one forward
pass adapts to every prefix that ends in the block, so each step is the query of the history before it. The loss is

    cross-entropy of the users' choices + td_weight * Huber(V(s) + clicked * Adv(s, a) - y),

y the lambda-return bootstrapped by the Polyak target on the NEXT state's slate, which the online network chooses
(SlateQ: Ie et al. 2019, with the next state's slate; double DQN: van Hasselt et al. 2016). The choice term keeps the
copies honest without any bootstrapping; the TD term prices what a slate does to the future.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from meta import q_network
from meta.adapters import ADAPTERS, finetune
from meta.arrays import top
from meta.checkpoint import Manifest, save
from meta.errors import InputError
from meta.experience import Episodes, ReplayMemory, World, history
from meta.ranking import slate_scores, slate_value
from meta.spec import Spec
from meta.td import huber, lambda_returns
from meta.trainer.rollout import meet, values
from meta.types import Events, FloatArray

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train; the defaults are what the world `interest_exploration` was tuned with.

    Args:
        iterations: rounds of meeting users and learning; every schedule runs by it, never by the clock.
        updates: gradient steps an iteration.
        batch: episodes a gradient step.
        block: consecutive steps of an episode that a gradient step learns from.
        memory: episodes that the replay memory keeps.
        rate: peak step size of Adam; the item towers and the adapter's rates take the multiples in `FASTER`.
        warm_up: gradient steps until the peak, from where a cosine falls to a fiftieth.
        clip: largest norm of the gradient.
        polyak: share of the online parameters in each move of the target's.
        td_weight: weight of the TD loss beside the choice loss.
        mix: lambda of the returns, 0..1.
        discount: gamma a step, 0..1.
        epsilon: first and last chance that a slate position is filled at random.
        explore: share of the iterations over which epsilon falls.
        temperatures: of Plackett-Luce exploration, in standard deviations of a request's scores, dealt out over users.
        width, hidden, tower, steps: see `Spec`.
        history: most decisions of a user that adaptation sees.
    """

    iterations: int = 100
    updates: int = 8
    batch: int = 64
    block: int = 20
    memory: int = 1536
    rate: float = 4e-3
    warm_up: int = 50
    clip: float = 2.0
    polyak: float = 0.03
    td_weight: float = 0.5
    mix: float = 0.8
    discount: float = 0.9
    epsilon: tuple[float, float] = (0.5, 0.02)
    explore: float = 0.6
    temperatures: tuple[float, ...] = (0.0, 0.3, 0.6, 1.0)
    width: int = 16
    hidden: int = 64
    tower: int = 0
    steps: int = 3
    history: int = 128


FASTER = {"item.": 3.0, "taste.": 3.0, "maml.rate": 5.0, "evidence.decay": 5.0}
"""Parameters by the start of their name whose step size is a multiple of the others': as Adam ignores the scale of the
gradient, this equals a larger scale of their outputs."""


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
) -> Iterator[Metrics]:
    """Train a policy in `world` and save it to `out` after the last metrics.

    Args:
        world: users to meet, `world.num_envs` an iteration.
        out: the policy folder to write.
        adapter: a key of `meta.adapters.ADAPTERS`.
        seed: decides parameters, users, exploration and replay.
        settings: how to train.
        git_revision: of the code, for the manifest.

    Raises:
        InputError: no adapter has this name.
        FloatingPointError: the loss is no longer finite.
    """
    if adapter not in ADAPTERS:
        raise InputError(f"adapter must be one of {', '.join(ADAPTERS)}, got {adapter!r}")
    how = settings or Settings()
    catalogue = world.catalogue()
    spec = Spec(
        items=len(catalogue), features=catalogue.features.shape[1], width=how.width, hidden=how.hidden, tower=how.tower,
        slate="logit", adapter=ADAPTERS[adapter].learns_as, steps=how.steps, history=how.history, discount=how.discount,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    params = {k: torch.tensor(v, requires_grad=True) for k, v in q_network.init(spec, rng).items()}
    target = {k: v.detach().clone() for k, v in params.items()}
    features = torch.from_numpy(catalogue.features)
    optimiser, schedule = _optimiser(params, how)
    memory: ReplayMemory[Episodes] = ReplayMemory(how.memory)
    world.reset(seed=seed)
    for iteration in range(how.iterations):
        epsilon = _epsilon(iteration / how.iterations, how)
        episodes = meet(
            world, catalogue.features, _numpy(params), spec, rng, epsilon=epsilon, temperatures=how.temperatures
        )
        memory.add(episodes)
        losses = []
        for _ in range(how.updates):
            start = int(rng.integers(world.steps - how.block + 1)) if world.steps > how.block else 0
            drawn = memory.sample(how.batch, rng).rows
            choice_loss, td_loss = block_losses(params, target, spec, features, drawn, start, how)
            _descend(choice_loss + how.td_weight * td_loss, params, optimiser, how.clip)
            schedule.step()
            with torch.no_grad():
                for name, value in target.items():
                    value.lerp_(params[name], how.polyak)
            losses.append((choice_loss.item(), td_loss.item()))
        choice, td = np.mean(losses, 0).tolist()
        yield Metrics(iteration + 1, how.iterations, float(episodes.reward.mean()), choice, td, epsilon)
    learnt = _numpy(params)
    if spec.adapter != adapter:
        spec = replace(spec, adapter=adapter)
        drawn = memory.sample(4 * how.batch, rng).rows
        start = max(0, world.steps - how.block)
        learnt = finetune.tuned(learnt, lambda tried: -_choice_loss(tried, spec, features, drawn, start, how))
    final = meet(world, catalogue.features, learnt, spec, rng, epsilon=0.0, temperatures=(0.0,))
    trained_on = {"kind": "world", "name": world.name, "users": how.iterations * world.num_envs, "seed": seed}
    metrics = {"reward_per_step": float(final.reward.mean()), "choice_loss": choice, "td_loss": td}
    manifest = Manifest(
        spec, trained_on=trained_on | {"settings": asdict(how)}, metrics=metrics, git_revision=git_revision
    )
    save(out, manifest, learnt, catalogue)


def block_losses(
    params: Tensors,
    target: Tensors,
    spec: Spec,
    features: torch.Tensor,
    episodes: Episodes,
    start: int,
    how: Settings,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the choice loss and the TD loss of steps start..start + block - 1 of some episodes.

    Args:
        params, target: online parameters, which learn, and the target's, which do not.
        features: float [N, F], the catalogue.
        start: first step of the block.
    """
    end = min(start + how.block, episodes.reward.shape[1])
    now = slice(start, end)
    events = history(episodes.slate[:, :end], episodes.choice[:, :end], episodes.reward[:, :end]).map(torch.from_numpy)
    prefix = torch.arange(start, end + 1).expand(len(episodes), -1)
    table = q_network.items(params, spec, features)
    belief = q_network.believe(params, spec, table, events, prefix)
    before, after = _prefixes(belief, slice(None, -1)), _prefixes(belief, slice(1, None))
    v, advantage = values(params, before, table, torch.from_numpy(episodes.slate[:, now]).long())
    choice = torch.from_numpy(episodes.choice[:, now]).long()
    nothing = torch.zeros_like(v[..., :1])
    choice_loss = torch.nn.functional.cross_entropy(torch.cat([nothing, v], -1).flatten(0, 1), choice.flatten() + 1)
    clicked = torch.nn.functional.one_hot(choice + 1, v.shape[-1] + 1)[..., 1:]
    q = before.value + (clicked * advantage).sum(-1)
    with torch.no_grad():
        next_offer = torch.from_numpy(episodes.offer[:, start + 1 : end + 1]).long()
        next_value = _next_values(params, target, spec, features, table, after, events, prefix, next_offer, v.shape[-1])
        discount = torch.full_like(q, how.discount)
        if end == episodes.reward.shape[1]:
            discount[:, -1] *= torch.from_numpy(~episodes.terminated)
        y = lambda_returns(torch.from_numpy(episodes.reward[:, now]), discount, next_value, how.mix)
    return choice_loss, huber(q - y).mean()


def _choice_loss(
    params: Mapping[str, FloatArray], spec: Spec, features: torch.Tensor, episodes: Episodes, start: int, how: Settings
) -> float:
    """How badly learnt parameters foretell a block of choices."""
    tensors = {name: torch.from_numpy(value) for name, value in params.items()}
    with torch.no_grad():
        return float(block_losses(tensors, tensors, spec, features, episodes, start, how)[0])


def _next_values(
    params: Tensors,
    target: Tensors,
    spec: Spec,
    features: torch.Tensor,
    table: q_network.ItemTable,
    after: q_network.Belief,
    events: Events,
    prefix: torch.Tensor,
    offer: torch.Tensor,
    slate_size: int,
) -> torch.Tensor:
    """Return the target's value [B, P] of the slates that the online network would show next from `offer` [B, P, C]."""
    v, advantage = values(params, after, table, offer)
    best = top(slate_scores(v, advantage, torch.ones_like(offer, dtype=torch.bool), slate_size), slate_size)
    shown = offer.gather(-1, best)
    table = q_network.items(target, spec, features)
    belief = q_network.believe(target, spec, table, events, prefix[:, 1:])
    value: torch.Tensor = belief.value + slate_value(*values(target, belief, table, shown))
    return value


def _prefixes(belief: q_network.Belief, some: slice) -> q_network.Belief:
    return q_network.Belief(belief.u[:, some], belief.taste_v[:, some], belief.taste_q[:, some], belief.value[:, some])


def _epsilon(progress: float, how: Settings) -> float:
    first, last = how.epsilon
    return max(last, first + (last - first) * progress / how.explore)


def _optimiser(params: Tensors, how: Settings) -> tuple[torch.optim.Adam, torch.optim.lr_scheduler.LambdaLR]:
    """Return Adam with the step sizes of `FASTER`, and its warm-up and cosine."""
    groups = [
        {"params": [v], "lr": how.rate * next((m for start, m in FASTER.items() if k.startswith(start)), 1.0)}
        for k, v in params.items()
    ]
    optimiser = torch.optim.Adam(groups, foreach=True)
    total = how.iterations * how.updates

    def factor(step: int) -> float:
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(step / total, 1.0)))
        return min(1.0, (step + 1) / how.warm_up) * (0.02 + 0.98 * cosine)

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def _descend(loss: torch.Tensor, params: Tensors, optimiser: torch.optim.Optimizer, clip: float) -> None:
    """Take one step down the clipped gradient; FloatingPointError where the loss is not finite."""
    if not math.isfinite(loss.item()):
        raise FloatingPointError(f"the loss is {loss.item()}; train with a smaller rate")
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch ships it untyped
    torch.nn.utils.clip_grad_norm_(params.values(), clip)
    optimiser.step()


def _numpy(params: Tensors) -> dict[str, FloatArray]:
    return {k: v.detach().numpy().copy() for k, v in params.items()}
