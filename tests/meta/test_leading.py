"""All items read in blocks give what arrays of candidates give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from meta import eras, groups, leading, neighbours, policy, scoring
from meta.catalogue import Catalogue
from meta.checkpoint import Checkpoint, Manifest
from meta.leading import draw
from meta.policy import Policy
from meta.ranking import gumbel_noise, plackett_luce, slate_scores
from meta.types import Array, Context, FloatArray, IntArray, Ranking
from tests.meta.worlds_of_numbers import ITEMS, checkpoint_parts, histories

N, K = 40_000, 7
NAMES = leading.Names(N, np.zeros(0, np.uint64))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 7 items, and room for two users at a time: the 50 items of the tests take many of both."""
    monkeypatch.setattr(leading, "BLOCK", 7)
    monkeypatch.setattr(policy, "HELD", 2 * ITEMS + 20)


def test_the_leading_items_are_those_of_a_full_sort() -> None:
    """Hidden items are left out, and of equal values the earlier item comes first."""
    values = np.random.default_rng(0).integers(0, 50, N).astype(np.float32)
    values[::3] = -np.inf
    assert np.argsort(-values, kind="stable")[:K].tolist() == leading.leading(values.__getitem__, N, K).tolist()


def test_fewer_items_than_positions_give_a_short_slate() -> None:
    """Where all but two items are hidden, two are found, greedy or drawn, with the propensity of what is left."""
    values = np.full(N, -np.inf, np.float32)
    values[[20_000, 5]] = 1.0, 2.0
    assert leading.leading(values.__getitem__, N, K).tolist() == [5, 20_000]
    drawn, log_propensity = draw(values.__getitem__, N, K, 1.0, 3, NAMES)
    assert sorted(drawn.tolist()) == [5, 20_000]
    assert np.exp(log_propensity).tolist() == pytest.approx([1 / (1 + np.exp(values[drawn[1]] - values[drawn[0]])), 1])
    assert [len(x) for x in draw(np.full(N, -np.inf).__getitem__, N, K, 1.0, 3, NAMES)] == [0, 0]


