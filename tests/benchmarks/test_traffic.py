"""What is asked of a service under load: who asks, and for what."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from benchmarks import traffic
from benchmarks.traffic import RECOMMEND, Traffic
from protos.quickstudy.v1 import recommender_pb2 as pb

ITEMS = [f"i{n}" for n in range(150)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Traffic:
    """Traffic of few users; nobody answers at its address."""
    for name, value in (("WARM", 20), ("CROWD", 40), ("POOL", 400)):
        monkeypatch.setattr(traffic, name, value)
    return Traffic("127.0.0.1:1", ITEMS, np.random.default_rng(0))


def test_the_busy_ask_more_often_and_each_for_items_of_their_own(small: Traffic) -> None:
    """The first of Zipf's users asks about ten times as often as the tenth; 100 distinct candidates, drawn anew."""
    calls = list(islice(small.warm(), 400))
    asked = [pb.RecommendRequest.FromString(call.body) for call in calls]
    times = Counter(request.user_id for request in asked)
    assert {RECOMMEND} == {call.method for call in calls}
    assert {100} == {len(set(request.candidate_ids)) for request in asked}
    assert 5 <= times["warm-0"] / times["warm-9"] <= 20
    assert 400 == len({tuple(request.candidate_ids) for request in asked})


def test_strangers_are_all_different_and_whole_catalogues_name_no_candidates(small: Traffic) -> None:
    """Four hundred strangers; twenty warm users in turn, without candidates."""
    strangers = {pb.RecommendRequest.FromString(call.body).user_id for call in islice(small.cold(), 400)}
    whole = [pb.RecommendRequest.FromString(call.body) for call in islice(small.whole(), 21)]
    assert 400 == len(strangers)
    assert ("warm-0", 0, 20) == (whole[20].user_id, len(whole[0].candidate_ids), len({r.user_id for r in whole}))
