"""What the benchmark of training is made of: its synthetic log, its ratios, its picture."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the extra `bench`")

from benchmarks.train import draw, synthetic, worst


def test_the_synthetic_log_follows_zipf() -> None:
    """Every user has as many events, in time order; the most frequent tenth of the items has most of them."""
    log, catalogue = synthetic(1000, np.random.default_rng(0), users=50, each=40)
    assert (50, 2000, 1000) == (len(log.users), len(log.item), len(catalogue))
    assert (np.diff(log.time_ms.reshape(50, 40), axis=1) > 0).all()
    times = np.sort(np.bincount(log.item, minlength=1000))[::-1]
    assert times[:100].sum() > times[100:].sum()


def test_the_worst_ratio_is_that_of_neighbours() -> None:
    """1, 2 and 3 seconds: twice, then one and a half times."""
    assert 2.0 == worst({10: 1.0, 20: 2.0, 40: 3.0})


def test_the_picture_has_a_panel_an_axis(tmp_path: Path) -> None:
    """A PNG is written, whatever the axes."""
    rows = [{"axis": axis, "value": n, "milliseconds a step": 2.0 * n} for axis in ("items", "users") for n in (1, 10)]
    draw({"rows": rows}, tmp_path / "new" / "train.png")
    assert b"\x89PNG" == (tmp_path / "new" / "train.png").read_bytes()[:4]
