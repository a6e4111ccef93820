"""Robot control: poles to be balanced on carts whose bodies differ, half of them with the controls swapped."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from gymnasium import spaces

from meta.errors import InputError
from meta.types import BoolArray, FloatArray, IntArray
from simulators.tasks import TaskEnv, Tasks

GRAVITY = 9.8
"""m/s^2."""
CART_MASS = 1.0
"""kg."""
TICK = 0.02
"""Seconds a step."""
TRACK = 2.4
"""The cart may be this far from the middle, in m."""
TILT = 12 * 2 * math.pi / 360
"""The pole may lean this far, in radians."""


@dataclass(frozen=True, slots=True)
class Bodies:
    """What a policy does not see of B tasks.

    Args:
        half_length: float [B], half the length of the pole, m.
        pole_mass: float [B], kg.
        force: float [B], size of a push, N.
        swapped: bool [B], whether action 0 pushes to the right.
    """

    half_length: FloatArray
    pole_mass: FloatArray
    force: FloatArray
    swapped: BoolArray

    def take(self, tasks: IntArray) -> Bodies:
        """Return the bodies of some tasks, in this order; a task may come more than once."""
        return Bodies(*(getattr(self, field.name)[tasks] for field in fields(self)))


class CartPoles(Tasks):
    """A batch of cart-poles of unknown body and wiring.

    ## Description
    Gymnasium's `CartPole-v1` (Barto, Sutton & Anderson 1983) with Euler's integration, restated for a batch. Length and
    mass of the pole and the size of a push are drawn by task, and in a share of the tasks the actions are swapped: as
    the wiring cannot be seen, no single policy balances them all. A task stays for as many episodes as wanted.

    ## Action Space
    `Discrete(2)` a task: 0 pushes the cart to the left, 1 to the right; the other way round where swapped.

    ## Observation Space
    `Box(4)` float32 a task:
    | index | meaning | min | max | unit |
    |---|---|---|---|---|
    | 0 | position of the cart | -4.8 | 4.8 | m |
    | 1 | velocity of the cart | -1000 | 1000 | m/s |
    | 2 | angle of the pole | -0.418 | 0.418 | rad |
    | 3 | angular velocity of the pole | -1000 | 1000 | rad/s |

    ## Rewards
    1 for every step taken, the one that ends the episode included.

    ## Starting State
    `reset` draws bodies and wiring uniformly; every episode begins with all four coordinates uniform in -0.05..0.05.

    ## Episode End
    Terminated where the cart is farther than 2.4 m from the middle or the pole leans more than 12 degrees; truncated
    after `steps` steps. `reset_episode` starts the next episode of the same tasks.

    ## Arguments
    * `tasks`: tasks in the batch (count).
    * `steps`: longest episode (steps of 0.02 s).
    * `half_length`: lowest and highest half length of a pole (m).
    * `pole_mass`: lowest and highest mass of a pole (kg).
    * `force`: weakest and strongest push (N).
    * `swapped`: chance that the actions are swapped (0..1).
    * `bodies`: play these tasks instead of drawing any.

    ## Version History
    * v0: first version.
    """

    name = "cartpole"
    scale = np.array([TRACK, 2.0, TILT, 2.0], np.float32)
    worth = 20.0

    def __init__(
        self,
        tasks: int = 1,
        *,
        steps: int = 200,
        half_length: tuple[float, float] = (0.25, 1.0),
        pole_mass: tuple[float, float] = (0.05, 0.3),
        force: tuple[float, float] = (6.0, 15.0),
        swapped: float = 0.5,
        bodies: Bodies | None = None,
    ) -> None:
        for argument, (low, high) in (("half_length", half_length), ("pole_mass", pole_mass), ("force", force)):
            if not 0.0 < low <= high < math.inf:
                raise InputError(f"{argument} must be a range (low, high) above 0, got {(low, high)}")
        if not 0.0 <= swapped <= 1.0:
            raise InputError(f"swapped must be in 0..1, got {swapped}")
        if bodies is not None and len(bodies.force) != tasks:
            raise InputError(f"bodies must be those of {tasks} tasks, got {len(bodies.force)}")
        far = np.array([2 * TRACK, 1e3, 2 * TILT, 1e3], np.float32)
        super().__init__(tasks, steps, 2, spaces.Box(-far, far, dtype=np.float32))
        self._ranges = (half_length, pole_mass, force)
        self._swapped, self._given = swapped, bodies
        length, mass, push = (np.full(tasks, low) for low, _ in self._ranges)
        self.bodies = bodies or Bodies(length, mass, push, np.zeros(tasks, bool))
        self._state: FloatArray = np.zeros((4, tasks))

    def only(self, tasks: IntArray) -> CartPoles:
        """A batch that plays these of our present tasks, and never any other."""
        tasks = np.asarray(tasks)
        return CartPoles(len(tasks), steps=self.steps, bodies=self.bodies.take(tasks))

    def _draw(self, rng: np.random.Generator) -> None:
        length, mass, force = (rng.uniform(low, high, self.num_envs) for low, high in self._ranges)
        self.bodies = self._given or Bodies(length, mass, force, rng.random(self.num_envs) < self._swapped)

    def _begin(self, rng: np.random.Generator) -> FloatArray:
        self._state = rng.uniform(-0.05, 0.05, (4, self.num_envs))
        return self._state.T.astype(np.float32)

    def _move(self, actions: IntArray, active: BoolArray) -> tuple[FloatArray, FloatArray, BoolArray]:
        body = self.bodies
        push = np.where((actions == 1) ^ body.swapped, body.force, -body.force)
        self._state = np.where(active, euler(self._state, push, body), self._state)
        x, _, angle, _ = self._state
        fallen = (np.abs(x) > TRACK) | (np.abs(angle) > TILT)
        return self._state.T.astype(np.float32), np.ones(self.num_envs), fallen


class CartPoleEnv(TaskEnv):
    """One task of `CartPoles`; takes its arguments other than `tasks`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(CartPoles(1, **arguments))


def euler(state: FloatArray, push: FloatArray, body: Bodies) -> FloatArray:
    """One tick of the cart-pole's law (Florian 2007, eqs. 23 and 24, without friction): state [4, B], push [B] in N."""
    x, speed, angle, turn = state
    sine, cosine = np.sin(angle), np.cos(angle)
    mass = CART_MASS + body.pole_mass
    moment = body.pole_mass * body.half_length
    pressed = (push + moment * turn**2 * sine) / mass
    turning = (GRAVITY * sine - cosine * pressed) / (body.half_length * (4.0 / 3.0 - body.pole_mass * cosine**2 / mass))
    speeding = pressed - moment * turning * cosine / mass
    return np.stack([x + TICK * speed, speed + TICK * speeding, angle + TICK * turn, turn + TICK * turning])
