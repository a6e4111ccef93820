"""Prices: what showing an item costs the future beyond what its clicks tell, found by trying prices on fresh users.

A click is news of the taste: whoever clicks turns out easier to please, whatever was clicked. Values that are regressed
on clicks credit the item with that, so what it does to the future itself is under-priced. Every advantage is therefore
lowered by a price, linear in the item's features and the same for everybody, and the one that earns most is sought by
parameter-exploring policy gradients with symmetric sampling (Sehnke et al. 2010, section 2.5). Ours differs: each user
meets the price disturbed one way and then, with the same randomness, the other way; features move only where the
difference in what both earned is clear; and a price that does not clearly earn more than none is not charged. A price
changes nothing but the advantage's bias, so what serves knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from meta.experience import World
from meta.spec import Spec
from meta.trainer.rollout import meet
from meta.types import FloatArray

Params = Mapping[str, FloatArray]

DISTURBANCE = 0.1
"""Size of a disturbance in the price of one standard deviation of a feature, in usual rewards of a choice. At .4 the
disturbed policies were so much worse that other prices suited them than those of the undisturbed one."""
BATCHES = 5
"""Batches of users who meet a round's disturbances."""
STRIDE = 8.0
"""Step of a round by the correlation of disturbances and differences, in disturbances."""
CLEAR = 2.0
"""Standard errors from which a difference counts."""


def priced(
    world: World, features: FloatArray, params: Params, spec: Spec, rng: np.random.Generator, rounds: int
) -> dict[str, FloatArray]:
    """Parameters whose advantages are lowered by the best price that was found.

    Args:
        world: `BATCHES` of its users are met twice a round, and as many in the end.
        features: float32 [N, F], the catalogue.
        params: what was learnt.
        spec: its shape.
        rng: of the disturbances.
        rounds: steps of the search; 0 leaves everything as it is.
    """
    if not rounds:
        return dict(params)
    market = Market(world, features, params, spec, rng)
    price = np.zeros(features.shape[1] + 1)
    none = np.zeros((world.num_envs, len(price)))
    size = DISTURBANCE * usual(market.earned(none))
    for _ in range(rounds):
        signs = rng.choice([-1.0, 1.0], size=(BATCHES, *none.shape))
        gained = [market.gained(price + size * sign, price - size * sign) for sign in signs]
        price = price + STRIDE * size * clear_slope(np.concatenate(signs), np.concatenate(gained))
    gain = np.concatenate([market.gained(none + price, none) for _ in range(BATCHES)])
    clear = gain.mean() > CLEAR * gain.std() / np.sqrt(len(gain))
    return lowered(params, market.charge(price)) if clear else dict(params)


@dataclass(frozen=True, slots=True)
class Market:
    """Where users meet a policy at prices: of one standard deviation of each feature, and of any item, [..., F + 1]."""

    world: World
    features: FloatArray
    params: Params
    spec: Spec
    rng: np.random.Generator

    def gained(self, prices: FloatArray, others: FloatArray) -> FloatArray:
        """What the same fresh users earn more at some prices than at others, both [B, F + 1]: [B]."""
        before = self.world.np_random.bit_generator.state
        more = self.earned(prices).sum(1)
        self.world.np_random.bit_generator.state = before
        gained: FloatArray = more - self.earned(others).sum(1)
        return gained

    def earned(self, prices: FloatArray) -> FloatArray:
        """Rewards [B, G] of fresh users, each at prices of their own, [B, F + 1]."""
        charge = self.charge(prices)
        met = meet(
            self.world, self.features, self.params, self.spec, self.rng, epsilon=0.0, temperatures=(0.0,), charge=charge
        )
        return met.reward

    def charge(self, prices: FloatArray) -> FloatArray:
        """Prices [..., F + 1] by the features as they are."""
        by_feature: FloatArray = prices[..., :-1] / np.maximum(self.features.std(0), 1e-6)
        for_any = prices[..., -1] - by_feature @ self.features.mean(0)
        return np.concatenate([by_feature, for_any[..., None]], -1)


def meetings(rounds: int) -> int:
    """How often `priced` meets a batch of users."""
    return 1 + 2 * BATCHES * (rounds + 1) if rounds else 0


def clear_slope(sign: FloatArray, difference: FloatArray) -> FloatArray:
    """Correlation about 0 of signs [B, D] with differences [B], 0 where it is not clear: [D]."""
    size = max(float(np.sqrt((difference**2).mean())), 1e-12)
    slope: FloatArray = (sign * difference[:, None]).mean(0) / size
    return np.where(np.abs(slope) > CLEAR / np.sqrt(len(sign)), slope, 0.0)


def lowered(params: Params, charge: FloatArray) -> dict[str, FloatArray]:
    """Parameters under which advantages are less by `charge`, [F + 1], by item feature and for any item."""
    scale = np.exp(params["advantage.log_scale"])
    less = {"item.q.bias": charge[:-1] / scale, "item.q.bias0": charge[-1] / scale}
    return {**params, **{name: (params[name] - by).astype(np.float32) for name, by in less.items()}}


def usual(reward: FloatArray) -> float:
    """Root mean square of the rewards that are not 0; 1 where all are."""
    some = reward[reward != 0.0]
    return float(np.sqrt((some**2).mean())) if some.size else 1.0
