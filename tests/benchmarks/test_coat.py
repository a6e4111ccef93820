"""Coat: how it is read, how rewards are judged, and what a policy predicts."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from benchmarks.coat import graded_ndcg, squared_error  # after the skip
from benchmarks.coat_data import read
from benchmarks.peers.group import Group
from benchmarks.peers.ridge import ridge
from meta.catalogue import Catalogue
from meta.dataset import DataError
from meta.tasks import Sequences
from meta.types import Context, Events


def _published(folder: Path) -> Path:
    """Two users and three coats in the layout of Coat; each picked two and was drawn one."""
    (folder / "train.ascii").write_text("5 0 1\n0 3 2\n")
    (folder / "test.ascii").write_text("0 4 0\n1 0 0\n")
    (folder / "item_features.ascii").write_text("1 0 1\n0 1 1\n1 0 1\n")
    (folder / "item_features_map.txt").write_text("gender:men\ngender:women\ncolor:red\n")
    (folder / "user_features.ascii").write_text("1 0\n0 1\n")
    (folder / "user_features_map.txt").write_text("gender:men\ngender:women\n")
    return folder


def test_picked_ratings_are_rewards_and_drawn_ones_are_kept_apart(tmp_path: Path) -> None:
    """Ratings 5 and 1 are rewards 1 and 0; who is drawn what stands beside it, with its rating."""
    coat = read(_published(tmp_path), seed=0)
    events = sorted(zip(coat.log.user.tolist(), coat.log.item.tolist(), coat.log.reward.tolist(), strict=True))
    assert [(0, 0, 1.0), (0, 2, 0.0), (1, 1, 0.5), (1, 2, 0.25)] == events
    assert ([[1], [0]], [[4.0], [1.0]]) == (coat.drawn.tolist(), coat.rating.tolist())
    assert ["gender", "color"] == [column.name for column in coat.catalogue.columns]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    """The error names the file that is missing."""
    with pytest.raises(DataError, match=r"train.ascii does not exist"):
        read(tmp_path, seed=0)


def test_graded_ndcg_by_hand() -> None:
    """Gains 3 and 1 shown the wrong way round: (1 + 3/log2 3) / (3 + 1/log2 3); without a gain it is 1."""
    weight = 1 / np.log2(3)
    expected = [(1 + 3 * weight) / (3 + weight), 1.0, 1.0]
    scores = np.array([[0.1, 0.2], [0.3, 0.2], [0.0, 1.0]])
    assert expected == pytest.approx(graded_ndcg(scores, np.array([[3.0, 1.0], [3.0, 1.0], [0.0, 0.0]])).tolist())


def test_ridge_finds_what_a_kind_of_user_likes_of_a_kind_of_item() -> None:
    """Rewards are 1 where the attribute of the user equals the feature of the item: found for somebody new."""
    kind = np.arange(40) % 2
    rows = np.tile(np.arange(4), 40).astype(np.int32)
    reward = ((rows % 2) == np.repeat(kind, 4)).astype(np.float32)
    hot = np.eye(2, dtype=np.float32)
    log = Sequences(np.arange(41) * 4, rows, reward, np.zeros(160, np.int64), tuple(map(str, range(40))), 4, hot[kind])
    group = Group(log, np.arange(40), Catalogue.from_features("abcd", hot[[0, 1, 0, 1]], ["even", "odd"]))
    nobody = np.zeros((2, 0), np.int64)
    empty = Events(nobody, nobody * 1.0, nobody, nobody > 0, np.zeros(2, np.int64), nobody)
    asked = Context(hot, np.zeros((2, 1, 0), np.float32), np.zeros((2, 1), np.int64))
    scores = ridge(group, penalty=0.01, penalty_user=1.0)(empty, asked)
    assert [[1, 0, 1, 0], [0, 1, 0, 1]] == [pytest.approx(row, abs=1e-2) for row in scores.tolist()]


def test_the_error_is_of_the_last_eight_picked_ratings() -> None:
    """Rewards 1 for the first 16 and 0 for the last 8: a constant .5 is wrong by 1/4."""
    reward = np.r_[np.ones(16), np.zeros(8)].astype(np.float32)
    log = Sequences(np.array([0, 24]), np.arange(24, dtype=np.int32), reward, np.zeros(24, np.int64), ("a",), 24)
    assert 0.25 == squared_error(lambda events, context: np.full((1, 24), 0.5), log, np.array([0]))
