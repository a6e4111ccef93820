"""What is minimised in a world: the likelihood of the users' choices, and the TD error of the values they led to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from meta import q_network
from meta.arrays import top
from meta.experience import Episodes, history
from meta.ranking import slate_scores
from meta.spec import Spec
from meta.td import elapsed_discount, huber, lambda_returns, n_step_returns, slate_q
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
    """

    discount: float = 0.9
    time_scale: float = 1.0
    mix: float = 0.8
    steps: int = 0
    double: bool = True


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
        slate: int [B, P, K], what was shown.
        choice: int [B, P], chosen position, -1 none.
        reward: float [B, P].
        context: float [B, P + 1, X], what was seen of the situation before each step of the block, and after its last.
        next_offer: int [B, P, C], what was on offer after each step, -1 where less was.
        elapsed: float [B, P], time that each step took.
        ended: bool [B, P], whether the episode terminated with the step.
        active: bool [B, P], false where the user had left before the step: nothing is to be learnt from it.
    """

    events: Events
    prefix: torch.Tensor
    slate: torch.Tensor
    choice: torch.Tensor
    reward: torch.Tensor
    context: torch.Tensor
    next_offer: torch.Tensor
    elapsed: torch.Tensor
    ended: torch.Tensor
    active: torch.Tensor

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
            torch.from_numpy(episodes.choice[:, start:end]).long(),
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
    y = returns(params, target, spec, table, belief, past, block, how)
    weight = torch.ones(len(y)) if weight is None else weight
    found = [_losses(params, table, _prefixes(belief, slice(-1)), block, y, weight)]
    share = [1.0] if not by_step else [by_step[-1]]
    for steps, part in enumerate(by_step[:-1], 1):
        early = q_network.recall(params, replace(spec, steps=steps), table, past, request)
        found.append(_losses(params, table, _prefixes(early, slice(-1)), block, y, weight))
        share.append(part)
    return Losses(
        sum((part * x.choice for part, x in zip(share, found, strict=True)), torch.zeros(())),
        sum((part * x.td for part, x in zip(share, found, strict=True)), torch.zeros(())),
        found[0].surprise,
    )


def _losses(
    params: Tensors, table: q_network.ItemTable, belief: q_network.Belief, block: Block, y: torch.Tensor,
    weight: torch.Tensor,
) -> Losses:  # fmt: skip
    """Losses of the beliefs [B, P] before each step against the returns y [B, P]."""
    v, advantage = values(params, belief, table, block.slate)
    logits = torch.cat([torch.zeros_like(v[..., :1]), v], -1)
    choice = torch.nn.functional.cross_entropy(logits.flatten(0, 1), block.choice.flatten() + 1, reduction="none")
    clicked = torch.nn.functional.one_hot(block.choice + 1, logits.shape[-1])[..., 1:]
    error = belief.value + (clicked * advantage).sum(-1) - y
    counts = block.active.to(y.dtype)
    counted, by_user = counts.sum().clamp(min=1.0), counts.sum(-1).clamp(min=1.0)
    weight = weight[:, None] * counts
    return Losses(
        (weight * choice.view_as(y)).sum() / counted,
        (weight * huber(error)).sum() / counted,
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
) -> torch.Tensor:
    """Return what each step of a block led to [B, P], bootstrapped by the target's value of the NEXT state's slate.

    Args:
        params, target, spec, block, how: see `losses`.
        table: `items` of the online network.
        belief: beliefs [B, P + 1] of the online network before each step and after the last.
        past: what these beliefs are of.
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
    next_value = slate_q(judged.value, *values(target, judged, judge, _known(offer.gather(-1, best))))
    discount = elapsed_discount(how.discount, block.elapsed, how.time_scale) * (~block.ended)
    if how.steps:
        whole: torch.Tensor = n_step_returns(block.reward, discount, next_value, block.ended, how.steps)
        return whole
    mixed: torch.Tensor = lambda_returns(block.reward, discount, next_value, how.mix)
    return mixed


def _known(rows: torch.Tensor) -> torch.Tensor:
    """Rows with what is not on offer sent to row 0; index_select knows no row -1."""
    return rows.clamp(min=0)


def _prefixes(belief: q_network.Belief, some: slice) -> q_network.Belief:
    return q_network.Belief(belief.u[:, some], belief.taste_v[:, some], belief.taste_q[:, some], belief.value[:, some])
