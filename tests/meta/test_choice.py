"""The conditional logit against probabilities worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meta.choice import losses, outcomes, over_slate, probabilities, residuals, times
from meta.experience import history as episode
from meta.types import Events

ODDS = np.asarray([[1.0, 3.0, 2.0]])
"""e^v of two items of one slate and of an item alone."""


def history() -> Events:
    """One user: a slate of two whose second item was chosen, then an item alone that was not; one padded event."""
    return Events(
        item=np.asarray([[4, 5, 6, -1]]),
        reward=np.asarray([[0.0, 1.0, 0.0, 0.0]]),
        group=np.asarray([[0, 0, 1, 0]]),
        mask=np.asarray([[True, True, True, False]]),
        length=np.asarray([2]),
        time_ms=np.zeros((1, 4), int),
    )


def logits() -> np.ndarray:
    """The logits of `ODDS`, and 0 for the padding: [1, 1, 4]."""
    return np.concatenate([np.log(ODDS), [[0.0]]], axis=1)[:, None]


def test_probabilities_share_a_slate_with_no_choice() -> None:
    """Of odds 1 and 3 with 'no choice' the chances are 1/5 and 3/5; alone, odds 2 mean 2/3."""
    p = probabilities(logits(), outcomes(history(), "logit").same)
    np.testing.assert_allclose(p[0, 0, :3], [1 / 5, 3 / 5, 2 / 3])


def test_without_slates_every_event_stands_alone() -> None:
    """The logistic function of each logit."""
    seen = outcomes(history(), "independent")
    assert seen.same is None
    np.testing.assert_allclose(probabilities(logits(), None)[0, 0, :3], [1 / 2, 3 / 4, 2 / 3])


def test_losses_of_a_slate_add_up_to_its_likelihood() -> None:
    """-log 3/5 for the slate and -log 1/3 for the item that was not chosen."""
    loss = losses(logits(), outcomes(history(), "logit"))[0, 0]
    assert -np.log(3 / 5) == pytest.approx(loss[0] + loss[1])
    assert -np.log(1 / 3) == pytest.approx(loss[2])
    assert loss[3] == 0.0


def test_residuals_are_the_derivative_of_the_losses() -> None:
    """Central differences of the summed losses by each logit agree to 1e-8."""
    seen = outcomes(history(), "logit")
    v = logits()
    for t in range(3):
        step = np.zeros_like(v)
        step[0, 0, t] = 1e-5
        slope = (losses(v + step, seen).sum() - losses(v - step, seen).sum()) / 2e-5
        assert slope == pytest.approx(residuals(v, seen)[0, 0, t], abs=1e-8)


def test_extreme_logits_stay_finite() -> None:
    """A logit of 10,000 is certainty, not overflow."""
    seen = outcomes(history(), "logit")
    v = np.full((1, 1, 4), 1e4, np.float32)
    assert np.isfinite(losses(v, seen)).all()
    assert np.isfinite(residuals(v, seen)).all()


def test_sums_over_slates_of_one_size_are_those_over_any() -> None:
    """Two slates of two, 1 + 3 and 2 + 4; the second did not take place for the second user."""
    events = episode(
        np.ones((2, 2, 2), int), np.array([[0, 1], [1, 0]]), np.ones((2, 2)), None, np.array([[1, 1], [1, 0]]) > 0
    )
    x = np.array([[[1.0, 2.0, 3.0, 4.0]]] * 2)
    alike, any_size = outcomes(events, "logit"), outcomes(replace(events, slate=0), "logit")
    np.testing.assert_array_equal([4.0, 6.0], over_slate(x, alike.same)[0, 0])
    np.testing.assert_array_equal([4.0, 0.0, 4.0, 0.0], over_slate(x, any_size.same)[1, 0])
    np.testing.assert_array_equal([[[10.0, 40.0, 30.0, 80.0]]] * 2, times(x, np.array([[[10.0, 20.0]]])))
    np.testing.assert_array_equal(any_size.chosen, alike.chosen)
    for name in ("choices", "any_chosen", "reward"):  # of each decision, where the others have them at every event
        np.testing.assert_array_equal(getattr(any_size, name), np.tile(getattr(alike, name), 2))
    for name in ("share", "part"):
        np.testing.assert_array_equal(2.0 * getattr(any_size, name), np.tile(getattr(alike, name), 2))
