"""A policy as a folder: `manifest.json` says what it is, `weights.safetensors` holds its numbers. No pickle."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from meta.catalogue import Catalogue
from meta.columns import Column
from meta.errors import InputError
from meta.spec import Spec
from meta.types import FloatArray

MANIFEST, WEIGHTS = "manifest.json", "weights.safetensors"
"""All files of a policy folder."""
FORMAT = 1
"""Version of the folder's layout; a reader refuses any other."""


class PolicyError(InputError):
    """A policy folder that cannot be used; the text says which file, which rule, and what to do."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a policy folder says of itself.

    Args:
        spec: the shape of its network.
        temperature: of the policy's own Plackett-Luce exploration, in units of scores; 0 is greedy.
        reward_range: lowest and highest reward it was trained on.
        trained_on: what it was learnt from: kind, name, fingerprint, users, events, seed.
        metrics: figures of its validation by name.
        git_revision: of the code that trained it, "" where unknown.
        attributes: how the attributes of a user are encoded; their widths sum to A.
        context: how the context of a request is encoded; their widths sum to X, unless an environment observes it.
        format: layout version.
    """

    spec: Spec
    temperature: float = 0.0
    reward_range: tuple[float, float] = (0.0, 1.0)
    trained_on: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    git_revision: str = ""
    attributes: tuple[Column, ...] = ()
    context: tuple[Column, ...] = ()
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Refuses columns that do not make the features that the network reads."""
        for name in ("attributes", "context"):
            columns, width = getattr(self, name), getattr(self.spec, name)
            if columns and (made := sum(column.width for column in columns)) != width:
                raise PolicyError(f"columns of {name} must make {width} features, as the spec says, got {made}")

    @property
    def history_cap(self) -> int:
        """Most events of a user that adaptation sees."""
        return self.spec.history


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded folder: its manifest, parameters, catalogue and content hash."""

    manifest: Manifest
    params: Mapping[str, FloatArray]
    catalogue: Catalogue
    version: str


def save(folder: Path, manifest: Manifest, params: Mapping[str, FloatArray], catalogue: Catalogue) -> str:
    """Writes a policy folder at once or not at all, and returns its version.

    Raises:
        PolicyError: a parameter is not finite, so nothing is written.
    """
    for name, value in params.items():
        if not np.isfinite(value).all():
            raise PolicyError(f"parameter {name} is not finite; nothing was saved, train again with a smaller rate")
    tensors, columns = catalogue.to_tensors()
    arrays = {f"params.{k}": np.array(v, order="C") for k, v in params.items()}
    arrays |= {f"catalogue.{k}": np.array(v, order="C") for k, v in tensors.items()}
    weights = save_tensors(arrays)
    text = json.dumps({**dataclasses.asdict(manifest), "columns": columns}, indent=2, sort_keys=True) + "\n"
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        (scratch / WEIGHTS).write_bytes(weights)
        (scratch / MANIFEST).write_text(text)
        scratch.chmod(0o755)
        if folder.exists():
            _refuse_foreign(folder)
            shutil.rmtree(folder)
        os.replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return version_of(text.encode(), weights)


def load(folder: Path) -> Checkpoint:
    """Reads and checks a policy folder.

    Raises:
        PolicyError: the folder or a file is missing, truncated, of another format, or holds other shapes.
    """
    if not folder.is_dir():
        raise PolicyError(f"policy folder {folder} does not exist; make one with `quickstudy train --out {folder}`")
    text, weights = _read(folder / MANIFEST), _read(folder / WEIGHTS)
    manifest, columns = manifest_of(text, str(folder))
    try:
        arrays = load_tensors(weights)
    except (SafetensorError, ValueError) as error:
        raise PolicyError(f"{folder}/weights.safetensors is truncated or damaged: {error}") from error
    params = {k.removeprefix("params."): v for k, v in arrays.items() if k.startswith("params.")}
    tensors = {k.removeprefix("catalogue."): v for k, v in arrays.items() if k.startswith("catalogue.")}
    try:
        catalogue = Catalogue.from_tensors(tensors, columns)
    except (ValueError, KeyError, TypeError) as error:
        raise PolicyError(f"{folder} holds a damaged catalogue: {error}") from error
    return Checkpoint(manifest, params, catalogue, version_of(text, weights))


def manifest_of(text: bytes, folder: str) -> tuple[Manifest, list[dict[str, Any]]]:
    """What the manifest of a folder says, and the columns of its items. Raises PolicyError."""
    try:
        document = json.loads(text)
        columns = document.pop("columns")
        if document["format"] != FORMAT:
            raise PolicyError(f"{folder}/{MANIFEST} has format {document['format']}, this build reads {FORMAT}")
        document["spec"] = Spec(**document["spec"])
        for name in ("attributes", "context"):
            document[name] = tuple(Column(**column) for column in document.get(name, ()))
        document["reward_range"] = tuple(document["reward_range"])
        return Manifest(**document), columns
    except PolicyError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PolicyError(f"{folder}/{MANIFEST} is not a policy manifest: {error}") from error


def version_of(manifest: bytes, weights: bytes) -> str:
    """The version of a policy: a hash of its two files, 16 hexadecimal digits."""
    return hashlib.sha256(hashlib.sha256(manifest).digest() + weights).hexdigest()[:16]


def git_revision() -> str:
    """The commit of the checkout this code runs from, with a plus where files changed since; "" outside of git."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PolicyError(f"cannot read {path}: {error.strerror}; a policy folder holds it") from error


def _refuse_foreign(folder: Path) -> None:
    foreign = {p.name for p in folder.iterdir()} - {MANIFEST, WEIGHTS}
    if foreign:
        raise PolicyError(
            f"{folder} holds other files ({', '.join(sorted(foreign)[:3])}); choose an empty --out folder"
        )
