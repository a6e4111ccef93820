"""One learner of a world: its settings, its memory and its steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from meta import q_network
from meta.adapters.maml import starting_at
from meta.adapters.port import remembering
from meta.experience import Episodes, ReplayMemory
from meta.spec import Spec
from meta.trainer.descent import adam, descend, in_order
from meta.trainer.snapshots import Snapshot, moments, numbers, put_back, put_moments_back
from meta.trainer.world_losses import Block, Targets, losses
from meta.types import FloatArray


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train; the defaults are what the worlds `interest_exploration` and `drifting_taste` were tuned with.

    Args:
        iterations: rounds of meeting users and learning; every schedule runs by it, never by the clock.
        updates: gradient steps an iteration.
        batch: episodes a gradient step.
        block: consecutive steps of an episode that a gradient step learns from.
        memory: episodes that the replay memory keeps.
        priority: alpha of prioritised replay, how much a user's TD error counts when users are drawn; 0 is uniform.
        correction: first and last beta, how much of that bias the losses' weights undo.
        rate: peak step size of Adam; the item towers and the adapter's rates take the multiples in `FASTER`.
        warm_up: gradient steps until the peak, from where a cosine falls to a fiftieth.
        clip: largest norm of the gradient.
        polyak: share of the online parameters in each move of the target's.
        td_weight: weight of the TD loss beside the choice loss.
        discount: gamma by `time_scale`, 0..1.
        time_scale: the time that is discounted by gamma, in the world's unit; 1 a step where steps are alike.
        mix: lambda of the returns, 0..1.
        n_steps: rewards before a return is bootstrapped; 0 takes lambda-returns.
        double: whether the online network chooses the next slate that the target judges.
        first_order: share of the iterations, from the start, in which `maml` takes first-order gradients.
        multi_step: share of the iterations over which the losses after the earlier inner steps of `maml` and
            `lstm_optimizer` fade out, from as much as the last one's to nothing; 0 learns from the last step alone.
        epsilon: first and last chance that a slate position is filled at random.
        explore: share of the iterations over which epsilon falls.
        temperatures: of Plackett-Luce exploration, in standard deviations of a request's scores, dealt out over users.
        width, hidden, tower, steps, order: see `Spec`.
        inner_rate: what the learnt rates of `maml` start from.
        remember: what the learnt share of evidence that stays with every decision starts from, above 0 and below 1.
        alert: by how much the logit of that share is lowered after training: on tuning users this earned as much, and
            a change of taste was noticed sooner; held lower while it is learnt it gained nothing.
        history: most events of a user that adaptation sees, as many whole slates as they make.
        prices: rounds in which prices are tried at the end, see `prices`; none where nothing later counts (discount 0).
    """

    iterations: int = 150
    updates: int = 8
    batch: int = 64
    block: int = 20
    memory: int = 1536
    priority: float = 0.0
    correction: tuple[float, float] = (0.4, 1.0)
    rate: float = 4e-3
    warm_up: int = 50
    clip: float = 2.0
    polyak: float = 0.03
    td_weight: float = 0.5
    discount: float = 0.97
    time_scale: float = 1.0
    mix: float = 0.8
    n_steps: int = 0
    double: bool = True
    first_order: float = 0.0
    multi_step: float = 0.0
    epsilon: tuple[float, float] = (0.5, 0.02)
    explore: float = 0.6
    temperatures: tuple[float, ...] = (0.0, 0.3, 0.6, 1.0)
    width: int = 16
    hidden: int = 64
    tower: int = 0
    steps: int = 3
    order: int = 2
    inner_rate: float = 1.3
    remember: float = 0.85
    alert: float = 0.5
    history: int = 128
    prices: int = 12

    def __post_init__(self) -> None:
        """Refuses shares that are none; the other values are refused where they are used."""
        for name in ("first_order", "multi_step", "explore", "discount", "mix", "polyak"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must be in 0..1, got {value}")


FASTER = {"item.": 3.0, "taste.": 3.0, "maml.rate": 5.0, "evidence.decay": 5.0}
"""Parameters by the start of their name whose step size is a multiple of the others': as Adam ignores the scale of the
gradient, this equals a larger scale of their outputs."""


class Learner:
    """Parameters that learn from the users who were met: online and target, and the memory they learn from.

    Args:
        spec: their shape.
        features: float32 [N, F], the catalogue.
        length: steps of an episode.
        rng: draws parameters, episodes and blocks.
        how: how to train.
    """

    def __init__(self, spec: Spec, features: FloatArray, length: int, rng: np.random.Generator, how: Settings) -> None:
        self.spec, self.features, self._length = spec, torch.from_numpy(features), length
        self.memory: ReplayMemory[Episodes] = ReplayMemory(how.memory, how.priority)
        start = remembering(starting_at(q_network.init(spec, rng), how.inner_rate), how.remember)
        self.params = {k: torch.tensor(v, requires_grad=True) for k, v in start.items()}
        self._target = {k: v.detach().clone() for k, v in self.params.items()}
        self._returns = Targets(how.discount, how.time_scale, how.mix, how.n_steps, how.double)
        self._optimiser, self._schedule = adam(self.params, how.rate, FASTER, how.warm_up, how.iterations * how.updates)
        self._rng, self._how = rng, how

    def step(self, progress: float) -> tuple[float, float]:
        """Take one gradient step on a block of remembered steps.

        Args:
            progress: share of the iterations that are over, 0..1.

        Returns:
            The choice loss and the TD loss.

        Raises:
            FloatingPointError: the loss or its gradient is no longer finite; the parameters are as they were.
        """
        how = self._how
        first, last = how.correction
        start = int(self._rng.integers(self._length - how.block + 1)) if self._length > how.block else 0
        drawn = self.memory.sample(how.batch, self._rng, first + (last - first) * progress)
        spec = replace(self.spec, order=1) if progress < how.first_order else self.spec
        block = Block.of(drawn.rows, start, how.block)
        found = losses(
            self.params, self._target, spec, self.features, block, self._returns,
            torch.from_numpy(drawn.weight), fading(how.steps, progress, how.multi_step),
        )  # fmt: skip
        descend(found.choice + how.td_weight * found.td, self.params, self._optimiser, how.clip)
        self._schedule.step()
        with torch.no_grad():
            for name, value in self._target.items():
                value.lerp_(self.params[name], how.polyak)
        if how.priority:
            there = block.active.any(1).numpy()
            self.memory.learn(drawn.place[there], found.surprise.numpy()[there])
        return found.choice.item(), found.td.item()

    def snapshot(self) -> Snapshot:
        """All that a learner of the same settings needs to go on from here."""
        names = in_order(self.params, FASTER)
        arrays = numbers(self.params, "online") | numbers(self._target, "target") | moments(self._optimiser, names)
        arrays |= {f"memory.{name}": value for name, value in self.memory.state().items()}
        rates = [group["lr"] for group in self._optimiser.param_groups]
        return Snapshot(arrays, {"steps": self._schedule.last_epoch, "rates": rates})

    def resume(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of such a learner."""
        put_back(self.params, snapshot.arrays, "online")
        put_back(self._target, snapshot.arrays, "target")
        put_moments_back(self._optimiser, in_order(self.params, FASTER), snapshot.arrays)
        of = {name.removeprefix("memory."): x for name, x in snapshot.arrays.items() if name.startswith("memory.")}
        self.memory.resume(Episodes, of)
        self._schedule.last_epoch = snapshot.facts["steps"]
        for group, rate in zip(self._optimiser.param_groups, snapshot.facts["rates"], strict=True):
            group["lr"] = rate

    def learnt(self) -> dict[str, FloatArray]:
        """The online parameters, ready to be saved."""
        return {k: v.detach().numpy().copy() for k, v in self.params.items()}


def fading(steps: int, progress: float, over: float) -> tuple[float, ...]:
    """Weights of the losses after each inner step: all alike at first, the last alone from `over` on; they sum to 1.

    Empty where only the last step counts.
    """
    if progress >= over or steps < 2:
        return ()
    early = (1.0 - progress / over) / steps
    return (early,) * (steps - 1) + (1.0 - early * (steps - 1),)
