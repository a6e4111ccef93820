"""The search for hyper-parameters: seeded, resumable, pruned, and its settings are what a training reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("optuna", reason="needs the extra `tune`")

from meta.errors import InputError
from meta.trainer import logs, settings, worlds
from meta.trainer.budget import Budget
from meta.trainer.tuning import LOG, WORLD, InWorld, Objective, OnLog, Range, Trial, best, tune
from quickstudy import app
from simulators.interest_exploration import InterestExploration
from tests.meta.tastes import SMALL, tastes
from tests.meta.test_bad_data import BRIEF, FEATURES, events

SPACE = {"rate": Range(1e-3, 1e-1, log=True), "adapter": ("maml", "session")}


class Bowl(Objective):
    """Highest where rate is .01; session never does well; tells in two steps."""

    settings = logs.Settings

    def figures(self, adapter: str, how: logs.Settings) -> Iterator[tuple[int, float]]:
        """Half of it first."""
        reached = (adapter == "maml") - abs(how.rate - 0.01)
        yield 1, 0.5 * reached
        yield 2, reached


def search(file: Path, trials: int, seed: int = 0, **options: object) -> list[Trial]:
    """All trials of a search for the bottom of the bowl."""
    given: dict[str, object] = {"base": {}, "space": SPACE, "budget": Budget()} | options
    told = list(tune(Bowl(), file, trials=trials, seed=seed, **given))  # type: ignore[arg-type]
    return told[-1] if told else []


def test_a_search_that_goes_on_is_the_one_that_was_not_stopped(tmp_path: Path) -> None:
    """Four trials and then eight more are the twelve of a twin; another seed tries others; the first are defaults."""
    search(tmp_path / "a", 4)
    resumed, twin, other = search(tmp_path / "a", 12), search(tmp_path / "b", 12), search(tmp_path / "c", 12, seed=1)
    assert twin == resumed
    assert twin != other
    assert {"rate": 0.003, "adapter": "maml"} == twin[0].settings
    assert "maml" == best(twin)[0].settings["adapter"]
    assert [] == [t for t in best(twin) if t.state != "complete"]
    assert {"pruned"} == {t.state for t in twin[5:] if t.settings["adapter"] == "session"}


def test_a_study_of_something_else_is_refused(tmp_path: Path) -> None:
    """Another space, another seed, or a file that is none: one line."""
    search(tmp_path / "a", 1)
    with pytest.raises(InputError, match="is a study of other settings"):
        search(tmp_path / "a", 2, base={"width": 8})
    (tmp_path / "b").write_text("no study\n")
    with pytest.raises(InputError, match="is no study, or damaged"):
        search(tmp_path / "b", 1)


def test_no_trial_begins_after_the_budget(tmp_path: Path) -> None:
    """A budget that is spent when the search begins leaves nothing tried."""
    assert [] == search(tmp_path / "a", 3, budget=Budget(1.0).after(61.0))


def test_both_kinds_of_training_are_judged(tmp_path: Path) -> None:
    """A log by the smoothed best of its looks, a world by reward now and then and greedily in the end."""
    how = replace(SMALL, iterations=4, judge_every=2, met=(0.5,))
    looks = list(OnLog(*tastes(), 0).figures("maml", how))
    assert [2, 4] == [step for step, _ in looks]
    small = worlds.Settings(iterations=2, updates=1, batch=8, block=5, memory=16, width=4, hidden=8, steps=1, prices=1)
    rewards = list(InWorld(InterestExploration(8, steps=8, num_items=200, candidates=6), 0).figures("maml", small))
    assert [1, 2, 3] == [step for step, _ in rewards]
    assert all(0.0 <= reward <= 1.0 for _, reward in rewards)


@pytest.mark.parametrize(("kind", "space"), [(logs.Settings, LOG), (worlds.Settings, WORLD)])
def test_whatever_is_searched_is_a_setting_in_its_limits(kind: type, space: dict[str, object]) -> None:
    """Both ends of each range and every choice can be read; defaults lie inside."""
    default = kind()
    for name, where in space.items():
        if name != settings.ADAPTER:
            ends = (where.low, where.high) if isinstance(where, Range) else where
            for value in ends:  # type: ignore[attr-defined]
                settings.from_json(kind, {name: value})
            assert min(ends) <= getattr(default, name) <= max(ends)  # type: ignore[call-overload]


def test_the_command_writes_settings_that_train_reads(tmp_path: Path) -> None:
    """Two trials on a small log; `train --settings` takes the file as it is."""
    log = "user_id,item_id,reward,timestamp\n" + "".join(",".join(map(str, row)) + "\n" for row in events())
    for name, text in (("log.csv", log), ("items.csv", FEATURES), ("base.json", json.dumps(BRIEF))):
        (tmp_path / name).write_text(text)
    data = ["--interactions", str(tmp_path / "log.csv"), "--items", str(tmp_path / "items.csv")]
    found, base = str(tmp_path / "best.json"), str(tmp_path / "base.json")
    done = CliRunner().invoke(app, ["tune", *data, "--out", found, "--settings", base, "--trials", "2"])
    assert 0 == done.exit_code, done.output
    assert "best of 2 trials" in done.output
    assert BRIEF.keys() | {"adapter", "rate", "dropout"} <= json.loads((tmp_path / "best.json").read_text()).keys()
    done = CliRunner().invoke(app, ["train", *data, "--out", str(tmp_path / "p"), "--settings", found])
    assert 0 == done.exit_code, done.output
