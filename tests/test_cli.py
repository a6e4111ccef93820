"""The command line as a person uses it: in a process of its own, judged by what it prints and its exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from meta import q_network
from meta.checkpoint import Manifest, load, save
from meta.spec import Spec
from service.access.tokens import Keyring
from service.errors import UnprovenPolicyError
from service.policies.report import check_report
from tests.meta.worlds_of_numbers import checkpoint_parts

ROOT = Path(__file__).parents[1]


def quickstudy(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in the checkout."""
    command = [sys.executable, "-m", "quickstudy", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


def write(folder: Path, name: str, text: str) -> str:
    """A file with this text; its path."""
    (folder / name).write_text(text)
    return str(folder / name)


def test_help_lists_the_commands() -> None:
    """Every command that is listed says what it does."""
    done = quickstudy("--help")
    assert done.returncode == 0
    for command in ("demo", "train", "tune", "coldstart", "simulate", "serve", "policies", "bench", "version"):
        assert f" {command} " in done.stdout


def test_help_imports_nothing_heavy() -> None:
    """Neither torch nor pandas nor grpc is loaded to print help."""
    code = "import sys, quickstudy; print([m for m in ('torch', 'pandas', 'grpc', 'gymnasium') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("user_id,item_id,reward\nu,a,1\n", "timestamp"),
        ("user_id,item_id,reward,timestamp\nu,a,1,100\nu,b,much,101\n", "line 3"),
        ("user_id,item_id,reward,timestamp\nu,a,1,100\nu,b,nan,101\n", "line 3"),
        ("user_id,item_id,reward,timestamp\nu,a,1,100\n,b,1,101\n", "line 3"),
        ("", "empty"),
    ],
)
def test_a_broken_log_is_named_in_one_line(tmp_path: Path, log: str, words: str) -> None:
    """The line or column is named, nothing is written, and the exit code is 2."""
    events, items = write(tmp_path, "events.csv", log), write(tmp_path, "items.csv", "item_id,x\na,1\nb,2\n")
    out = tmp_path / "policy"
    done = quickstudy("train", "--interactions", events, "--items", items, "--out", str(out))
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_a_broken_user_table_is_named_in_one_line(tmp_path: Path) -> None:
    """The line is named, nothing is written, and the exit code is 2; so it is where no log goes with the table."""
    events = write(tmp_path, "events.csv", "user_id,item_id,reward,timestamp\nu,a,1,100\n")
    items, users = (
        write(tmp_path, "items.csv", "item_id,x\na,1\n"),
        write(tmp_path, "users.csv", "user_id,x\nu,1\nu,2\n"),
    )
    out = str(tmp_path / "policy")
    done = quickstudy("train", "--interactions", events, "--items", items, "--users", users, "--out", out)
    assert (2, True) == (done.returncode, "users.csv line 3: user_id must be unique, got u" in done.stderr)
    done = quickstudy("train", "--movielens", str(tmp_path), "--users", users, "--out", out)
    assert (2, True) == (done.returncode, "--users goes with --interactions" in done.stderr)
    assert not Path(out).exists()


def test_training_needs_a_source(tmp_path: Path) -> None:
    """Without a log or a world the options that are missing are named."""
    done = quickstudy("train", "--out", str(tmp_path / "policy"))
    assert done.returncode == 2
    assert "--interactions and --items, or --movielens, or" in " ".join(done.stderr.split())


def test_an_unknown_adapter_is_named(tmp_path: Path) -> None:
    """The error lists the adapters there are."""
    arguments = ("train", "--env", "interest_exploration", "--adapter", "magic", "--out", str(tmp_path / "p"))
    done = quickstudy(*arguments)
    assert done.returncode == 2
    assert (
        "adapter must be one of frozen, session, finetune, ridge, maml, lstm_optimizer, lstm_memory, got 'magic'"
        in done.stderr
    )


def test_an_unknown_world_is_named(tmp_path: Path) -> None:
    """The error lists the worlds there are."""
    done = quickstudy("train", "--env", "mars", "--out", str(tmp_path / "p"))
    assert done.returncode == 2
    assert "env must be one of interest_exploration, drifting_taste" in done.stderr
    assert "got 'mars'" in done.stderr


@pytest.mark.parametrize("command", ["train", "tune"])
def test_an_impossible_constant_of_a_world_is_named(tmp_path: Path, command: str) -> None:
    """Name, rule and value in one line; nothing is written."""
    given = ("--env", "drifting_taste", "--argument", "change=none", "--argument", "satiation=-1")
    done = quickstudy(command, *given, "--out", str(tmp_path / "p"))
    assert 2 == done.returncode
    assert "quickstudy: satiation must be finite and at least 0, got -1.0\n" == done.stderr
    assert not (tmp_path / "p").exists()