@pytest.mark.parametrize("temperature", [0.001, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_a_draw_in_blocks_is_the_draw_of_an_array(temperature: float, seed: int) -> None:
    """The same items in the same order with the same propensities, also where all but a few weights vanish."""
    rng = np.random.default_rng(seed % 7)
    scores = rng.normal(size=N).astype(np.float32)
    valid = rng.random(N) < 0.9
    rows = np.arange(N)[None]
    expected, log_propensity = plackett_luce(
        (scores / np.float32(temperature)).astype(np.float64)[None],
        valid[None],
        np.ones(1),
        gumbel_noise(np.array([seed], np.uint64), rows),
        K,
    )
    drawn, found = draw(np.where(valid, scores, -np.inf).__getitem__, N, K, temperature, seed, NAMES)
    assert expected[0].tolist() == drawn.tolist()
    np.testing.assert_allclose(found, log_propensity[0], rtol=1e-6, atol=1e-6)


def test_items_with_names_keep_their_noise_whatever_row_they_have() -> None:
    """A draw among rows of which the last have names of their own is that of the same names as candidates."""
    rng = np.random.default_rng(9)
    scores = rng.normal(size=(1, N)).astype(np.float32)
    own = N - 20_000  # the border is inside of a block
    others = rng.integers(0, 2**64, 20_000, np.uint64)
    noise = gumbel_noise(np.array([5], np.uint64), np.concatenate([np.arange(own, dtype=np.uint64), others])[None])
    expected, _ = plackett_luce(scores, np.ones((1, N), bool), np.ones(1), noise, K)
    drawn, _ = draw(scores[0].__getitem__, N, K, 1.0, 5, leading.Names(own, others))
    assert expected[0].tolist() == drawn.tolist()


@pytest.mark.parametrize(("spread", "shift"), [(0.1, 0.0), (1.0, 0.0), (1.0, -5.0), (3.0, 1.0)])
def test_the_best_slate_in_blocks_is_that_of_an_array(spread: float, shift: float) -> None:
    """Dinkelbach's rounds find the same slate whether or not a short list was enough, and nobody likes it better."""
    rng = np.random.default_rng(2)
    v, advantage = (rng.normal(size=(2, N)) * spread + [[0.0], [shift]]).astype(np.float32)
    valid = rng.random(N) < 0.9
    expected = np.argsort(-slate_scores(v, advantage, valid, K))[:K]
    best, _, _ = leading.slate(np.exp(v), np.where(valid, advantage, -np.inf), K, 0.0, 0, NAMES)
    assert expected.tolist() == best.tolist()


def parts(slate: str, adapter: str = "maml") -> tuple[Manifest, dict[str, Array], Catalogue]:
    """A policy whose advantages have every term that there is."""
    rng = np.random.default_rng(3)
    manifest, params, catalogue = checkpoint_parts(adapter, slate=slate, neighbours=4, eras=3, groups=2, attributes=2)
    spec = manifest.spec
    remembered = neighbours.init(spec)
    remembered[neighbours.INDEX] = rng.integers(-1, ITEMS, remembered[neighbours.INDEX].shape).astype(np.int32)
    remembered[neighbours.WEIGHT] = rng.normal(size=remembered[neighbours.WEIGHT].shape).astype(np.float32)
    risks = groups.init(spec) | {groups.RATIO: rng.normal(size=(ITEMS, 2)).astype(np.float32)}
    liked = rng.integers(0, ITEMS, 300)
    counted = eras.init(spec) | eras.fit(liked, 1_700_000_000_000 + 10**6 * np.arange(300), ITEMS, 3)
    return manifest, {**params, **remembered, **risks, **counted}, catalogue


def rank(policy: Policy, candidates: IntArray | None, popularity: FloatArray | None = None, **changes: Any) -> Ranking:
    """Slates of four users at different temperatures, of different sizes."""
    events = histories(np.random.default_rng(4))
    context = Context(
        np.random.default_rng(5).normal(size=(4, 2)).astype(np.float32),
        np.zeros((4, 1, 0), np.float32),
        np.full((4, 1), 1_700_000_200_000),
    )
    arguments: dict[str, Any] = {
        "slate_size": np.array([3, 10, 1, 5]),
        "temperature": np.array([0.0, 0.5, 2.0, 0.0], np.float32),
        "seed": np.arange(4, dtype=np.uint64),
        "excluded": np.array([[0, 1, -1], [-1, 7, 8], [3, 3, 3], [-1, -1, -1]]),
        "context": context,
        "popularity": popularity,
    }
    return policy.rank(policy.adapt(events, context.attributes).copy, events, candidates, **(arguments | changes))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("slate", ["logit", "independent"])
@pytest.mark.parametrize("live", [True, False])
def test_the_whole_catalogue_is_all_its_items_as_candidates(slate: str, live: bool) -> None:
    """Whatever the advantage is made of, slates are the same in order, scores, values and propensities."""
    policy = Policy(Checkpoint(*parts(slate), "0"))
    popularity = np.linspace(-1, 1, ITEMS, dtype=np.float32) if live else None
    whole = rank(policy, None, popularity)
    given = rank(policy, np.tile(np.arange(ITEMS), (4, 1)), popularity)
    assert given.row.tolist() == whole.row.tolist()
    assert (whole.row >= 0).sum(1).tolist() == [3, 10, 1, 5]
    for name in ("score", "q_value", "log_propensity"):
        np.testing.assert_allclose(getattr(whole, name), getattr(given, name), rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("small_blocks")
def test_no_more_is_held_at_once_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of four users is computed two by two."""
    seen = []

    def watched(*arguments: Any) -> Any:
        values = scoring.of_all(*arguments)
        seen.append(values[1].shape)
        return values

    monkeypatch.setattr("meta.policy.of_all", watched)
    rank(Policy(Checkpoint(*parts("independent"), "0")), None)
    assert seen == [(2, ITEMS), (2, ITEMS)]
