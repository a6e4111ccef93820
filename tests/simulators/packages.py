"""Which worlds need packages that are not everywhere."""

from importlib.util import find_spec

import pytest

PACKAGES = {"recsim": ("recsim", "gin", "six"), "recogym": ("recogym", "numba")}
"""What must be importable for worlds whose names begin so."""


def needs(name: str) -> pytest.MarkDecorator:
    """Skip, with the reason, where a package of the world `name` is absent."""
    packages = PACKAGES.get(name.split("_")[0], ())
    absent = [package for package in packages if find_spec(package) is None]
    return pytest.mark.skipif(
        bool(absent), reason=f"{', '.join(absent)} not installed: `make setup` brings it where the index has it"
    )
