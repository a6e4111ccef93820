"""The peers: closed forms on tiny matrices, folding in, blending and tuning."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

import torch  # after the skip

from benchmarks.peers.blends import blend, raw, standard, standardise
from benchmarks.peers.ease import ease, weights
from benchmarks.peers.group import Group
from benchmarks.peers.item_knn import item_knn
from benchmarks.peers.item_mean import item_and_user, item_mean
from benchmarks.peers.likes import of_supports
from benchmarks.peers.melu import adapt, melu
from benchmarks.peers.popularity import chance, popularity
from benchmarks.peers.popularity_by_attributes import popularity_by_attributes
from benchmarks.peers.popularity_by_time import DAY_MS, popularity_by_time
from benchmarks.peers.sasrec import available, sasrec
from benchmarks.peers.tuning import FAMILIES, tuned
from meta.catalogue import Catalogue
from meta.coldstart import Queries, by_scores, curve, queries
from meta.tasks import Sequences
from meta.types import Context, Events

LIKES = np.array([[1, 1, 0], [1, 0, 0]], np.float32)


def _group(item: list[list[int]], reward: list[list[float]] | None = None, time_ms: list[list[int]] | None = None,
           items: int = 3) -> Group:  # fmt: skip
    """Users by the rows that each met, liked unless rewards are given, at time 0 unless times are given."""
    sizes = [len(rows) for rows in item]
    flat = np.concatenate(item).astype(np.int32)
    rewards = np.concatenate(reward or [[1.0] * size for size in sizes]).astype(np.float32)
    times = np.concatenate(time_ms or [[0] * size for size in sizes]).astype(np.int64)
    log = Sequences(np.cumsum([0, *sizes]), flat, rewards, times, tuple(map(str, range(len(item)))), items)
    catalogue = Catalogue.from_features([f"i{row}" for row in range(items)], np.zeros((items, 1)), ["nothing"])
    return Group(log, np.arange(len(item)), catalogue)


TWO = _group([[0, 1], [0]])
"""One user likes rows 0 and 1, another row 0; nobody row 2: `LIKES`."""


def _history(*items: int, reward: float = 1.0) -> Events:
    """One user who met some items, row -1 being unknown."""
    item = np.array([items], np.int64)
    nothing = np.zeros_like(item)
    return Events(
        item, np.full(item.shape, reward), nothing + np.arange(len(items)), item >= 0, np.array([len(items)]), nothing
    )


def _at(now_ms: int) -> Context:
    """A request at a time, of one user of whom nothing else is known."""
    return Context(np.zeros((1, 0), np.float32), np.zeros((1, 1, 0), np.float32), np.array([[now_ms]]))


NOW = _at(0)
ONE = (_history(0), NOW)
"""A user who liked row 0, and the request."""
NONE = (_history(0, reward=0.0), NOW)
"""A user who met row 0 and did not like it."""
NOBODY = (_history(), NOW)
"""A user without an event."""


def _tastes() -> tuple[Group, Queries]:
    """Users of two tastes over 40 items: each likes 24 items of their half; all have 25 events. 20 train, 10 ask."""
    rng = np.random.default_rng(0)
    rows = [
        (np.append(rng.permutation(20)[:19], rng.permutation(20)[:6]) + 20 * (user % 2)).tolist() for user in range(30)
    ]
    whole = _group(rows, items=40)
    return replace(whole, users=np.arange(20)), queries(whole.log, np.arange(20, 30))


def test_likes_are_a_matrix() -> None:
    """1 where a user liked an item at any time."""
    assert LIKES.tolist() == TWO.likes.tolist()


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
    scorer = ease(TWO, 1.0)
    assert [0.0, pytest.approx(1 / 3), 0.0] == scorer(*ONE)[0].tolist()
    assert [0.0, 0.0, 0.0] == scorer(*NONE)[0].tolist()


def test_item_knn_by_hand() -> None:
    """Items 0 and 1 meet once among 2 and 1 likes: 1 / (sqrt 2 + shrink)."""
    assert [0.0, pytest.approx(1 / (2**0.5 + 0.5)), 0.0] == item_knn(TWO, keep=5, shrink=0.5)(*ONE)[0].tolist()


def test_popularity_counts_users() -> None:
    """The number of training users who liked the item, whatever the support; chance differs from call to call."""
    assert [2.0, 1.0, 0.0] == popularity(TWO)(*ONE)[0].tolist()
    coin = chance(TWO)
    assert coin(*ONE).tolist() != coin(*ONE).tolist()


def test_popularity_by_time_counts_what_was_liked_before_and_halves_it() -> None:
    """Likes 2 and 1 half-lives before the request count 1/4 and 1/2; one at its very time, or later, nothing."""
    times = [[0, 10 * DAY_MS, 20 * DAY_MS], [30 * DAY_MS, 0, 20 * DAY_MS]]
    group = _group([[0, 1, 2], [2, 0, 1]], [[1, 1, 1], [1, 0, 1]], times)
    scorer = popularity_by_time(group, half_life_days=10.0)
    asked = [math.log1p(0.25), math.log1p(0.5), 0.0]
    assert asked == pytest.approx(scorer(_history(), _at(20 * DAY_MS))[0].tolist())
    assert [0.0, 0.0, 0.0] == scorer(_history(), _at(0))[0].tolist()
    late = [math.log1p(1 / 16), math.log1p(1 / 8 + 1 / 4), math.log1p(1 / 4 + 1 / 2)]
    assert late == pytest.approx(scorer(_history(), _at(40 * DAY_MS))[0].tolist())


def test_popularity_by_time_does_not_depend_on_who_asks_with_whom() -> None:
    """Requests of one batch are answered each at its own time, whatever their order."""
    group = _group([[0, 1], [2]], time_ms=[[0, 3 * DAY_MS], [5 * DAY_MS]])
    scorer = popularity_by_time(group, half_life_days=7.0, floor=0.5)
    both = Context(np.zeros((2, 0)), np.zeros((2, 1, 0)), np.array([[6 * DAY_MS], [4 * DAY_MS]]))
    alone = [scorer(_history(), _at(days * DAY_MS))[0].tolist() for days in (6, 4)]
    assert [pytest.approx(row) for row in alone] == scorer(_history(), both).tolist()


def test_popularity_by_attributes_asks_who_is_alike() -> None:
    """Half like row 0, half row 1, as their attribute says: without a penalty each share is twice that, or none."""
    rows = [[0], [0], [1], [1]]
    group = _group(rows, time_ms=[[0]] * 4, items=2)
    told = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    group = replace(group, log=replace(group.log, attributes=told))
    scorer = popularity_by_attributes(group, penalty=1e-6, half_life_days=1.0, floor=0.0)
    asked = Context(np.array([[1, 0]], np.float32), np.zeros((1, 1, 0), np.float32), np.array([[0]]))
    assert [math.log(2.0), math.log(0.25)] == pytest.approx(scorer(_history(), asked)[0].tolist(), abs=1e-3)
    unlike = popularity_by_attributes(group, penalty=1e9, half_life_days=1.0, floor=0.0)
    assert [0.0, 0.0] == pytest.approx(unlike(_history(), asked)[0].tolist(), abs=1e-3)


def test_the_item_mean_is_shrunk() -> None:
    """Mean 1/2: (2 + 1/2) / 3 for two rewards of 1, (0 + 1/2) / 3 for two of 0, 1/2 for an item that nobody met."""
    group = _group([[0, 1], [0, 1]], [[1, 0], [1, 0]])
    assert [2.5 / 3, 0.5 / 3, 0.5] == pytest.approx(item_mean(group, shrink=1.0)(*ONE)[0].tolist())


def test_item_and_user_offsets_are_added() -> None:
    """Rewards m + b_i + b_u without noise are found again, and the offset of a new user from one event."""
    group = _group([[0, 1], [0, 1]], [[0.9, 0.5], [0.5, 0.1]])  # mean .5, items +-.2, users +-.2
    scorer = item_and_user(group, shrink=0.0001, shrink_user=0.0001)
    assert [0.7, 0.3, 0.5] == pytest.approx(scorer(*NOBODY)[0].tolist(), abs=1e-3)
    assert [0.4, 0.0, 0.2] == pytest.approx(scorer(_history(0, reward=0.4), NOW)[0].tolist(), abs=1e-3)


def test_ials_folds_new_users_into_their_group() -> None:
    """After three likes of one half of the catalogue, iALS ranks that half above the other."""
    pytest.importorskip("implicit", reason="needs the extra `bench`")
    from benchmarks.peers.ials import ials

    score = ials(_tastes()[0], factors=4, penalty=1.0, alpha=1.0)(_history(20, 25, 30), NOW)[0]
    assert score[20:].min() > score[:20].max()


def test_melu_takes_one_step_by_hand() -> None:
    """With layers that read nothing, the last bias steps to 2 rate (reward - bias), and stays without an event."""
    zero = {
        "w1": (1, 32, 32), "b1": (1, 1, 32), "w2": (1, 32, 32), "b2": (1, 1, 32), "w3": (1, 32, 1), "b3": (1, 1, 1),
    }  # fmt: skip
    params = {name: torch.zeros(shape, requires_grad=True) for name, shape in zero.items()}
    for history, expected in ((_history(0, 1, reward=0.5), 0.25 * 2 * 0.5), (_history(0, -1, reward=0.5), 0.25)):
        fast = adapt(params, torch.zeros(1, 16), torch.zeros(1, 2, 16), history, rate=0.25, steps=1)
        assert expected == pytest.approx(fast["b3"].item())
    fast = adapt(params, torch.zeros(1, 16), torch.zeros(1, 1, 16), _history(-1), rate=0.25, steps=3)
    assert 0.0 == fast["b3"].item()


def test_melu_learns_who_likes_what() -> None:
    """After three rewards a user of one taste is predicted more from their half than from the other."""
    rng = np.random.default_rng(0)
    rows = [rng.permutation(40).tolist() for _ in range(40)]
    rewards = [[float((row >= 20) == user % 2) for row in mine] for user, mine in enumerate(rows)]
    score = melu(_group(rows, rewards, items=40), inner_rate=0.5, inner_steps=2)(_history(20, 25, 30), NOW)[0]
    assert score[20:].mean() > score[:20].mean() + 0.1


@pytest.mark.skipif(not available(), reason="needs `make peers-env`")
def test_sasrec_follows_the_session() -> None:
    """After three items of one half of the catalogue that half is scored above the other; nothing is said of nobody."""
    scorer = sasrec(_tastes()[0], likes_only=False, epochs=30, n_factors=16, lr=0.01)
    score = scorer(_history(20, 25, 30), NOW)[0]
    assert score[20:].mean() > score[:20].mean()
    assert [0.0] * 40 == scorer(*NOBODY)[0].tolist()


def test_supports_keep_likes_only() -> None:
    """Padding, unknown items and low ratings are no likes."""
    assert [[0.0, 0.0, 1.0]] == of_supports(_history(2, -1), 3).tolist()
    assert [[0.0, 0.0, 0.0]] == of_supports(_history(1, reward=0.0), 3).tolist()


def test_raw_peers_fall_back_to_popularity() -> None:
    """Without a like a raw peer knows nothing and shows what is popular; with one its own scores."""
    joined = raw(ease(TWO, 1.0), popularity(TWO))
    assert [2.0, 1.0, 0.0] == joined(*NONE)[0].tolist()
    assert [0.0, pytest.approx(1 / 3), 0.0] == joined(*ONE)[0].tolist()


def test_blends_add_standardised_parts() -> None:
    """The z blend adds weight * z(scores) to z(log popularity)."""
    joined = blend(standard(ease(TWO, 1.0)), standard(popularity(TWO, log=True)), weight=0.4)
    prior = standardise(np.log1p(LIKES.sum(0))[None])[0]
    assert (prior + 0.4 * standardise(np.array([[0.0, 1 / 3, 0.0]]))[0]).tolist() == pytest.approx(
        joined(*ONE)[0].tolist()
    )
    assert prior.tolist() == pytest.approx(joined(*NONE)[0].tolist())


def test_tuning_chooses_for_each_family(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every family is there raw and blended in both ways, those of likes above popularity where tastes differ."""
    monkeypatch.setattr("benchmarks.peers.tuning.NEED_LIKES", ("EASE", "item-kNN"))
    wanted = {"shrunk item mean": {"shrink 5": partial(item_mean, shrink=5.0)}}
    wanted |= {name: dict(list(FAMILIES[name].items())[:2]) for name in ("EASE", "item-kNN")}
    monkeypatch.setattr("benchmarks.peers.tuning.FAMILIES", wanted)
    group, asked = _tastes()
    peers = {peer.name: peer for peer in tuned(group, asked)}
    blends = [f"{name}{way}" for name in wanted for way in ("", " + popularity", " + popularity by time")]
    assert {"random", "popularity", "popularity by time", *blends} == set(peers)
    for name in ("EASE", "item-kNN"):
        assert peers[name].validation > peers["popularity"].validation
    built = curve(by_scores(peers["EASE + popularity by time"].build(group)), asked).ndcg.mean()
    assert peers["EASE + popularity by time"].validation == pytest.approx(built)
