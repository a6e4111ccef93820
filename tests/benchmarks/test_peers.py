"""The peers: closed forms on tiny matrices, folding in, blending and tuning."""

import numpy as np
import pytest

from benchmarks.peers.ease import ease, weights
from benchmarks.peers.item_knn import item_knn
from benchmarks.peers.likes import of_supports, of_users
from benchmarks.peers.popularity import chance, popularity
from benchmarks.peers.tuning import FAMILIES, JOINS, standardise, tuned
from meta.coldstart import Queries, queries
from meta.tasks import Sequences
from meta.types import Context, Events

LIKES = np.array([[1, 1, 0], [1, 0, 0]], np.float32)


def _history(*items: int, reward: float = 1.0) -> Events:
    """One user who met some items, row -1 being unknown."""
    item = np.array([items])
    nothing = np.zeros_like(item)
    return Events(item, np.full(item.shape, reward), nothing + np.arange(len(items)), item >= 0, np.array([1]), nothing)


def _at(now_ms: int) -> Context:
    """A request at a time, of one user of whom nothing else is known."""
    return Context(np.zeros((1, 0)), np.zeros((1, 1, 0)), np.array([[now_ms]]))


NOW = _at(0)
ONE = (_history(0), NOW)
"""A user who liked row 0, and the time of the request."""
NONE = (_history(0, reward=0.0), NOW)
"""A user who met row 0 and did not like it."""


def _groups() -> tuple[Sequences, Queries]:
    """Users of two tastes over 40 items: each likes 24 items of their half; all have 25 events."""
    rng = np.random.default_rng(0)
    item = np.concatenate(
        [np.append(rng.permutation(20)[:19], rng.permutation(20)[:6]) + 20 * (user % 2) for user in range(30)]
    )
    log = Sequences(
        np.arange(31) * 25, item.astype(np.int32), np.ones(750, np.float32), np.zeros(750, np.int64),
        tuple(map(str, range(30))), items=40,
    )  # fmt: skip
    return log, queries(log, np.arange(20, 30))


def test_ease_closed_form() -> None:
    """P = [[2, -1], [-1, 3]] / 5 on two items at penalty 1, so B = [[0, 1/3], [1/2, 0]]."""
    assert [[0.0, 1 / 3], [0.5, 0.0]] == [pytest.approx(row) for row in weights(LIKES[:, :2], 1.0).tolist()]


def test_ease_by_users_equals_ease_by_items() -> None:
    """The shortcut through users gives the weights of the definition."""
    x = (np.random.default_rng(0).random((6, 9)) < 0.5).astype(np.float32)
    inverse = np.linalg.inv(x.T @ x + 3 * np.eye(9))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    assert np.allclose(expected, weights(x, 3.0), atol=1e-6)


def test_ease_scores_the_liked_only() -> None:
    """A liked item passes its weights on; one that was not liked passes nothing; a dead item stays at 0."""
    scorer = ease(LIKES, 1.0)
    assert [0.0, pytest.approx(1 / 3), 0.0] == scorer(*ONE)[0].tolist()
    assert [0.0, 0.0, 0.0] == scorer(*NONE)[0].tolist()


def test_item_knn_by_hand() -> None:
    """Items 0 and 1 meet once among 2 and 1 likes: 1 / (sqrt 2 + shrink)."""
    assert [0.0, pytest.approx(1 / (2**0.5 + 0.5)), 0.0] == item_knn(LIKES, keep=5, shrink=0.5)(*ONE)[0].tolist()


def test_popularity_counts_users() -> None:
    """The number of training users who liked the item, whatever the support; chance differs from call to call."""
    assert [2.0, 1.0, 0.0] == popularity(LIKES)(*ONE)[0].tolist()
    coin = chance(3, seed=0)
    assert coin(*ONE).tolist() != coin(*ONE).tolist()


def test_ials_folds_new_users_into_their_group() -> None:
    """After three likes of one half of the catalogue, iALS ranks that half above the other."""
    pytest.importorskip("implicit", reason="needs the extra `bench`")
    from benchmarks.peers.ials import ials

    log, _ = _groups()
    scorer = ials(of_users(log, np.arange(20)), factors=4, penalty=1.0, alpha=1.0)
    score = scorer(_history(20, 25, 30), NOW)[0]
    assert score[20:].min() > score[:20].max()


def test_supports_keep_likes_only() -> None:
    """Padding, unknown items and low ratings are no likes."""
    assert [[0.0, 0.0, 1.0]] == of_supports(_history(2, -1), 3).tolist()
    assert [[0.0, 0.0, 0.0]] == of_supports(_history(1, reward=0.0), 3).tolist()


def test_raw_peers_fall_back_to_popularity() -> None:
    """Without a like a raw peer knows nothing and shows what is popular; with one its own scores."""
    joined = JOINS["raw"](ease(LIKES, 1.0), LIKES.sum(0))
    assert [2.0, 1.0, 0.0] == joined(*NONE)[0].tolist()
    assert [0.0, pytest.approx(1 / 3), 0.0] == joined(*ONE)[0].tolist()


def test_blends_add_standardised_parts() -> None:
    """The z blend adds weight * z(scores) to z(log popularity)."""
    joined = JOINS["log + 0.4 z"](ease(LIKES, 1.0), LIKES.sum(0))
    prior = standardise(np.log1p(LIKES.sum(0))[None])[0]
    assert (prior + 0.4 * standardise(np.array([[0.0, 1 / 3, 0.0]]))[0]).tolist() == pytest.approx(
        joined(*ONE)[0].tolist()
    )
    assert prior.tolist() == pytest.approx(joined(*NONE)[0].tolist())


def test_tuning_chooses_for_each_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every family is there raw and blended, above popularity where users have tastes of their own."""
    pytest.importorskip("implicit", reason="needs the extra `bench`")
    for name, settings in FAMILIES.items():
        monkeypatch.setitem(FAMILIES, name, dict(list(settings.items())[:2]))
    log, asked = _groups()
    peers = {peer.name: peer for peer in tuned(of_users(log, np.arange(20)), asked)}
    families = ["EASE", "iALS", "item-kNN"]
    assert {"random", "popularity", *families, *(f"{name} + popularity" for name in families)} == set(peers)
    for name in families:
        assert peers[name].validation > peers["popularity"].validation
