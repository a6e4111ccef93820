"""What is kept of users who ask again: never other than what would be made of them now, and never without bounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meta import neighbours
from meta.assortment import Assortment
from meta.checkpoint import load
from meta.policy import Policy
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.acquaintances import OVERHEAD, Acquaintances, Known, portraits
from service.context import Contexts
from service.metrics import Metrics
from service.store import FreshCopy, Kept, attributes, history
from tests.service.support import make_policy
from tests.service.test_history import accepted

TOLD = attributes.pack(pb.Attributes(numbers={"age": 3.0}))


@pytest.fixture(scope="module")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """A policy with a memory of co-occurrence: every item has its two successors as neighbours."""
    made = load(make_policy(tmp_path_factory.mktemp("near") / "p", slate="independent"))
    spec = replace(made.manifest.spec, neighbours=2)
    near = neighbours.init(spec)
    near[neighbours.INDEX] = (np.arange(spec.items)[:, None] + [1, 2]).astype(np.int32) % spec.items
    near[neighbours.WEIGHT][:] = [0.5, 0.25]
    return Policy(replace(made, manifest=replace(made.manifest, spec=spec), params={**made.params, **near}))


class Door:
    """Users who come in one after the other, with the copy that the store keeps of them since they were last here."""

    def __init__(self, policy: Policy, max_bytes: int = 2**20, max_age_s: float = 60.0) -> None:
        self.metrics, self.now = Metrics(), 0.0
        self.policy = policy
        self.all = Acquaintances(policy, self.metrics, max_bytes, max_age_s, clock=lambda: self.now)
        self._copies: dict[str, bytes] = {}

    def come(self, value: bytes | None, user: str = "u", told: bytes | None = None) -> Known:
        """Somebody comes, with a history and attributes."""
        context = Contexts(self.policy, self.metrics).of([pb.RecommendRequest()], [told], 0)
        (known,), fresh = self.all.meet([user], Kept([value], [self._copies.get(user)], [told]), context)
        for copy in fresh:
            assert isinstance(copy, FreshCopy)
            self._copies[user] = copy.value
        return known

    def found(self) -> tuple[int, int]:
        """How many copies were adapted, and how many there were already."""
        told = (self.metrics.registry.get_sample_value("quickstudy_copies_total", {"state": x}) for x in STATES)
        adapted, cached = (int(n or 0) for n in told)
        return adapted, cached


STATES = "adapted", "cached"


def events(*items: int) -> bytes:
    """A history in which these items were liked."""
    return accepted(*(history.pack(f"e{n}", n + 1, f"i{item}", 1.0, "", 0) for n, item in enumerate(items)))


def rank(policy: Policy, known: Known) -> list[list[float]]:
    """What is shown to somebody of items 0 to 9: rows, scores and values."""
    context = Contexts(policy, Metrics()).of([pb.RecommendRequest()], [None], 0)
    one = np.ones(1, np.int64)
    told = policy.rank_for(
        portraits([known]),
        context,
        np.arange(10)[None],
        slate_size=10 * one,
        temperature=np.zeros(1, np.float32),
        seed=one.astype(np.uint64),
    )
    return [told.row[0].tolist(), told.score[0].tolist(), told.q_value[0].tolist()]


def test_who_asks_again_is_known_as_they_would_be_made_anew(remembering: Policy) -> None:
    """The third request finds what the second kept; ranking, description and pseudonym are those of the first two."""
    door = Door(remembering)
    value = events(1, 2, 2, 7)
    met = [door.come(value) for _ in range(3)]
    assert ((1, 2), 1) == (door.found(), len(door.all))
    assert met[0].row.tolist() == met[2].row.tolist()
    assert rank(remembering, met[0]) == rank(remembering, met[2])
    first, again = (pb.Adaptation.FromString(known.told) for known in (met[0], met[2]))
    assert (4, met[1].told) == (first.events_used, met[2].told)
    assert again.loss_after == pytest.approx(first.loss_after, rel=1e-3)  # the store keeps half floats
    assert [met[1].pseudonym, met[1].seen.tolist()] == [met[2].pseudonym, met[2].seen.tolist()]


def test_a_click_makes_somebody_new(remembering: Policy) -> None:
    """After one more event the kept user is left, and the answer is that of a door that has kept nobody."""
    door, forgetful = Door(remembering), Door(remembering, max_bytes=0)
    for _ in range(3):
        door.come(events(1, 2))
    assert rank(remembering, door.come(events(1, 2, 3))) == rank(remembering, forgetful.come(events(1, 2, 3)))
    assert ((2, 2), 0) == (door.found(), len(door.all))
    assert (pb.SOURCE_PRIOR, 0) == (door.come(None).source, len(door.all))


def test_other_attributes_and_other_items_make_somebody_new(remembering: Policy) -> None:
    """What was kept under other attributes does not come back, nor does anybody once the items have changed."""
    door = Door(remembering)
    for _ in range(2):
        door.come(events(1, 2))
    door.come(events(1, 2), told=TOLD)
    assert 1 == len(door.all)
    before = remembering.items
    remembering.offer(Assortment(remembering.catalogue, before.table))
    door.come(None)
    remembering.offer(before)
    assert 0 == len(door.all)


def test_what_is_kept_has_bounds(remembering: Policy) -> None:
    """With room for two the one who has not come for longest leaves; so does who has not come for a minute."""
    door = Door(remembering, max_bytes=int(2.9 * OVERHEAD))
    for user in "abac":
        for _ in range(2):
            door.come(events(1), user)
    adapted, cached = door.found()
    door.come(None, "nobody")
    assert 2 == len(door.all)
    door.come(events(1), "a")
    assert (adapted, cached + 1, 2) == (*door.found(), len(door.all))
    door.now = 61.0
    door.come(None, "nobody")
    assert 0 == len(door.all)


def test_the_forgotten_are_gone(remembering: Policy) -> None:
    """Who is erased is not kept; who has clicked since their copy was made was not kept in the first place."""
    door = Door(remembering)
    door.come(events(1))
    assert 0 == len(door.all)
    door.come(events(1))
    door.all.forget("u")
    door.all.forget("nobody")
    assert 0 == len(door.all)


def test_nothing_is_kept_of_a_policy_that_reads_contexts(tmp_path: Path) -> None:
    """Its view of a user depends on the request."""
    door = Door(Policy.load(make_policy(tmp_path / "p", context=2)))
    for _ in range(2):
        door.come(events(1))
    assert 0 == len(door.all)
