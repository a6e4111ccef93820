"""The cold-start benchmark: one policy judged on the users it never saw."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from benchmarks.coldstart import Source, judge, run  # after the skip
from meta.catalogue import Catalogue
from meta.dataset import DataError, Interactions
from meta.tasks import split_users
from meta.trainer import logs

QUICK = logs.Settings(iterations=4, judge_every=2, batch=16, width=4, hidden=4, neighbours=5, penalty=(20.0,))


def _log(seed: int) -> tuple[Interactions, Catalogue]:
    """60 users, 30 events each, over 50 items, likes by a coin."""
    rng = np.random.default_rng(seed)
    item = np.concatenate([rng.permutation(50)[:30] for _ in range(60)]).astype(np.int32)
    log = Interactions(
        np.repeat(np.arange(60), 30).astype(np.int32), item, (rng.random(1800) < 0.5).astype(np.float32),
        np.arange(1800), tuple(map(str, range(60))), "coins",
    )  # fmt: skip
    return log, Catalogue.from_features([f"i{row}" for row in range(50)], np.zeros((50, 1)), ["nothing"])


def test_a_policy_is_judged_on_the_users_it_never_saw(tmp_path: Path) -> None:
    """The held-out users of the manifest's split, its own row and popularity's, and their paired difference by k."""
    log, catalogue = _log(0)
    for _ in logs.train(log, catalogue, tmp_path / "policy", seed=3, settings=QUICK):
        pass
    result = judge(tmp_path / "policy", log, catalogue, peers=False)
    assert len(split_users(60, 3).test) == result["users"]
    assert {"maml", "popularity"} == set(result["ndcg_at_10"])
    assert [0, 1, 2, 3, 5, 10, 20] == [gap["k"] for gap in result["difference_to_best_peer"]]
    own, base = (result["ndcg_at_10"][name][0]["mean"] for name in ("maml", "popularity"))
    assert own - base == pytest.approx(result["difference_to_best_peer"][0]["mean"])
    with pytest.raises(DataError, match="trained on coins"):
        judge(tmp_path / "policy", _log(1)[0], catalogue, peers=False)


def test_a_folder_that_is_no_movielens_is_refused(tmp_path: Path) -> None:
    """Nothing is trained before the data is read."""
    with pytest.raises(DataError, match="no MovieLens folder"):
        run(Source(movielens=tmp_path), tmp_path / "out.json")
