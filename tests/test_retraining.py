"""The loop: a served policy's own log teaches the next one, which is judged by users it has not learnt from."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import retraining
from meta.checkpoint import load
from meta.policy import Policy
from meta.trainer import decisions, worlds
from quickstudy import app
from replay import log, reading
from replay.held_out import held_out
from service.client.crowd import Crowd
from simulators.agents.served import ServedAgent
from simulators.interest_exploration import InterestExploration
from simulators.run import run
from tests.replay import logs
from tests.service.support import make_policy, start_server

USERS, STEPS = 40, 6
SMALL = worlds.Settings(
    iterations=2, updates=2, batch=8, block=4, memory=32, width=4, hidden=8, steps=1, prices=0, exploration=0.5
)
QUICK = {"iterations": 2, "updates": 2, "batch": 8, "block": 4}


def world(users: int) -> InterestExploration:
    """Few items and steps, slates of two."""
    return InterestExploration(users, steps=STEPS, num_items=60, candidates=6, slate_size=2)


def quickstudy(*arguments: object) -> Result:
    """The command, as it is typed."""
    return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, float]:
    """A policy, the exported log of users who met it through the real service, and what they earned in all."""
    folder = tmp_path_factory.mktemp("served")
    list(worlds.train(world(8), folder / "first", settings=SMALL))
    server = start_server(folder / "first", folder / "data")
    with Crowd(server.target, "crowd") as crowd:
        earned = run(world(USERS), ServedAgent(crowd), 3).sum()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:  # the last decisions are logged a moment after their replies
        done = quickstudy("export", "--data-dir", folder / "data", "--out", folder / "log")
        assert 0 == done.exit_code, done.output
        if log.rows(folder / "log", "decisions") >= USERS * STEPS:
            break
    assert server.stop() == 0
    return folder / "first", folder / "log", float(earned)


def test_the_cycle_closes(served: tuple[Path, Path, float], tmp_path: Path) -> None:
    """Train on the log, replay on the users left out, and the next policy is one that serves and explores."""
    first, folder, _ = served
    (tmp_path / "quick.json").write_text(json.dumps(QUICK))
    options = ("--decisions", folder, "--from", first, "--hold-out", 0.3, "--settings", tmp_path / "quick.json")
    done = quickstudy("train", *options, "--out", tmp_path / "next")
    assert 0 == done.exit_code, done.output
    apart = {user for batch in log.batches(folder, "decisions") for user in batch["user"].to_pylist()}
    left = sum(held_out(user, 0.3) for user in apart)
    assert 0 < left < USERS == len(apart)
    assert f"{(USERS - left) * STEPS:,} decisions of {USERS - left} users" in done.output
    before, after = load(first), load(tmp_path / "next")
    assert (before.version, 0.3) == (after.manifest.trained_on["start"], after.manifest.trained_on["held_out"])
    assert after.manifest.temperature > 0
    moved = {name for name in before.params if (before.params[name] != after.params[name]).any()}
    assert {"prior", "item.v.linear"} <= moved
    assert not [name for name in moved if name.startswith(decisions.VALUES)]  # what items are worth stands
    judged = quickstudy(
        "replay", "--policy", tmp_path / "next", "--policy", first, "--log", folder, "--held-out", "--not-worse"
    )
    assert judged.exit_code in (0, 1), judged.output
    assert f"{left * STEPS:,} decisions of {left} users" in judged.output
    twin = quickstudy("train", *options, "--out", tmp_path / "twin")
    assert (0, after.params.keys()) == (twin.exit_code, load(tmp_path / "twin").params.keys())
    assert Policy.load(tmp_path / "twin").version == after.version


def test_a_logbook_holds_what_was_served(served: tuple[Path, Path, float]) -> None:
    """All that was earned, propensities that the logging policy has again, and a history that grows by whole slates."""
    first, folder, earned = served
    found, policy = reading.read(folder), Policy.load(first)
    book, strange = retraining.logbook(found, policy.catalogue)
    assert (USERS * STEPS, "") == (len(book), strange)
    assert earned == pytest.approx(float(book.reward.sum()))
    assert book.alike
    at, there = book.window(book.first[::STEPS], STEPS)
    assert there.all()
    events, prefix = book.histories(at, np.zeros(at.shape, bool), 128)
    assert np.tile(np.arange(STEPS), (USERS, 1)).tolist() == prefix.tolist()
    shown = events.item.reshape(USERS, -1, 2)[:, : STEPS - 1]
    assert (shown == book.slate.reshape(USERS, STEPS, 2)[:, :-1]).all()
    assert (book.log_propensity < 0).all()
    assert ((book.offer[:, :, None] == book.slate[:, None]).any(1)).all()


def test_a_killed_training_goes_on_to_the_same_policy(served: tuple[Path, Path, float], tmp_path: Path) -> None:
    """Stopped after one of three iterations and resumed, it ends in the version of the one that was left alone."""
    first, folder, _ = served
    start = load(first)
    book, _ = retraining.logbook(reading.read(folder), start.catalogue)
    how = replace(decisions.Settings(), **QUICK | {"iterations": 3})

    def training(name: str, resume: bool = False) -> Iterator[decisions.Metrics]:
        return decisions.train(
            book, start.catalogue, tmp_path / name, start=start, settings=how, resume=resume, keep_every=0.0
        )

    list(training("whole"))
    killed = training("killed")
    next(killed)
    next(killed)
    killed.close()
    assert [3] == [each.iteration for each in training("killed", resume=True)][-1:]
    assert Policy.load(tmp_path / "whole").version == Policy.load(tmp_path / "killed").version


def test_a_new_policy_learns_from_a_log_and_a_table_of_items(tmp_path: Path) -> None:
    """Whole catalogues and contexts, from fresh parameters; columns of contexts are inferred from the log."""
    n = 60
    told = [
        json.dumps({"numbers": {"hour": k % 24}, "categories": {"device": "tv" if k % 2 else "web"}}) for k in range(n)
    ]
    columns = {"candidates": [[]] * n, "context": told, "propensities": [[0.5, 0.5]] * n}
    log.write(tmp_path / "log" / "decisions-1.parquet", "decisions", logs.decisions(n, users=6, **columns))
    log.write(tmp_path / "log" / "events-1.parquet", "events", logs.events(n, users=6))
    (tmp_path / "items.csv").write_text("item_id,size,kind\na,1,x\nb,2,x\nc,3,y\n")
    (tmp_path / "quick.json").write_text(json.dumps(QUICK | {"width": 4, "hidden": 8}))
    done = quickstudy(
        "train", "--decisions", tmp_path / "log", "--items", tmp_path / "items.csv", "--out", tmp_path / "p",
        "--settings", tmp_path / "quick.json", "--adapter", "ridge",
    )  # fmt: skip
    assert 0 == done.exit_code, done.output
    assert "context column hour: number, 1 features" in done.output
    policy = Policy.load(tmp_path / "p")
    assert ("logit", "ridge", 3) == (policy.spec.slate, policy.spec.adapter, policy.spec.context)


def test_items_that_are_not_known_are_told(tmp_path: Path) -> None:
    """Decisions that show one are left out, and --items may name it; where none is left, nothing is learnt."""
    policy = make_policy(tmp_path / "p", slate="logit")
    slates = [["i1", "i2"], ["i1", "new"]] * 10
    offers = [["i1", "i2", "new"]] * 20
    log.write(
        tmp_path / "log" / "decisions-1.parquet", "decisions", logs.decisions(20, slate=slates, candidates=offers)
    )
    found = reading.read(tmp_path / "log")
    book, strange = retraining.logbook(found, Policy.load(policy).catalogue)
    assert (10, "new") == (len(book), strange)
    assert [[1, 2, -1]] * 10 == book.offer.tolist()
    log.write(tmp_path / "odd" / "decisions-1.parquet", "decisions", logs.decisions(3))
    done = quickstudy("train", "--decisions", tmp_path / "odd", "--from", policy, "--out", tmp_path / "q")
    assert (2, True) == (done.exit_code, "no decision that can be learnt from" in done.output), done.output
    assert "3 decisions are left out: they show items that are not known, such as 'b'" in done.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--from", "p"], "--from and --hold-out go with --decisions"),
        (["--decisions", "nothing"], "give --from, the policy to go on from, or --items"),
        (["--decisions", "nothing", "--env", "grid"], "--decisions is all that is learnt from"),
        (["--decisions", "nothing", "--from", "p", "--adapter", "maml"], "--from brings its adapter along"),
        (["--env", "grid", "--exploration", "0.5"], "--exploration goes with --decisions, or with an --env"),
        (["--decisions", "nothing", "--from", "POLICY"], "nothing holds no decisions-*.parquet"),
        (["--decisions", "nothing", "--from", "RATINGS"], "must choose among slates, not judge items one by one"),
        (["--decisions", "nothing", "--from", "ATTRIBUTES"], "a decision log names nobody"),
    ],
)
def test_what_does_not_go_together_is_told_in_one_line(tmp_path: Path, options: list[str], words: str) -> None:
    """Exit code 2, and nothing is written."""
    kinds = {"POLICY": {"slate": "logit"}, "RATINGS": {}, "ATTRIBUTES": {"slate": "logit", "attributes": 2}}
    given = [str(make_policy(tmp_path / each, **kinds[each])) if each in kinds else each for each in options]
    done = quickstudy("train", *given, "--out", tmp_path / "out")
    assert (2, True) == (done.exit_code, words in " ".join(done.output.split())), done.output
    assert not (tmp_path / "out").exists()
