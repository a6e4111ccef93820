"""Temporal-difference learning as pure functions of explicit arguments, on numpy and torch.

Subscripts as in rlax: q_tm1 and a_tm1 are of the earlier state, r_t, discount_t and q_t of the later one. A discount of
0 says that the episode terminated; a truncated episode keeps its discount and is bootstrapped where it was cut.
"""

from __future__ import annotations

from meta.arrays import log_softmax, namespace, stop_gradient, take, top
from meta.ranking import UNAVAILABLE, slate_value
from meta.types import Array


def huber(error: Array, delta: float = 1.0) -> Array:
    """.5 x^2 near zero, delta (|x| - .5 delta) beyond (Huber 1964), any shape."""
    xp = namespace(error)
    size = xp.abs(error)
    inner = xp.clip(size, None, delta)
    return 0.5 * inner * inner + delta * (size - inner)


def dueling(value: Array, advantage: Array, valid: Array) -> Array:
    """Q(s, a) = V(s) + Adv(s, a) - max of Adv over the available actions (Wang et al. 2016, eq. 8).

    So V is what acting well is worth. Ours differs in the maximum, which leaves out what cannot be done.

    Args:
        value: float [...].
        advantage: float [..., C].
        valid: bool [..., C], the available actions, at least one.

    Returns:
        float [..., C]; the value of an unavailable action is relative to the same maximum.

    Raises:
        ValueError: the shapes do not agree.
    """
    _alike(advantage=advantage, valid=valid)
    _alike(value=value, advantage=advantage[..., 0])
    xp = namespace(advantage)
    best = xp.where(valid, advantage, UNAVAILABLE)
    return value[..., None] + advantage - take(best, top(best, 1))


def slate_q(value: Array, choice: Array, advantage: Array) -> Array:
    """Q(s, A) = V(s) + sum_i P(i | s, A) Adv(s, i), P the conditional logit with 'no choice' (SlateQ: Ie et al. 2019).

    A SlateQ target is a return bootstrapped by this value of the NEXT state and its slate.

    Args:
        value: float [...], V(s), also the value of 'no choice'.
        choice: float [..., K], choice logits of the slate.
        advantage: float [..., K], advantages of the slate.

    Raises:
        ValueError: the shapes do not agree.
    """
    _alike(choice=choice, advantage=advantage)
    _alike(value=value, choice=choice[..., 0])
    return value + slate_value(choice, advantage)


def double_q_value(q_t_online: Array, q_t_target: Array, valid_t: Array) -> Array:
    """Q_target(s', argmax_a' Q_online(s', a')) over the available actions (van Hasselt et al. 2016, eq. 4).

    Plain Q-learning is the case of one network given twice.

    Args:
        q_t_online: float [..., C], online values of the next state, which choose.
        q_t_target: float [..., C], target values of the next state, which judge.
        valid_t: bool [..., C], actions that were available at the next state.

    Returns:
        float [...], detached; 0 where nothing was available, for then nothing can be earned.

    Raises:
        ValueError: the shapes do not agree.
    """
    _alike(q_t_online=q_t_online, q_t_target=q_t_target, valid_t=valid_t)
    xp = namespace(q_t_online)
    best = xp.argmax(xp.where(valid_t, q_t_online, UNAVAILABLE), axis=-1)
    judged = take(q_t_target, best[..., None])[..., 0]
    return stop_gradient(xp.where(xp.any(valid_t, axis=-1), judged, xp.zeros_like(judged)))


def double_q_target(r_t: Array, discount_t: Array, q_t_online: Array, q_t_target: Array, valid_t: Array) -> Array:
    """R + gamma * `double_q_value`, detached.

    Args:
        r_t: float [...], rewards.
        discount_t: float [...], gamma, 0 where the episode terminated.
        q_t_online, q_t_target, valid_t: [..., C], see `double_q_value`.

    Raises:
        ValueError: the shapes do not agree.
    """
    _alike(r_t=r_t, discount_t=discount_t, q_t_online=q_t_online[..., 0])
    return stop_gradient(r_t + discount_t * double_q_value(q_t_online, q_t_target, valid_t))


