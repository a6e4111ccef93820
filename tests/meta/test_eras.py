"""Popularity by era against counts worked out by hand."""

from __future__ import annotations

import numpy as np
import torch

from meta import eras
from meta.spec import Spec

DAY = eras.DAY_MS
SPEC = Spec(items=2, features=0, eras=3)


def learnt() -> dict[str, np.ndarray]:
    """Item 0 liked twice on day 0, item 1 once on day 1 and once on day 2; unit gains."""
    item, day = np.asarray([0, 0, 1, 1]), np.asarray([0, 0, 1, 2])
    return eras.init(SPEC) | eras.fit(item, day * DAY, 2, 3) | {eras.GAIN: np.asarray([1.0, 0.5], np.float32)}


def test_an_era_knows_only_what_came_before_it() -> None:
    """Nothing on day 0; on day 1 both likes of item 0, decayed by an era; on day 2 item 1's first like as well."""
    level, fade = learnt()[eras.LEVEL], 0.5**0.25
    assert [0.0, 0.0] == level[0].tolist()
    np.testing.assert_allclose(level[1], [np.log1p(2 * fade), 0.0], rtol=1e-6)
    np.testing.assert_allclose(level[2], [np.log1p(2 * fade**2), np.log1p(fade)], rtol=1e-6)


def test_times_outside_the_log_belong_to_its_ends() -> None:
    """Before the log is the first era, long after it the last."""
    assert [0, 0, 1, 2, 2] == eras.place(learnt(), np.asarray([-5 * DAY, 0, DAY, 2 * DAY, 90 * DAY])).tolist()


def test_nobody_known_has_no_era() -> None:
    """Without an event the term is 0; with one it is level - half the total."""
    params = learnt()
    scores = eras.scores(params, np.asarray([0, 2 * DAY]), None)
    assert [0.0, 0.0] == scores[0].tolist()
    np.testing.assert_allclose(scores[1], params[eras.LEVEL][2] - 0.5 * np.log1p([2.0, 2.0]), rtol=1e-6)


def test_candidates_get_what_the_catalogue_gets() -> None:
    """Asking for some rows gives the same numbers."""
    latest, rows = np.asarray([DAY, 2 * DAY]), np.asarray([[1, 0, 1], [0, 1, 1]])
    whole = eras.scores(learnt(), latest, None)
    np.testing.assert_array_equal(np.take_along_axis(whole, rows, 1), eras.scores(learnt(), latest, rows))


def test_numpy_equals_torch() -> None:
    """Era and term agree on both backends."""
    params, latest = learnt(), np.asarray([0, DAY, 3 * DAY])
    tensors = {name: torch.from_numpy(value) for name, value in params.items()}
    era = eras.place(tensors, torch.from_numpy(latest))
    theirs = eras.term(tensors, tensors[eras.LEVEL][era], tensors[eras.TOTAL], torch.from_numpy(latest))
    np.testing.assert_allclose(eras.scores(params, latest, None), theirs.numpy(), rtol=1e-6)
