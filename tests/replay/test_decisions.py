"""Estimators of single decisions: expectations over all logs of a tiny world, and loops written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meta.errors import InputError
from replay.contributions import Contributions
from replay.estimators import DECISIONS, estimates, on_policy
from replay.estimators.clipped_ips import clipped_ips
from replay.estimators.dm import dm
from replay.estimators.dr import dr
from replay.estimators.dros import dros
from replay.estimators.ips import ips
from replay.estimators.mips import mips
from replay.estimators.replay import replay as rejection
from replay.estimators.slope import grid, slope
from replay.estimators.sndr import sndr
from replay.estimators.snips import snips
from replay.estimators.switch_dr import switch_dr
from replay.logged import Logged
from tests.replay import tiny_worlds as tiny


@pytest.mark.parametrize("estimator", [ips, dr], ids=["ips", "dr"])
def test_unbiased_over_all_logs(estimator: object) -> None:
    """IPS, and DR under a bad model, are right on average over all 144 logs of two decisions."""
    assert np.isclose(tiny.value(), tiny.expectation(estimator))  # type: ignore[arg-type]
    assert not np.isclose(tiny.value(), tiny.value(policy=tiny.LOGGING), atol=0.05)


def test_mips_is_unbiased_where_kinds_tell_all() -> None:
    """Where items of a kind earn alike; and it is not where they differ."""
    assert np.isclose(tiny.value(tiny.BY_KIND), tiny.expectation(mips, tiny.BY_KIND))
    assert abs(tiny.value() - tiny.expectation(mips)) > 0.01


def test_dm_is_the_models_opinion() -> None:
    """Whatever was rewarded."""
    assert np.isclose(tiny.value(tiny.WRONG), tiny.expectation(dm))


def test_on_policy_is_the_loggers_value() -> None:
    """The mean over all logs is what the logging policy earns."""
    assert np.isclose(tiny.value(policy=tiny.LOGGING), tiny.expectation(on_policy))


@pytest.mark.parametrize(
    ("estimator", "cut"),
    [
        (lambda log: clipped_ips(log, 2.0), lambda w: min(w, 2.0)),
        (lambda log: switch_dr(log, 2.0), lambda w: w if w <= 2.0 else 0.0),
        (lambda log: dros(log, 4.0), lambda w: 4 * w / (w * w + 4)),
        (ips, lambda w: w),
        (dr, lambda w: w),
    ],
    ids=["clipped_ips", "switch_dr", "dros", "ips", "dr"],
)
def test_a_loop_over_decisions_agrees(estimator: object, cut: object) -> None:
    """Each with its own treatment of weights, one decision after the other."""
    rng = np.random.default_rng(1)
    log = tiny.drawn(rng, 300)
    assert log.candidates is not None
    total = 0.0
    for i in range(300):
        a = int(log.candidates.action[i])
        weight = cut(log.target[i] / log.logging[i])  # type: ignore[operator]
        if estimator in (ips,) or "clipped" in repr(estimator) or cut(3.0) == 2.0:  # type: ignore[operator]
            total += weight * log.reward[i]
            continue
        x = 0 if log.candidates.target[i, 2] == tiny.TARGET[0, 2] else 1
        total += sum(tiny.TARGET[x, c] * tiny.WRONG[x, c] for c in range(3))
        total += weight * (log.reward[i] - tiny.WRONG[x, a])
    assert np.isclose(total / 300, estimator(log).value)  # type: ignore[operator]


def test_snips_and_sndr_by_hand() -> None:
    """Weights 2 and 1/2, rewards 1 and 0: SNIPS is .8; with a model of .5 everywhere SNDR is .5 + .3."""
    log = Logged(np.arange(2), np.array([1.0, 0.0]), np.array([0.25, 0.5]), np.array([0.5, 0.25]))
    assert np.isclose(0.8, snips(log).value)
    half = np.full(2, 0.5)
    modelled = replace(log, predicted=type(tiny.drawn(np.random.default_rng(0), 2).predicted)(half, half))  # type: ignore[call-arg, arg-type]
    assert np.isclose(0.8, sndr(modelled).value)
    assert np.isclose(0.5 + (2 * 0.5 - 0.5 * 0.5) / 2, dr(modelled).value)


def test_snips_keeps_to_the_range_of_rewards_and_follows_a_shift() -> None:
    """Which IPS does not."""
    log = tiny.drawn(np.random.default_rng(2), 50)
    shifted = replace(log, reward=log.reward + 10)
    assert np.isclose(snips(log).value + 10, snips(shifted).value)
    assert abs(ips(log).value + 10 - ips(shifted).value) > 0.1


def test_rejection_is_the_mean_of_the_matched() -> None:
    """Two of four matched, one of them rewarded; without knowing which, an error says so."""
    log = Logged(np.arange(4), np.array([1.0, 0, 1, 1]), np.full(4, 0.5), np.array([1.0, 1, 0, 0]))
    assert 0.5 == rejection(replace(log, matched=np.array([True, True, False, False]))).value
    with pytest.raises(InputError, match="matched"):
        rejection(log)


@pytest.mark.parametrize("name", [name for name in DECISIONS if name not in ("dm", "dros", "replay")])
def test_a_target_that_is_the_logger_gets_the_mean(name: str) -> None:
    """All weights are 1; a model of one value cancels; `dros` alone believes even a weight of 1 a little less."""
    log = tiny.drawn(np.random.default_rng(3), 200)
    assert log.candidates is not None
    same = replace(log, target=log.logging, candidates=replace(log.candidates, target=log.candidates.logging))
    flat = same.with_model(np.full((200, 3), 0.3))
    assert np.isclose(log.reward.mean(), DECISIONS[name].run(flat).value)


@pytest.mark.parametrize("name", ["snips", "sndr"])
def test_a_policy_that_was_never_tried_has_no_value(name: str) -> None:
    """All weights are 0: the error says what the log lacks."""
    log = tiny.drawn(np.random.default_rng(4), 20)
    never = replace(log, target=np.zeros(20))
    with pytest.raises(InputError, match="would have shown nothing of what the log shows"):
        _ = DECISIONS[name].run(never).value


def test_bounds_that_do_not_bind() -> None:
    """No clip is IPS, no switch and endless shrinkage are DR, no belief at all is DM."""
    log = tiny.drawn(np.random.default_rng(5), 100)
    endless = float("inf")
    assert ips(log).value == clipped_ips(log, endless).value
    assert dr(log).value == switch_dr(log, endless).value == dros(log, endless).value
    assert dm(log).value == dros(log, 0.0).value


def test_slope_stops_where_intervals_part() -> None:
    """Three estimates of falling variance: the second agrees with the first, the third with neither."""
    rng = np.random.default_rng(6)
    user = np.arange(1_000)

    def mean(centre: float, spread: float) -> Contributions:
        values = rng.standard_normal(1_000)
        values = centre + spread * (values - values.mean()) / values.std()
        return Contributions(user, values[None], np.ones((1, 1_000)))

    wide, narrow, off = mean(0.0, 10.0), mean(0.5, 1.0), mean(3.0, 0.1)
    assert narrow is slope([wide, narrow, off])
    assert off is slope([off])
    assert wide is slope([wide, off, narrow])


def test_slope_clips_where_that_costs_nothing() -> None:
    """One monstrous weight among rewards of 1: without it the mean is 1, and SLOPE leaves it out."""
    target, logging = np.full(2_000, 0.5), np.full(2_000, 0.5)
    logging[0] = 1e-4
    log = Logged(np.arange(2_000), np.ones(2_000), logging, target)
    assert ips(log).value > 3
    assert np.isclose(1.0, clipped_ips(log).value, atol=0.01)
    assert grid(log.weight)[0] == float("inf")
    assert np.isclose([5_000 ** (8 / 9), 1.0], [grid(log.weight)[1], grid(log.weight)[-1]]).all()


def test_only_what_a_log_can_answer_is_estimated() -> None:
    """Without candidates, model and matches these three remain."""
    log = tiny.drawn(np.random.default_rng(7), 20)
    bare = Logged(log.user, log.reward, log.logging, log.target)
    assert {"ips", "clipped_ips", "snips"} == set(estimates(bare, DECISIONS))
    assert set(DECISIONS) - {"replay"} == set(estimates(log, DECISIONS))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("reward", np.nan, "rewards must be finite, got nan in decision 1"),
        ("logging", 0.0, "logged propensities must be above 0 and at most 1, got 0.0 in decision 1"),
        ("logging", 1.5, "got 1.5 in decision 1"),
        ("target", -0.1, "target probabilities must be in 0..1, got -0.1 in decision 1"),
    ],
)
def test_impossible_values_are_named(column: str, value: float, message: str) -> None:
    """Which value, which rule, which decision."""
    columns = {"reward": np.ones(3), "logging": np.full(3, 0.5), "target": np.full(3, 0.5)}
    columns[column][1] = value
    with pytest.raises(InputError, match=message):
        Logged(np.arange(3), **columns)
