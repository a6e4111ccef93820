"""The simulated logs of `bench replay`: their truth is true, and their questions are answered."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import replay_runs, replay_speed, replay_worlds
from replay.estimators.dr import dr
from replay.estimators.ips import ips


def test_the_truth_of_a_world_is_what_estimates_gather_around() -> None:
    """Over 60 worlds the mean error of IPS and DR is within four standard errors of 0, and they are not all alike."""
    for estimator in (ips, dr):
        worlds = [replay_worlds.draw(seed) for seed in range(60)]
        apart = np.array([estimator(world.log).value - world.truth for world in worlds])
        assert abs(apart.mean()) < 4 * apart.std() / 60**0.5
        assert np.std([world.truth for world in worlds]) > 0.01


def test_a_world_is_drawn_by_its_seed() -> None:
    """Twice the same, and another one by another seed."""
    one, same, other = replay_worlds.draw(1), replay_worlds.draw(1), replay_worlds.draw(2)
    np.testing.assert_array_equal(one.log.reward, same.log.reward)
    assert one.truth == same.truth != other.truth


def test_every_fault_is_a_fault() -> None:
    """Wrong propensities are off, the gap is a gap, and hidden ones leave only what was chosen."""
    rows, claims = replay_worlds.verdicts(0, logs=6)
    assert ["none", *replay_worlds.FAULTS] == [row["log"] for row in rows]
    assert all(row["CANNOT TELL"] == 6 for row in rows if row["log"] in ("no overlap", "few effective"))
    assert 2 == len(claims)


def test_coverage_is_counted_for_every_estimator() -> None:
    """A few logs at least: shares in 0..1, the claimed ones among them."""
    rows, claims = replay_worlds.coverage(0, logs=3)
    assert {0, 1 / 3, 2 / 3, 1} >= {round(row["clustered by user"] * 3) / 3 for row in rows}
    assert len(replay_worlds.HELD) + 1 == len(claims)


def test_the_timed_log_is_answered_by_all_estimators() -> None:
    """A thousand decisions; obp is not asked for unless its environment is there."""
    rows, _ = replay_speed.measure(1_000)
    assert "10 estimators, 1,000 rounds" == rows[1]["what"]


@pytest.mark.parametrize("name", replay_runs.SLATES)
def test_the_truth_of_slates_is_what_their_estimators_gather_around(name: str) -> None:
    """Over 40 worlds in which its assumption holds, the mean error is within four standard errors of 0."""
    behaviour, estimator = replay_runs.SLATES[name]
    worlds = [replay_runs.slates(seed, behaviour) for seed in range(40)]
    apart = np.array([estimator(runs).value - truth for runs, truth in worlds])
    assert abs(apart.mean()) < 4 * apart.std() / 40**0.5
    assert np.std([truth for _, truth in worlds]) > 0.01


def test_the_truth_of_sequences_is_what_their_estimators_gather_around() -> None:
    """As above, for per-decision IS and weighted DR."""
    worlds = [replay_runs.sequences(seed) for seed in range(40)]
    for name in ("per_decision_is", "weighted_dr"):
        apart = np.array([replay_runs.SEQUENCES[name](runs).value - truth for runs, truth in worlds])
        assert abs(apart.mean()) < 4 * apart.std() / 40**0.5
