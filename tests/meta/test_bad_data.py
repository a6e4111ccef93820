"""Bad data trains, or stops with one clear line and exit code 2; never are weights saved that are not finite."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="needs the extra `train`")

from meta.checkpoint import load  # after the skip
from meta.policy import Policy
from meta.trainer import log_learner
from quickstudy import app

Rows = list[tuple[str, str, object, object]]
BRIEF = {
    "iterations": 3, "batch": 8, "prefixes": 2, "judge_every": 3, "width": 4, "hidden": 4, "neighbours": 5,
    "penalty": [20.0], "met": [0.5], "validation": 0.25, "warm_up": 1,
}  # fmt: skip


def events(users: int = 24, items: int = 30, each: int = 24, seed: int = 0) -> Rows:
    """A small log that can be learnt from: every user meets `each` items and likes about half of them."""
    rng = np.random.default_rng(seed)
    return [
        (f"u{user}", f"i{item}", int(rng.random() < 0.5), 1000 + place)
        for user in range(users)
        for place, item in enumerate(rng.permutation(items)[:each])
    ]


def changed(change: Callable[[tuple[str, str, object, object]], tuple[str, str, object, object]]) -> Rows:
    """The small log with every event changed."""
    return [change(row) for row in events()]


def train(folder: Path, log: Rows, items: str, *options: str, **settings: object) -> tuple[int, str]:
    """The real command on files: exit code, and the last line it prints."""
    (folder / "log.csv").write_text(
        "user_id,item_id,reward,timestamp\n" + "".join(",".join(map(str, row)) + "\n" for row in log)
    )
    (folder / "items.csv").write_text(items)
    (folder / "settings.json").write_text(json.dumps(BRIEF | settings))
    files = ("--interactions", "log.csv", "--items", "items.csv", "--settings", "settings.json")
    arguments = [str(folder / x) if x.endswith(("csv", "json")) else x for x in files]
    done = CliRunner().invoke(app, ["train", *arguments, "--out", str(folder / "p"), *options], catch_exceptions=False)
    return done.exit_code, done.output.strip().splitlines()[-1]


FEATURES = "item_id,x,kind\n" + "".join(f"i{row},{row},k{row % 3}\n" for row in range(31))
BARE = "item_id\n" + "".join(f"i{row}\n" for row in range(31))
GOOD: dict[str, tuple[Rows, str]] = {
    "an item nobody met": (events(), FEATURES),
    "no features": (events(), BARE),
    "likes only": (changed(lambda row: (*row[:2], 1, row[3])), FEATURES),
    "negative rewards": (changed(lambda row: (*row[:2], 2 * int(str(row[2])) - 1, row[3])), FEATURES),
    "duplicate events": (events() + events(), FEATURES),
    "constant timestamps": (changed(lambda row: (*row[:3], 1000)), FEATURES),
    "denormal rewards": (changed(lambda row: (*row[:2], 1e-40 * int(str(row[2])), row[3])), FEATURES),
    "large rewards": (changed(lambda row: (*row[:2], 1e6 * int(str(row[2])), row[3])), FEATURES),
    "times before 1970": (changed(lambda row: (*row[:3], -int(str(row[3])))), FEATURES),
}
BAD: dict[str, tuple[Rows, str]] = {
    "one user": (events(users=1), "too small to learn from"),
    "one item": ([(f"u{n // 30}", "i0", 1, n) for n in range(900)], "too small to learn from"),
    "nothing liked": (changed(lambda row: (*row[:2], 0, row[3])), "too small to learn from"),
    "only negative rewards": (changed(lambda row: (*row[:2], -1, row[3])), "too small to learn from"),
    "huge rewards": (changed(lambda row: (*row[:2], 3e38 * int(str(row[2])), row[3])), "must be at most 1e+06 in size"),
    "users of few events": (events(each=5), "likes something after 20 events"),
}


@pytest.mark.parametrize("case", GOOD)
def test_odd_data_trains_into_a_policy_that_ranks(tmp_path: Path, case: str) -> None:
    """The weights are finite and a history of an item ranks the whole catalogue with finite scores."""
    log, items = GOOD[case]
    assert (0, f"policy written to {tmp_path / 'p'}") == train(tmp_path, log, items)
    checkpoint = load(tmp_path / "p")
    assert all(np.isfinite(value).all() for value in checkpoint.params.values())
    assert np.isfinite(list(checkpoint.manifest.metrics.values())).all()
    assert 31 == Policy(checkpoint).spec.items


@pytest.mark.parametrize("case", BAD)
def test_data_that_teaches_nothing_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    """Exit code 2, the rule and what there is; no policy."""
    log, words = BAD[case]
    code, line = train(tmp_path, log, FEATURES)
    assert 2 == code, line
    assert words in line
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(("loss", "word"), [(float("nan"), "loss is nan"), (float("inf"), "loss is inf")])
def test_a_loss_that_is_not_finite_stops_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: float, word: str
) -> None:
    """Exit code 2; the line names the step and what to do; nothing is saved."""
    real = log_learner.losses
    monkeypatch.setattr(log_learner, "losses", lambda *a: tuple(loss * each for each in real(*a)))
    code, line = train(tmp_path, events(), FEATURES)
    assert 2 == code, line
    assert f"{word} in step 1, so training stopped and nothing was saved; train with a rate below 0.003" in line
    assert not (tmp_path / "p").exists()


def test_a_user_of_very_many_events_trains(tmp_path: Path) -> None:
    """A million events of one user among the others: only the newest of them are support, and likes are shares."""
    rng = np.random.default_rng(1)
    crowd = [("robot", f"i{item}", 1, 5000 + n) for n, item in enumerate(rng.integers(30, size=1_000_000))]
    assert (0, f"policy written to {tmp_path / 'p'}") == train(tmp_path, events() + list(crowd), FEATURES)


def test_a_category_nobody_knew_ranks_by_what_is_known(tmp_path: Path) -> None:
    """An item added later with an unknown category and a missing number is encoded as zeros."""
    train(tmp_path, events(), FEATURES)
    catalogue = load(tmp_path / "p").catalogue
    row = catalogue.encode({"kind": ["never seen"], "x": [None]}, 1)
    assert 0.0 == np.abs(row).sum()


@pytest.mark.parametrize(
    ("options", "settings", "words"),
    [
        ((), {"magic": 1}, "setting 'magic' is unknown; there are"),
        ((), {"rate": -1}, "setting rate must be a number in 1e-08..1, got -1"),
        (("--adapter", "magic"), {}, "adapter must be one of frozen, session, "),
        (("--minutes", "0"), {}, "minutes must be above 0, got 0"),
        (("--resume",), {}, "p.training is no training state, or damaged"),
    ],
)
def test_options_that_cannot_be_followed_are_refused_in_one_line(
    tmp_path: Path, options: tuple[str, ...], settings: dict[str, object], words: str
) -> None:
    """Exit code 2, nothing learnt, nothing saved."""
    (tmp_path / "p.training").write_text("another program's file")
    code, line = train(tmp_path, events(), FEATURES, *options, **settings)
    assert 2 == code, line
    assert words in line
    assert not (tmp_path / "p").exists()
