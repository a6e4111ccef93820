"""Where a training stands: one file beside the policy folder, from which a killed run goes on to the same result.

It is replaced at once or not at all, holds arrays by name and one JSON document, and names the run it is of: data,
settings and seed. What it does not hold is what the same run computes again. No pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_tensors

from meta.errors import InputError

Arrays = dict[str, npt.NDArray[Any]]

LIGHT = 20.0
"""A snapshot waits at least so many times as long as the last one took to write, so that large ones stay cheap."""


class SnapshotError(InputError):
    """A training state that cannot be resumed; the text says why and how to go on."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a training between two iterations.

    Args:
        arrays: parameters, moments and memories by name.
        facts: the rest, as plain JSON values.
    """

    arrays: Arrays = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


class Snapshots:
    """The one snapshot file of a run.

    Args:
        out: the policy folder that the run will write; the file is `OUT.training` beside it.
        run: what the run is of, as plain JSON values: a snapshot of any other is refused.
        every: seconds between snapshots, at least.
    """

    def __init__(self, out: Path, run: Mapping[str, Any], every: float = 10.0) -> None:
        self.path = out.with_name(out.name + ".training")
        self._run = json.loads(json.dumps(run))
        self._every = self._wait = every
        self._last = time.monotonic()

    def found(self) -> Snapshot | None:
        """The snapshot to go on from; None where there is none.

        Raises:
            SnapshotError: the file is damaged, or of another run.
        """
        if not self.path.exists():
            return None
        anew = "train without --resume to start anew"
        try:
            with safe_open(self.path, framework="np") as file:
                document = json.loads((file.metadata() or {})["snapshot"])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            digest, run, facts = document["digest"], document["run"], document["facts"]
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise SnapshotError(f"{self.path} is no training state, or damaged ({error}); {anew}") from error
        if digest != _digest(arrays, facts):
            raise SnapshotError(f"{self.path} is damaged: its content is not what was written; {anew}")
        for name, value in self._run.items():
            if run.get(name) != value:
                was, now = _difference(run.get(name), value)
                raise SnapshotError(f"{self.path} is of another run: {name} was {was}, now it is {now}; {anew}")
        return Snapshot(arrays, facts)

    def keep(self, make: Callable[[], Snapshot]) -> None:
        """Write what `make` gives, where the last snapshot is old enough."""
        begun = time.monotonic()
        if begun - self._last < self._wait:
            return
        snapshot = make()
        document = {"digest": _digest(snapshot.arrays, snapshot.facts), "run": self._run, "facts": snapshot.facts}
        arrays = {name: np.array(value, order="C") for name, value in snapshot.arrays.items()}
        content = save_tensors(arrays, {"snapshot": json.dumps(document)})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_name(f".{self.path.name}-{os.getpid()}")
        try:
            scratch.write_bytes(content)
            os.replace(scratch, self.path)
        finally:
            scratch.unlink(missing_ok=True)
        self._last = time.monotonic()
        self._wait = max(self._every, LIGHT * (self._last - begun)) if self._every else 0.0

    def remove(self) -> None:
        """The run is over."""
        self.path.unlink(missing_ok=True)


def numbers(tensors: Mapping[str, torch.Tensor], prefix: str) -> Arrays:
    """Tensors as arrays under names with a prefix."""
    return {f"{prefix}.{name}": value.detach().numpy().copy() for name, value in tensors.items()}


def put_back(tensors: Mapping[str, torch.Tensor], arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> None:
    """Overwrite tensors in place by what `numbers` took from them."""
    with torch.no_grad():
        for name, value in tensors.items():
            value.copy_(torch.from_numpy(arrays[f"{prefix}.{name}"]))


def moments(optimiser: torch.optim.Optimizer, names: Sequence[str], prefix: str = "moments") -> Arrays:
    """What an optimiser remembers of its parameters, which are named in its own order."""
    state = optimiser.state_dict()["state"]
    return {
        f"{prefix}.{name}.{key}": value.numpy().copy()
        for place, name in enumerate(names)
        for key, value in state.get(place, {}).items()
    }


def put_moments_back(
    optimiser: torch.optim.Optimizer, names: Sequence[str], arrays: Mapping[str, npt.NDArray[Any]],
    prefix: str = "moments",
) -> None:  # fmt: skip
    """Give an optimiser back what `moments` took from it; its step sizes are the caller's."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for place, name in enumerate(names):
        start = f"{prefix}.{name}."
        found = {
            key.removeprefix(start): torch.from_numpy(value) for key, value in arrays.items() if key.startswith(start)
        }
        if found:
            state[place] = found
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _digest(arrays: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def _difference(was: Any, now: Any) -> tuple[Any, Any]:
    """The first entry in which two documents differ; the values themselves where they are not both mappings."""
    if not (isinstance(was, dict) and isinstance(now, dict)):
        return was, now
    name = next(name for name in sorted({*was, *now}) if was.get(name) != now.get(name))
    return f"{name} {was.get(name)}", f"{name} {now.get(name)}"
