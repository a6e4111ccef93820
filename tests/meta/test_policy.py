"""The policy folder, and the Policy that is read from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meta import gate
from meta.catalogue import Catalogue
from meta.checkpoint import PolicyError, save
from meta.errors import InputError
from meta.policy import Policy
from meta.types import Events
from tests.meta.worlds_of_numbers import ITEMS, checkpoint_parts, histories


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    """A small policy that was saved and loaded."""
    save(tmp_path / "policy", *checkpoint_parts())
    return Policy.load(tmp_path / "policy")


def ranked(policy: Policy, events: Events, **changes: object) -> object:
    """A ranking of the whole catalogue with the users' own copies."""
    users = events.users
    arguments = {
        "candidates": None,
        "slate_size": np.full(users, 3),
        "temperature": np.zeros(users),
        "seed": np.arange(users, dtype=np.uint64),
    } | changes
    return policy.rank(policy.adapt(events).copy, events, **arguments)  # type: ignore[arg-type]  # test shorthand


def test_a_folder_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Manifest, parameters, catalogue and version survive the way to disk."""
    manifest, params, catalogue = checkpoint_parts()
    version = save(tmp_path / "p", manifest, params, catalogue)
    policy = Policy.load(tmp_path / "p")
    assert version == policy.version
    assert manifest == policy.manifest
    assert catalogue.ids == policy.catalogue.ids


def test_the_version_is_the_content(tmp_path: Path) -> None:
    """Equal content has an equal version, one changed number another."""
    manifest, params, catalogue = checkpoint_parts()
    first = save(tmp_path / "a", manifest, params, catalogue)
    assert first == save(tmp_path / "b", manifest, params, catalogue)
    assert first != save(tmp_path / "c", manifest, params | {"prior": params["prior"] + 1}, catalogue)


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    """A NaN is refused by name and leaves no folder behind."""
    manifest, params, catalogue = checkpoint_parts()
    with pytest.raises(PolicyError, match="parameter prior is not finite"):
        save(tmp_path / "p", manifest, params | {"prior": params["prior"] * np.nan}, catalogue)
    assert list(tmp_path.iterdir()) == []


def test_saving_never_deletes_somebody_elses_folder(tmp_path: Path) -> None:
    """A folder that holds other files is refused and kept."""
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(PolicyError, match="holds other files"):
        save(tmp_path, *checkpoint_parts())
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_policy_ranks_other_items_by_their_features(tmp_path: Path) -> None:
    """Among its own items in reverse order it learns the same of the same users and ranks the same items."""
    manifest, params, catalogue = checkpoint_parts(item_ids=False)
    save(tmp_path / "p", manifest, params, catalogue)
    policy = Policy.load(tmp_path / "p")
    mirrored = Catalogue(catalogue.ids[::-1], catalogue.features[::-1].copy(), catalogue.columns)
    events = histories(np.random.default_rng(1))
    mirrored_events = replace(events, item=np.where(events.item < 0, -1, ITEMS - 1 - events.item))
    other, seed = policy.among(mirrored), np.zeros(4, np.uint64)
    adapted, again = policy.adapt(events).copy, other.adapt(mirrored_events).copy
    np.testing.assert_allclose(adapted, again, rtol=2e-3, atol=1e-6)
    best = policy.rank(adapted, events, None, slate_size=np.full(4, 3), temperature=np.zeros(4), seed=seed).row
    found = other.rank(adapted, mirrored_events, None, slate_size=np.full(4, 3), temperature=np.zeros(4), seed=seed).row
    np.testing.assert_array_equal(ITEMS - 1 - best, found)
    assert policy.among(catalogue) is policy


def test_a_policy_refuses_items_that_it_cannot_read(tmp_path: Path) -> None:
    """Items with other features are refused, and any others by a policy that has learnt its own one by one."""
    manifest, params, catalogue = checkpoint_parts()
    save(tmp_path / "p", manifest, params, catalogue)
    policy = Policy.load(tmp_path / "p")
    renamed = Catalogue.from_features(catalogue.ids[1:], catalogue.features[1:], ["a", "b", "quality"])
    with pytest.raises(PolicyError, match="reads the item features a, b, c, these items have a, b, quality; train"):
        policy.among(renamed)
    with pytest.raises(PolicyError, match="has learnt its items one by one"):
        policy.among(Catalogue(catalogue.ids[1:], catalogue.features[1:], catalogue.columns))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda p: (p / "weights.safetensors").unlink(), "cannot read .*weights.safetensors"),
        (
            lambda p: (p / "weights.safetensors").write_bytes((p / "weights.safetensors").read_bytes()[:-100]),
            "truncated",
        ),
        (lambda p: (p / "weights.safetensors").write_bytes(b""), "truncated"),
        (lambda p: (p / "manifest.json").write_text("{"), "not a policy manifest"),
        (lambda p: (p / "manifest.json").write_text("{}"), "not a policy manifest"),
        (lambda p: _edit(p, '"width": 5', '"width": 6'), "must have shape"),
        (lambda p: _edit(p, '"format": 1', '"format": 9'), "has format 9, this build reads 1"),
        (lambda p: _edit(p, '"items": 50', '"items": 51'), "the manifest says"),
        (lambda p: _edit(p, '"adapter": "maml"', '"adapter": "magic"'), "adapter must be one of"),
    ],
)
def test_a_damaged_folder_is_refused_with_the_reason(tmp_path: Path, damage: object, words: str) -> None:
    """Each kind of damage has one clear sentence."""
    save(tmp_path / "p", *checkpoint_parts())
    damage(tmp_path / "p")  # type: ignore[operator]  # a lambda of the table
    with pytest.raises(InputError, match=words):
        Policy.load(tmp_path / "p")


def test_a_missing_folder_says_how_to_make_one(tmp_path: Path) -> None:
    """The error names the folder and the command."""
    with pytest.raises(PolicyError, match="does not exist; make one with `quickstudy train"):
        Policy.load(tmp_path / "none")


def test_events_change_the_ranking(policy: Policy) -> None:
    """Users with histories are ranked otherwise than the user without one."""
    ranking = ranked(policy, histories(np.random.default_rng(0)))
    assert any(ranking.row[0].tolist() != ranking.row[user].tolist() for user in (1, 2, 3))  # type: ignore[attr-defined]


def test_candidates_and_catalogue_agree(policy: Policy) -> None:
    """Ranking all items as candidates, shuffled and padded, equals ranking the catalogue."""
    events = histories(np.random.default_rng(0))
    rows = np.random.default_rng(1).permutation(ITEMS)
    candidates = np.broadcast_to(np.concatenate([rows, [-1, -1]]), (events.users, ITEMS + 2))
    whole, listed = ranked(policy, events), ranked(policy, events, candidates=candidates)
    assert whole.row.tolist() == listed.row.tolist()  # type: ignore[attr-defined]
    np.testing.assert_allclose(whole.q_value, listed.q_value, atol=1e-5)  # type: ignore[attr-defined]


def test_a_batch_equals_its_users_alone(policy: Policy) -> None:
    """Stacking users with slates and temperatures of their own changes nobody's slate."""
    events = histories(np.random.default_rng(0))
    sizes, temperature = np.asarray([1, 3, 5, 2]), np.asarray([0.0, 1.0, 0.0, 0.3])
    seed = np.asarray([9, 8, 7, 6], np.uint64)
    together = ranked(policy, events, slate_size=sizes, temperature=temperature, seed=seed)
    for user in range(4):
        one = events.map(lambda x, user=user: x[user : user + 1])
        alone = ranked(policy, one, slate_size=sizes[[user]], temperature=temperature[[user]], seed=seed[[user]])
        assert alone.row[0].tolist() == together.row[user, : sizes[user]].tolist()  # type: ignore[attr-defined]
        assert [-1] * (5 - sizes[user]) == together.row[user, sizes[user] :].tolist()  # type: ignore[attr-defined]


