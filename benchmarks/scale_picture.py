"""The result of `benchmarks.scale` as a picture: a panel each for catalogues, histories and crowds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.scale import LIMITS_MS


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG.

    Args:
        result: as `benchmarks.scale.run` returns it.
        path: the file to write; its folder is made.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, ((whole, events), (users, memory)) = pyplot.subplots(2, 2, figsize=(11, 8), layout="constrained")
    for name in dict.fromkeys(row["catalogue"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["catalogue"] == name]
        style = ":" if name.endswith("in process") else "-"
        whole.plot([row["items"] for row in rows], [row["p50_ms"] for row in rows], style, marker="o", label=name)
    whole.plot(list(LIMITS_MS), list(LIMITS_MS.values()), "_", color="0.4", markersize=24, label="promised")
    whole.set(xlabel="items of the catalogue", ylabel="milliseconds, median", yscale="log")
    for axes, axis, rows in ((events, "events", result["by_events"]), (users, "users", result["by_users"])):
        at = [row[axis] for row in rows]
        for kind, colour in (("record", "tab:green"), ("adapting", "tab:orange"), ("warm", "tab:blue")):
            if f"{kind}_p50_ms" in rows[0]:
                for part, style in (("p50", "-"), ("p99", ":")):
                    values = [row[f"{kind}_{part}_ms"] for row in rows]
                    axes.plot(at, values, style, marker="o", color=colour, label=f"{kind}, {part}")
        axes.set(ylabel="milliseconds", yscale="log")
    events.set_xlabel("events of the user")
    users.set_xlabel("users in the store")
    at = [row["users"] for row in result["by_users"]]
    for name, label in (("bytes_a_user", "used memory"), ("history_bytes", "history"), ("copy_bytes", "copy")):
        memory.plot(at, [row[name] for row in result["by_users"]], marker="o", label=label)
    memory.set(xlabel="users in the store", ylabel="bytes a user with 50 events", ylim=(0, None))
    for axes in (whole, events, users, memory):
        axes.set_xscale("log")
        axes.legend(frameon=False, fontsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
