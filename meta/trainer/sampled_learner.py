"""A learner of logs with very many items: the softmax is sampled, and a step touches only the items in play.

The cross-entropy of a like a against all open items is log Z - Adv(s, a), Z = sum_i exp Adv(s, i). Z is estimated by
the drawn likes themselves and by candidates drawn in proportion to popularity q and shared within the batch, with log q
corrected (Bengio & Senecal 2008, eq. 8): Z = sum_likes exp Adv + 1/S sum_drawn exp Adv / q, which is unbiased. Towers
run over the items in play alone. There is no memory of co-occurrence here and no popularity by group, and popularity
tells fewer eras apart: all are dense in the items. The target network is the running average.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from meta import eras, q_network
from meta.adapters import named
from meta.adapters.maml import starting_at
from meta.catalogue import Catalogue
from meta.checkpoint import Checkpoint, Manifest
from meta.policy import Policy
from meta.spec import Spec
from meta.tasks import Sequences
from meta.td import huber
from meta.trainer.item_rows import ItemRows, Tensors, positions
from meta.trainer.log_learner import Settings, check_finite, optimiser, schedule
from meta.trainer.log_losses import discounts, initial
from meta.trainer.sampled_batches import Sample, Sampler
from meta.trainer.snapshots import Snapshot, moments, numbers, put_back, put_moments_back
from meta.types import FloatArray, IntArray

LEVELS = 2e7
"""Most numbers that popularity by time keeps: levels by era, half-life and item."""
TABLES = ("item.v.id", "item.v.id_bias", "item.q.id", "item.q.id_bias")
"""Parameters with a row an item."""


def losses(
    params: Tensors,
    target: Tensors,
    spec: Spec,
    features: torch.Tensor,
    sample: Sample,
    power: float,
    discount: torch.Tensor | float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the estimated cross-entropy of later likes, nats, and the Huber loss of Q at first prefixes' next events.

    Args:
        params, target: online parameters, which learn, and the target's, of the items in play.
        spec: their shape.
        features: float [R, F], of the items in play.
        sample: what was drawn.
        power: a user counts as (number of later likes) ^ power.
        discount: as in `log_losses.losses`; the next state's best action is sought among the candidates.
    """
    wanted, candidate = torch.from_numpy(sample.target), torch.from_numpy(sample.candidate)
    table = q_network.items(params, spec, features)
    value, taste = _believe(params, spec, table, sample)
    drawn = taste @ table.e_q[candidate].T + table.b_q[candidate]
    liked = (table.e_q[wanted] @ taste[:, :-1, :, None])[..., 0] + table.b_q[wanted]
    action = torch.from_numpy(sample.action)
    taken = (table.e_q[action] * taste[:, 0]).sum(-1) + table.b_q[action]
    if spec.eras:
        drawn = drawn + _popular(params, sample.known.now_ms, candidate.expand(*drawn.shape))
        liked = liked + _popular(params, sample.known.now_ms[:, :-1], wanted)
        taken = taken + _popular(params, sample.known.now_ms[:, 0], action[:, None])[:, 0]
    never = torch.full((), -torch.inf)
    own = torch.where(torch.from_numpy(sample.distinct), liked, never)
    rest = torch.where(torch.from_numpy(sample.other), drawn[:, :-1] + torch.from_numpy(sample.correction), never)
    entropy = torch.cat([own, rest], -1).logsumexp(-1) - liked.mean(-1)
    weight = torch.from_numpy(sample.weight) ** power * torch.from_numpy(sample.weight > 0)
    loss = (weight * entropy).sum() / weight.sum().clamp(min=1.0)
    q = value[:, 0] + params["advantage.log_scale"].exp() * taken
    with torch.no_grad():
        open_ = torch.from_numpy(sample.open[:, -1])
        best = torch.where(open_, drawn[:, -1], never).argmax(-1)
        table = q_network.items(target, spec, features)
        then, taste = _believe(target, spec, table, sample, slice(-1, None))
        chosen = candidate[best]
        ahead = (table.e_q[chosen] * taste[:, 0]).sum(-1) + table.b_q[chosen]
        if spec.eras:
            ahead = ahead + _popular(target, sample.known.now_ms[:, -1], chosen[:, None])[:, 0]
        y = torch.from_numpy(sample.reward) + discount * (then[:, 0] + target["advantage.log_scale"].exp() * ahead)
    return loss, huber(q - y).mean()


