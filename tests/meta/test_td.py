"""Temporal-difference losses against literal values worked out by hand."""

from __future__ import annotations

import numpy as np
import torch

from meta import td


def test_huber_is_quadratic_then_linear() -> None:
    """.5 x^2 inside 1, |x| - .5 outside."""
    np.testing.assert_allclose(td.huber(np.asarray([-3.0, -0.5, 0.0, 1.0, 2.0])), [2.5, 0.125, 0.0, 0.5, 1.5])


def test_double_q_lets_the_online_network_choose_and_the_target_judge() -> None:
    """Action 1 is the online best among the available, and the target says 5 of it: 1 + .5 * 5."""
    target = td.double_q_target(
        np.asarray([1.0, 1.0]),
        np.asarray([0.5, 0.0]),
        np.asarray([[1.0, 2.0, 9.0], [1.0, 2.0, 9.0]]),
        np.asarray([[7.0, 5.0, 8.0], [7.0, 5.0, 8.0]]),
        np.asarray([[True, True, False], [True, True, False]]),
    )
    np.testing.assert_allclose(target, [3.5, 1.0])


def test_lambda_returns_mix_one_step_and_the_whole_return() -> None:
    """Lambda 0 bootstraps at once, 1 sums the rewards, 1/2 stands between."""
    r, discount, v = np.asarray([[1.0, 2.0]]), np.asarray([[0.5, 0.5]]), np.asarray([[4.0, 8.0]])
    np.testing.assert_allclose(td.lambda_returns(r, discount, v, 0.0), [[3.0, 6.0]])
    np.testing.assert_allclose(td.lambda_returns(r, discount, v, 1.0), [[4.0, 6.0]])
    np.testing.assert_allclose(td.lambda_returns(r, discount, v, 0.5), [[3.5, 6.0]])


def test_a_terminated_episode_is_not_bootstrapped() -> None:
    """Discount 0 cuts everything that comes later."""
    returns = td.lambda_returns(np.asarray([[1.0, 2.0]]), np.asarray([[0.5, 0.0]]), np.asarray([[0.0, 100.0]]), 1.0)
    np.testing.assert_allclose(returns, [[2.0, 2.0]])


def test_no_gradient_flows_through_a_target() -> None:
    """Targets are constants to autograd."""
    q = torch.ones(1, 2, requires_grad=True)
    target = td.double_q_target(torch.ones(1), torch.ones(1), q, q, torch.ones(1, 2, dtype=torch.bool))
    assert not target.requires_grad
