"""Whether a log's answers can be believed: small questions, each in a file of its own, joined into one result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import activations, replay_adaptive, replay_cycle, replay_obd, replay_runs, replay_speed, replay_worlds
from benchmarks.report import RESULTS, Claim, write

COVERAGE = "coverage of simulated logs"
Answer = tuple[list[dict[str, Any]], list[Claim]]


def run(
    obd: Path | None,
    out: Path = RESULTS / "replay.json",
    *,
    policies: tuple[Path | None, Path | None] = (None, None),
    logs: int = replay_worlds.LOGS,
    decisions: int = replay_speed.DECISIONS_,
    seed: int = replay_worlds.TEST_SEED,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Ask everything, write the result and return it.

    Args:
        obd: folder of the Open Bandit samples; None leaves their question out, and its claims fail.
        out: the file to write.
        policies: who serves, and who comes and goes; None leaves activations out, and their claim fails.
        logs: simulated logs of each kind for the verdict; five times as many for coverage, whose bar is closer.
        decisions: of the log that is timed.
        seed: of the first simulated log.
        tell: told of each question before it is asked.
    """
    questions: dict[str, Callable[[], Answer]] = {
        "Open Bandit samples": lambda: _open_bandit(obd),
        COVERAGE: lambda: replay_worlds.coverage(seed, replay_worlds.PRECISE * logs),
        "coverage of slates and sequences": lambda: replay_runs.coverage(seed, replay_worlds.PRECISE * logs),
        "verdicts on simulated logs": lambda: replay_worlds.verdicts(seed, logs),
        "speed": lambda: replay_speed.measure(decisions),
        "replay of an adapting policy": lambda: replay_adaptive.foretold(runs=max(2, 3 * logs // 2), tell=tell),
        "cost of replaying with adaptation": lambda: replay_adaptive.cost(decisions),
        "closing the loop": lambda: replay_cycle.closed(tell=tell),
        "activations under load": lambda: _activations(*policies),
    }
    rows: list[dict[str, Any]] = []
    claims: list[Claim] = []
    for name, ask in questions.items():
        tell(name)
        found, promised = ask()
        rows += [{"question": name, **row} for row in found]
        claims += promised
    return write(
        out,
        command="quickstudy bench replay --obd obd --policy POLICY --other OTHER",
        rows=rows,
        claims=claims,
        seed=seed,
        logs=logs,
    )


def printable(result: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    """The rows of each question as cells."""
    tables: dict[str, list[dict[str, str]]] = {}
    for row in result["rows"]:
        cells = {key: _cell(value) for key, value in row.items() if key != "question"}
        tables.setdefault(row["question"], []).append(cells)
    return tables


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Write a PNG: how often intervals hold the truth, clustered by user and not, by estimator."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in result["rows"] if row["question"] == COVERAGE]
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    names = [row["estimator"] for row in rows]
    for how, marker in (("clustered by user", "o"), ("i.i.d.", "x")):
        axes.plot([row[how] for row in rows], names, marker, label=how)
    axes.axvline(0.95, color="black", lw=0.8, ls="--")
    axes.set(
        xlabel=f"share of 95% intervals that hold the truth, {replay_worlds.PRECISE * result['logs']} logs",
        xlim=(-0.02, 1.02),
    )
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _activations(policy: Path | None, other: Path | None) -> Answer:
    if policy is None or other is None:
        return [], [Claim("activations under load, left out: give --policy and --other", None, "==", 1)]
    return activations.changed(policy, other)


def _open_bandit(obd: Path | None) -> Answer:
    if obd is not None and replay_obd.PYTHON.is_file():
        return replay_obd.compare(obd)
    why = "no folder of the samples was named" if obd is None else "obp is not installed: make obp-env"
    return [], [Claim(f"Open Bandit samples, left out: {why}", None, "==", 1)]