def elapsed_discount(discount: float, elapsed: Array, scale: float) -> Array:
    """Gamma ^ (dt / scale): a step that took longer is discounted by more (Bradtke & Duff 1994).

    Args:
        discount: gamma per `scale`, 0..1; 0 never bootstraps, whatever the time.
        elapsed: float [...], time of each step, at least 0.
        scale: the time that counts as one step, above 0, in the unit of `elapsed`.

    Returns:
        float [...].

    Raises:
        ValueError: an argument is out of its range.
    """
    if not 0.0 <= discount <= 1.0:
        raise ValueError(f"discount must be in 0..1, got {discount}")
    if not scale > 0.0:
        raise ValueError(f"scale must be above 0, got {scale}")
    xp = namespace(elapsed)
    if xp.any(elapsed < 0):
        raise ValueError(f"elapsed must be at least 0, got {float(xp.min(elapsed))}")
    return 0.0 * elapsed if discount == 0.0 else discount ** (elapsed / scale)


def n_step_returns(r_t: Array, discount_t: Array, v_t: Array, truncated_t: Array, steps: int) -> Array:
    """R_t + g_t r_t+1 + g_t g_t+1 r_t+2 + ... + (g_t ... g_t+n-1) v_t+n-1 (Sutton & Barto 2018, eq. 7.1).

    Shorter where the episode ends before: a terminated one adds nothing (discount 0), a truncated one and the end of
    the sequence add the value of the state in which it was cut.

    Args:
        r_t: float [B, T], rewards.
        discount_t: float [B, T], gamma, 0 where the episode terminated.
        v_t: float [B, T], value of the state after each step.
        truncated_t: bool [B, T], whether the next step belongs to another episode.
        steps: n, at least 1.

    Returns:
        float [B, T], detached.

    Raises:
        ValueError: the shapes do not agree, or n is below 1.
    """
    _sequences(r_t=r_t, discount_t=discount_t, v_t=v_t, truncated_t=truncated_t)
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    xp = namespace(r_t)
    returns = r_t + discount_t * v_t
    for _ in range(steps - 1):
        later = xp.concat([returns[:, 1:], v_t[:, -1:]], axis=1)
        returns = r_t + discount_t * xp.where(truncated_t, v_t, later)
    return stop_gradient(returns)


def lambda_returns(r_t: Array, discount_t: Array, v_t: Array, mix: float | Array) -> Array:
    """G_t = r_t + gamma_t ((1 - mix) v_t + mix G_t+1), bootstrapped by the last value (Sutton & Barto 2018, eq. 12.18).

    Args:
        r_t: float [B, T], rewards of one episode.
        discount_t: float [B, T], gamma, 0 where the episode terminated.
        v_t: float [B, T], value of the state after each step.
        mix: lambda, 0 (one step) to 1 (Monte Carlo); or one for each step, float [B, T].

    Returns:
        float [B, T], detached.

    Raises:
        ValueError: the shapes do not agree, or lambda is not in 0..1.
    """
    _sequences(r_t=r_t, discount_t=discount_t, v_t=v_t)
    if isinstance(mix, float | int):
        if not 0.0 <= mix <= 1.0:
            raise ValueError(f"mix must be in 0..1, got {mix}")
        mix = mix + 0.0 * r_t
    xp = namespace(r_t)
    later = v_t[:, -1]
    returns = []
    for t in range(r_t.shape[1] - 1, -1, -1):
        later = r_t[:, t] + discount_t[:, t] * ((1.0 - mix[:, t]) * v_t[:, t] + mix[:, t] * later)
        returns.append(later)
    return stop_gradient(xp.stack(returns[::-1], axis=1))


def conservatism(q: Array, valid: Array, logged: Array) -> Array:
    """CQL(H): log sum e^Q over the available actions minus Q of what the log did (Kumar et al. 2020, eq. 4).

    Keeps values of what was never tried below those of what was; over a catalogue it is the softmax cross-entropy of a
    sequence recommender.

    Args:
        q: float [..., C].
        valid: bool [..., C], the available actions.
        logged: float [..., C], share of each action in what the log did; sums to 1, 0 where not available. All 0 where
            the log did nothing, which costs nothing.

    Returns:
        float [...], nats, at least 0.

    Raises:
        ValueError: the shapes do not agree.
    """
    _alike(q=q, valid=valid, logged=logged)
    xp = namespace(q)
    return -xp.sum(logged * log_softmax(xp.where(valid, q, UNAVAILABLE)), axis=-1)


def _sequences(**arrays: Array) -> None:
    """Refuses anything but arrays of one shape [B, T]; ValueError."""
    _alike(**arrays)
    name, first = next(iter(arrays.items()))
    if first.ndim != 2:
        raise ValueError(f"{name} must be [B, T], got shape {tuple(first.shape)}")


def _alike(**arrays: Array) -> None:
    """Refuses arrays of different shapes; ValueError."""
    shapes = {name: tuple(x.shape) for name, x in arrays.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"these must have one shape: {', '.join(f'{name} {shape}' for name, shape in shapes.items())}")
