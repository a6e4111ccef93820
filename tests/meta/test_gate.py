"""The gate: which copies may serve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meta import gate
from meta.checkpoint import save
from meta.policy import Policy
from meta.types import Events
from tests.meta.worlds_of_numbers import checkpoint_parts, histories


def met_alone(reward: list[float]) -> Events:
    """One user who met one item after another, always the same one."""
    length = len(reward)
    at = np.arange(length)[None]
    return Events(
        np.zeros((1, length), int),
        np.array([reward], np.float32),
        at,
        np.ones((1, length), bool),
        np.array([length]),
        1_700_000_000_000 + 1_000 * at,
    )


@pytest.mark.parametrize(
    ("reward", "verdict"),
    [
        ([1.0] * 24 + [0.0] * 10, gate.MISLED),  # what was learnt from the first 24 has misled about all that followed
        ([1.0] * 24 + [0.0] * 16, gate.ACCEPTED),  # until the copy has learnt better
        ([1.0] * 9 + [0.0] * 10, gate.ACCEPTED),  # too short to tell
        ([1.0] * 34, gate.ACCEPTED),
        ([1.0] * 33 + [0.0], gate.ACCEPTED),  # one event, however surprising, decides nothing
        ([1.0] * 28 + [0.0] * 6, gate.ACCEPTED),  # nor do six
    ],
)
def test_a_copy_that_predicts_worse_than_the_prior_is_refused(
    tmp_path: Path, reward: list[float], verdict: int
) -> None:
    """Where the copy fits the ten newest decisions worse, the one made before them is judged; then the prior serves."""
    save(tmp_path / "p", *checkpoint_parts())
    policy = Policy.load(tmp_path / "p")
    adapted = policy.adapt(met_alone(reward))
    assert verdict == adapted.verdict[0]
    assert (verdict == gate.MISLED) == (adapted.copy == policy.prior(1)).all()


def test_a_user_is_judged_alike_in_any_company(tmp_path: Path) -> None:
    """Copies and verdicts of a long and of short histories are the same together and alone."""
    save(tmp_path / "p", *checkpoint_parts())
    policy = Policy.load(tmp_path / "p")
    events = histories(np.random.default_rng(3), users=6, decisions=40)
    together = policy.adapt(events)
    for i in range(6):
        alone = policy.adapt(events.map(lambda x, i=i: x[i : i + 1]))
        np.testing.assert_allclose(alone.copy[0], together.copy[i], atol=1e-3)
        assert alone.verdict[0] == together.verdict[i]


def test_what_comes_before_the_ten_newest_decisions() -> None:
    """Of a history of 24 that is the first 14."""
    assert [[14]] == gate.before(met_alone([1.0] * 24)).tolist()
