"""`quickstudy policies` from a trained folder to what a running service does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from quickstudy import app
from service.store.embedded import EmbeddedStore
from tests.service.support import ROOT, Server, make_policy, start_server


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two trained folders."""
    root = tmp_path_factory.mktemp("trained")
    return [make_policy(root / name, scale=scale) for name, scale in (("one", {}), ("two", {"item.v.linear": 2.0}))]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store of versions."""
    return tmp_path_factory.mktemp("store") / "versions"


@pytest.fixture(scope="module")
def versions(folders: list[Path], store: Path) -> list[str]:
    """Both of them, put into the store by the command."""
    added = [run("add", folder, "--policies", store) for folder in folders]
    return [result.output.strip() for result in added]


@pytest.fixture(scope="module")
def server(versions: list[str], store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of that store, which asks for a passed report."""
    given = {"POLICIES_STORE": str(store), "POLICIES_FIRST": versions[0], "POLICIES_REQUIRE": "any"}
    running = start_server(None, tmp_path_factory.mktemp("data"), **given)
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    """A store that outlives the services that fail to start."""
    running = EmbeddedStore(tmp_path_factory.mktemp("redis"))
    running.start()
    yield running
    running.stop()


def run(*arguments: str | Path) -> Result:
    """Runs the command."""
    return CliRunner().invoke(app, ["policies", *map(str, arguments)], env={"COLUMNS": "200"})


def test_a_version_is_added_activated_and_rolled_back(server: Server, versions: list[str], tmp_path: Path) -> None:
    """A release by hand: look, try on some users, serve all of them, think again."""
    first, second = versions
    at = "--target", server.target
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"policies": [{"version": second}], "passed": True}))
    told = run("list", *at)
    assert f"serves: {first}" in told.output
    assert [True, True] == [version in told.output for version in versions]
    assert "none was given" in run("activate", second, "--canary", ".1", *at).output
    assert f"{first}, canary {second} to 10.0% of users" in run(
        "activate", second[:8], "--canary", ".1", "--report", report, *at
    ).output  # fmt: skip
    assert f"serves: {second}" in run("activate", second, "--report", report, *at).output
    assert f"before: {first}, canary {second}" in run("list", *at).output
    done = run("rollback", *at)
    assert (0, True) == (done.exit_code, f"serves: {first}, canary {second}" in done.output)
    shown = run("show", second, *at).output
    assert ("canary" in shown, "f0, f1, f2" in shown) == (True, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("activate", "zz"), "'zz' must begin one version, it begins 0 of"),
        (("activate", ""), "'' must begin one version, it begins 2 of"),
        (("list", "--target", "127.0.0.1:1"), "answers UNAVAILABLE"),
        (("add", "nowhere", "--policies", "x"), "policy folder nowhere does not exist"),
    ],
)
def test_what_cannot_be_done_is_one_line(server: Server, arguments: tuple[str, ...], words: str) -> None:
    """With exit code 2."""
    target = () if arguments[0] == "add" or "--target" in arguments else ("--target", server.target)
    done = run(*arguments, *target)
    assert (2, True) == (done.exit_code, words in done.output), done.output


@pytest.mark.parametrize(
    ("first", "words"),
    [("", "no version can serve: the store of versions .* cannot be read"), ("0" * 16, "there is no version 0{16} in")],
)
def test_a_store_that_cannot_serve_ends_the_start_in_one_line(
    tmp_path: Path, first: str, words: str, redis: EmbeddedStore
) -> None:
    """With exit code 2."""
    given = {"QUICKSTUDY_POLICIES_FIRST": first, "QUICKSTUDY_REDIS": redis.url, "QUICKSTUDY_PORT": "0"}
    command = [sys.executable, "-m", "quickstudy", "serve", "--policies", str(tmp_path / "nowhere")]
    done = subprocess.run(command, env=os.environ | given, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (2, True) == (done.returncode, re.search(words, done.stderr) is not None), done.stderr
    assert "Traceback" not in done.stderr


def test_a_service_without_a_store_says_so(folders: list[Path], tmp_path: Path) -> None:
    """Serving one folder or a store of versions: one of them, and not both."""
    for given in ([], ["--policy", str(folders[0]), "--policies", str(tmp_path)]):
        done = CliRunner().invoke(app, ["serve", *given])
        assert (2, True) == (done.exit_code, "give either --policy" in done.output)
