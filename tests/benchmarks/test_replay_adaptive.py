"""The simulated logs of an adapting policy: replay finds in the files what the simulator's own code did."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks import replay_adaptive as measure
from meta.policy import Policy
from replay.reading import read


def policy_of(folder: Path) -> Policy:
    """An untrained policy of the benchmark's world."""
    measure._write_many(folder, 20)
    return Policy.load(folder / "policy")


def test_the_policy_that_logged_is_found_again(tmp_path: Path) -> None:
    """Replayed at the temperature of the log, the adapting policy has the propensities that the simulator drew by.

    But where two decisions in a row have one 8-bit tag: the store, and so replay, takes them for one slate.
    """
    policy = policy_of(tmp_path)
    met = measure._meet(policy, 30, 5, 0.05, 0.05)
    measure.written(met, policy.catalogue.ids, tmp_path / "log")
    found = read(tmp_path / "log")
    chance = np.exp(measure._outcome(policy, found, 0.05, adapting=True).log_propensity[:, 0])
    frozen = np.exp(measure._outcome(policy, found, 0.05, adapting=False).log_propensity[:, 0])
    logged = found.decisions.propensity[:, 0]
    assert np.isclose(chance, logged, rtol=0.01).mean() > 0.9 > 0.5 > np.isclose(frozen, logged, rtol=0.01).mean()


def test_a_small_log_is_timed() -> None:
    """Every decision is replayed, by processes of their own."""
    rows, claims = measure.cost(2_000)
    assert (2_000, True, 3) == (rows[0]["decisions"], claims[0].holds, len(claims))
