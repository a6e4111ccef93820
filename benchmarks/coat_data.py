"""Coat as it is published: picked and drawn ratings, and who rated what (Schnabel et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from meta.catalogue import Catalogue, encode_items
from meta.columns import Encoded
from meta.dataset import DataError, Interactions
from meta.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Coat:
    """The data set.

    Args:
        log: the picked ratings, each user's in an order by chance; rewards in 0..1.
        catalogue: the coats.
        drawn: int [U, 16], coats that were drawn for each user.
        rating: float [U, 16], their ratings, 1..5.
    """

    log: Interactions
    catalogue: Catalogue
    drawn: IntArray
    rating: FloatArray


def read(folder: Path, seed: int) -> Coat:
    """Read Coat as it is published; the seed decides the order of each user's picked ratings.

    Raises:
        DataError: a file is missing.
    """
    picked, drawn = _matrix(folder / "train.ascii"), _matrix(folder / "test.ascii")
    rng = np.random.default_rng(seed)
    user, item = np.nonzero(picked)
    order = np.argsort(rng.random(len(user)))
    user, item = user[order], item[order]
    reward = ((picked[user, item] - 1) / 4).astype(np.float32)
    log = Interactions(
        user.astype(np.int32), item.astype(np.int32), reward, np.arange(len(user), dtype=np.int64),
        tuple(f"user{row}" for row in range(len(picked))), "coat",
        Encoded.fit(_columns(folder, "user"), len(picked)),
    )  # fmt: skip
    catalogue = encode_items([f"coat{row}" for row in range(picked.shape[1])], _columns(folder, "item"))
    rows = np.nonzero(drawn)[1].reshape(len(drawn), -1)
    return Coat(log, catalogue, rows, np.take_along_axis(drawn, rows, 1).astype(np.float64))


def _matrix(path: Path) -> npt.NDArray[np.int64]:
    if not path.is_file():
        raise DataError(f"{path} does not exist: a folder of Coat holds train.ascii, test.ascii and *_features*")
    return np.loadtxt(path, np.int64)


def _columns(folder: Path, of: str) -> dict[str, list[str]]:
    """Categories by column, from one-hot rows and the names `column:category` of their places."""
    hot = _matrix(folder / f"{of}_features.ascii") > 0
    names = [line.split(":") for line in (folder / f"{of}_features_map.txt").read_text().splitlines()]
    return {
        column: [
            next(word for (name, word), on in zip(names, row, strict=True) if on and name == column) for row in hot
        ]
        for column in dict.fromkeys(name for name, _ in names)
    }
