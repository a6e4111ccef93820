"""All estimators of single decisions with 1,000 bootstrap rounds on a million decisions, beside obp's loops.

The pipeline is timed on a tenth of the log and its time is multiplied by ten: its work is linear in decisions (each
round draws as many rows as there are). Its intervals draw decisions, ours users; both get the reward model's values.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from benchmarks.replay_obd import PYTHON, answers, reference
from benchmarks.report import Claim
from replay.estimators import DECISIONS, estimates
from replay.intervals import bootstrap
from replay.logged import Candidates, Logged
from replay.reward_model import cross_fitted

DECISIONS_, CANDIDATES, FEATURES, KINDS = 1_000_000, 10, 4, 4
A_USER = 20
SHARE = 10
"""The pipeline gets one decision in so many."""
SECONDS, TIMES = 30.0, 20.0


def measure(decisions: int = DECISIONS_) -> tuple[list[dict[str, Any]], list[Claim]]:
    """CPU seconds of ours and of obp, which is left out, and not claimed, where its environment is missing."""
    log, features = _log(decisions)
    assert log.candidates is not None
    began = process_time()
    value = cross_fitted(features, log.candidates.action, log.reward, log.user, kind="logistic")
    modelled = log.with_model(value)
    fitting = process_time() - began
    began = process_time()
    bootstrap(estimates(modelled, DECISIONS), np.random.default_rng(0))
    whole = process_time() - began
    began = process_time()
    bootstrap(answers(modelled), np.random.default_rng(0))
    same = process_time() - began
    peer = SHARE * _peer(modelled, value) if PYTHON.is_file() else None
    rows: list[dict[str, Any]] = [
        {"what": "reward model, logistic, 2 folds", "CPU seconds": fitting},
        {"what": f"{len(DECISIONS)} estimators, 1,000 rounds", "CPU seconds": whole},
        {"what": "the 7 that obp has too", "CPU seconds": same},
        {"what": f"obp, the same 7 on 1/{SHARE} of the log, x {SHARE}", "CPU seconds": peer},
    ]
    return rows, [
        Claim(
            f"{decisions:,} decisions x {CANDIDATES}: all estimators and model, CPU s", whole + fitting, "<=", SECONDS
        ),
        Claim("obp's loops / ours, CPU time of 7 estimators", None if peer is None else peer / same, ">=", TIMES),
    ]


def _log(decisions: int) -> tuple[Logged, Any]:
    """Decisions of users who have 20 each, and features [n, C, F]."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((decisions, CANDIDATES, FEATURES), dtype=np.float32)
    logging, target = (_softmax(features @ rng.standard_normal(FEATURES).astype(np.float32) / 2) for _ in range(2))
    action = (rng.random(decisions)[:, None] > logging.cumsum(1)[:, :-1]).sum(1)
    taken = (np.arange(decisions), action)
    reward = (rng.random(decisions) < 0.1 + 0.2 * (features[taken][:, 0] > 0)).astype(float)
    kind = np.broadcast_to(np.arange(CANDIDATES) % KINDS, logging.shape)
    candidates = Candidates(action, target, logging, kind)
    user = np.arange(decisions) // A_USER
    return Logged(user, reward, logging[taken], target[taken], candidates, matched=candidates.matched()), features


def _softmax(x: Any) -> Any:
    odds = np.exp(x.astype(float))
    return odds / odds.sum(1, keepdims=True)


def _peer(log: Logged, value: Any) -> float:
    assert log.candidates is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.npz")
        some = slice(None, None, SHARE)
        np.savez(
            path,
            action=log.candidates.action[some],
            reward=log.reward[some],
            pscore=log.logging[some],
            target=log.candidates.target[some],
            value=value[some],
        )
        return float(reference("time", path)["seconds"])
