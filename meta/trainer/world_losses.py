"""What is minimised in a world: the likelihood of the users' choices, and the TD error of the values they led to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from meta import q_network
from meta.arrays import top
from meta.experience import Episodes, history
from meta.ranking import UNAVAILABLE, slate_scores
from meta.spec import Spec
from meta.td import elapsed_discount, huber, lambda_returns, n_step_returns, slate_q
from meta.trainer import off_policy
from meta.trainer.rollout import requests, values
from meta.types import Events

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Targets:
    """How a return is made.

    Args:
        discount: gamma by `time_scale`, 0..1.
        time_scale: the time that is discounted by gamma, in the world's unit; 1 a step where steps are alike.
        mix: lambda of the returns, 0..1.
        steps: rewards before a return is bootstrapped; 0 takes lambda-returns.
        double: whether the online network chooses the next slate that the target judges.
        temperature: of the draw of the policy whose values are learnt, where others decided, in standard deviations of
            a request's scores; 0 takes their decisions as they are.
        largest: what an importance weight of a decision is clipped at, above 0.
    """

    discount: float = 0.9
    time_scale: float = 1.0
    mix: float = 0.8
    steps: int = 0
    double: bool = True
    temperature: float = 0.0
    largest: float = 1.0


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses of a block of steps.

    Args:
        choice: float [], nats a decision.
        td: float [], Huber loss of the value.
        surprise: float [B], mean size of a user's TD errors.
    """

    choice: torch.Tensor
    td: torch.Tensor
    surprise: torch.Tensor


@dataclass(frozen=True, slots=True)
class Block:
    """Steps start..end - 1 of some episodes, as tensors.

    Args:
        events: histories [B, T] up to the end.
        prefix: int [B, P + 1], decisions before each step of the block, and after its last.
        slate: int [B, P, K], what was shown, -1 past the end.
        chosen: float [B, P, K], share of each position in what was chosen; sums to 1, all 0 where nothing was.
        reward: float [B, P].
        context: float [B, P + 1, X], what was seen of the situation before each step of the block, and after its last.
        next_offer: int [B, P, C], what was on offer after each step, -1 where less was.
        elapsed: float [B, P], time that each step took.
        ended: bool [B, P], whether the episode terminated with the step.
        active: bool [B, P], false where the user had left before the step: nothing is to be learnt from it.
        logged: who decided, where it was not the policy that learns.
    """

    events: Events
    prefix: torch.Tensor
    slate: torch.Tensor
    chosen: torch.Tensor
    reward: torch.Tensor
    context: torch.Tensor
    next_offer: torch.Tensor
    elapsed: torch.Tensor
    ended: torch.Tensor
    active: torch.Tensor
    logged: off_policy.Logged | None = None

    @classmethod
    def of(cls, episodes: Episodes, start: int, length: int) -> Block:
        """The `length` steps from `start` on, or as many as there are."""
        steps = episodes.reward.shape[1]
        end = min(start + length, steps)
        past = history(
            episodes.slate[:, :end], episodes.choice[:, :end], episodes.reward[:, :end], episodes.context[:, :end],
            episodes.active[:, :end],
        )  # fmt: skip
        last = episodes.active.sum(1, keepdims=True) - 1
        ended = (np.arange(start, end) == last) & episodes.terminated[:, None]
        return cls(
            past.map(torch.from_numpy),
            torch.arange(start, end + 1).expand(len(episodes), -1),
            torch.from_numpy(episodes.slate[:, start:end]).long(),
            torch.from_numpy(np.arange(episodes.slate.shape[2]) == episodes.choice[:, start:end, None]).float(),
            torch.from_numpy(episodes.reward[:, start:end]),
            torch.from_numpy(episodes.context[:, start : end + 1]),
            torch.from_numpy(episodes.offer[:, start + 1 : end + 1]).long(),
            torch.from_numpy(episodes.elapsed[:, start:end]),
            torch.from_numpy(ended),
            torch.from_numpy(episodes.active[:, start:end]),
        )


def losses(
    params: Tensors,
    target: Tensors,
    spec: Spec,
    features: torch.Tensor,
    block: Block,
    how: Targets,
    weight: torch.Tensor | None = None,
    by_step: Sequence[float] = (),
) -> Losses:
    """Return the losses of a block, each step the query of the history before it.

    Args:
        params, target: online parameters, which learn, and the target's, which do not.
        spec: their shape.
        features: float [N, F], the catalogue.
        block: what was drawn.
        how: how returns are made.
        weight: float [B], by which each user's losses are multiplied; None: 1.
        by_step: weights of the copies after 1, 2, ... inner steps, `spec.steps` of them (multi-step loss: Antoniou et
            al. 2019, eq. 3; ours sums the TD loss too); empty: the last copy's alone.
    """
    table = q_network.items(params, spec, features)
    request = requests(block.events, spec, block.context)
    past = q_network.read(spec, features, block.events, block.prefix)
    belief = q_network.recall(params, spec, table, past, request)
    before, ratio, trust = _prefixes(belief, slice(-1)), None, None
    if block.logged is not None:
        ratio = torch.ones_like(block.reward)
        if how.temperature:
            ratio = off_policy.ratios(params, table, before, block.slate, block.logged, how.temperature)
        ratio = ratio * block.logged.followed
        trust = _trust(ratio, block.active, how.largest)
    y = returns(params, target, spec, table, belief, past, block, how, ratio)
    weight = torch.ones(len(y)) if weight is None else weight
    found = [_losses(params, table, before, block, y, weight, trust)]
    share = [1.0] if not by_step else [by_step[-1]]
    for steps, part in enumerate(by_step[:-1], 1):
        early = q_network.recall(params, replace(spec, steps=steps), table, past, request)
        found.append(_losses(params, table, _prefixes(early, slice(-1)), block, y, weight, trust))
        share.append(part)
    return Losses(
        sum((part * x.choice for part, x in zip(share, found, strict=True)), torch.zeros(())),
        sum((part * x.td for part, x in zip(share, found, strict=True)), torch.zeros(())),
        found[0].surprise,
    )


