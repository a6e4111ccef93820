"""The store of versions: one sub-folder a version, named by the hash of its content, here or behind an fsspec URL."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from meta.checkpoint import MANIFEST, WEIGHTS, Manifest, PolicyError, manifest_of
from meta.policy import Policy
from service.errors import (
    FixedPolicyError,
    LibraryUnavailableError,
    StartupError,
    UnknownVersionError,
    UnusablePolicyError,
)

FILES = (WEIGHTS, MANIFEST)
"""In the order in which they are written: a version with a manifest is whole."""
_VERSION = re.compile(r"[0-9a-f]{16}")


def is_version(name: str) -> bool:
    """Whether a name can be that of a version."""
    return _VERSION.fullmatch(name) is not None


class Shelf(Protocol):
    """Where versions lie. Methods raise OSError."""

    def names(self) -> list[str]:
        """Names of all sub-folders."""

    def read(self, version: str, file: str) -> bytes:
        """One of its files."""

    def folder(self, version: str) -> Path:
        """A folder on this machine that holds a version."""

    def add(self, version: str, folder: Path) -> None:
        """Takes in a copy of a folder as a version."""


class Folder:
    """Versions in a folder of this machine, or one that is mounted.

    Args:
        root: that folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        """Names of all sub-folders."""
        return [path.name for path in self._root.iterdir() if path.is_dir()]

    def read(self, version: str, file: str) -> bytes:
        """One of its files."""
        return (self._root / version / file).read_bytes()

    def folder(self, version: str) -> Path:
        """Where it lies."""
        return self._root / version

    def add(self, version: str, folder: Path) -> None:
        """Takes in a copy of a folder, at once or not at all."""
        self._root.mkdir(parents=True, exist_ok=True)
        with scratch(self._root) as copy:
            for file in FILES:
                shutil.copyfile(folder / file, copy / file)
            place(copy, self._root / version)


class Library:
    """Versions, of which only sound ones are given out. Blocks: the event loop calls it in a thread.

    Args:
        shelf: where they lie.
        where: how that is called in errors.
    """

    def __init__(self, shelf: Shelf, where: str) -> None:
        self._shelf = shelf
        self.where = where

    def versions(self) -> list[str]:
        """Names of all versions, in alphabetical order. Raises LibraryUnavailableError."""
        try:
            return sorted(filter(is_version, self._shelf.names()))
        except OSError as error:
            raise LibraryUnavailableError(f"the store of versions {self.where} cannot be read: {error}") from error

    def manifest(self, version: str) -> tuple[Manifest, list[str]]:
        """What a version says of itself, and the names of its items' features.

        Raises:
            UnknownVersionError: the store has no such version.
            UnusablePolicyError: its manifest cannot be read.
        """
        self._find(version)
        try:
            manifest, columns = manifest_of(self._shelf.read(version, MANIFEST), f"{self.where}/{version}")
            return manifest, [str(column["name"]) for column in columns]
        except (OSError, PolicyError, KeyError, TypeError) as error:
            raise UnusablePolicyError(f"version {version} cannot be used: {error}") from error

    def folder(self, version: str) -> Path:
        """A folder on this machine that holds a version, sound or not. Raises UnknownVersionError."""
        self._find(version)
        try:
            return self._shelf.folder(version)
        except OSError as error:
            raise LibraryUnavailableError(f"version {version} cannot be read from {self.where}: {error}") from error

    def load(self, version: str) -> Policy:
        """A version, checked against its name.

        Raises:
            UnknownVersionError: the store has no such version.
            UnusablePolicyError: it is half-written, damaged, of another format, or another one than its name says.
        """
        self._find(version)
        try:
            policy = Policy.load(self._shelf.folder(version))
        except (OSError, PolicyError) as error:
            raise UnusablePolicyError(f"version {version} cannot be used: {error}") from error
        if policy.version != version:
            raise UnusablePolicyError(
                f"version {version} cannot be used: its files are those of {policy.version}; they were changed or "
                "copied in part, so add the policy again"
            )
        return policy

    def add(self, folder: Path) -> str:
        """Takes in a trained folder and returns its version; one that is there already stays, unless it is damaged.

        Raises:
            PolicyError: the folder cannot be used.
            LibraryUnavailableError: the store cannot be written.
        """
        version = Policy.load(folder).version
        try:
            self.load(version)
        except (UnknownVersionError, UnusablePolicyError):
            try:
                self._shelf.add(version, folder)
            except OSError as error:
                raise LibraryUnavailableError(f"{self.where} cannot be written: {error}") from error
        return version

    def _find(self, version: str) -> None:
        try:
            known = is_version(version) and version in self._shelf.names()
        except FileNotFoundError:
            known = False
        except OSError as error:
            raise LibraryUnavailableError(f"the store of versions {self.where} cannot be read: {error}") from error
        if not known:
            raise UnknownVersionError(f"there is no version {version} in {self.where}; `quickstudy policies add` it")


class Fixed:
    """The library of a service that serves one folder: what is in it when it starts.

    Args:
        folder: the policy's.
    """

    def __init__(self, folder: Path) -> None:
        self.where = str(folder)
        self.policy = Policy.load(folder)

    def versions(self) -> list[str]:
        """The one."""
        return [self.policy.version]

    def manifest(self, version: str) -> tuple[Manifest, list[str]]:
        """What it says of itself. Raises UnknownVersionError."""
        self._find(version)
        return self.policy.manifest, [column.name for column in self.policy.catalogue.columns]

    def folder(self, version: str) -> Path:
        """Where it lies. Raises UnknownVersionError."""
        self._find(version)
        return Path(self.where)

    def load(self, version: str) -> Policy:
        """Raises FixedPolicyError: nothing else is to serve."""
        raise FixedPolicyError(
            "this service serves one fixed folder; start it with --policies instead of --policy to change versions"
        )

    def _find(self, version: str) -> None:
        if version != self.policy.version:
            raise UnknownVersionError(f"this service serves {self.policy.version} alone, not {version}")


def opened(where: str, cache: Path) -> Library:
    """The library at a path or URL.

    Args:
        where: a folder, or a URL of any file system that fsspec knows.
        cache: folder that versions of a URL are copied to.

    Raises:
        StartupError: nothing on this machine understands the URL.
    """
    if "://" not in where:
        return Library(Folder(Path(where)), where)
    try:
        from service.policies.remote import Remote

        return Library(Remote.at(where, cache), where)
    except (ImportError, ValueError) as error:
        raise StartupError(
            f"{where} cannot be opened: {error}; install quickstudy[remote] and what it asks for"
        ) from error


@contextmanager
def scratch(root: Path) -> Iterator[Path]:
    """A folder under `root` that is gone afterwards, unless it was put in place."""
    root.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".new-", dir=root))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def place(made: Path, at: Path) -> None:
    """Gives a whole folder its name, in the place of what has it."""
    if at.exists():
        with scratch(at.parent) as old:
            os.replace(at, old / "old")
            os.replace(made, at)
    else:
        os.replace(made, at)
