"""The cold-start protocol: NDCG by hand, who takes part, and what intervals say."""

import math
from dataclasses import replace

import numpy as np
import pytest

from meta.coldstart import by_scores, curve, head, hits, interval, mrr, ndcg, queries
from meta.exposure import exposure
from meta.tasks import Sequences
from meta.types import Context, Events, FloatArray, IntArray


def _log() -> Sequences:
    """User 0 has 22 events, user 1 exactly 20, user 2 likes nothing later, user 3 only an item seen before."""
    lengths = [22, 20, 21, 21]
    item = np.concatenate([np.arange(22), np.arange(20), np.arange(21), [*range(20), 5]]).astype(np.int32)
    reward = np.ones(len(item), np.float32)
    reward[22 + 20 + 20] = 0
    return Sequences(np.cumsum([0, *lengths]), item, reward, 100 + np.arange(len(item)), tuple("abcd"), items=30)


def test_ndcg_by_hand() -> None:
    """Hits at ranks 1 and 3 of three relevant rows: (1 + 1/2) / (1 + 1/log2 3 + 1/2)."""
    found = hits(np.array([[7, 1, 8, 2]]), [np.array([7, 8, 9])])
    assert [[True, False, True, False]] == found.tolist()
    assert [pytest.approx(1.5 / (1 + 1 / math.log2(3) + 0.5))] == ndcg(found, np.array([3])).tolist()


def test_mrr_by_hand() -> None:
    """A first hit at rank 3 is a third, none is 0."""
    assert [pytest.approx(1 / 3), 0.0] == mrr(np.array([[False, False, True], [False] * 3])).tolist()


def test_recall_counts_the_twenty_shown_and_ndcg_ten() -> None:
    """One of two wanted rows at rank 12: half is recalled, no NDCG, reciprocal rank 1/12."""
    asked = queries(_log(), np.arange(4))
    result = curve(lambda events, context, excluded: np.r_[22:30, 0:3, 20, 3:11][None], asked, ks=(0,))
    assert (0.5, 0.0, 1 / 12) == (result.recall[0, 0], result.ndcg[0, 0], result.mrr[0, 0])


def test_a_perfect_short_list_is_one() -> None:
    """With fewer relevant rows than positions, all of them on top is 1; none shown is 0."""
    found = hits(np.array([[4, 1, 2], [1, 2, 3]]), [np.array([4]), np.array([9])])
    assert [1.0, 0.0] == ndcg(found, np.array([1, 1])).tolist()


def test_only_users_with_something_to_find_take_part() -> None:
    """A user takes part with more than 20 events and a new liked item after the 20th."""
    asked = queries(_log(), np.arange(4))
    assert [0] == asked.users.tolist()
    assert [[20, 21]] == [rows.tolist() for rows in asked.relevant]
    assert list(range(20)) == asked.events.item[0].tolist()


def test_head_keeps_the_first_events() -> None:
    """The support at k holds k events, and none at 0."""
    events = queries(_log(), np.arange(4)).events
    assert ([0, 1, 2], [3]) == (head(events, 3).item[0].tolist(), head(events, 3).length.tolist())
    assert (1, 0) == head(events, 0).item.shape


def test_a_request_comes_at_the_time_of_the_next_event() -> None:
    """After k = 0..20 events a user asks when the next event happens: here at 100, 101, ... 120."""
    asked = queries(_log(), np.arange(4))
    assert [list(range(100, 121))] == asked.known.now_ms.tolist()
    asked_at = []

    def ranker(events: Events, context: Context, excluded: IntArray) -> IntArray:
        asked_at.append((events.length.tolist(), context.now_ms[:, 0].tolist()))
        return np.zeros((1, 20), np.int64)

    curve(ranker, asked, ks=(0, 2, 20))
    assert [([0], [100]), ([2], [102]), ([20], [120])] == asked_at


def test_rankers_are_told_who_asks_and_in_which_context() -> None:
    """Attributes are the user's at every k, the context is that of the next event."""
    log = replace(
        _log(), attributes=np.float32([[0.5], [1], [2], [3]]), context=np.arange(84, dtype=np.float32)[:, None]
    )
    told = []

    def ranker(events: Events, context: Context, excluded: IntArray) -> IntArray:
        told.append((context.attributes.tolist(), context.request.tolist()))
        return np.zeros((1, 20), np.int64)

    curve(ranker, queries(log, np.arange(4)), ks=(0, 5))
    assert [([[0.5]], [[[0.0]]]), ([[0.5]], [[[5.0]]])] == told


def test_the_support_is_all_that_differs_between_ks() -> None:
    """A scorer that finds the query once it sees two events scores 0 before and 1 from then on."""

    def scorer(events: Events, context: Context) -> FloatArray:
        scores = np.tile(-np.arange(30.0), (events.users, 1))
        if events.length.max() >= 2:
            scores[:, 20:22] = 1.0
        else:
            scores[:, 20:22] = -99.0
        return scores

    result = curve(by_scores(scorer, top=5), queries(_log(), np.arange(4)), ks=(0, 1, 2, 20))
    assert [[0.0, 0.0, 1.0, 1.0]] == result.ndcg.tolist()
    assert not np.isin(result.shown, np.arange(20)).any()


def test_ties_ignore_the_order_of_the_catalogue() -> None:
    """A scorer without an opinion does not show the first rows."""
    rank = by_scores(lambda events, context: np.zeros((events.users, 1000)))
    events, context = queries(_log(), np.arange(4)).after(20)
    rows = rank(events, context, events.item)[0]
    assert 20 == len(set(rows.tolist()))
    assert rows.mean() > 100


def test_scores_that_are_not_finite_are_refused() -> None:
    """A NaN would sort anywhere; it is an error."""
    rank = by_scores(lambda events, context: np.full((events.users, 30), np.nan))
    events, context = queries(_log(), np.arange(4)).after(20)
    with pytest.raises(ValueError, match="scores must be finite, got 30"):
        rank(events, context, events.item)


def test_intervals_cover_the_mean_and_know_their_clusters() -> None:
    """The same user ten times over is one observation: the interval is wider than with ten users."""
    values = np.repeat(np.random.default_rng(0).normal(1.0, 1.0, 40), 10)
    alone = interval(values, np.arange(400))
    clustered = interval(values, np.repeat(np.arange(40), 10))
    assert alone.low < alone.mean < alone.high
    assert clustered.high - clustered.low > 2.5 * (alone.high - alone.low)
    assert clustered == interval(values, np.repeat(np.arange(40), 10))


def test_exposure_of_one_item_to_all() -> None:
    """One of four items shown to everybody: a quarter covered, Gini 3/4, novelty -log2 of its share."""
    told = exposure(np.zeros((5, 1), np.int64), np.array([3.0, 0.0, 0.0, 0.0]))
    assert {"coverage": 0.25, "novelty": pytest.approx(-math.log2(4 / 7)), "gini": pytest.approx(0.75)} == told
