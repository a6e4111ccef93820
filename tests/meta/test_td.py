"""Temporal-difference learning against literal values worked out by hand, on numpy and on torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from meta import td

Make = Callable[[Any], Any]

both = pytest.mark.parametrize("array", [np.asarray, torch.tensor], ids=["numpy", "torch"])


@both
def test_huber_is_quadratic_then_linear(array: Make) -> None:
    """.5 x^2 inside 1, |x| - .5 outside."""
    np.testing.assert_allclose([2.5, 0.125, 0.0, 0.5, 1.5], td.huber(array([-3.0, -0.5, 0.0, 1.0, 2.0])))


@both
def test_dueling_measures_advantages_from_the_best_that_is_available(array: Make) -> None:
    """V = 10 and Adv = 1, 3 and an unavailable 8: the best is 3, so Q = 8, 10 and 15."""
    q = td.dueling(array([10.0]), array([[1.0, 3.0, 8.0]]), array([[True, True, False]]))
    np.testing.assert_allclose([[8.0, 10.0, 15.0]], q)


@both
def test_the_value_of_a_slate_weighs_advantages_by_the_chance_of_a_choice(array: Make) -> None:
    """Odds 1 and 2 beside 1 for no choice give chances 1/4 and 1/2: 5 + 4/4 - 2/2."""
    value = td.slate_q(array([5.0]), array([[0.0, math.log(2.0)]]), array([[4.0, -2.0]]))
    np.testing.assert_allclose([5.0], value)


@both
def test_a_slateq_target_is_the_next_states_slate(array: Make) -> None:
    """Slates worth 5 now, 7 next and 9 after it: rewards 1 and 2 at gamma 1/2 give targets 1 + 7/2 and 2 + 9/2."""
    value, choice = array([[5.0, 7.0, 9.0]]), array([[[0.0], [0.0], [0.0]]])
    worth = td.slate_q(value, choice, 0.0 * choice)
    targets = td.n_step_returns(array([[1.0, 2.0]]), array([[0.5, 0.5]]), worth[:, 1:], array([[False, False]]), 1)
    np.testing.assert_allclose([[4.5, 6.5]], targets)


@both
def test_double_q_lets_the_online_network_choose_and_the_target_judge(array: Make) -> None:
    """Action 1 is the online best among the available, and the target says 5 of it: 1 + .5 * 5."""
    target = td.double_q_target(
        array([1.0, 1.0]),
        array([0.5, 0.0]),
        array([[1.0, 2.0, 9.0], [1.0, 2.0, 9.0]]),
        array([[7.0, 5.0, 8.0], [7.0, 5.0, 8.0]]),
        array([[True, True, False], [True, True, False]]),
    )
    np.testing.assert_allclose([3.5, 1.0], target)


@both
def test_where_nothing_is_available_nothing_is_bootstrapped(array: Make) -> None:
    """A next state without actions is worth 0, whatever the network says of them."""
    target = td.double_q_target(
        array([1.0]), array([0.5]), array([[1.0, 2.0]]), array([[7.0, 5.0]]), array([[False, False]])
    )
    np.testing.assert_allclose([1.0], target)


@both
def test_time_discounts(array: Make) -> None:
    """Gamma .25 per two hours is .5 for one, .25 for two, .0625 for four and 1 for none; gamma 0 never looks ahead."""
    hours = array([1.0, 2.0, 4.0, 0.0])
    np.testing.assert_allclose([0.5, 0.25, 0.0625, 1.0], td.elapsed_discount(0.25, hours, 2.0))
    np.testing.assert_allclose([0.0, 0.0, 0.0, 0.0], td.elapsed_discount(0.0, hours, 2.0))


R, DISCOUNT, V = [[1.0, 2.0, 4.0]], [[0.5, 0.5, 0.5]], [[8.0, 16.0, 32.0]]
WHOLE = [[False, False, False]]


@both
@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (1, [[5.0, 10.0, 20.0]]),
        (2, [[1.0 + 1.0 + 4.0, 2.0 + 2.0 + 8.0, 20.0]]),
        (3, [[1.0 + 1.0 + 1.0 + 4.0, 12.0, 20.0]]),
        (9, [[7.0, 12.0, 20.0]]),
    ],
)
def test_n_steps_sum_rewards_and_then_bootstrap(array: Make, steps: int, expected: list[list[float]]) -> None:
    """At gamma 1/2: r1 + r2 / 2 + r3 / 4 + v3 / 8, and the end of the sequence bootstraps earlier."""
    np.testing.assert_allclose(expected, td.n_step_returns(array(R), array(DISCOUNT), array(V), array(WHOLE), steps))


@both
def test_a_terminated_step_ends_the_return_and_a_truncated_one_bootstraps_it(array: Make) -> None:
    """An episode that ends at step 2 adds nothing of its end; one that is cut there adds the value 16, never step 3."""
    ended = td.n_step_returns(array(R), array([[0.5, 0.0, 0.5]]), array(V), array(WHOLE), 3)
    np.testing.assert_allclose([[2.0, 2.0, 20.0]], ended)
    cut = td.n_step_returns(array(R), array(DISCOUNT), array(V), array([[False, True, False]]), 3)
    np.testing.assert_allclose([[1.0 + 1.0 + 4.0, 10.0, 20.0]], cut)


@both
def test_lambda_returns_mix_one_step_and_the_whole_return(array: Make) -> None:
    """Lambda 0 bootstraps at once, 1 sums the rewards, 1/2 stands between."""
    r, discount, v = array([[1.0, 2.0]]), array([[0.5, 0.5]]), array([[4.0, 8.0]])
    np.testing.assert_allclose([[3.0, 6.0]], td.lambda_returns(r, discount, v, 0.0))
    np.testing.assert_allclose([[4.0, 6.0]], td.lambda_returns(r, discount, v, 1.0))
    np.testing.assert_allclose([[3.5, 6.0]], td.lambda_returns(r, discount, v, 0.5))


@both
def test_a_terminated_episode_is_not_bootstrapped(array: Make) -> None:
    """Discount 0 cuts everything that comes later."""
    returns = td.lambda_returns(array([[1.0, 2.0]]), array([[0.5, 0.0]]), array([[0.0, 100.0]]), 1.0)
    np.testing.assert_allclose([[2.0, 2.0]], returns)


@both
def test_conservatism_counts_only_what_was_available(array: Make) -> None:
    """Odds 1 and 3 beside an unavailable 100: log 4 - log 3 for the likelier, and half of each where both were done."""
    q = array([[0.0, math.log(3.0), math.log(100.0)]])
    valid = array([[True, True, False]])
    np.testing.assert_allclose([math.log(4 / 3)], td.conservatism(q, valid, array([[0.0, 1.0, 0.0]])), rtol=1e-6)
    both_done = td.conservatism(q, valid, array([[0.5, 0.5, 0.0]]))
    np.testing.assert_allclose([math.log(4.0) - 0.5 * math.log(3.0)], both_done, rtol=1e-6)


@both
def test_conservatism_costs_nothing_where_the_log_did_nothing(array: Make) -> None:
    """No action logged, no penalty."""
    np.testing.assert_allclose([0.0], td.conservatism(array([[1.0, 2.0]]), array([[True, True]]), array([[0.0, 0.0]])))


def test_conservatism_pushes_down_the_untried_and_lifts_the_tried() -> None:
    """Its gradient is the softmax minus what was done, and 0 for what was not available."""
    q = torch.tensor([[0.0, math.log(3.0), 5.0]], requires_grad=True)
    torch.autograd.backward(td.conservatism(q, torch.tensor([[True, True, False]]), torch.tensor([[0.0, 1.0, 0.0]])))
    assert q.grad is not None
    np.testing.assert_allclose([[0.25, -0.25, 0.0]], q.grad, atol=1e-6)


def test_no_gradient_flows_through_a_target() -> None:
    """Targets are constants to autograd."""
    q = torch.ones(1, 2, requires_grad=True)
    assert not td.double_q_target(torch.ones(1), torch.ones(1), q, q, torch.ones(1, 2, dtype=torch.bool)).requires_grad
    assert not td.lambda_returns(q, q, q, 0.5).requires_grad
    assert not td.n_step_returns(q, q, q, torch.zeros(1, 2, dtype=torch.bool), 2).requires_grad


def test_bad_use_is_refused_in_words() -> None:
    """Shapes that would broadcast into nonsense, and values out of range."""
    one, two = np.ones((1, 2)), np.ones((2, 1))
    with pytest.raises(ValueError, match=r"must have one shape: r_t \(1, 2\), discount_t \(1, 2\), v_t \(2, 1\)"):
        td.lambda_returns(one, one, two, 0.5)
    with pytest.raises(ValueError, match=r"r_t must be \[B, T\], got shape \(2,\)"):
        td.n_step_returns(one[0], one[0], one[0], one[0] > 9, 1)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        td.n_step_returns(one, one, one, one > 9, 0)
    with pytest.raises(ValueError, match=r"mix must be in 0..1, got 1.5"):
        td.lambda_returns(one, one, one, 1.5)
    with pytest.raises(ValueError, match=r"value \(2, 1\), advantage \(1,\)"):
        td.dueling(two, one, one > 0)
    with pytest.raises(ValueError, match=r"r_t \(1, 2\), discount_t \(1, 2\), q_t_online \(1,\)"):
        td.double_q_target(one, one, one, one, one > 0)
    with pytest.raises(ValueError, match=r"discount must be in 0..1, got 2"):
        td.elapsed_discount(2.0, one, 1.0)
    with pytest.raises(ValueError, match="scale must be above 0, got 0"):
        td.elapsed_discount(0.9, one, 0.0)
    with pytest.raises(ValueError, match=r"elapsed must be at least 0, got -1.0"):
        td.elapsed_discount(0.9, -one, 1.0)