def _popular(params: Tensors, now_ms: IntArray, items: torch.Tensor) -> torch.Tensor:
    """The term of popularity at times [...] for items in play [..., C]; the levels are [R, Z, H] here."""
    era = torch.from_numpy(eras.place(params, now_ms))
    levels = params[eras.LEVEL][items, era[..., None]].movedim(-1, -2)
    found: torch.Tensor = eras.term(params, levels, params[eras.EVER][items], era > 0)
    return found


def _believe(
    params: Tensors,
    spec: Spec,
    table: q_network.ItemTable,
    sample: Sample,
    some: slice = slice(None),  # a slice is immutable
) -> tuple[torch.Tensor, torch.Tensor]:
    """V(s) [B, P] and what advantages are taken against [B, P, E]."""
    events = sample.events.map(lambda x: torch.from_numpy(np.ascontiguousarray(x)))
    known = sample.known.some(some).map(torch.from_numpy)
    belief = q_network.believe(params, spec, table, events, torch.from_numpy(sample.prefix[:, some]), known)
    return belief.value, belief.taste_q


def popularity(log: Sequences, users: IntArray, spec: Spec) -> dict[str, npt.NDArray[Any]]:
    """What is known of popularity by time, from the likes of some users; nothing where no eras are told apart."""
    if not spec.eras:
        return {}
    at = log.events_of(users)
    at = at[log.reward[at] > 0]
    return eras.fit(log.item[at], log.time_ms[at], log.items, spec.eras)


