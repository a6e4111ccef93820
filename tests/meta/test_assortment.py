"""Items that come, change and go while a policy serves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meta.assortment import GONE, Change
from meta.catalogue import Catalogue, id_hash
from meta.checkpoint import Checkpoint
from meta.policy import Policy
from meta.types import FloatArray
from tests.meta.test_leading import parts, rank
from tests.meta.worlds_of_numbers import ITEMS, checkpoint_parts, histories


def features(*numbers: float) -> FloatArray:
    """Encoded features of one item."""
    return np.array(numbers, np.float32)


@pytest.fixture
def policy() -> Policy:
    """A policy that knows its own 50 items one by one, too."""
    return Policy(Checkpoint(*parts("logit"), "0"))


def test_without_changes_nothing_changes(policy: Policy) -> None:
    """An empty set of changes is the catalogue as it was."""
    before = rank(policy, None)
    policy.offer(policy.assortment({}))
    assert before.row.tolist() == rank(policy, None).row.tolist()
    assert [len(policy.items), policy.items.on_offer] == [ITEMS, ITEMS]


def test_a_policy_that_never_saw_an_item_ranks_it_by_its_features() -> None:
    """Without embeddings of items a new one ranks as it would had it been in the catalogue from the start."""
    manifest, params, catalogue = checkpoint_parts(item_ids=False)
    more = np.random.default_rng(8).normal(size=(2, 3)).astype(np.float32)
    ids = (*catalogue.ids, "new-0", "new-1")
    whole = Policy(
        Checkpoint(
            replace(manifest, spec=replace(manifest.spec, items=ITEMS + 2)),
            params,
            Catalogue(ids, np.concatenate([catalogue.features, more]), catalogue.columns),
            "0",
        )
    )
    policy = Policy(Checkpoint(manifest, params, catalogue, "0"))
    policy.offer(policy.assortment({"new-0": Change(more[0], 5), "new-1": Change(more[1], 6)}))
    events = histories(np.random.default_rng(1))
    events = replace(events, item=np.where(events.item == 3, ITEMS + 1, events.item))  # some have met it already
    size, seed = np.full(4, 20), np.arange(4, dtype=np.uint64)
    rankings = [
        each.rank(each.adapt(events).copy, events, None, slate_size=size, temperature=np.zeros(4), seed=seed)
        for each in (policy, whole)
    ]
    assert rankings[1].row.tolist() == rankings[0].row.tolist()
    np.testing.assert_allclose(rankings[0].score, rankings[1].score, rtol=1e-5, atol=1e-6)


def test_what_is_known_of_an_item_outlives_a_change_of_its_features(policy: Policy) -> None:
    """An item that is put in again as it was ranks as before: its embedding, neighbours and popularity are its own.

    It draws the same noise, too, whatever row it has now.
    """
    before = rank(policy, None)
    item = int(before.row[1, 0])
    name = policy.catalogue.ids[item]
    policy.offer(policy.assortment({name: Change(policy.catalogue.features[item], 9)}))
    after = rank(policy, None)
    moved = np.where(after.row == ITEMS, item, after.row)
    assert before.row.tolist() == moved.tolist()
    assert ITEMS in after.row
    for field in ("score", "q_value", "log_propensity"):
        np.testing.assert_allclose(getattr(after, field), getattr(before, field), rtol=1e-5, atol=1e-6)


def test_new_features_count(policy: Policy) -> None:
    """An item with other features has another score, and appears once."""
    before = rank(policy, None)
    item = int(before.row[0, 0])
    policy.offer(policy.assortment({policy.catalogue.ids[item]: Change(features(5.0, -5.0, 5.0), 9)}))
    everything = rank(policy, None, slate_size=np.full(4, ITEMS + 1), excluded=None)
    rows = everything.row[0].tolist()
    assert [rows.count(item), rows.count(ITEMS), rows.count(-1)] == [0, 1, 1]
    assert before.score[0, 0] != pytest.approx(everything.score[0, rows.index(ITEMS)], abs=1e-3)


def test_an_item_that_is_gone_is_not_ranked_and_not_known(policy: Policy) -> None:
    """Neither in a whole catalogue nor by its id or hash."""
    item = int(rank(policy, None).row[0, 0])
    name = policy.catalogue.ids[item]
    policy.offer(policy.assortment({name: Change(None), "new": Change(features(1, 2, 3), 4)}))
    policy.offer(policy.assortment({name: Change(None), "new": Change(None)}))
    everything = rank(policy, None, slate_size=np.full(4, ITEMS + 1), excluded=None)
    assert set(range(ITEMS)) - {item} | {-1} == set(everything.row[0].tolist())
    assert policy.items.rows([name, "new", "item-1"]).tolist() == [-1, -1, 1]
    assert policy.items.rows_of_hashes(np.array([id_hash(name), id_hash("item-1")], np.uint64)).tolist() == [-1, 1]
    assert policy.items.on_offer == ITEMS - 1


def test_rows_stay_where_they_are_while_items_come_and_go(policy: Policy) -> None:
    """An item that was put in and taken out leaves its row empty, so that nobody else's moves."""
    first = {"a": Change(features(1, 0, 0), 1), "b": Change(features(0, 1, 0), 2)}
    assert policy.assortment(first).rows(["a", "b"]).tolist() == [ITEMS, ITEMS + 1]
    second = policy.assortment(first | {"a": Change(None)} | {"c": Change(features(0, 0, 1), 3)})
    assert second.rows(["a", "b", "c"]).tolist() == [-1, ITEMS + 1, ITEMS + 2]
    assert [second.id_of(row) for row in (0, ITEMS + 1, ITEMS + 2)] == ["item-0", "b", "c"]


