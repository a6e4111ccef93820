"""Temporal-difference losses as pure functions of explicit arguments.

Subscripts as in rlax: q_tm1 and a_tm1 are of the earlier state, r_t, discount_t and q_t of the later one.
"""

from __future__ import annotations

from meta.arrays import namespace, stop_gradient, take
from meta.types import Array


def huber(error: Array, delta: float = 1.0) -> Array:
    """.5 x^2 near zero, delta (|x| - .5 delta) beyond (Huber 1964), any shape."""
    xp = namespace(error)
    size = xp.abs(error)
    inner = xp.clip(size, None, delta)
    return 0.5 * inner * inner + delta * (size - inner)


def double_q_target(r_t: Array, discount_t: Array, q_t_online: Array, q_t_target: Array, valid_t: Array) -> Array:
    """R + gamma Q_target(s', argmax_a' Q_online(s', a')) (van Hasselt et al. 2016, eq. 4), detached.

    Args:
        r_t: float [...], rewards.
        discount_t: float [...], gamma, 0 where the episode terminated.
        q_t_online: float [..., C], online values of the next state, which choose.
        q_t_target: float [..., C], target values of the next state, which judge.
        valid_t: bool [..., C], actions that were available at the next state.
    """
    xp = namespace(q_t_online)
    best = xp.argmax(xp.where(valid_t, q_t_online, -xp.inf), axis=-1)
    return stop_gradient(r_t + discount_t * take(q_t_target, best[..., None])[..., 0])


def lambda_returns(r_t: Array, discount_t: Array, v_t: Array, mix: float) -> Array:
    """G_t = r_t + gamma_t ((1 - mix) v_t + mix G_t+1), bootstrapped by the last value (Sutton & Barto 2018, eq. 12.18).

    Args:
        r_t: float [B, T], rewards.
        discount_t: float [B, T], gamma, 0 where the episode terminated.
        v_t: float [B, T], value of the state after each step.
        mix: lambda, 0 (one step) to 1 (Monte Carlo).

    Returns:
        float [B, T], detached.
    """
    xp = namespace(r_t)
    later = v_t[:, -1]
    returns = []
    for t in range(r_t.shape[1] - 1, -1, -1):
        later = r_t[:, t] + discount_t[:, t] * ((1.0 - mix) * v_t[:, t] + mix * later)
        returns.append(later)
    return stop_gradient(xp.stack(returns[::-1], axis=1))
