"""The metrics of a training as TensorBoard event files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

Metrics = TypeVar("Metrics")

PREFIX = "train"


def recorded(progress: Iterator[Metrics], folder: Path) -> Iterator[Metrics]:
    """The same metrics, each written to event files in `folder` as it passes.

    Args:
        progress: dataclasses with `iteration`, which is the step; a float becomes a scalar `train/NAME`, a tuple of
            floats `train/NAME/0` and so on, a place each.
        folder: made where it is missing; a run that is resumed adds a file.

    Raises:
        ModuleNotFoundError: tensorboard is not installed, before anything is learnt.
    """
    from torch.utils.tensorboard import SummaryWriter  # an extra

    return _write(progress, SummaryWriter(str(folder)))


def _write(progress: Iterator[Any], writer: Any) -> Iterator[Any]:
    with writer:
        for metrics in progress:
            for name, value in scalars(metrics).items():
                writer.add_scalar(f"{PREFIX}/{name}", value, metrics.iteration)
            yield metrics


def scalars(metrics: Any) -> dict[str, float]:
    """The figures of one iteration by name."""
    found = {}
    for each in fields(metrics):
        value = getattr(metrics, each.name)
        if isinstance(value, float):
            found[each.name] = value
        elif isinstance(value, tuple):
            found |= {f"{each.name}/{place}": part for place, part in enumerate(value)}
    return found
