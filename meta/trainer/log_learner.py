"""One learner of logged data: its settings and its steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from meta import eras, groups, neighbours
from meta.adapters import named
from meta.adapters.maml import starting_at
from meta.catalogue import Catalogue
from meta.checkpoint import Checkpoint, Manifest
from meta.policy import Policy
from meta.spec import Slate, Spec
from meta.tasks import Sequences
from meta.trainer.log_batches import Memories, draw
from meta.trainer.log_groups import Groups
from meta.trainer.log_losses import Tensors, discounts, initial, losses
from meta.trainer.snapshots import Snapshot, moments, numbers, put_back, put_moments_back
from meta.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train; the defaults were chosen on validation users of MovieLens latest-small.

    Args:
        iterations: most gradient steps; every schedule runs by it, never by the clock.
        batch: users a step.
        prefixes: supports of each user a step.
        length: longest support.
        short: half of the supports are no longer than this.
        from_start: share of windows that begin with the user's first event.
        rate: peak step size of AdamW.
        warm_up: steps until the peak, from where a cosine falls to a fiftieth.
        decay: weight decay of the id embeddings.
        dropout: share of the id embedding's coordinates switched off in each step.
        average: of the weights that are judged and kept, exponential, by step.
        clip: largest norm of the gradient.
        power: a user counts as (number of later likes) ^ power.
        td_weight: weight of the TD loss.
        discount: gamma by event.
        days: the days that gamma discounts, where time counts instead of events; 0 discounts every event alike.
        polyak: share of the online parameters in each move of the target's.
        judge_every: steps between looks at the validation users.
        patience: looks without improvement until the stop.
        earliest: share of the iterations before which there is no stop: one look at few users is noise.
        least: an item of fewer likes has no embedding of its own and ranks last.
        width, hidden, steps, order, history, slate: see `Spec`.
        inner_rate: what the learnt rates of `maml` start from.
        neighbours: kept neighbours of an item in the memory.
        penalty: of the memory's regression, 0: correlations instead; the first, unless validation users prefer another.
        met: what an event counts in the memory that was not liked; the first, unless validation users prefer another.
        cosine: share of item-kNN's cosine in the memory.
        eras: spans of time that popularity tells apart; 0 leaves time out of it.
        groups: groups of users, by their attributes, that popularity tells apart at most; 0 leaves them out of it. None
            are where rewards are graded: on Coat's validation users they cost .01 of NDCG@10.
        folds: of memory and groups, so that nobody meets their own likes in them; 1 where nothing is learnt.
        full: most items with likes enough for an embedding that are ranked in full; more are ranked against a sample.
        sampled: draws of that sample.
        validation, test, fold: see `split_users`.
    """

    iterations: int = 200
    batch: int = 48
    prefixes: int = 4
    length: int = 64
    short: int = 20
    from_start: float = 0.6
    rate: float = 3e-3
    warm_up: int = 20
    decay: float = 0.1
    dropout: float = 0.3
    average: float = 0.99
    clip: float = 1.0
    power: float = 1.0
    td_weight: float = 0.03
    discount: float = 0.8
    days: float = 0.0
    polyak: float = 0.03
    judge_every: int = 25
    patience: int = 5
    earliest: float = 0.75
    least: int = 3
    width: int = 48
    hidden: int = 16
    steps: int = 1
    order: int = 2
    inner_rate: float = 1.0
    history: int = 64
    slate: Slate = "independent"
    neighbours: int = 100
    penalty: tuple[float, ...] = (400.0, 0.0)
    met: tuple[float, ...] = (0.5, 0.0)
    cosine: float = 0.15
    eras: int = 64
    groups: int = 128
    folds: int = 5
    full: int = 20_000
    sampled: int = 2048
    validation: float = 0.15
    test: float = 0.2
    fold: int = 0


