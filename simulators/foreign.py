"""Worlds of other people's packages: imported when one is built, and kept from the process's own randomness."""

from __future__ import annotations

import importlib
import sys
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType, TracebackType
from typing import Any

import gymnasium
import numpy as np

from meta.errors import InputError
from simulators.ranges import within
from simulators.slates import Slates


class ForeignWorld(Slates):
    """A world whose users a package simulates, one user at a time, so a step is a Python loop over them."""

    @classmethod
    @abstractmethod
    def load(cls) -> Any:
        """Import the package.

        Raises:
            InputError: the package, or something that it needs, is not installed.
        """

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle so that the package is imported before what is made of its classes is read."""
        return _blank, (type(self),), self.__dict__


class Luck:
    """A random stream for packages that draw from numpy's global generator: theirs inside a `with` block, only there.

    What the process drew from the global generator before goes on after the block as if nothing had been drawn in it.
    No other thread may draw from the global generator meanwhile.

    Args:
        seed: 0..2**32 - 1.
    """

    def __init__(self, seed: int) -> None:
        self._own: Any = np.random.RandomState(seed).get_state()
        self._before: Any = None

    def __enter__(self) -> None:
        self._before = np.random.get_state()  # noqa: NPY002  # the global state is what is guarded here
        np.random.set_state(self._own)  # noqa: NPY002  # as above

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._own = np.random.get_state()  # noqa: NPY002  # as above
        np.random.set_state(self._before)  # noqa: NPY002  # as above
        self._before = None


def load(module: str, distribution: str, stand_ins: Mapping[str, ModuleType] | None = None) -> Any:
    """Import a module of a package that was written for `gym`, with gymnasium in its place.

    Args:
        module: full name.
        distribution: what to install, with its version.
        stand_ins: modules by name that are found instead of the package's own.

    Raises:
        InputError: the package, or something that it needs, is not installed.
    """
    if module in sys.modules:
        return sys.modules[module]
    stand_ins = stand_ins or {}
    sys.modules.update(stand_ins)
    try:
        with _gym(), Luck(0), warnings.catch_warnings():  # packages may draw while they are imported
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        for name in stand_ins:
            del sys.modules[name]
        raise InputError(missing(module, str(error.name).partition(".")[0], distribution)) from error


def seeds(**values: int) -> None:
    """Refuses what numpy's old generators take for no seed; InputError."""
    within(0, 2**32 - 1, **values)


def missing(module: str, package: str, distribution: str) -> str:
    """The sentence that says what to install."""
    return (
        f"{module} needs the Python package {package}, which is not installed: install the extra `simulators` and, "
        f"with pip's --no-deps, {distribution}"
    )


@contextmanager
def _gym() -> Iterator[None]:
    """Gymnasium under the name of its ancestor; gone again after the block."""
    alias = {"gym": gymnasium, "gym.spaces": gymnasium.spaces}
    before = {name: sys.modules[name] for name in alias if name in sys.modules}
    sys.modules.update(alias)
    try:
        yield
    finally:
        for name in alias:
            del sys.modules[name]
        sys.modules.update(before)


def _blank(world: type[ForeignWorld]) -> ForeignWorld:
    """A world that `pickle` has yet to fill."""
    world.load()
    return world.__new__(world)
