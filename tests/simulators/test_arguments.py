"""Constants of worlds as text, and worlds under names of their own."""

import pickle

import numpy as np
import pytest

from meta.errors import InputError
from simulators import OWN, TASKS, WORLDS
from simulators.arguments import constants, made
from simulators.drifting_taste import DriftingTaste
from simulators.variants import VARIANTS


def test_constants_are_read_by_their_kind() -> None:
    """Numbers, counts, pairs and none reach the constructor, and the name tells them in order."""
    world = made(DriftingTaste, 3, ["satiation=0", "change=5,9", "patience=none", "steps=7"])
    assert isinstance(world, DriftingTaste)
    assert (3, 7, 0.0, (5, 9), None) == (world.num_envs, world.steps, world.satiation, world.days, world._patience)
    assert "drifting_taste change=5,9 patience=none satiation=0.0 steps=7" == world.name


def test_without_constants_a_world_keeps_its_name() -> None:
    """Policies trained in it are recognised as they were."""
    assert [*OWN] == [made(world, 1).name for world in OWN.values()]


def test_a_variant_is_its_kind_with_other_defaults() -> None:
    """A steady taste does not change; an argument comes before the variant's own constants."""
    steady = made(WORLDS["drifting_taste_steady"], 1)
    assert isinstance(steady, DriftingTaste)
    assert steady.days is None
    drifting = made(WORLDS["drifting_taste_steady"], 1, ["change=3,4"])
    assert isinstance(drifting, DriftingTaste)
    assert ("drifting_taste_steady change=3,4", (3, 4)) == (drifting.name, drifting.days)


def test_variants_share_their_items_with_their_kind() -> None:
    """So a policy that was trained in one can be judged in another."""
    expected = DriftingTaste(1).catalogue().fingerprint
    assert [expected] * len(VARIANTS) == [variant().catalogue().fingerprint for variant in VARIANTS]


def test_a_variant_goes_on_as_before_when_pickled() -> None:
    """The name is kept."""
    assert "drifting_taste_sparse" == pickle.loads(pickle.dumps(WORLDS["drifting_taste_sparse"](1))).name  # noqa: S301  # made on the line itself


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["sweetness=1"], "argument 'sweetness' is unknown; this world has candidates, catalogue_seed, change, clus"),
        (["change"], "an argument must be name=value, got 'change'"),
        (["steps=3", "steps=4"], "argument steps must be given once, got 'steps=4' beside 3"),
        (["steps=many"], "argument steps must be a whole number, got 'many'"),
        (["steps=1.5"], "argument steps must be a whole number, got '1.5'"),
        (["satiation=none"], "argument satiation must be a number, got 'none'"),
        (["change=5"], "argument change must be a whole number and a whole number joined by commas or none, got '5'"),
        (["change=9,5"], r"change must be a first step of at least 0 and a last one not before it, got \(9, 5\)"),
        (["satiation=-1"], "satiation must be finite and at least 0, got -1.0"),
        (["no_choice=nan"], "no_choice must be finite, got nan"),
        (["no_choice=inf"], "no_choice must be finite, got inf"),
        (["contrary=2"], "contrary must be in 0..1, got 2.0"),
        (["topics=0"], "topics must be at least 1, got 0"),
        (["num_items=100000000000"], r"num_items must be in 1..1e\+07, got 100000000000"),
        (["slate_size=41"], "1 <= slate_size <= candidates <= num_items, got 41, 40, 1000"),
        (["patience=0"], "patience must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(given: list[str], message: str) -> None:
    """Name, rule and value."""
    with pytest.raises(InputError, match=message):
        made(DriftingTaste, 1, given)


def test_families_of_tasks_take_constants_too() -> None:
    """Mazes of another size; a cart-pole without a range is refused."""
    assert 7 == made(TASKS["grid"], 2, ["size=7", "steps=9"]).size
    with pytest.raises(InputError, match=r"force must be a range \(low, high\) above 0, got \(9.0, 1.0\)"):
        made(TASKS["cartpole"], 1, ["force=9,1"])


def test_what_is_no_text_is_no_argument() -> None:
    """The number of users has an option of its own, and the poles of given carts have none."""
    assert not {"users", "tasks", "bodies"} & {*constants(DriftingTaste), *constants(TASKS["cartpole"])}


def test_contrary_tastes_are_the_stated_share_and_lean_against_their_cluster() -> None:
    """Without a part of their own the tastes of 20,000 users are those of clusters, and of a quarter the opposite."""
    world = DriftingTaste(20_000, contrary=0.25, cluster_share=1e9, clusters=1)
    world.reset(seed=1)
    centre = 7.0 * world._clusters[0] / np.linalg.norm(world._clusters[0])
    against = (world.taste @ centre) < 0
    np.testing.assert_allclose(np.where(against[:, None], -centre, centre), world.taste, atol=1e-5)
    np.testing.assert_allclose(0.25, against.mean(), atol=4 * (0.25 * 0.75 / 20_000) ** 0.5)


def test_where_nothing_but_the_position_counts_all_slates_are_alike() -> None:
    """The chance of a choice at position k is e^(-k / 2) / (e^1.5 + sum e^(-k / 2)), whatever is shown."""
    world = WORLDS["drifting_taste_position_only"](4)
    observation, _ = world.reset(seed=0)
    odds = np.exp(-0.5 * np.arange(5))
    for slate in (observation["candidates"][:, :5], observation["candidates"][:, 20:25]):
        assert isinstance(world, DriftingTaste)
        np.testing.assert_allclose(np.tile(odds / (np.exp(1.5) + odds.sum()), (4, 1)), world.chances(slate))
