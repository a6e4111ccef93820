"""What surrounds a training: its budget, its stopping point, its settings file and its TensorBoard files."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from meta.policy import Policy  # after the skip
from meta.trainer import budget as clock
from meta.trainer import decisions, logs, settings, worlds
from meta.trainer.budget import Budget, BudgetError, Pace
from meta.trainer.scalars import recorded
from meta.trainer.stopping import Stopping
from tests.meta.tastes import SMALL, tastes


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until the test moves it."""
    time = [100.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: time[0])
    return time


def test_a_budget_plans_with_nine_tenths_of_its_time(now: list[float]) -> None:
    """10 of 60 s are gone, 4 go beside: (54 - 14) / 0.5 = 80 iterations fit, and never more than are wanted."""
    budget = Budget(1.0)
    now[0] += 10.0
    assert 80 == budget.fitting(200, 0.5, beside=4.0)
    assert 50 == budget.fitting(50, 0.5, beside=4.0)
    assert 50.0 == budget.left
    assert 20.0 == budget.after(30.0).left
    assert [False, True, False] == [b.overdrawn for b in (budget.after(52.0), budget.after(54.0), Budget())]
    assert 200 == Budget().fitting(200, 1e9)


def test_a_budget_too_short_says_what_is_needed(now: list[float]) -> None:
    """20 iterations of 9 s need 3 minutes, 3.4 with the reserve; 0 minutes are no budget."""
    with pytest.raises(BudgetError, match=r"minutes must be at least 3.4 for 20 iterations .* got 1"):
        Budget(1.0).fitting(200, 9.0, least=20)
    for minutes in (0.0, -1.0, float("nan")):
        with pytest.raises(BudgetError, match="minutes must be above 0"):
            Budget(minutes)


def test_a_pace_is_the_mean_since_it_was_made(now: list[float]) -> None:
    """From iteration 10 to 14 in 2 s: half a second each."""
    pace = Pace(10)
    now[0] += 2.0
    assert 0.5 == pace.seconds(14)


def test_a_training_in_a_budget_is_one_of_fewer_iterations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number that fits decides the policy, not the clock: the version is that of a training of 12 iterations."""
    monkeypatch.setattr(Budget, "fitting", lambda *_, **__: 12)
    short = replace(SMALL, judge_every=6, met=(0.5,))
    for name, budget, how in (("a", Budget(1e6), short), ("b", Budget(), replace(short, iterations=12))):
        list(logs.train(*tastes(), tmp_path / name, settings=how, budget=budget))
    assert Policy.load(tmp_path / "a").version == Policy.load(tmp_path / "b").version


def test_the_stopping_point_is_the_best_of_the_smoothed_curve() -> None:
    """Looks of .1, .4, .1, .1, .1: the means of three are highest at the second look; patience of 3 ends it."""
    stopping = Stopping(earliest=0, patience=3)
    for look, reached in enumerate((0.1, 0.4, 0.1, 0.1, 0.1), 1):
        assert not stopping.over
        stopping.look(10 * look, np.full(7, reached))
    assert stopping.over
    assert (20, pytest.approx(0.25), [0.4] * 7) == (stopping.best_at, stopping.best, stopping.curve)


def test_before_the_earliest_stop_the_latest_look_counts() -> None:
    """A worse look at iteration 20 replaces the first, as the earliest stop is 30."""
    stopping = Stopping(earliest=30, patience=1)
    stopping.look(10, np.full(7, 0.5))
    stopping.look(20, np.full(7, 0.1))
    assert (20, False) == (stopping.best_at, stopping.over)


def test_test_users_are_never_looked_at_and_validation_users_not_learnt_from_before_the_end(tmp_path: Path) -> None:
    """Test users who like everything else change nothing: the learnt weights are the same to the bit."""
    log, catalogue = tastes()
    how = replace(SMALL, iterations=6, judge_every=3, met=(0.5,))
    test = logs.Task.of(log, catalogue, "maml", 0, how).split.test
    other = replace(log, reward=np.where(np.isin(log.user, test), 1.0 - log.reward, log.reward).astype(np.float32))
    weights = []
    for name, data in (("a", log), ("b", other)):
        list(logs.train(data, catalogue, tmp_path / name, settings=how))
        weights.append((tmp_path / name / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"magic": 1}, "setting 'magic' is unknown; there are .*rate"),
        ({"dropout": 0.99}, "setting dropout must be a number in 0..0.95, got 0.99"),
        ({"width": 2.5}, "setting width must be a whole number, got 2.5"),
        ({"rate": "fast"}, "setting rate must be a number"),
        ({"penalty": []}, "setting penalty must be a list of numbers"),
        ({"td_weight": float("nan")}, "setting td_weight must be a number"),
        ({"width": True}, "setting width must be a number"),
    ],
)
def test_settings_that_are_none_are_refused(given: dict[str, object], words: str) -> None:
    """Unknown, out of range, or of another kind: one sentence."""
    with pytest.raises(settings.SettingsError, match=words):
        settings.from_json(logs.Settings, given)


def test_settings_go_through_json_and_back() -> None:
    """Lists are tuples again, whole floats are whole numbers; all defaults of the trainers are within their limits."""
    changed = (
        logs.Settings(width=7, penalty=(1.0, 2.0)),
        worlds.Settings(epsilon=(0.4, 0.1), double=False),
        decisions.Settings(revalue=True, gone_s=60.0),
    )
    for how in changed:
        document = json.loads(json.dumps(asdict(how)))
        assert how == settings.from_json(type(how), document)
    assert 9 == settings.from_json(logs.Settings, {"width": 9.0}).width


def test_metrics_are_read_back_by_tensorboard(tmp_path: Path) -> None:
    """Scalars by iteration; a tuple is a scalar a place."""
    pytest.importorskip("tensorboard", reason="needs the extra `tensorboard`")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    told = [logs.Metrics(1, 2, 0.5, 0.25, 0.0), logs.Metrics(2, 2, 0.25, 0.125, 0.5, (0.5, 0.75))]
    assert told == list(recorded(iter(told), tmp_path / "logs"))
    events = EventAccumulator(str(tmp_path / "logs")).Reload()
    read = {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}
    assert {
        "train/loss": [(1, 0.5), (2, 0.25)],
        "train/td_loss": [(1, 0.25), (2, 0.125)],
        "train/ndcg": [(1, 0.0), (2, 0.5)],
        "train/curve/0": [(2, 0.5)],
        "train/curve/1": [(2, 0.75)],
    } == read