@torch.no_grad()
def spread(params: Tensors, spec: Spec, features: torch.Tensor, block: Block) -> float:
    """Standard deviation of a request's scores over what is on offer after each step of a block, the mean."""
    table = q_network.items(params, spec, features)
    request = requests(block.events, spec, block.context[:, 1:])
    belief = q_network.believe(params, spec, table, block.events, block.prefix[:, 1:], request)
    return off_policy.spread(
        off_policy.scores(params, table, belief, block.next_offer, block.slate.shape[-1]), block.next_offer
    )


def _losses(
    params: Tensors, table: q_network.ItemTable, belief: q_network.Belief, block: Block, y: torch.Tensor,
    weight: torch.Tensor, trust: torch.Tensor | None,
) -> Losses:  # fmt: skip
    """Losses of the beliefs [B, P] before each step against the returns y [B, P], TD errors weighed by trust [B, P].

    A choice is conditional on its slate, whoever has shown that: its likelihood needs no weight.
    """
    v, advantage = values(params, belief, table, _known(block.slate))
    logits = torch.cat([torch.zeros_like(v[..., :1]), v.masked_fill(block.slate < 0, UNAVAILABLE)], -1)
    chosen = torch.cat([1.0 - block.chosen.sum(-1, keepdim=True), block.chosen], -1)
    choice = -(chosen * logits.log_softmax(-1)).sum(-1)
    error = belief.value + (block.chosen * advantage).sum(-1) - y
    counts = block.active.to(y.dtype)
    counted, by_user = counts.sum().clamp(min=1.0), counts.sum(-1).clamp(min=1.0)
    weight = weight[:, None] * counts
    return Losses(
        (weight * choice).sum() / counted,
        ((weight if trust is None else weight * trust) * huber(error)).sum() / counted,
        (counts * error.detach().abs()).sum(-1) / by_user,
    )


@torch.no_grad()
def returns(
    params: Tensors,
    target: Tensors,
    spec: Spec,
    table: q_network.ItemTable,
    belief: q_network.Belief,
    past: q_network.Past,
    block: Block,
    how: Targets,
    ratio: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return what each step of a block led to [B, P], bootstrapped by the target's value of the NEXT state's slate.

    Where others decided, the return of the next step counts for as much as the policy that learns would have decided
    the same, at most 1, and its own value for the rest (V-trace: Espeholt et al. 2018, eq. 1, with c = rho <= 1). Where
    it is not known what followed the next step, its value is all.

    Args:
        params, target, spec, block, how: see `losses`.
        table: `items` of the online network.
        belief: beliefs [B, P + 1] of the online network before each step and after the last.
        past: what these beliefs are of.
        ratio: float [B, P], of `off_policy`; None: the policy that learns decided itself.
    """
    judge = q_network.items(target, spec, table.features)
    request = requests(block.events, spec, block.context)
    judged = _prefixes(q_network.recall(target, spec, judge, past, request), slice(1, None))
    offer, size = block.next_offer, block.slate.shape[-1]
    if how.double:
        v, advantage = values(params, _prefixes(belief, slice(1, None)), table, _known(offer))
    else:
        v, advantage = values(target, judged, judge, _known(offer))
    # as arrays of numpy, whose search of the best is twice as fast
    scores = slate_scores(v.numpy(), advantage.numpy(), offer.numpy() >= 0, size)
    best = torch.from_numpy(top(scores, size, ordered=False))
    shown = offer.gather(-1, best)
    v, advantage = values(target, judged, judge, _known(shown))
    next_value = slate_q(judged.value, v.masked_fill(shown < 0, UNAVAILABLE), advantage)
    discount = elapsed_discount(how.discount, block.elapsed, how.time_scale) * (~block.ended)
    if how.steps:
        whole: torch.Tensor = n_step_returns(block.reward, discount, next_value, block.ended, how.steps)
        return whole
    cut = 1.0 if ratio is None else torch.cat([ratio[:, 1:], ratio[:, -1:]], 1).clamp(max=1.0)
    mixed: torch.Tensor = lambda_returns(block.reward, discount, next_value, how.mix * cut)
    return mixed


def _known(rows: torch.Tensor) -> torch.Tensor:
    """Rows with what is not on offer sent to row 0; index_select knows no row -1."""
    return rows.clamp(min=0)


def _prefixes(belief: q_network.Belief, some: slice) -> q_network.Belief:
    return q_network.Belief(belief.u[:, some], belief.taste_v[:, some], belief.taste_q[:, some], belief.value[:, some])


def _trust(ratio: torch.Tensor, active: torch.Tensor, largest: float) -> torch.Tensor:
    """Clipped importance weights [B, P] with a mean of 1 over the steps that took place."""
    weight = ratio.clamp(max=largest) * active
    trust: torch.Tensor = weight * active.sum() / weight.sum().clamp(min=1e-12)
    return trust
