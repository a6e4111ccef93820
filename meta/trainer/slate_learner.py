"""What learns from slates, wherever they were shown: parameters, their target, and one gradient step on a block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from meta import q_network
from meta.adapters.maml import starting_at
from meta.adapters.port import remembering
from meta.spec import Spec
from meta.trainer.descent import adam, descend, in_order
from meta.trainer.snapshots import Snapshot, moments, numbers, put_back, put_moments_back
from meta.trainer.world_losses import Block, Losses, Targets, losses
from meta.types import FloatArray


@dataclass(frozen=True, slots=True)
class Learning:
    """How to learn from slates; the defaults are what `interest_exploration` and `drifting_taste` were tuned with.

    Args:
        iterations: rounds of learning; every schedule runs by it, never by the clock.
        updates: gradient steps an iteration.
        batch: episodes a gradient step.
        block: consecutive steps of an episode that a gradient step learns from.
        rate: peak step size of Adam; the item towers and the adapter's rates take the multiples in `FASTER`.
        warm_up: gradient steps until the peak, from where a cosine falls to a fiftieth.
        clip: largest norm of the gradient.
        polyak: share of the online parameters in each move of the target's.
        td_weight: weight of the TD loss beside the choice loss.
        discount: gamma by `time_scale`, 0..1.
        time_scale: the time that is discounted by gamma, in the unit of steps' times; 1 a step where they are alike.
        mix: lambda of the returns, 0..1.
        double: whether the online network chooses the next slate that the target judges.
        first_order: share of the iterations, from the start, in which `maml` takes first-order gradients.
        multi_step: share of the iterations over which the losses after the earlier inner steps of `maml` and
            `lstm_optimizer` fade out, from as much as the last one's to nothing; 0 learns from the last step alone.
        width, hidden, tower, steps, order: see `Spec`.
        inner_rate: what the learnt rates of `maml` start from.
        remember: what the learnt share of evidence that stays with every decision starts from, above 0 and below 1.
        alert: by how much the logit of that share is lowered after training: on tuning users this earned as much, and
            a change of taste was noticed sooner; held lower while it is learnt it gained nothing.
        history: most events of a user that adaptation sees, as many whole slates as they make.
        exploration: temperature of the policy's own draw when it serves, in standard deviations of a request's scores;
            0 always shows the best slate, and leaves a log from which no other policy can be judged.
    """

    iterations: int = 150
    updates: int = 8
    batch: int = 64
    block: int = 20
    rate: float = 4e-3
    warm_up: int = 50
    clip: float = 2.0
    polyak: float = 0.03
    td_weight: float = 0.5
    discount: float = 0.97
    time_scale: float = 1.0
    mix: float = 0.8
    double: bool = True
    first_order: float = 0.0
    multi_step: float = 0.0
    width: int = 16
    hidden: int = 64
    tower: int = 0
    steps: int = 3
    order: int = 2
    inner_rate: float = 1.3
    remember: float = 0.85
    alert: float = 0.5
    history: int = 128
    exploration: float = 0.0

    def __post_init__(self) -> None:
        """Refuses shares that are none; the other values are refused where they are used."""
        for name in ("first_order", "multi_step", "explore", "discount", "mix", "polyak"):
            value = getattr(self, name, 0.0)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must be in 0..1, got {value}")


FASTER = {"item.": 3.0, "taste.": 3.0, "maml.rate": 5.0, "evidence.decay": 5.0}
"""Parameters by the start of their name whose step size is a multiple of the others': as Adam ignores the scale of the
gradient, this equals a larger scale of their outputs."""


class SlateLearner:
    """Parameters that learn from blocks of slates: online and target.

    Args:
        spec: their shape.
        features: float32 [N, F], the catalogue.
        rng: draws parameters.
        how: how to learn.
        returns: how returns are made.
        start: parameters to go on from; None: fresh ones.
        fixed: how the names of parameters begin that stay as they are.
    """

    def __init__(
        self,
        spec: Spec,
        features: FloatArray,
        rng: np.random.Generator,
        how: Learning,
        returns: Targets,
        start: Mapping[str, FloatArray] | None = None,
        fixed: tuple[str, ...] = (),
    ) -> None:
        self.spec, self.features = spec, torch.from_numpy(features)
        if start is None:
            start = remembering(starting_at(q_network.init(spec, rng), how.inner_rate), how.remember)
        self.params = {k: torch.tensor(v, requires_grad=not k.startswith(fixed)) for k, v in start.items()}
        self._target = {k: v.detach().clone() for k, v in self.params.items()}
        self._returns = returns
        self._optimiser, self._schedule = adam(self.params, how.rate, FASTER, how.warm_up, how.iterations * how.updates)
        self._learning = how

    def learn(self, block: Block, weight: FloatArray | None, progress: float) -> Losses:
        """Take one gradient step on a block.

        Args:
            block: what was drawn.
            weight: float32 [B], by which each user's losses are multiplied; None: 1.
            progress: share of the iterations that are over, 0..1.

        Raises:
            FloatingPointError: the loss or its gradient is no longer finite; the parameters are as they were.
        """
        how = self._learning
        spec = replace(self.spec, order=1) if progress < how.first_order else self.spec
        found = losses(
            self.params, self._target, spec, self.features, block, self._returns,
            None if weight is None else torch.from_numpy(weight), fading(how.steps, progress, how.multi_step),
        )  # fmt: skip
        descend(found.choice + how.td_weight * found.td, self.params, self._optimiser, how.clip)
        self._schedule.step()
        with torch.no_grad():
            for name, value in self._target.items():
                value.lerp_(self.params[name], how.polyak)
        return found

    def snapshot(self) -> Snapshot:
        """All that a learner of the same settings needs to go on from here."""
        names = in_order(self.params, FASTER)
        arrays = numbers(self.params, "online") | numbers(self._target, "target") | moments(self._optimiser, names)
        rates = [group["lr"] for group in self._optimiser.param_groups]
        return Snapshot(arrays, {"steps": self._schedule.last_epoch, "rates": rates})

    def resume(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of such a learner."""
        put_back(self.params, snapshot.arrays, "online")
        put_back(self._target, snapshot.arrays, "target")
        put_moments_back(self._optimiser, in_order(self.params, FASTER), snapshot.arrays)
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
