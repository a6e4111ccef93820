"""The result of `benchmarks.serve` as a picture: throughput and the tail, service and echo side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG.

    Args:
        result: rows named "LOAD, USERS" with "per_s" and "p99_ms"; those without a rate are left out.
        path: the file to write; its folder is made.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in result["rows"] if "per_s" in row]
    colours = ["0.6" if row["row"].endswith("echo") else "tab:blue" for row in rows]
    figure, (rate, tail) = pyplot.subplots(
        1, 2, sharey=True, figsize=(10, 0.24 * len(rows) + 1.2), layout="constrained"
    )
    rate.barh([row["row"] for row in rows], [row["per_s"] for row in rows], color=colours)
    tail.barh([row["row"] for row in rows], [row["p99_ms"] for row in rows], color=colours)
    rate.invert_yaxis()
    rate.set_xlabel("calls a second")
    tail.set(xlabel="99th percentile of latency, ms", xscale="log")
    for axes in (rate, tail):
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