class Learner:
    """Parameters that learn from the users they are shown: online, target, and the running average that is kept."""

    def __init__(
        self, log: Sequences, catalogue: Catalogue, users: IntArray, adapter: str, rng: np.random.Generator,
        how: Settings,
    ) -> None:  # fmt: skip
        """Start at popularity and the co-occurrence memory of `users`."""
        likes = log.positives(users)
        self.iteration, self.loss, self.td_loss = 0, math.nan, math.nan
        self._log, self._catalogue, self._how, self._rng = log, catalogue, how, rng
        self._users = users[log.lengths[users] >= 2]
        self._noise = torch.Generator().manual_seed(int(rng.integers(2**31)))
        self._actions = np.flatnonzero(likes >= min(how.least, likes.max()))
        most = 0 if how.slate == "graded" else how.groups  # grades are no likes to be counted
        self._groups = Groups(log, users, self._actions, most, how.folds, rng)
        spec = Spec(
            items=log.items, features=catalogue.features.shape[1], width=how.width, hidden=how.hidden, item_ids=True,
            slate=how.slate, adapter=named(adapter).learns_as, steps=how.steps, order=how.order,
            history=how.history, neighbours=min(how.neighbours, len(self._actions) - 1), discount=how.discount,
            eras=how.eras, attributes=log.widths[0], context=log.widths[1], groups=len(self._groups.of),
        )  # fmt: skip
        self.manifest = Manifest(spec)
        self._memories = (
            Memories(log, users, self._actions, spec.neighbours, how.penalty[0], how.met[0], how.cosine, how.folds, rng)
            if spec.neighbours
            else None
        )
        self._fixed = neighbours.init(spec, how.met[0]) if spec.neighbours else {}
        start = starting_at(initial(spec, likes, self._actions, rng), how.inner_rate)
        if self._memories:
            start[neighbours.FADE] = self._fixed[neighbours.FADE]
            self._fixed |= {neighbours.INDEX: self._memories.index, neighbours.WEIGHT: self._memories.weight}
        if spec.groups:
            start[groups.GAIN] = groups.init(spec)[groups.GAIN]
            self._fixed |= {groups.OF: self._groups.of, groups.RATIO: self._groups.ratio}
        self._constants: Tensors = {}
        if spec.eras:
            at = log.events_of(users)
            at = at[log.reward[at] > 0]
            start[eras.GAIN] = eras.init(spec)[eras.GAIN]
            counted = eras.fit(log.item[at], log.time_ms[at], log.items, spec.eras)
            self._fixed |= counted
            counted |= {name: counted[name][..., self._actions] for name in (eras.LEVEL, eras.EVER)}
            self._constants = {name: torch.from_numpy(value) for name, value in counted.items()}
        self._params = {name: torch.tensor(value, requires_grad=True) for name, value in start.items()}
        self._target = {name: value.detach().clone() for name, value in self._params.items()}
        self._average = {name: value.detach().clone() for name, value in self._params.items()}
        self._features = torch.from_numpy(catalogue.features)
        self._optimiser = optimiser(self._params, how)

    def step(self) -> None:
        """Take one gradient step.

        Raises:
            FloatingPointError: the loss or its gradient is not finite; the parameters are as they were.
        """
        how = self._how
        users = self._rng.choice(self._users, how.batch, replace=len(self._users) < how.batch)
        batch = draw(
            self._log, users, self._actions, self._memories, self._rng, prefixes=how.prefixes, length=how.length,
            short=how.short, from_start=how.from_start, met=how.met[0],
            groups=self._groups if self.manifest.spec.groups else None,
        )  # fmt: skip
        rows = torch.from_numpy(self._actions)
        loss, td_loss = losses(
            self._dropped(),
            self._target | self._constants,
            self.manifest.spec,
            self._features,
            rows,
            batch,
            how.power,
            discounts(batch.known.now_ms, how.discount, how.days),
        )
        self.loss, self.td_loss = loss.item(), td_loss.item()
        factor = schedule(self.iteration, how)
        for group in self._optimiser.param_groups:
            group["lr"] = group["peak"] * factor
        self._optimiser.zero_grad()
        torch.autograd.backward(loss + how.td_weight * td_loss)
        norm = torch.nn.utils.clip_grad_norm_(self._params.values(), how.clip).item()
        check_finite(self.iteration + 1, how.rate, loss=self.loss, td_loss=self.td_loss, gradient=norm)
        self._optimiser.step()
        self.iteration += 1
        kept = min(how.average, self.iteration / (self.iteration + 9))
        with torch.no_grad():
            for name, value in self._params.items():
                self._target[name].lerp_(value, how.polyak)
                self._average[name].lerp_(value, 1 - kept)

    def learnt(self) -> dict[str, FloatArray]:
        """The averaged parameters, ready to be saved."""
        return self._fixed | {name: value.numpy().copy() for name, value in self._average.items()}

    def policy(self, adapter: str = "", params: dict[str, FloatArray] | None = None) -> Policy:
        """The policy as it would serve now, or with another adapter and parameters that this one learnt for it."""
        spec = self.manifest.spec
        manifest = replace(self.manifest, spec=replace(spec, adapter=adapter or spec.adapter))
        return Policy(Checkpoint(manifest, self.learnt() if params is None else params, self._catalogue, ""))

    def snapshot(self) -> Snapshot:
        """All that a learner of the same users and settings needs to go on from here."""
        arrays = numbers(self._params, "online") | numbers(self._target, "target") | numbers(self._average, "average")
        arrays |= moments(self._optimiser, list(self._params)) | {"noise": self._noise.get_state().numpy()}
        drawn = self._rng.bit_generator.state
        return Snapshot(arrays, {"iteration": self.iteration, "drawn": drawn})

    def resume(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of such a learner."""
        for tensors, prefix in ((self._params, "online"), (self._target, "target"), (self._average, "average")):
            put_back(tensors, snapshot.arrays, prefix)
        put_moments_back(self._optimiser, list(self._params), snapshot.arrays)
        self._noise.set_state(torch.from_numpy(snapshot.arrays["noise"]))
        self._rng.bit_generator.state = snapshot.facts["drawn"]
        self.iteration = snapshot.facts["iteration"]

    def _dropped(self) -> Tensors:
        """The parameters with some of the choice tower's id embeddings switched off."""
        name, rate = "item.v.id", self._how.dropout
        kept = torch.rand(self._params[name].shape, generator=self._noise) >= rate
        return self._params | self._constants | {name: self._params[name] * kept / (1.0 - rate)}


def check_finite(step: int, rate: float, **figures: float) -> None:
    """FloatingPointError where one of a step's figures is not finite, so that it is never taken."""
    for name, value in figures.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"{name} is {value} in step {step}, so training stopped and nothing was saved; train with a rate below "
                f"{rate:g}, and look for rewards that are out of scale"
            )


def optimiser(params: Tensors, how: Settings) -> torch.optim.AdamW:
    """AdamW; towers move as if e were not divided by sqrt(E), popularity and the prior slowly, gains fast."""
    parts, fast = [], (neighbours.FADE, eras.GAIN, groups.GAIN)
    for name, value in params.items():
        tower = name.startswith("item.") and name.endswith((".id", ".linear", ".w2"))
        slow = name in ("item.q.id_bias", "prior")
        peak = how.rate * (math.sqrt(how.width) if tower else 0.1 if slow else 10.0 if name in fast else 1.0)
        decay = how.decay if name.endswith(".id") else 0.0
        parts.append({"params": [value], "lr": peak, "peak": peak, "weight_decay": decay})
    return torch.optim.AdamW(parts, foreach=True)


def schedule(step: int, how: Settings) -> float:
    """Factor of the step size: a linear warm-up, then a cosine to a fiftieth."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(step / how.iterations, 1.0)))
    return min(1.0, (step + 1) / how.warm_up) * (0.02 + 0.98 * cosine)
