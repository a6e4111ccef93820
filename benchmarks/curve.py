"""The cold-start curve as a picture: ranking quality by number of events, ours in front of its peers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG of a result of `benchmarks.coldstart`.

    Args:
        result: holds "ks", "own" names of ours and, by name of the ranker, "ndcg_at_10": a mean with its interval for
            each k; the default is first. Of the peers the best form of each family is drawn.
        path: the file to write; its folder is made.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    at = range(len(result["ks"]))
    for place, (name, figures) in enumerate(_drawn(result).items()):
        mean = [each["mean"] for each in figures]
        ours = place == 0
        (line,) = axes.plot(at, mean, label=name, linewidth=2.5 if ours else 1.0, zorder=3 if ours else 2, marker=".")
        if ours:
            low, high = [each["low"] for each in figures], [each["high"] for each in figures]
            axes.fill_between(at, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set_xticks(list(at), [str(k) for k in result["ks"]])
    axes.set(xlabel="events of the user that were seen", ylabel="NDCG@10", title="users never seen in training")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _drawn(result: Mapping[str, Any]) -> dict[str, Any]:
    """Ours, and the best row of each family of peers; chance and what cannot rank a catalogue lie far below."""
    families: dict[str, list[str]] = {}
    for name in result["ndcg_at_10"]:
        families.setdefault(name.split(" + pop")[0], []).append(name)
    level = {name: sum(each["mean"] for each in figures) for name, figures in result["ndcg_at_10"].items()}
    best = [max(names, key=lambda name: level[name]) for names in families.values()]
    return {name: result["ndcg_at_10"][name] for name in best if name != "random"}
