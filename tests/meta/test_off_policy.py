"""Decisions of another policy: importance weights and returns against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from meta import q_network
from meta.trainer.off_policy import Logged, ratios, spread
from meta.trainer.world_losses import Block, Losses, Targets, losses
from tests.meta.test_world_losses import FEATURES, SPEC, episode, zeros


def block(chance: list[float], offer: list[int], followed: list[bool]) -> Block:
    """A user who is shown item 0 twice, with these chances, and never chooses; rewards of 1 and 2."""
    made = Block.of(episode([1.0, 2.0], -1, False), 0, 2)
    logged = Logged(
        torch.tensor([[offer, offer]]), torch.tensor([chance]).log(), torch.tensor([[True, True]]),
        torch.tensor([followed]),
    )  # fmt: skip
    return replace(made, logged=logged)


def found(of: Block, how: Targets, **changed: list[float] | float) -> Losses:
    """Its losses under a network that knows nothing but what is changed."""
    params = zeros(**changed)
    return losses(params, params, SPEC, FEATURES, of, how)


def test_a_ratio_is_the_chance_of_the_learning_policy_by_the_logged_one() -> None:
    """Scores of items 0, 1 and 2 are 1, 0 and 0 less the best slate's value of 1/2, so they spread by sqrt(2) / 3.

    At a temperature of one spread item 0 is drawn with chance e^(3 / sqrt 2) / (e^(3 / sqrt 2) + 2) = .8066.
    """
    of, params = block([0.5, 0.25], [0, 1, 2, -1], [True, True]), zeros(item__q__bias=[1.0, 0.0, 0.0, 9.0])
    assert of.logged is not None
    table = q_network.items(params, SPEC, FEATURES)
    belief = q_network.believe(params, SPEC, table, of.events, of.prefix[:, :-1])
    told = ratios(params, table, belief, of.slate, of.logged, 1.0)
    np.testing.assert_allclose([[0.8066 / 0.5, 0.8066 / 0.25]], told, rtol=1e-3)
    unknown = replace(of.logged, weighed=torch.tensor([[True, False]]))
    np.testing.assert_allclose([[0.8066 / 0.5, 1.0]], ratios(params, table, belief, of.slate, unknown, 1.0), rtol=1e-3)


def test_a_spread_leaves_out_what_is_not_on_offer() -> None:
    """Scores 1 and 3 have a standard deviation of 1, whatever stands where nothing is on offer."""
    assert 1.0 == pytest.approx(spread(torch.tensor([[[1.0, 3.0, -1e30]]]), torch.tensor([[[0, 1, -1]]])))


def test_weights_are_clipped_and_share_out_one_a_decision() -> None:
    """Two items alike are drawn by halves: ratios 1 and 4, clipped at 1 and 3 weigh .5 and 1.5.

    Errors with gamma 0 are -1 and -2, Huber .5 and 1.5: (.5 * .5 + 1.5 * 1.5) / 2.
    """
    of = block([0.5, 0.125], [0, 1, -1, -1], [True, True])
    td = found(of, Targets(discount=0.0, temperature=1.0, largest=3.0)).td
    np.testing.assert_allclose(1.25, td.item(), rtol=1e-5)
    alike = found(of, Targets(discount=0.0)).td  # without a temperature all count alike
    np.testing.assert_allclose(1.0, alike.item(), rtol=1e-5)


@pytest.mark.parametrize(("followed", "expected"), [([True, True], (2.5 + 1.5) / 2), ([True, False], 0.5)])
def test_what_follows_the_end_of_a_log_is_not_known(followed: list[bool], expected: float) -> None:
    """Gamma 1, lambda 1, no values: y = 3 and 2. Where the second's future is unknown the first y is 1, and alone."""
    td = found(block([0.5, 0.5], [0, 1, -1, -1], followed), Targets(discount=1.0, mix=1.0)).td
    # Of two decisions one is left out, and the other counts for both.
    np.testing.assert_allclose(expected, td.item(), rtol=1e-5)


def test_a_return_is_cut_where_the_learning_policy_decides_otherwise() -> None:
    """It would show the second item 0 with chance 1/2 where it was certain: half of the later return counts, y = 2."""
    of = block([0.5, 1.0], [0, 1, -1, -1], [True, True])
    td = found(of, Targets(discount=1.0, mix=1.0, temperature=1.0, largest=1.0)).td
    # Errors 2 and 2 by weights 4/3 and 2/3.
    np.testing.assert_allclose(1.5, td.item(), rtol=1e-5)


def test_several_likes_of_a_slate_share_its_choice() -> None:
    """Two of two items chosen, without opinions: log 3 nats, and a position past the end takes no part."""
    made = Block.of(episode([1.0], 0, True), 0, 1)
    of = replace(
        made, slate=torch.tensor([[[0, 1, -1]]]), chosen=torch.tensor([[[0.5, 0.5, 0.0]]]),
        next_offer=torch.tensor([[[2, 3, -1]]]),
    )  # fmt: skip
    np.testing.assert_allclose(np.log(3.0), found(of, Targets(discount=0.0)).choice.item(), rtol=1e-6)
