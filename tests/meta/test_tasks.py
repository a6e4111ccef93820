"""Sequences in time order, splits by seed, padded windows."""

import numpy as np

from meta.dataset import Interactions
from meta.tasks import sequences, split_users, windows


def _interactions() -> Interactions:
    return Interactions(
        user=np.array([1, 0, 1, 1], np.int32),
        item=np.array([4, 5, 6, 7], np.int32),
        reward=np.array([1, 0, 1, 0], np.float32),
        time_ms=np.array([30, 10, 20, 30], np.int64),
        users=("a", "b"),
    )


def test_events_are_in_time_order_and_ties_as_in_the_file() -> None:
    """Each user's events are sorted by time; equal times keep their order."""
    log = sequences(_interactions(), items=9)
    assert ([0, 1, 4], [5, 6, 4, 7], [0, 1, 1, 0]) == (log.offsets.tolist(), log.item.tolist(), log.reward.tolist())
    assert [1, 3] == log.lengths.tolist()


def test_positives_count_likes_of_some_users() -> None:
    """Only rewards above 0 of the named users count."""
    log = sequences(_interactions(), items=9)
    assert [4, 6] == np.flatnonzero(log.positives(np.array([1]))).tolist()
    assert 0.0 == log.positives(np.array([0])).sum()


def test_windows_are_padded_with_nothing() -> None:
    """A stretch shorter than the window is padded with row -1, reward 0 and no mask; a longer one is cut."""
    events = windows(sequences(_interactions(), items=9), np.array([0, 1]), np.array([1, 4]), length=2)
    assert [[5, -1], [6, 4]] == events.item.tolist()
    assert [[True, False], [True, True]] == events.mask.tolist()
    assert [1, 2] == events.length.tolist()
    assert [[10, 0], [20, 30]] == events.time_ms.tolist()
    assert [[0, 0], [0, 1]] == events.group.tolist()


def test_a_split_is_decided_by_its_seed_and_deals_out_everybody() -> None:
    """The same seed gives the same split, another one another; no user is in two parts and none in none."""
    split, again, other = split_users(100, 7), split_users(100, 7), split_users(100, 8)
    assert (65, 15, 20) == (len(split.train), len(split.validation), len(split.test))
    assert list(range(100)) == sorted([*split.train, *split.validation, *split.test])
    assert split.test.tolist() == again.test.tolist()
    assert split.test.tolist() != other.test.tolist()


def test_folds_judge_every_user_once() -> None:
    """Three folds of a third each have no test user in common and together hold everybody."""
    folds = [split_users(99, 7, test=1 / 3, fold=fold) for fold in range(3)]
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(99))
    assert all(len(fold.train) + len(fold.validation) + len(fold.test) == 99 for fold in folds)
