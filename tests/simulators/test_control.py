"""The cart-poles against gymnasium's own."""

from __future__ import annotations

import math

import gymnasium
import numpy as np
import pytest

from simulators.control import CartPoles

THE_DEFAULT = {"half_length": (0.5, 0.5), "pole_mass": (0.1, 0.1), "force": (10.0, 10.0)}
"""The body of gymnasium's CartPole-v1."""


@pytest.mark.parametrize("swapped", [0, 1])
def test_the_default_body_moves_as_gymnasiums_cartpole(swapped: int) -> None:
    """Step by step the same states and the same end to 1e-6, with the actions flipped where swapped."""
    family = CartPoles(1, swapped=float(swapped), **THE_DEFAULT)
    theirs = gymnasium.make("CartPole-v1").unwrapped
    for seed in range(5):
        observation, _ = family.reset(seed=seed)
        theirs.reset()
        theirs.state = tuple(float(x) for x in family._state[:, 0])
        rng = np.random.default_rng(seed)
        ended = False
        while not ended:
            action = int(rng.random() < 0.5 + 0.4 * np.sign(observation[0, 2]))
            observation, reward, terminated, _, _ = family.step(np.array([action ^ swapped]))
            expected, expected_reward, ended, _, _ = theirs.step(action)
            np.testing.assert_allclose(expected, observation[0], atol=1e-6)
            assert (expected_reward, ended) == (reward[0], terminated[0])


def test_bodies_are_drawn_from_the_stated_ranges() -> None:
    """Over 10,000 tasks means and extremes are those of uniform laws, and half of the wirings are swapped."""
    family = CartPoles(10_000)
    family.reset(seed=0)
    body = family.bodies
    for drawn, low, high in ((body.half_length, 0.25, 1.0), (body.pole_mass, 0.05, 0.3), (body.force, 6.0, 15.0)):
        np.testing.assert_allclose([low, high], [drawn.min(), drawn.max()], atol=0.01 * high)
        np.testing.assert_allclose((low + high) / 2, drawn.mean(), rtol=0.02)
    np.testing.assert_allclose(0.5, body.swapped.mean(), atol=0.02)


def test_a_push_into_the_fall_keeps_some_poles_up_and_the_wrong_wiring_none() -> None:
    """Pushing under the pole's fall lasts long where wired straight, and nowhere past 20 steps where swapped."""
    family = CartPoles(400)
    observation, _ = family.reset(seed=0)
    lasted = np.zeros(400)
    ended = np.zeros(400, bool)
    while not ended.all():
        lean = observation[:, 2] + 0.5 * observation[:, 3]
        observation, reward, terminated, truncated, _ = family.step((lean > 0).astype(int))
        lasted, ended = lasted + reward, terminated | truncated
    assert lasted[family.bodies.swapped].max() < 20
    assert np.median(lasted[~family.bodies.swapped]) == 200


def test_limits_are_those_of_the_docstring() -> None:
    """Beyond 2.4 m or 12 degrees an episode terminates."""
    family = CartPoles(3, **THE_DEFAULT)
    family.reset(seed=0)
    family._state = np.array([[2.41, 0, 0], [0, 0, 0], [0, math.radians(12.1), math.radians(11.5)], [0, 0, 0]])
    assert [True, True, False] == family.step(np.zeros(3, int))[2].tolist()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"force": (0.0, 1.0)}, r"force must be a range \(low, high\) above 0, got \(0.0, 1.0\)"),
        ({"half_length": (2.0, 1.0)}, "half_length must be a range"),
        ({"swapped": 1.5}, r"swapped must be in 0\.\.1, got 1.5"),
    ],
)
def test_impossible_families_are_refused(arguments: dict[str, float], words: str) -> None:
    """The error names the violated condition and the values."""
    with pytest.raises(ValueError, match=words):
        CartPoles(2, **arguments)