def test_excluded_rows_are_never_shown(policy: Policy) -> None:
    """What a user was excluded from is left out for that user only."""
    events = histories(np.random.default_rng(0))
    best = ranked(policy, events)
    excluded = np.full((4, 2), -1)
    excluded[1] = best.row[1, :2]  # type: ignore[attr-defined]
    after = ranked(policy, events, excluded=excluded)
    assert not set(excluded[1].tolist()) & set(after.row[1].tolist())  # type: ignore[attr-defined]
    assert best.row[2].tolist() == after.row[2].tolist()  # type: ignore[attr-defined]


def test_a_copy_that_explodes_is_refused(tmp_path: Path) -> None:
    """With an absurd inner rate the gate serves the prior and says so; the empty history stays accepted."""
    manifest, params, catalogue = checkpoint_parts()
    save(tmp_path / "p", manifest, params | {"maml.rate": params["maml.rate"] + 1e6}, catalogue)
    policy = Policy.load(tmp_path / "p")
    adaptation = policy.adapt(histories(np.random.default_rng(0)))
    assert adaptation.verdict.tolist() == [gate.ACCEPTED, gate.UNSOUND, gate.UNSOUND, gate.UNSOUND]
    assert (adaptation.copy == policy.prior(4)).all()


def test_adaptation_lowers_the_loss_on_the_history(policy: Policy) -> None:
    """A likelihood step with a modest rate explains the events better than the prior does."""
    adaptation = policy.adapt(histories(np.random.default_rng(0), users=30))
    assert adaptation.loss_after.mean() < adaptation.loss_before.mean()


def _edit(folder: Path, old: str, new: str) -> None:
    text = (folder / "manifest.json").read_text()
    assert old in text
    (folder / "manifest.json").write_text(text.replace(old, new))