def test_a_fitted_world_needs_a_log_and_no_other_takes_one(tmp_path: Path) -> None:
    """One line either way."""
    done = quickstudy("train", "--env", "fitted", "--out", str(tmp_path / "p"))
    assert (2, "quickstudy: --env fitted needs a log: give --interactions and --items, or --movielens\n") == (
        done.returncode,
        done.stderr,
    )
    done = quickstudy("train", "--env", "drifting_taste", "--movielens", str(tmp_path), "--out", str(tmp_path / "p"))
    assert 2 == done.returncode
    assert "--movielens go with --env fitted, got --env drifting_taste" in done.stderr


@pytest.mark.parametrize("command", ["serve", "simulate"])
def test_a_missing_policy_says_how_to_make_one(tmp_path: Path, command: str) -> None:
    """One line, exit code 2."""
    done = quickstudy(command, "--policy", str(tmp_path / "none"))
    assert done.returncode == 2
    assert "does not exist; make one with `quickstudy train" in done.stderr


def test_truncated_weights_are_refused(tmp_path: Path) -> None:
    """The server does not start on half a file."""
    save(tmp_path / "p", *checkpoint_parts())
    weights = tmp_path / "p" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    done = quickstudy("serve", "--policy", str(tmp_path / "p"))
    assert done.returncode == 2
    assert "weights.safetensors is truncated or damaged" in done.stderr


def test_a_redis_that_is_away_is_named(tmp_path: Path) -> None:
    """The server says which address did not answer."""
    save(tmp_path / "p", *checkpoint_parts())
    arguments = (
        "--policy",
        str(tmp_path / "p"),
        "--redis",
        "redis://127.0.0.1:1",
        "--port",
        "0",
        "--metrics-port",
        "0",
    )
    done = quickstudy("serve", *arguments)
    assert done.returncode == 2
    assert "no Redis at redis://127.0.0.1:1" in done.stderr


def test_simulate_needs_somebody_to_judge() -> None:
    """Neither a policy nor a service: one line, exit code 2."""
    done = quickstudy("simulate", "--env", "drifting_taste")
    assert (2, "quickstudy: give --policy, or the --target of a running service, or both") == (
        done.returncode,
        done.stderr.strip(),
    )


def test_simulate_names_roots_that_it_cannot_trust(tmp_path: Path) -> None:
    """A file that is away, and one that holds no certificate: one line before anybody is called."""
    (tmp_path / "nonsense").write_text("nonsense")
    for file, words in (("none", "cannot read .*none: No such file"), ("nonsense", "nonsense holds no certificate")):
        done = quickstudy(
            "simulate", "--env", "drifting_taste", "--target", "localhost:1", "--ca", str(tmp_path / file)
        )
        assert (2, True) == (done.returncode, re.search(words, done.stderr) is not None), done.stderr


@pytest.mark.parametrize(("bar", "code", "words"), [("0", 0, "PASS: frozen is"), ("2", 1, "FAIL: frozen is below 2")])
def test_simulate_gates_a_release(tmp_path: Path, bar: str, code: int, words: str) -> None:
    """A policy that ranks by quality is no worse than that: the verdict is the last line, and the exit code."""
    from simulators.drifting_taste import DriftingTaste

    catalogue = DriftingTaste().catalogue()
    shape = {"items": len(catalogue), "features": catalogue.features.shape[1], "width": 4, "hidden": 4}
    spec = Spec(**shape, adapter="frozen", slate="logit")
    params = {name: np.zeros_like(value) for name, value in q_network.init(spec, np.random.default_rng(0)).items()}
    params["item.v.bias"][6], params["item.q.bias0"] = 1.0, np.float32(1.0)
    save(tmp_path / "p", Manifest(spec), params, catalogue)
    arguments = ("--env", "drifting_taste", "--users", "50", "--json", str(tmp_path / "found.json"))
    done = quickstudy("simulate", "--policy", str(tmp_path / "p"), *arguments, "--at-least", bar)
    report = (tmp_path / "found.json").read_text()
    verdict = json.loads(report)["verdict"]
    assert (code, code == 0) == (done.returncode, verdict["passed"]), done.stdout + done.stderr
    assert words in verdict["says"]
    assert verdict["says"] == done.stdout.strip().splitlines()[-1]
    with nullcontext() if code == 0 else pytest.raises(UnprovenPolicyError):
        check_report(report, load(tmp_path / "p").version, "simulate")


def test_a_token_is_shown_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    """What is printed opens the service, what is written does not tell it."""
    file = tmp_path / "tokens"
    done = quickstudy("tokens", "create", str(file), "--name", "web", "--tenant", "shop", "--scope", "read")
    assert done.returncode == 0, done.stderr
    secret = done.stdout.strip()
    assert secret not in file.read_text() + done.stderr
    assert Keyring(file).find(secret).tenant == "shop"


def test_a_port_for_strangers_without_protection_is_refused(tmp_path: Path) -> None:
    """Before anything is started, in one line that says what is missing."""
    done = quickstudy("serve", "--policy", str(tmp_path), "--host", "0.0.0.0")  # noqa: S104 # refused
    assert (done.returncode, done.stdout) == (2, "")
    assert "give a TLS certificate and key and tokens or a client CA, or --insecure" in done.stderr.replace("\n", " ")
