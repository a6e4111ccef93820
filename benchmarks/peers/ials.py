"""iALS (Hu, Koren & Volinsky 2008) of the library `implicit`, new users folded in by its `recalculate_user`."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse

from benchmarks.peers.group import Group
from benchmarks.peers.likes import of_supports
from meta.coldstart import Scorer
from meta.types import Context, Events, FloatArray


def ials(group: Group, factors: int, penalty: float, alpha: float, seed: int = 0, sweeps: int = 15) -> Scorer:
    """Score by the product of the folded-in user and item factors."""
    likes = group.likes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library advises on BLAS threads; the caller has pinned them
        from implicit.als import AlternatingLeastSquares

        model = AlternatingLeastSquares(
            factors=factors, regularization=penalty, alpha=alpha, iterations=sweeps, random_state=seed, num_threads=1,
            use_gpu=False,
        )  # fmt: skip
        model.fit(scipy.sparse.csr_matrix(likes), show_progress=False)

    def score(events: Events, context: Context) -> FloatArray:
        support = scipy.sparse.csr_matrix(of_supports(events, likes.shape[1]))
        users = model.recalculate_user(np.arange(events.users), support)
        return np.asarray(users @ model.item_factors.T, np.float32)

    return score
