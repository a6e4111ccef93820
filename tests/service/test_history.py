"""Histories: from packed bytes to the arrays that the policy reads."""

from __future__ import annotations

import numpy as np
import pytest

from meta import gate
from meta.assortment import Assortment
from meta.catalogue import Catalogue, id_hash
from meta.checkpoint import Checkpoint
from meta.policy import Policy
from meta.q_network import ItemTable
from meta.types import Adaptation
from protos.quickstudy.v1 import decision_pb2
from protos.quickstudy.v1 import recommender_pb2 as pb
from service import decisions
from service.store import copies, history
from tests.meta.worlds_of_numbers import checkpoint_parts

CATALOGUE = Catalogue.from_features(["a", "b", "c"], np.eye(3, dtype=np.float32), ["x", "y", "z"])
ITEMS = Assortment(CATALOGUE, ItemTable(*[np.zeros(3)] * 5))


def stored(*records: bytes) -> bytes:
    """A stored history with watermark 2^32 + 5 and pseudonym 9."""
    return ((1 << 32) + 5).to_bytes(8, "little") + (9).to_bytes(8, "little") + b"".join(records)


def accepted(*records: bytes) -> bytes:
    """A stored history with the watermark that these events leave."""
    mixed = 0
    for record in records:
        mixed ^= int.from_bytes(record[:4], "little")
    return mixed.to_bytes(4, "little") + len(records).to_bytes(4, "little") + bytes(8) + b"".join(records)


def test_a_record_has_28_bytes() -> None:
    """A record is 28 bytes and so is the layout that reads it."""
    assert (len(history.pack("e", 1, "a", 0.5, "d", 3)), history.RECORD.itemsize) == (28, 28)


def test_decoding_pads_at_the_end() -> None:
    """Histories of unequal length become one table, padded at the end; unknown items are masked out."""
    long = stored(history.pack("1", 1_760_000_000_123, "b", 0.5, "", 0), history.pack("2", 9, "nope", 1.0, "", 0))
    decoded = history.decode([None, long, stored(history.pack("3", 7, "c", -2.0, "", 0))], ITEMS)
    events = decoded.events
    assert events.item.tolist() == [[-1, -1], [1, -1], [2, -1]]
    assert events.mask.tolist() == [[False, False], [True, False], [True, False]]
    assert events.reward.tolist() == [[0.0, 0.0], [0.5, 1.0], [-2.0, 0.0]]
    assert events.time_ms.tolist() == [[0, 0], [1_760_000_000_123, 9], [7, 0]]
    assert events.length.tolist() == [0, 2, 1]
    assert decoded.watermark.tolist() == [0, (1 << 32) + 5, (1 << 32) + 5]
    assert decoded.pseudonym.tolist() == [0, 9, 9]


def test_events_of_one_decision_are_one_group() -> None:
    """Adjacent events of one decision share a group; events of no decision stand alone."""
    tags = ["d1", "d1", "", "", "d2", "d1"]
    value = stored(*(history.pack(str(n), n, "a", 1.0, tag, 0) for n, tag in enumerate(tags)))
    events = history.decode([value], ITEMS).events
    assert events.group.tolist() == [[0, 0, 1, 2, 3, 4]]
    assert events.length.tolist() == [5]


def test_likes_are_what_was_added_with_a_reward() -> None:
    """A duplicate is none, and neither is an event without reward."""
    packed = [
        history.pack(f"{n}", 2**40 + n, item, reward, "", 0)
        for n, (item, reward) in enumerate([("a", 1.0), ("b", 1.0), ("a", 0.0), ("c", -1.0), ("c", 0.5)])
    ]
    expected = [(id_hash("a").to_bytes(8, "little"), 2**40), (id_hash("c").to_bytes(8, "little"), 2**40 + 4)]
    assert expected == history.likes(packed, "12111")


