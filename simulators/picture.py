"""The learning curve as a picture: what each agent earns as users become known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from meta.types import FloatArray

WINDOW = 5
"""Steps averaged at each point of a curve."""


def draw(rewards: Mapping[str, FloatArray], path: Path, *, title: str = "", reward_name: str = "clicks") -> None:
    """Write a PNG of reward by step with 95% bands over users.

    Args:
        rewards: by agent, float [B, G]; the legend keeps their order.
        path: the file to write; its folder is made.
        title: above the picture.
        reward_name: what a unit of reward is, for the axis.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for agent, earned in rewards.items():
        smooth = _moving_average(earned, min(WINDOW, earned.shape[1]))
        middle = smooth.mean(0)
        half = 1.96 * smooth.std(0) / len(earned) ** 0.5
        step = np.arange(len(middle)) + (min(WINDOW, earned.shape[1]) - 1) / 2
        (line,) = axes.plot(step, middle, label=f"{agent} ({earned.mean():.3f})")
        axes.fill_between(step, middle - half, middle + half, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(xlabel=f"step (mean of {WINDOW})", ylabel=f"{reward_name} a step", title=title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _moving_average(values: FloatArray, window: int) -> FloatArray:
    """Mean over each `window` consecutive steps: [B, G] -> [B, G - window + 1]."""
    sums = np.cumsum(np.pad(values, ((0, 0), (1, 0))), 1)
    return (sums[:, window:] - sums[:, :-window]) / window
