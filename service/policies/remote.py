"""Versions behind a URL, read by fsspec: a version is copied to this machine, checked, before it is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from fsspec.core import url_to_fs  # type: ignore[import-untyped] # the package ships no types

from meta.checkpoint import MANIFEST, WEIGHTS, version_of
from service.policies.library import FILES, place, scratch


class Remote:
    """Versions on another machine, say in `s3://bucket/policies`.

    Args:
        files: the file system.
        root: the path of all versions in it.
        cache: folder on this machine that versions are copied to; several processes may share it.
    """

    def __init__(self, files: Any, root: str, cache: Path) -> None:
        self._files = files
        self._root = root
        self._cache = cache

    @classmethod
    def at(cls, url: str, cache: Path) -> Remote:
        """Opens a URL. Raises ValueError or ImportError where its kind is not known or not installed."""
        files, root = url_to_fs(url)
        return cls(files, root, cache)

    def names(self) -> list[str]:
        """Names of all sub-folders."""
        with _told():
            self._files.invalidate_cache(self._root)
            return [PurePosixPath(each["name"]).name for each in self._files.ls(self._root, detail=True)]

    def read(self, version: str, file: str) -> bytes:
        """One of its files."""
        with _told():
            return bytes(self._files.cat_file(self._path(version, file)))

    def folder(self, version: str) -> Path:
        """A sound copy of a version in the cache; the copy of an unsound one is not kept."""
        at = self._cache / version
        if not self._is_sound(at, version):
            with scratch(self._cache) as copy:
                for file in FILES:
                    (copy / file).write_bytes(self.read(version, file))
                if not self._is_sound(copy, version):
                    raise OSError("its files are not those that its name stands for; add the policy again")
                try:
                    place(copy, at)
                except OSError:
                    if not self._is_sound(at, version):  # else another process was faster
                        raise
        return at

    def add(self, version: str, folder: Path) -> None:
        """Takes in a folder; its manifest comes last, so that a version with one is whole."""
        with _told():
            self._files.makedirs(str(PurePosixPath(self._root, version)), exist_ok=True)
            for file in FILES:
                self._files.pipe_file(self._path(version, file), (folder / file).read_bytes())

    def _path(self, version: str, file: str) -> str:
        return str(PurePosixPath(self._root, version, file))

    @staticmethod
    def _is_sound(folder: Path, version: str) -> bool:
        try:
            return version_of((folder / MANIFEST).read_bytes(), (folder / WEIGHTS).read_bytes()) == version
        except OSError:
            return False


@contextmanager
def _told() -> Iterator[None]:
    """Makes an OSError of whatever a file system raises: each has errors of its own, for missing credentials say."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
