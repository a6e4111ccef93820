"""Meeting users: a whole batch clicks through one episode under the current parameters, in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from meta import q_network
from meta.arrays import lines
from meta.experience import Episodes, World, history
from meta.ranking import gumbel_noise, plackett_luce, slate_scores
from meta.spec import Spec
from meta.types import Array, BoolArray, Context, Events, FloatArray, IntArray


def meet(
    world: World,
    features: FloatArray,
    params: Mapping[str, FloatArray],
    spec: Spec,
    rng: np.random.Generator,
    *,
    epsilon: float,
    temperatures: tuple[float, ...],
    charge: FloatArray | None = None,
) -> Episodes:
    """Let new users of `world` click through one episode under the policy of `params`, in numpy.

    Args:
        features: float32 [N, F], the world's catalogue.
        epsilon: chance that a slate position is filled at random.
        temperatures: of the draw, in standard deviations of a request's scores; user i takes the i-th, over and over.
        charge: float [B, F + 1], by which each user's advantages are lowered by item feature, and for any item.
    """
    table = q_network.items(params, spec, features)
    users, size = world.num_envs, world.slate_size
    offer = np.zeros((users, world.steps + 1, world.candidates), np.int32)
    context = np.zeros((users, world.steps + 1, world.context), np.float32)
    slate = np.zeros((users, world.steps, size), np.int32)
    choice = np.full((users, world.steps), -1, np.int8)
    reward = np.zeros((users, world.steps), np.float32)
    elapsed = np.ones((users, world.steps), np.float32)
    terminated, active = np.zeros(users, bool), np.ones((users, world.steps), bool)
    warmth = np.resize(np.asarray(temperatures), users)
    observation, _ = world.reset()
    offer[:, 0], context[:, 0] = observation["candidates"], observation.get("context", 0.0)
    for step in range(world.steps):
        events = history(slate[:, :step], choice[:, :step], reward[:, :step], context[:, :step], active[:, :step])
        rows, valid = offer[:, step], offer[:, step] >= 0
        request = requests(events, spec, context[:, step : step + 1])
        belief = q_network.believe(params, spec, table, events, events.length[:, None], request)
        v, advantage = (x[:, 0] for x in values(params, belief, table, rows[:, None]))
        if charge is not None:
            advantage = advantage - (features[rows] @ charge[:, :-1, None])[..., 0] - charge[:, -1:]
        scores = slate_scores(v, advantage, valid, size)
        noise = gumbel_noise(rng.integers(2**63, size=users).astype(np.uint64), rows)
        shown, _ = plackett_luce(scores, valid, warmth * np.where(valid, scores, 0.0).std(-1, where=valid), noise, size)
        shown = _mix_in_random(shown, valid, epsilon, rng)
        slate[:, step] = np.take_along_axis(rows, shown, 1)
        observation, reward[:, step], terminated, _, info = world.step(shown)
        choice[:, step], elapsed[:, step] = info["choice"], info.get("elapsed", 1.0)
        active[:, step] = info.get("active", True)
        offer[:, step + 1], context[:, step + 1] = observation["candidates"], observation.get("context", 0.0)
    return Episodes(offer, context, slate, choice, reward, elapsed, terminated, active)


def requests(events: Events, spec: Spec, seen: Array) -> Context:
    """Requests of which nothing but the situation is seen, float [B, P, X], in numpy or torch."""
    return replace(q_network.nothing_known(events, spec, seen.shape[1]), request=seen)


def values(
    params: Mapping[str, Array], belief: q_network.Belief, table: q_network.ItemTable, rows: Array
) -> tuple[Array, Array]:
    """Return choice logits and advantages [B, P, C] of the items in `rows` [B, P, C]; those of row -1 say nothing."""
    return (
        q_network.choice_logits(belief, lines(table.e_v, rows), lines(table.b_v, rows)),
        q_network.advantages(params, belief, lines(table.e_q, rows), lines(table.b_q, rows)),
    )


def _mix_in_random(shown: IntArray, valid: BoolArray, epsilon: float, rng: np.random.Generator) -> IntArray:
    """Replace each position [B, K] with chance epsilon by a random valid candidate that the slate does not hold yet."""
    if not epsilon:
        return shown
    users, size = shown.shape
    spare = np.argsort(rng.random(valid.shape), 1)
    every, free = np.arange(users), valid.copy()
    free[every[:, None], shown] = False
    for k in range(size):
        left = np.take_along_axis(free, spare, 1)
        fresh = spare[every, left.argmax(1)]
        swap = np.flatnonzero((rng.random(users) < epsilon) & left.any(1))
        free[swap, shown[swap, k]], free[swap, fresh[swap]] = True, False
        shown[swap, k] = fresh[swap]
    return shown
