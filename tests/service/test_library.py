"""The store of versions, in a folder and behind a URL: what is whole comes out, all else is refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from meta.checkpoint import MANIFEST, WEIGHTS, PolicyError
from service.errors import (
    FixedPolicyError,
    LibraryUnavailableError,
    StartupError,
    UnknownVersionError,
    UnusablePolicyError,
)
from service.policies.library import Fixed, Library, opened
from service.policies.remote import Remote
from tests.service.support import make_policy

Damage = Callable[[Path], None]


@pytest.fixture(params=["folder", "url"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a library may be: both are folders here, so that tests can damage them."""
    return str(tmp_path / "versions") if request.param == "folder" else f"file://{tmp_path}/versions"


@pytest.fixture
def library(place: str, tmp_path: Path) -> Library:
    """An empty library."""
    return opened(place, tmp_path / "cache")


def damaged(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Changes the bytes of a file."""
    path.write_bytes(change(path.read_bytes()))


def test_what_is_added_comes_out(library: Library, policy: Path, tmp_path: Path) -> None:
    """Under its version, with what its manifest tells; adding it again changes nothing."""
    other = make_policy(tmp_path / "other", items=30)
    versions = [library.add(policy), library.add(other), library.add(policy)]
    assert versions[0] == versions[2]
    assert sorted(versions[:2]) == library.versions()
    assert [120, 30] == [library.manifest(version)[0].spec.items for version in versions[:2]]
    assert [f"f{n}" for n in range(8)] == library.manifest(versions[0])[1]
    for version in versions:
        assert version == library.load(version).version


def test_other_names_are_no_versions(library: Library, policy: Path, tmp_path: Path) -> None:
    """Folders that somebody is still copying, or that hold something else, are not listed."""
    library.add(policy)
    (tmp_path / "versions" / ".new-x").mkdir()
    (tmp_path / "versions" / "notes").mkdir()
    assert len(library.versions()) == 1
    for name in ("0" * 16, "notes", ".."):
        with pytest.raises(UnknownVersionError, match="there is no version"):
            library.load(name)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda at: (at / MANIFEST).unlink(), "manifest.json"),
        (lambda at: (at / WEIGHTS).unlink(), "weights.safetensors"),
        (lambda at: damaged(at / WEIGHTS, lambda data: data[: len(data) // 2]), "truncated|not those"),
        (lambda at: damaged(at / MANIFEST, lambda data: data.replace(b"0.5", b"0.6")), "are those of|not those"),
        (
            lambda at: damaged(at / MANIFEST, lambda data: data.replace(b'"format": 1', b'"format": 9')),
            "format 9|not those",
        ),
        (lambda at: damaged(at / MANIFEST, lambda data: data[:40]), "not a policy manifest|not those"),
    ],
    ids=["no manifest", "no weights", "truncated weights", "another number", "another format", "half a manifest"],
)
def test_damaged_versions_are_refused_until_added_again(
    library: Library, policy: Path, tmp_path: Path, damage: Damage, problem: str
) -> None:
    """With the reason; adding the sound folder repairs them."""
    version = library.add(policy)
    damage(tmp_path / "versions" / version)
    with pytest.raises(UnusablePolicyError, match=f"version {version} cannot be used: .*({problem})"):
        library.load(version)
    assert version == library.add(policy)
    assert version == library.load(version).version


def test_a_damaged_folder_is_not_added(library: Library, tmp_path: Path) -> None:
    """The library stays as it was."""
    folder = make_policy(tmp_path / "p")
    damaged(folder / WEIGHTS, lambda data: data[:1_000])
    with pytest.raises(PolicyError, match="truncated"):
        library.add(folder)
    assert not (tmp_path / "versions").exists()


def test_a_url_is_read_once(policy: Path, tmp_path: Path) -> None:
    """A version of a URL is copied to the cache; a sound copy is not read again, a damaged one is replaced."""
    library = opened("memory://shop/versions", tmp_path / "cache")
    version = library.add(policy)
    files = fsspec.filesystem("memory")
    assert version == library.load(version).version
    copy = tmp_path / "cache" / version
    damaged(copy / WEIGHTS, lambda data: data[:100])
    assert version == library.load(version).version
    files.pipe_file(f"/shop/versions/{version}/{WEIGHTS}", b"gone")
    assert version == library.load(version).version
    damaged(copy / WEIGHTS, lambda data: data[:100])
    with pytest.raises(UnusablePolicyError, match="not those that its name stands for"):
        library.load(version)


def test_a_store_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A missing folder holds no version; a URL that nobody here understands ends the start with what to install."""
    library = opened(str(tmp_path / "nowhere"), tmp_path)
    with pytest.raises(LibraryUnavailableError, match="cannot be read"):
        library.versions()
    with pytest.raises(UnknownVersionError):
        library.load("0" * 16)
    with pytest.raises(StartupError, match=r"nosuch://x cannot be opened: .*quickstudy\[remote\]"):
        opened("nosuch://x", tmp_path)


def test_errors_of_a_file_system_are_told(tmp_path: Path) -> None:
    """Each has kinds of its own; all of them mean that the store of versions cannot be read."""

    class Locked:
        def invalidate_cache(self, path: str) -> None:
            raise RuntimeError("no credentials")

    with pytest.raises(LibraryUnavailableError, match="cannot be read: RuntimeError: no credentials"):
        Library(Remote(Locked(), "bucket", tmp_path), "s3://bucket").versions()


def test_a_fixed_folder_is_a_library_of_one(policy: Path) -> None:
    """It lists and shows its one version, and loads no other."""
    fixed = Fixed(policy)
    assert [fixed.policy.version] == fixed.versions()
    assert fixed.manifest(fixed.policy.version)[0] == fixed.policy.manifest
    with pytest.raises(UnknownVersionError, match="alone"):
        fixed.manifest("0" * 16)
    with pytest.raises(FixedPolicyError, match="--policies instead of --policy"):
        fixed.load("0" * 16)
