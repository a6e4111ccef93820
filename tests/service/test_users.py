"""One odd user of a batch harms nobody else."""

from __future__ import annotations

from pathlib import Path

from meta.policy import Policy
from meta.types import Adaptation, Context, Events
from service import history
from service.metrics import Metrics
from service.users import Personaliser
from tests.service.test_history import stored


class Brittle(Policy):
    """A policy whose adaptation breaks on item row 3."""

    def adapt(self, events: Events, context: Context | None = None) -> Adaptation:
        """Raises where anybody has met that item."""
        if (events.item == 3).any():
            raise ArithmeticError("row 3")
        return super().adapt(events, context)


def test_a_user_who_breaks_adaptation_gets_the_prior_and_the_others_their_copies(policy: Path) -> None:
    """The broken user is answered from the prior with the reason, and no copy of theirs is kept."""
    values = [stored(history.pack("e", 1, f"i{n}", 1.0, "", 0)) for n in (1, 3, 2)]
    brittle, sound = Brittle.load(policy), Policy.load(policy)
    users = Personaliser(brittle, Metrics()).users(values, [None] * 3)
    expected = Personaliser(sound, Metrics()).users(values, [None] * 3)
    assert users.reason == ["", "adaptation failed", ""]
    assert users.fresh.tolist() == [0, 2]
    assert users.adapted.copy[[0, 2]].tolist() == expected.adapted.copy[[0, 2]].tolist()
    assert users.adapted.copy[1].tolist() == sound.prior(1)[0].tolist()