def test_stamps_tell_which_items_have_changed(policy: Policy) -> None:
    """Copies are made from the items as they were: what has changed has a stamp, what came and went has none."""
    items = policy.assortment(
        {"item-4": Change(features(1, 1, 1), 77), "item-5": Change(None), "new": Change(features(1, 1, 1), 78),
         "passed": Change(None)}
    )  # fmt: skip
    names = ["item-3", "item-4", "item-5", "new", "passed", "never"]
    hashes = np.array([[id_hash(name) for name in names]], np.uint64)
    assert items.stamps_of_hashes(hashes).tolist() == [[0, 77, GONE, 78, 0, 0]]


def test_candidates_that_are_new_rank_as_in_the_whole_catalogue(policy: Policy) -> None:
    """New, changed and old items given as candidates score as they do among all."""
    policy.offer(policy.assortment({"new": Change(features(1, 2, 3), 1), "item-7": Change(features(0, 0, 1), 2)}))
    rows = np.delete(np.arange(ITEMS + 2), 7)
    size = np.full(4, 12)
    whole = rank(policy, None, slate_size=size, excluded=None)
    given = rank(policy, np.tile(rows, (4, 1)), slate_size=size, excluded=None)
    assert given.row.tolist() == whole.row.tolist()
    np.testing.assert_allclose(whole.log_propensity, given.log_propensity, rtol=1e-5, atol=1e-6)


def test_popularity_of_the_catalogue_is_not_that_of_new_items(policy: Policy) -> None:
    """What is popular lifts the items that were counted, whatever rows they have now, and no others."""
    item = 12
    popular = np.zeros(ITEMS, np.float32)
    popular[item] = 1e3
    name = policy.catalogue.ids[item]
    policy.offer(policy.assortment({"new": Change(features(1, 2, 3), 1), name: Change(features(1, 1, 1), 2)}))
    for candidates in (None, np.tile(np.arange(ITEMS + 2), (4, 1))):
        found = rank(policy, candidates, popular, excluded=None, slate_size=np.full(4, 2), temperature=np.zeros(4))
        assert [policy.items.id_of(row) for row in found.row[:, 0].tolist()] == [name] * 4
