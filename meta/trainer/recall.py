"""What is recalled of a task: transitions become graded events, and those become a copy, by the adapters as they are.

An event is an action (the item) in an observation (its context); its grade, the share by which it counts as chosen, is

    sigmoid(A / tau),   A_t = delta_t + gamma lambda A_t+1,   delta_t = r_t + gamma V(s_t+1) - V(s_t)

with V(s) the worth of a state to somebody who knows nothing of the task, so A says by how much the step went better
than foretold (generalised advantage: Schulman et al. 2016, eq. 16). Nothing in it depends on the copy, so it is
computed once and stays as it is while the copy is learnt.
"""

from __future__ import annotations

from dataclasses import dataclass

from meta import q_network
from meta.arrays import namespace, sigmoid, take, top
from meta.q_network import Belief, ItemTable
from meta.spec import Spec
from meta.state import prefix_ages, state, summary_width
from meta.td import dueling
from meta.types import Array, Context, Events, Params

TAU = "credit.scale"
"""tau among the parameters: the usual size of A, measured in training."""


@dataclass(frozen=True, slots=True)
class Credit:
    """How surprise is shared out.

    Args:
        discount: gamma a step, 0..1.
        mix: lambda, 0 (only the step itself) to 1 (everything after it in the episode).
    """

    discount: float
    mix: float


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps of B tasks in time order, T each.

    Args:
        observation, next_observation: float [B, T, X], before and after each step.
        action: int [B, T].
        reward: float [B, T].
        terminated: bool [B, T], the episode ended by the law of the task.
        ended: bool [B, T], the episode ended or was cut.
        valid: bool [B, T], false where there was no step.
    """

    observation: Array
    action: Array
    reward: Array
    next_observation: Array
    terminated: Array
    ended: Array
    valid: Array


def worth(params: Params, spec: Spec, observation: Array) -> Array:
    """V(s) where nothing else is known: [M, X] -> [M]."""
    xp = namespace(observation)
    nothing = xp.zeros((observation.shape[0], summary_width(spec.features)), dtype=observation.dtype)
    h = state(params, xp.concat([nothing, observation], axis=-1))
    return h @ params["value.w"] + params["value.b"]


def worths(params: Params, spec: Spec, steps: Steps) -> tuple[Array, Array]:
    """V before and after each step, [B, T] each; 0 where there was no step. A state is looked at once."""
    xp = namespace(steps.reward)
    before = xp.zeros_like(steps.reward)
    before[steps.valid] = worth(params, spec, steps.observation[steps.valid])
    nobody = xp.zeros_like(steps.valid[:, :1])
    after = xp.concat([before[:, 1:], xp.zeros_like(before[:, :1])], axis=1)
    apart = steps.valid & (steps.ended | ~xp.concat([steps.valid[:, 1:], nobody], axis=1))
    after[apart] = worth(params, spec, steps.next_observation[apart])
    return before, after


def advantages(params: Params, spec: Spec, steps: Steps, credit: Credit) -> Array:
    """A of every step, [B, T]; the sum over later steps ends with the episode or with the last step given."""
    xp = namespace(steps.reward)
    discount = credit.discount * xp.astype(~steps.terminated, steps.reward.dtype)
    before, after = worths(params, spec, steps)
    delta = steps.reward + discount * after - before
    if credit.mix == 0.0:
        return delta
    go_on = xp.astype(steps.valid & ~steps.ended, delta.dtype) * credit.discount * credit.mix
    sums = [delta[:, -1]]
    for t in range(delta.shape[1] - 2, -1, -1):
        sums.append(delta[:, t] + go_on[:, t] * sums[-1])
    return xp.stack(sums[::-1], axis=1)


def recall(params: Params, spec: Spec, steps: Steps, credit: Credit) -> Events:
    """The `spec.history` steps that surprised most, in time order, as graded events [B, T]."""
    xp = namespace(steps.reward)
    advantage = advantages(params, spec, steps, credit)
    users, count = steps.reward.shape
    size = min(spec.history, count)
    kept = top(xp.where(steps.valid, xp.abs(advantage), -xp.ones_like(advantage)), size)
    kept = xp.where(take(steps.valid, kept), kept, count)
    kept = xp.sort(kept, axis=-1)
    mask = kept < count
    kept = xp.where(mask, kept, 0)
    real = xp.astype(mask, advantage.dtype)
    place = xp.broadcast_to(xp.arange(size), (users, size))
    return Events(
        item=xp.where(mask, take(steps.action, kept), -1),
        reward=real * sigmoid(take(advantage, kept) / params[TAU]),
        group=xp.where(mask, place, 0),
        mask=mask,
        length=xp.sum(xp.astype(mask, kept.dtype), axis=-1),
        time_ms=xp.zeros_like(kept),
        context=steps.observation[xp.arange(users)[:, None], kept] * real[..., None],
    )


def adapt(params: Params, spec: Spec, table: ItemTable, events: Events) -> Array:
    """The copies [B, 1, Z] that the adapter of `spec` makes of histories."""
    attributes = q_network.nothing_known(events, spec).attributes
    support = q_network.gather(params, spec, table, events, events.length[:, None], attributes)
    return q_network.adapt(params, spec, support)


def believe(params: Params, spec: Spec, table: ItemTable, events: Events, copy: Array, observation: Array) -> Belief:
    """The belief with copies [B, 1, Z] of these histories in P situations each, observation [B, P, X]."""
    xp = namespace(observation)
    users, situations = observation.shape[:2]
    inside, age, copy = (
        xp.broadcast_to(x, (users, situations, x.shape[-1]))
        for x in (*prefix_ages(events, events.length[:, None], spec.history), copy)
    )
    context = q_network.nothing_known(events, spec, situations)
    return q_network.look(
        params, spec, table, events, inside, age, copy, Context(context.attributes, observation, context.now_ms)
    )


def action_values(params: Params, belief: Belief, table: ItemTable) -> Array:
    """Q(s, a) = V(s) + Adv - max Adv, [B, P, N]: V is what acting well is worth (Wang et al. 2016, eq. 8)."""
    xp = namespace(belief.value)
    lead = xp.exp(params["advantage.log_scale"]) * (belief.taste_q @ xp.matrix_transpose(table.e_q) + table.b_q)
    return dueling(belief.value, lead, xp.ones_like(lead, dtype=xp.bool))
