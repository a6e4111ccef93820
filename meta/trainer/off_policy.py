"""Decisions of another policy: how likely the one that learns would have shown the same slates."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from meta import q_network
from meta.ranking import log_propensities, slate_scores
from meta.trainer.rollout import values
from meta.types import FloatArray, Params


@dataclass(frozen=True, slots=True)
class Logged:
    """How decisions came about that another policy made.

    Args:
        offer: int [B, P, C], what was on offer at each, -1 where less was.
        log_propensity: float [B, P], of each slate.
        weighed: bool [B, P], whether the offer is all that could have been shown, so that propensities compare.
        followed: bool [B, P], whether it is known what followed: nothing is where the log ends.
    """

    offer: torch.Tensor
    log_propensity: torch.Tensor
    weighed: torch.Tensor
    followed: torch.Tensor


@torch.no_grad()
def scores(
    params: Params, table: q_network.ItemTable, belief: q_network.Belief, offer: torch.Tensor, size: int
) -> torch.Tensor:
    """What the slates of beliefs [B, P] are drawn by, [B, P, C], of the items on offer [B, P, C]."""
    v, advantage = values(params, belief, table, offer.clamp(min=0))
    found: torch.Tensor = slate_scores(v, advantage, offer >= 0, size)
    return found


def spread(scored: torch.Tensor, offer: torch.Tensor) -> float:
    """Standard deviation of a request's scores [B, P, C] over what is on offer, the mean over requests."""
    there = (offer >= 0).to(scored.dtype)
    count = there.sum(-1, keepdim=True).clamp(min=1.0)
    known = torch.where(offer >= 0, scored, 0.0)
    apart = there * (known - known.sum(-1, keepdim=True) / count)
    return float(((apart**2).sum(-1) / count[..., 0]).sqrt().mean())


@torch.no_grad()
def ratios(
    params: Params, table: q_network.ItemTable, belief: q_network.Belief, slate: torch.Tensor, logged: Logged,
    temperature: float,
) -> torch.Tensor:  # fmt: skip
    """Chance of each logged slate under the policy that learns, by the chance it was shown with: float [B, P].

    Args:
        params, table, belief: of the policy that learns, before each decision.
        slate: int [B, P, K], what was shown.
        logged: how that came about.
        temperature: of the learning policy's draw, in standard deviations of a request's scores, above 0.

    Returns:
        1 where propensities do not compare.
    """
    offer, (users, steps, size) = logged.offer, slate.shape
    scored = scores(params, table, belief, offer, size)
    shown = (offer[:, :, None, :] == slate[..., None]).long()
    position = torch.where(shown.any(-1), shown.argmax(-1), -1)
    flat = users * steps
    warmth = torch.full((flat,), temperature * max(spread(scored, offer), 1e-12))
    chance: FloatArray = log_propensities(
        scored.reshape(flat, -1).double().numpy(), (offer >= 0).reshape(flat, -1).numpy(), warmth.numpy(),
        position.reshape(flat, size).numpy(), (slate >= 0).sum(-1).reshape(flat).numpy(),
    )  # fmt: skip
    told = torch.from_numpy(chance.sum(1)).reshape(users, steps).to(scored.dtype)
    ratio = (told - logged.log_propensity).clamp(max=30.0).exp()
    return torch.where(logged.weighed, ratio, 1.0)
