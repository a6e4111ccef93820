"""Learning curves as a picture: what each agent earns as users become known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meta.types import FloatArray
from simulators.earnings import Earnings
from simulators.intervals import half_width

WINDOW = 5
"""Steps averaged at each point of a curve."""
MANY = 10
"""More agents than this take paler colours too."""
COLOURS = 128
"""Of a picture's palette: a quarter of the bytes of true colours, to nobody's loss."""
ACROSS = 3
"""Panels beside each other, at most."""


def draw(panels: Mapping[str, Sequence[Earnings]], path: Path, *, unit: str = "reward") -> None:
    """Write a PNG of reward by step with 95% bands over users and trainings.

    Args:
        panels: by title, what each agent earned; the legends keep their order.
        path: the file to write; its folder is made.
        unit: what a unit of reward is, for the axis.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from PIL import Image

    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure, grid = pyplot.subplots(down, across, figsize=(8 * across, 4.5 * down), layout="constrained", squeeze=False)
    for axes, (title, agents) in zip(grid.flat, panels.items(), strict=False):
        axes.set_prop_cycle(color=pyplot.colormaps["tab20" if len(agents) > MANY else "tab10"](range(2 * MANY)))
        _panel(axes, agents)
        axes.set(xlabel=f"step (mean of {WINDOW})", ylabel=f"{unit} a step", title=title)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150 if len(panels) == 1 else 80)
    pyplot.close(figure)
    with Image.open(path) as image:
        image.convert("RGB").quantize(COLOURS).save(path, optimize=True)


def _panel(axes: Any, agents: Sequence[Earnings]) -> None:
    """One curve an agent."""
    for earned in agents:
        window = min(WINDOW, earned.reward.shape[2])
        smooth = _moving_average(earned.reward, window)
        middle, half = smooth.mean((0, 1)), half_width(smooth)
        step = np.arange(len(middle)) + (window - 1) / 2
        (line,) = axes.plot(step, middle, label=f"{earned.agent} ({earned.reward.mean():.3f})")
        axes.fill_between(step, middle - half, middle + half, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _moving_average(values: FloatArray, window: int) -> FloatArray:
    """Mean over each `window` consecutive steps: [R, B, G] -> [R, B, G - window + 1]."""
    sums = np.cumsum(np.pad(values, ((0, 0), (0, 0), (1, 0))), 2)
    return (sums[..., window:] - sums[..., :-window]) / window
