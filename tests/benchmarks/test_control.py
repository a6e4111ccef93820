"""The claims of the control benchmark from returns that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks import control

RETURNS = {
    "maml": np.array([[1.0, 3.0], [8.0, 10.0], [0.0, 0.0], [0.0, 0.0]]),
    "frozen": np.array([[1.0, 3.0], [2.0, 4.0], [9.0, 9.0], [9.0, 9.0]]),
    "dqn": np.array([[1.0, 3.0], [9.0, 11.0], [0.0, 0.0], [0.0, 0.0]]),
}
"""By name, [episodes, tasks]: after one episode 9, 3 and 10 on average."""


def test_claims_are_shares_of_the_single_task_dqn_after_the_stated_episodes() -> None:
    """9 of 10 keeps a promise of .85, and 3 of 10 one of at most .5; in another column both would fail."""
    question = replace(control.QUESTIONS[0], after=1, adapted=0.85, frozen=0.5)
    adapted, frozen = control._claims(question, RETURNS)
    assert (0.9, True, 0.3, True) == (adapted.value, adapted.holds, frozen.value, frozen.holds)


def test_a_row_holds_means_and_intervals_over_tasks() -> None:
    """Two tasks of 8 and 10: mean 9, half interval 1.96 times sqrt(2) / sqrt(2)."""
    row = control._row(control.QUESTIONS[0], "maml", RETURNS["maml"], [9.0])
    assert (2, 9.0, [9.0]) == (row["tasks"], row["1"]["mean"], row["seeds"])
    np.testing.assert_allclose(1.96, row["1"]["half"])


def test_every_adapter_is_trained_with_every_seed_and_a_dqn_for_each_single_task() -> None:
    """Three seeds an adapter; the DQNs know one task each."""
    jobs = control._jobs()
    assert [("maml", 0, None), ("maml", 1, None), ("maml", 2, None)] == jobs["maml"]
    assert list(range(control.SINGLE)) == [task for _, _, task in jobs["dqn"]]
