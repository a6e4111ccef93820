"""One odd user of a batch harms nobody else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meta.policy import Policy
from meta.types import Adaptation, Context, Events, FloatArray
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.context import Contexts
from service.metrics import Metrics
from service.store import Kept, history
from service.users import Personaliser
from tests.service.support import make_policy
from tests.service.test_history import accepted, stored


def unknown(policy: Policy, users: int) -> Context:
    """Requests of users of whom nothing is known."""
    return Contexts(policy, Metrics()).of([pb.RecommendRequest()] * users, [None] * users, 0)


class Brittle(Policy):
    """A policy whose adaptation breaks on item row 3."""

    def adapt(self, events: Events, attributes: FloatArray | None = None) -> Adaptation:
        """Raises where anybody has met that item."""
        if (events.item == 3).any():
            raise ArithmeticError("row 3")
        return super().adapt(events, attributes)


def test_a_user_who_breaks_adaptation_gets_the_prior_and_the_others_their_copies(policy: Path) -> None:
    """The broken user is answered from the prior with the reason, and no copy of theirs is kept."""
    values = [stored(history.pack("e", 1, f"i{n}", 1.0, "", 0)) for n in (1, 3, 2)]
    brittle, sound = Brittle.load(policy), Policy.load(policy)
    kept = Kept.nothing(3)._replace(histories=values)
    users = Personaliser(brittle, Metrics()).users(kept, unknown(brittle, 3))
    expected = Personaliser(sound, Metrics()).users(kept, unknown(sound, 3))
    assert users.reason == ["", "adaptation failed", ""]
    assert users.fresh.tolist() == [0, 2]
    assert users.adapted.copy[[0, 2]].tolist() == expected.adapted.copy[[0, 2]].tolist()
    assert users.adapted.copy[1].tolist() == sound.prior(1)[0].tolist()


def test_a_copy_that_outlived_its_history_is_nobodys(policy: Path) -> None:
    """Once the history has expired, or been evicted, the user is a stranger: prior, no events, nothing learnt."""
    loaded = Policy.load(policy)
    personaliser = Personaliser(loaded, Metrics())
    kept = Kept.nothing(1)._replace(histories=[stored(history.pack("e", 1, "i1", 1.0, "", 0))])
    (copy,) = personaliser.to_keep(["u"], kept, personaliser.users(kept, unknown(loaded, 1)))
    users = personaliser.users(Kept.nothing(1)._replace(copies=[copy.value]), unknown(loaded, 1))
    assert (users.reason, users.adapted.events_used.tolist()) == (["no events"], [0])
    assert users.adapted.copy.tolist() == loaded.prior(1).tolist()


def record(n: int, at_ms: int | None = None) -> bytes:
    """Event n with an item of its own."""
    return history.pack(f"e{n}", n if at_ms is None else at_ms, f"i{n}", float(n % 2), "", 0)


def carried(policy: Policy, *values: bytes) -> tuple[FloatArray, list[int]]:
    """The copy after these states of one history, each met in turn, and how many copies were carried and made anew."""
    metrics = Metrics()
    personaliser = Personaliser(policy, metrics)
    cached: bytes | None = None
    for value in values:
        kept = Kept([value], [cached], [None])
        users = personaliser.users(kept, unknown(policy, 1))
        new = personaliser.to_keep(["u"], kept, users)
        cached = new[0].value if new else cached
    counts = [
        int(metrics.registry.get_sample_value("quickstudy_copies_total", {"state": state}) or 0)
        for state in ("carried", "adapted")
    ]
    return users.adapted.copy[0], counts


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """A policy whose copies are the state of a recurrent memory."""
    return Policy.load(make_policy(tmp_path_factory.mktemp("memory") / "p", adapter="lstm_memory"))


def test_a_memory_is_carried_on_by_what_came_since(memory: Policy) -> None:
    """Seven events in three visits give the copy that all at once give; only the first copy is made from history."""
    records = [record(n) for n in range(7)]
    copy, counts = carried(memory, *(accepted(*records[:n]) for n in (2, 3, 7)))
    whole, _ = carried(memory, accepted(*records))
    np.testing.assert_allclose(whole, copy, atol=1e-6)
    assert [2, 1] == counts


def test_a_memory_outlives_what_the_history_forgets(memory: Policy) -> None:
    """With room for two events the carried copy is still that of all four."""
    records = [record(n) for n in range(4)]
    full = accepted(*records)
    seen = accepted(*records[:3])[: history.HEADER]
    copy, _ = carried(
        memory,
        accepted(*records[:2]),
        seen + records[1] + records[2],
        full[: history.HEADER] + records[2] + records[3],
    )
    whole, _ = carried(memory, full)
    np.testing.assert_allclose(whole, copy, atol=1e-6)


def test_a_late_event_makes_the_memory_anew(memory: Policy) -> None:
    """An event that belongs before others cannot be appended: the copy is that of the history in its right order."""
    late = accepted(record(9, at_ms=0), record(1), record(2))
    copy, counts = carried(memory, accepted(record(1), record(2)), late)
    assert carried(memory, late)[0].tolist() == copy.tolist()
    assert [0, 2] == counts
