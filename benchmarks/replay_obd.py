"""The Open Bandit samples: our answers beside the Open Bandit Pipeline's, on its own probabilities and reward model."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Claim
from replay.contributions import Contributions
from replay.diagnostics import diagnose
from replay.estimators import DECISIONS, estimates
from replay.estimators.dros import dros
from replay.estimators.switch_dr import switch_dr
from replay.intervals import bootstrap
from replay.logged import Candidates, Logged

PYTHON = Path(__file__).parents[1] / ".venv-obp" / "bin" / "python"
WORKER = Path(__file__).parent / "peers" / "obp_reference.py"
CAMPAIGNS = ("all", "men")
BOUND = 10.0
"""Of the weights, in SWITCH-DR and DRos."""
EXACT, MODELLED = 1e-6, 1e-4
COVERING = ("ips", "snips", "dr", "sndr")
"""Those that are not biased by design, so that their intervals are to hold the truth."""


def reference(*arguments: str | Path) -> dict[str, Any]:
    """What the pipeline answers, see `peers/obp_reference.py`; RuntimeError with its last words."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.npz")
        done = subprocess.run(
            [PYTHON, WORKER, *arguments, out], capture_output=True, text=True, cwd=folder, check=False
        )
        if done.returncode:
            raise RuntimeError(f"obp ended: {done.stderr[-500:]}")
        with np.load(out) as found:
            return dict(found)


def logged(given: dict[str, Any]) -> Logged:
    """The pipeline's log; the samples name no users, so every decision is a user of its own."""
    action = given["action"]
    candidates = Candidates(action, given["target"])
    chosen = np.take_along_axis(given["target"], action[:, None], 1)[:, 0]
    return Logged(
        np.arange(len(action)),
        given["reward"].astype(float),
        given["pscore"],
        chosen,
        candidates,
        candidates.predicted(given["value"]),
    )


def answers(log: Logged) -> dict[str, Contributions]:
    """Ours by the pipeline's names, with its bounds on weights."""
    found = estimates(log, {name: DECISIONS[name] for name in ("ips", "snips", "dm", "dr", "sndr")})
    return found | {"switch_dr": switch_dr(log, BOUND), "dros": dros(log, BOUND)}


def compare(data: Path) -> tuple[list[dict[str, Any]], list[Claim]]:
    """Both campaigns, from a folder of the samples."""
    rows: list[dict[str, Any]] = []
    claims: list[Claim] = []
    for campaign in CAMPAIGNS:
        given = reference("estimate", data.resolve(), campaign)
        peer = dict(zip(given["names"].tolist(), given["answers"].tolist(), strict=True))
        log = logged(given)
        truth = float(given["on_policy"].mean())
        found = bootstrap(answers(log), np.random.default_rng(0))
        seen = diagnose(log)
        for name, each in found.items():
            rows.append(
                {
                    "campaign": campaign,
                    "estimator": name,
                    "ours": each.value,
                    "obp": peer[name],
                    "low": each.low,
                    "high": each.high,
                    "on-policy truth": truth,
                    "effective": seen.effective,
                    "largest weight": seen.largest_weight,
                }
            )
        claims += _claims(campaign, found, peer, truth)
    return rows, claims


def _claims(campaign: str, found: dict[str, Any], peer: dict[str, float], truth: float) -> list[Claim]:
    apart = {name: abs(each.value - peer[name]) for name, each in found.items()}
    exact = max(apart[name] for name in ("ips", "snips"))
    held = sum(found[name].low <= truth <= found[name].high for name in COVERING)
    return [
        Claim(f"Open Bandit {campaign}: IPS and SNIPS beside obp, largest difference", exact, "<=", EXACT),
        Claim(
            f"Open Bandit {campaign}: all others beside obp, largest difference",
            max(each for name, each in apart.items() if name not in ("ips", "snips")),
            "<=",
            MODELLED,
        ),
        Claim(f"Open Bandit {campaign}: intervals of {', '.join(COVERING)} that hold the truth", held, "==", 4),
    ]
