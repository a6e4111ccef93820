"""`quickstudy replay` from files to exit code, report and JSON."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from meta.policy import Policy
from quickstudy import app
from replay import foreign, log
from replay.adaptive import Replayed, replay
from replay.decisions import Log
from replay.reading import read
from service.policies.report import check_report
from tests.replay.logs import START_MS, decisions, events
from tests.service.support import make_policy

USERS, STEPS, CANDIDATES = 120, 6, 6


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy of items i0 to i119 with strong opinions."""
    strong = {"item.v.linear": 3.0, "item.q.linear": 3.0}
    return make_policy(tmp_path_factory.mktemp("policy") / "p", scale=strong, adapter="ridge")


@pytest.fixture(scope="module")
def logged(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of uniformly drawn items; users like what this policy would show, at the first step."""
    folder, rng = tmp_path_factory.mktemp("log"), np.random.default_rng(0)
    n = USERS * STEPS
    rows = np.array([rng.permutation(120)[:CANDIDATES] for _ in range(n)])
    shown = rows[np.arange(n), rng.integers(CANDIDATES, size=n)]
    columns: dict[str, list[Any]] = {
        "user": [f"u{k // STEPS}" for k in range(n)],
        "candidates": [[f"i{row}" for row in each] for each in rows],
        "slate": [[f"i{row}"] for row in shown],
        "propensities": [[1 / CANDIDATES]] * n,
    }
    log.write(folder / "decisions-1.parquet", "decisions", decisions(n, **columns))
    prior = outcome(policy, read(folder), adapting=False)
    found = read(folder)
    target = np.exp(prior.log_propensity[:, 0])
    at = {int(time): float(p) for time, p in zip(found.decisions.time_ms, target, strict=True)}
    reward = [float(at[START_MS + 1000 * k] > 1 / CANDIDATES) for k in range(n)]
    happened = events(
        n, user=columns["user"], item_id=[each[0] for each in columns["slate"]], reward=reward, position=[1] * n
    )
    log.write(folder / "events-1.parquet", "events", happened)
    return folder


def outcome(policy: Path, found: Log, adapting: bool) -> Replayed:
    """What a replay finds in the end."""
    *_, last = replay(Policy.load(policy), found, adapting=adapting, first=True)
    assert isinstance(last, Replayed)
    return last


def run(*arguments: object) -> Result:
    """The command, as it is typed."""
    return CliRunner().invoke(app, ["replay", *map(str, arguments)], catch_exceptions=False)


def test_a_better_policy_passes(policy: Path, logged: Path, tmp_path: Path) -> None:
    """Exit code 0, the verdict, all estimators of single items, and a page that needs nothing beside it."""
    page, told = tmp_path / "r.html", tmp_path / "r.json"
    result = run("--policy", policy, "--log", logged, "--report", page, "--json", told)
    assert 0 == result.exit_code, result.output
    found = json.loads(told.read_text())
    asked, frozen = found["policies"]
    assert "BETTER" == asked["verdicts"]["the log"]["outcome"]
    assert {"ips", "snips", "clipped_ips", "dm", "dr", "sndr", "switch_dr", "dros", "replay"} <= set(asked["estimates"])
    assert "none" == frozen["adapter"]
    check_report(told.read_text(), Policy.load(policy).version, "replay")  # the service activates it with this
    assert ["0", "1", "2", "3-4", "5-9"] == [row["label"] for row in asked["by_events"]]
    assert asked["ranking"]["mrr"] > 0.3
    text = page.read_text()
    assert re.search(r"BETTER</b>", text)
    assert not re.search(r"https?://|<script|<link|@import|src=", text)


def test_what_the_log_cannot_tell_does_not_pass(policy: Path, logged: Path, tmp_path: Path) -> None:
    """Without rewards nothing is better: exit code 1, and 0 where only worse is barred."""
    for path in logged.glob("decisions-*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    result = run("--policy", policy, "--log", tmp_path)
    assert (1, True) == (result.exit_code, "CANNOT TELL" in result.output)
    assert 0 == run("--policy", policy, "--log", tmp_path, "--not-worse").exit_code


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--estimator", "magic8"], "estimator must be one of"),
        (["--map", "action=x"], "--map takes FIELD=COLUMN with a field of user, time"),
        (["--map", "item=x"], "--map must name the column of propensity, reward"),
    ],
)
def test_bad_input_is_told_in_one_line(policy: Path, logged: Path, options: list[str], error: str) -> None:
    """Exit code 2."""
    result = run("--policy", policy, "--log", logged, *options)
    assert (2, True) == (result.exit_code, error in " ".join(result.output.split())), result.output


def test_a_folder_without_a_log_is_told(policy: Path, tmp_path: Path) -> None:
    """What to do instead."""
    result = run("--policy", policy, "--log", tmp_path)
    assert (2, True) == (result.exit_code, "holds no decisions-*.parquet" in result.output)


def test_a_foreign_log_is_read_by_its_own_columns(tmp_path: Path) -> None:
    """Slates separated by '|', times in seconds, bad rows counted by rule and shown with their line."""
    frame = pd.DataFrame(
        {
            "who": ["a", "a", "b", "", "b", "b"],
            "at": [30, 10, 20, 20, 40, 50],
            "shown": ["x|y", "y", "x", "x", "q", "y"],
            "p": ["0.5|0.5", "0.25", "1.5", "0.5", "0.5", "0.5"],
            "r": ["0|1", "1", "1", "1", "1", ""],
        }
    )
    frame.to_csv(tmp_path / "log.csv", index=False)
    columns = foreign.mapped(["user=who", "time=at", "item=shown", "propensity=p", "reward=r"])
    found = foreign.read(tmp_path / "log.csv", columns, known=["x", "y"])
    rules = ("user", "propensity", "unknown", "reward")
    assert {foreign.RULES[rule]: 1 for rule in rules} == found.bad.count
    assert "line 4" in found.bad.sample[foreign.RULES["propensity"]][0]
    assert [10_000, 30_000] == found.decisions.time_ms.tolist()
    assert [[1.0, 0.0], [0.0, 1.0]] == found.decisions.reward.tolist()
    assert ([0, 1], 1) == (found.decisions.seen.tolist(), found.unordered)


def test_the_open_bandit_layout_is_read() -> None:
    """All 10,000 rows of the sample with its propensities and clicks."""
    folder = Path(__file__).parents[2].parent / "shared" / "data" / "obd" / "random" / "men"
    if not folder.is_dir():
        pytest.skip("needs the Open Bandit sample in ../shared/data")
    assert foreign.is_open_bandit(folder)
    found = foreign.read_open_bandit(folder)
    assert (10_000, 34, 0) == (len(found.decisions), len(found.items), found.bad.total)
    assert 1 / 34 == pytest.approx(found.decisions.propensity[0, 0])
    assert 0.0046 == pytest.approx(found.decisions.reward.mean(), abs=0.002)
