"""The population behind a log, against one that is known."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from meta.errors import InputError
from simulators.factors import fit, no_choice
from simulators.population import Population
from tests.simulators import populations


@cache
def learnt() -> Population:
    """What the log of the known population tells, at the known width."""
    return fit(populations.log(), populations.catalogue(), width=populations.WIDTH)


def test_the_chances_of_every_user_are_found() -> None:
    """Factors may be turned, chances may not: 8 in 100 are misplaced, where popularity alone misplaces 48."""
    known, found = populations.population().chances(), learnt().chances()
    alone = np.broadcast_to(known.mean(0), known.shape)

    def misplaced(chances: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> float:
        return float(0.5 * np.abs(known - chances).sum(1).mean())

    assert misplaced(found) < 0.1 < 0.45 < misplaced(alone)
    deviation = [np.log(x) - np.log(x).mean(0) for x in (known, found)]
    deviation = [x - x.mean(1, keepdims=True) for x in deviation]
    assert np.corrcoef(deviation[0].ravel(), deviation[1].ravel())[0, 1] > 0.95


def test_expected_likes_are_the_logs_item_by_item() -> None:
    """Summed over users who liked 40 items each, chances give every item as many likes as it has."""
    log = populations.log()
    counted = np.bincount(log.item[log.reward > 0], minlength=populations.ITEMS)
    np.testing.assert_allclose(counted, 40 * learnt().chances().sum(0), rtol=0.01)


def test_likes_held_out_are_foretold_better_than_by_popularity() -> None:
    """The gain is what the known chances themselves gain, within a twentieth."""
    known = populations.population().chances()
    gain = (known * np.log(known / known.mean(0))).sum(1).mean()
    np.testing.assert_allclose(gain, learnt().gain, rtol=0.05)


def test_what_the_log_shows_is_answered_as_often_as_it_is_liked() -> None:
    """The mean chance of an item of the log, shown alone, is its share of likes, 40 of 50."""
    log, found = populations.log(), learnt()
    logits = (found.taste[log.user] * found.item[log.item]).sum(1) + found.bias[log.item]
    assert found.no_choice is not None
    np.testing.assert_allclose(0.8, (1 / (1 + np.exp(found.no_choice - logits))).mean(), atol=1e-6)
    np.testing.assert_allclose(np.log(3.0) + 1.5, no_choice(np.full(4, 1.5), 0.25))


def test_items_that_nobody_liked_are_left_out_and_keep_their_rows() -> None:
    """40 of 43 items take part; the catalogue is the log's."""
    np.testing.assert_array_equal(np.arange(40), learnt().rows)
    assert populations.catalogue().fingerprint == learnt().catalogue.fingerprint


def test_twin_seeds_learn_twins() -> None:
    """Nothing but the seed is random."""
    first, second = (fit(populations.log(10), populations.catalogue(), width=2, fit_seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.taste, second.taste)


def test_a_large_log_is_learnt_in_part() -> None:
    """The most liked items, and users drawn at random."""
    log = populations.log()
    found = fit(log, populations.catalogue(), width=2, most_users=100, most_items=25)
    assert (100, 25) == (len(found), len(found.rows))
    counted = np.bincount(log.item[log.reward > 0], minlength=43)
    assert counted[found.rows].mean() > np.sort(counted)[-30:].mean()


def test_rewards_of_likes_are_means_of_the_item_shrunk_to_that_of_all() -> None:
    """Where every like is worth .5, so is every item."""
    log = populations.log(10)
    half = replace(log, reward=np.where(log.reward > 0, np.float32(0.5), np.float32(0)))
    np.testing.assert_allclose(np.full(40, 0.5), fit(half, populations.catalogue(), width=2).worth)


def test_a_log_without_likes_is_refused() -> None:
    """The error says how much is needed."""
    log = populations.log()
    with pytest.raises(InputError, match=r"at least 20 users and items with 99 likes, got 0 users and 0 items; give"):
        fit(log, populations.catalogue(), least=99)
    with pytest.raises(InputError, match="width must be at least 1, got 0"):
        fit(log, populations.catalogue(), width=0)
