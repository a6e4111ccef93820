"""The slate that is best on average over minds."""

import numpy as np

from meta.arrays import top
from meta.ranking import slate_scores
from simulators.agents.slate import best_slate


def test_a_slate_hedges_between_minds() -> None:
    """Of two items for one mind and a weaker one for another, as likely mind, one of each is shown."""
    odds = np.array([[[4.0, 3.9, 0.0], [0.0, 0.0, 3.0]]], np.float32)
    slate, _ = best_slate(np.array([[0.5, 0.5]]), odds, np.ones_like(odds), np.zeros(2))
    assert [[0, 2]] == np.sort(slate).tolist()


def test_with_one_mind_it_is_the_slate_of_dinkelbachs_method() -> None:
    """For 200 random requests, whose items are worth 0..1, both show the same five of twenty items."""
    rng = np.random.default_rng(0)
    v, worth = rng.standard_normal((200, 20)), rng.random((200, 20))
    expected = top(slate_scores(v, worth, np.ones(v.shape, bool), 5), 5)
    odds = np.exp(v).astype(np.float32)[:, None]
    slate, _ = best_slate(np.ones((200, 1)), odds, worth.astype(np.float32)[:, None], np.zeros(5))
    np.testing.assert_array_equal(np.sort(expected, 1), np.sort(slate, 1))


def test_the_rate_is_what_a_logit_of_appeal_earns() -> None:
    """One mind, one item of odds 3 worth .5: d/dx .5 * 3 e^x / (1 + 3 e^x) = .5 * 3 / 16; a second mind averages."""
    odds = np.array([[[3.0], [1.0]]], np.float32)
    _, rate = best_slate(np.array([[0.75, 0.25]]), odds, np.full_like(odds, 0.5), np.zeros(1))
    np.testing.assert_allclose([0.75 * 0.5 * 3 / 16 + 0.25 * 0.5 / 4], rate, rtol=1e-6)