def test_damaged_bytes_count_as_no_history() -> None:
    """A stored value of a wrong length is reported and read as empty, and harms nobody else."""
    good = stored(history.pack("1", 1, "a", 1.0, "", 0))
    decoded = history.decode([good + b"x", b"abc", good], ITEMS)
    assert decoded.unreadable.tolist() == [True, True, False]
    assert decoded.events.mask.tolist() == [[False], [False], [True]]


@pytest.mark.parametrize("adapter", ["maml", "lstm_memory"])
def test_a_copy_comes_back_as_it_was_made(adapter: str) -> None:
    """A stored copy returns the same numbers for its policy and history, and the prior for another policy."""
    policy, other = (Policy(Checkpoint(*checkpoint_parts(adapter), version)) for version in ("ff", "fe"))
    copy = np.array([[0.5, -2.0], [1.0, 3.0]], np.float32).repeat(policy.width // 2 + 1, 1)[:, : policy.width]
    one = np.ones(2, np.float32)
    made = Adaptation(copy, np.array([gate.ACCEPTED, gate.MISLED]), one, one / 2, one * 7)
    packed = copies.Packing(policy).pack(made, np.array([11, 12], np.uint64), np.zeros(2, np.uint64))
    now = np.array([11, 99, 0], np.uint64)
    found = copies.Packing(policy).unpack([*packed, None], now, np.zeros(3, np.uint64))
    assert found.current.tolist() == [True, False, False]
    assert found.watermark.tolist() == [11, 12, 0]
    assert found.adaptation.copy.tolist() == [*copy.tolist(), policy.prior(1)[0].tolist()]
    assert found.adaptation.verdict[:2].tolist() == [gate.ACCEPTED, gate.MISLED]
    assert (found.adaptation.events_used[0], found.adaptation.loss_after[0]) == (7, 0.5)
    changed = copies.Packing(policy).unpack(packed, now[:2], np.array([0, 7], np.uint64))
    assert (changed.usable.tolist(), found.usable.tolist()) == ([True, False], [True, True, False])
    foreign = copies.Packing(other).unpack(packed[:1], now[:1], np.zeros(1, np.uint64))
    assert (foreign.present.tolist(), foreign.current.tolist()) == ([True], [False])
    assert foreign.adaptation.copy.tolist() == other.prior(1).tolist()


def test_the_newest_events_are_told_from_late_ones() -> None:
    """Events since a watermark are new where they stand at the end; one that came late, or too many, are not."""
    records = [history.pack(str(n), n, "a", 1.0, "", 0) for n in range(4)]
    before, now = (accepted(*records[:n]) for n in (2, 4))
    mark = history.watermark(before)
    assert history.newest(now, mark) == 2
    late = accepted(history.pack("late", 0, "a", 1.0, "", 0), *records[:2])
    assert history.newest(late, mark) == 0
    assert history.newest(before, mark) == 0
    trimmed = now[: history.HEADER] + now[-28:]
    assert history.newest(trimmed, mark) == 0


def test_a_decision_joined_from_bytes_is_the_message() -> None:
    """A decision put together from serialized parts parses to the message made of the parts."""
    request = pb.RecommendRequest(candidate_ids=["a"] * 200)
    response = pb.RecommendResponse(decision_id="d", seed=2**64 - 1)
    parts = request.SerializeToString(), response.SerializeToString()
    joined = decisions.encode(1_760_000_000_123, *parts, user=2**64 - 1, temperature=0.5)
    expected = decision_pb2.Decision(
        time_ms=1_760_000_000_123, request=request, response=response, user=2**64 - 1, temperature=0.5
    )
    assert expected == decision_pb2.Decision.FromString(joined)


def test_decision_ids_are_distinct() -> None:
    """Generated decision ids differ within a process and between processes."""
    one, two = decisions.new_ids(), decisions.new_ids()
    drawn = [next(one), next(one), next(two), next(two)]
    assert len(set(drawn)) == 4