class SampledLearner:
    """Parameters that learn from the users they are shown, as `log_learner.Learner`, whatever the number of items."""

    def __init__(
        self, log: Sequences, catalogue: Catalogue, users: IntArray, adapter: str, rng: np.random.Generator,
        how: Settings,
    ) -> None:  # fmt: skip
        """Start at popularity."""
        likes = log.positives(users)
        self.iteration, self.loss, self.td_loss = 0, math.nan, math.nan
        self._catalogue, self._how, self._rng = catalogue, how, rng
        self._users = users[log.lengths[users] >= 2]
        self._noise = torch.Generator().manual_seed(int(rng.integers(2**31)))
        self.manifest = Manifest(
            Spec(
                items=log.items, features=catalogue.features.shape[1], width=how.width, hidden=how.hidden,
                item_ids=True, slate="independent", adapter=named(adapter).learns_as, steps=how.steps, order=how.order,
                history=how.history, discount=how.discount, attributes=log.widths[0], context=log.widths[1],
                eras=how.eras and int(np.clip(LEVELS / (len(eras.HALF_LIVES) * log.items), 2, how.eras)),
            )
        )  # fmt: skip
        self._sampler = Sampler(log, likes, how.sampled)
        often = np.flatnonzero(likes >= min(how.least, likes.max()))
        start = starting_at(initial(self.manifest.spec, likes, often, rng), how.inner_rate)
        self._fixed, self._levels = popularity(log, users, self.manifest.spec), {}
        if self.manifest.spec.eras:
            start[eras.GAIN] = eras.init(replace(self.manifest.spec, items=1))[eras.GAIN]
            by_item = np.ascontiguousarray(self._fixed[eras.LEVEL].transpose(2, 0, 1))
            self._levels = {eras.LEVEL: torch.from_numpy(by_item), eras.EVER: torch.from_numpy(self._fixed[eras.EVER])}
        width, slow = math.sqrt(how.width), 0.1  # as in log_learner.optimiser
        rates = dict(zip(TABLES, (how.rate * x for x in (width, 1.0, width, slow)), strict=True))
        self._items = ItemRows(
            {name: start.pop(name) for name in TABLES}, rates, {"item.v.id": how.decay, "item.q.id": how.decay}
        )
        self._params = {name: torch.tensor(value, requires_grad=True) for name, value in start.items()}
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
        sample = self._sampler.draw(
            users, self._rng, prefixes=how.prefixes, length=how.length, short=how.short, from_start=how.from_start
        )
        rows = positions(sample.rows)
        gathered, averaged = self._items.gather(rows)
        dropped = self._params | gathered
        open_ = torch.rand(gathered["item.v.id"].shape, generator=self._noise) >= how.dropout
        dropped["item.v.id"] = gathered["item.v.id"] * open_ / (1.0 - how.dropout)
        levels = {name: value[rows] for name, value in self._levels.items()}
        if levels:
            levels[eras.START] = torch.from_numpy(self._fixed[eras.START])
        dropped, target = dropped | levels, self._average | averaged | levels
        loss, td_loss = losses(
            dropped,
            target,
            self.manifest.spec,
            self._features[rows],
            sample,
            how.power,
            discounts(sample.known.now_ms, how.discount, how.days),
        )
        self.loss, self.td_loss = loss.item(), td_loss.item()
        self._optimiser.zero_grad()
        torch.autograd.backward(loss + how.td_weight * td_loss)
        norm = torch.nn.utils.clip_grad_norm_([*self._params.values(), *gathered.values()], how.clip).item()
        check_finite(self.iteration + 1, how.rate, loss=self.loss, td_loss=self.td_loss, gradient=norm)
        factor = schedule(self.iteration, how)
        for group in self._optimiser.param_groups:
            group["lr"] = group["peak"] * factor
        self._optimiser.step()
        self.iteration += 1
        kept = min(how.average, self.iteration / (self.iteration + 9))
        self._items.step(rows, gathered, averaged, factor, kept)
        with torch.no_grad():
            for name, value in self._params.items():
                self._average[name].lerp_(value, 1 - kept)

    def learnt(self) -> dict[str, FloatArray]:
        """The averaged parameters, ready to be saved."""
        learnt = {name: value.numpy().copy() for name, value in self._average.items()}
        return self._fixed | learnt | self._items.learnt()

    def policy(self, adapter: str = "", params: dict[str, FloatArray] | None = None) -> Policy:
        """The policy as it would serve now, or with another adapter and parameters that this one learnt for it."""
        spec = self.manifest.spec
        manifest = replace(self.manifest, spec=replace(spec, adapter=adapter or spec.adapter))
        return Policy(Checkpoint(manifest, self.learnt() if params is None else params, self._catalogue, ""))

    def snapshot(self) -> Snapshot:
        """All that a learner of the same users and settings needs to go on from here."""
        arrays = numbers(self._params, "online") | numbers(self._average, "average")
        arrays |= numbers(self._items.state(), "items") | moments(self._optimiser, list(self._params))
        arrays["noise"] = self._noise.get_state().numpy()
        return Snapshot(arrays, {"iteration": self.iteration, "drawn": self._rng.bit_generator.state})

    def resume(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of such a learner."""
        for tensors, prefix in ((self._params, "online"), (self._average, "average"), (self._items.state(), "items")):
            put_back(tensors, snapshot.arrays, prefix)
        self._items.faded = float(snapshot.arrays["items.faded"][0])
        put_moments_back(self._optimiser, list(self._params), snapshot.arrays)
        self._noise.set_state(torch.from_numpy(snapshot.arrays["noise"]))
        self._rng.bit_generator.state = snapshot.facts["drawn"]
        self.iteration = snapshot.facts["iteration"]
