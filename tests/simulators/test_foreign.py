"""What keeps other people's packages apart from ours."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from meta.errors import InputError
from simulators import FOREIGN, foreign
from simulators.arguments import made
from tests.simulators.packages import needs

every_foreign_world = pytest.mark.parametrize("name", [pytest.param(name, marks=needs(name)) for name in FOREIGN])
one_of_each_package = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs(name)) for name in ("recsim_interest_evolution", "recogym")]
)


@every_foreign_world
def test_global_randomness_goes_on_as_if_nothing_had_been_drawn(name: str) -> None:
    """Numbers that others draw between the steps of a world, halves of normal pairs included, are those without it."""
    alone = np.random.RandomState(3)
    expected = [alone.standard_normal() for _ in range(5)]
    np.random.seed(3)  # noqa: NPY002  # global state is what must not change
    world = FOREIGN[name](3)
    actions = np.zeros((3, world.slate_size), int)
    found = [np.random.standard_normal()]  # noqa: NPY002  # as above
    world.reset(seed=1)
    for _ in range(4):
        found.append(np.random.standard_normal())  # noqa: NPY002  # as above
        world.step(actions)
    assert expected == found


def test_luck_is_a_stream_of_its_own() -> None:
    """Two blocks draw what a generator of the same seed would draw in one go, whatever happens between them."""
    alone = np.random.RandomState(7)
    expected = [alone.random_sample() for _ in range(2)]
    luck, found = foreign.Luck(7), []
    for _ in range(2):
        with luck:
            found.append(np.random.random_sample())  # noqa: NPY002  # what packages do
        np.random.random_sample(99)  # noqa: NPY002  # what others do
    assert expected == found


def test_global_randomness_comes_back_after_an_error() -> None:
    """A package that fails leaves the state as it was."""
    np.random.seed(5)  # noqa: NPY002  # global state is what must not change
    with pytest.raises(ZeroDivisionError), foreign.Luck(7):
        np.random.random_sample(1 // 0)  # noqa: NPY002  # what packages do
    assert np.random.RandomState(5).random_sample() == np.random.random_sample()  # noqa: NPY002  # as above


@every_foreign_world
def test_the_alias_of_gym_is_gone_after_the_import(name: str) -> None:
    """Whoever asks for `gym` later gets what is installed under that name, or nothing."""
    FOREIGN[name](1)
    assert "gym" not in sys.modules


def test_an_absent_package_is_named_with_what_to_install() -> None:
    """The error says which package is missing and how to get it, and leaves no stand-in behind."""
    with pytest.raises(InputError) as raised:
        foreign.load("no_such_package.worlds", "no-such-package==1.2", {"stand_in_for_it": pytest})
    assert str(raised.value) == (
        "no_such_package.worlds needs the Python package no_such_package, which is not installed: "
        "install the extra `simulators` and, with pip's --no-deps, no-such-package==1.2"
    )
    assert "stand_in_for_it" not in sys.modules


@one_of_each_package
def test_a_pickled_world_is_read_by_a_process_that_never_saw_the_package(name: str, tmp_path: Path) -> None:
    """Another process steps the copy as this one steps the original."""
    world = FOREIGN[name](3)
    world.reset(seed=4)
    (tmp_path / "world").write_bytes(pickle.dumps(world))
    actions = np.zeros((3, world.slate_size), int)
    expected = [world.step(actions)[0]["candidates"].tolist() for _ in range(3)]
    script = (
        "import pickle, sys, numpy as np; world = pickle.load(open(sys.argv[1], 'rb')); "
        "actions = np.zeros((3, world.slate_size), int); "
        "print([world.step(actions)[0]['candidates'].tolist() for _ in range(3)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "world")], capture_output=True, text=True, check=True
    )
    assert str(expected) == done.stdout.strip()


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("recsim_interest_exploration", "catalogue_seed=-1", "catalogue_seed must be in 0..4.29497e+09, got -1"),
        ("recsim_interest_exploration", "no_click_mass=-1", "no_click_mass must be finite and at least 0, got -1.0"),
        ("recsim_interest_evolution", "video_length=0", "video_length must be in 0.01..1000, got 0.0"),
        ("recsim_interest_evolution", "no_click_mass=-2", "no_click_mass must be in -1..1000, got -2.0"),
        ("recogym", "number_of_flips=26", "number_of_flips must be in 0..25, got 26"),
        ("recogym", "prob_organic_to_bandit=0", "prob_organic_to_bandit must be in 0.01..1, got 0.0"),
        ("recogym", "prob_leave=1.5", "prob_leave must be in 0..1, got 1.5"),
    ],
)
def test_what_cannot_be_is_refused_before_the_package_is_asked(name: str, given: str, message: str) -> None:
    """Name, rule and value."""
    with pytest.raises(InputError) as raised:
        made(FOREIGN[name], 1, [given])
    assert message == str(raised.value)
