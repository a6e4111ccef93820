"""From files to arrays: joins, repeats and bad rows."""

from pathlib import Path
from typing import Any

import numpy as np

from replay import log
from replay.decisions import Log
from replay.reading import RULES, read
from tests.replay.logs import START_MS, decisions, events


def written(folder: Path, shown: dict[str, list[Any]], happened: dict[str, list[Any]], **how: Any) -> Log:
    """A log of one file each, as it is read."""
    log.write(folder / "decisions-1.parquet", "decisions", shown)
    log.write(folder / "events-1.parquet", "events", happened)
    return read(folder, **how)


def test_rewards_find_their_decision_and_position(tmp_path: Path) -> None:
    """By the item that is shown, whatever position the event names; other positions have the default."""
    found = written(tmp_path, decisions(2), events(1, position=[1]), default=-0.5)
    np.testing.assert_array_equal([[-0.5, 1.0], [-0.5, -0.5]], found.decisions.reward)


def test_a_reward_after_the_window_does_not_count(tmp_path: Path) -> None:
    """The window begins with the decision and is closed at its end."""
    shown, happened = decisions(3), events(3, time=[START_MS + 400, START_MS + 1401, START_MS + 1999])
    found = written(tmp_path, shown, happened, window_ms=400)
    assert [1.0, 0.0, 0.0] == found.decisions.reward[:, 1].tolist()


def test_an_event_of_another_user_is_no_reward(tmp_path: Path) -> None:
    """Decisions of two users may have one id."""
    shown = decisions(2, users=2, decision_id=["d", "d"])
    found = written(tmp_path, shown, events(1, user=["u1"], decision_id=["d"], time=[START_MS + 1500]))
    assert [0.0, 1.0] == found.decisions.reward[:, 1].tolist()


def test_a_decision_of_an_unknown_user_gets_its_reward(tmp_path: Path) -> None:
    """From the event that names it, in whichever part its user is; the event stays in that user's history, once."""
    shown = decisions(4, user=["unknown-d0", "u", "unknown-d2", "u"])
    found = written(tmp_path, shown, events(3, user=["u"] * 3))
    assert [1.0, 1.0, 1.0, 0.0] == found.decisions.reward[np.argsort(found.decisions.time_ms), 1].tolist()
    assert ([0, 0, 1, 3], 3) == (sorted(found.decisions.seen), len(found.recorded.user))
    parts = [read(tmp_path, part, 3) for part in range(3)]
    assert (3.0, 3) == (
        sum(part.decisions.reward.sum() for part in parts), sum(len(part.recorded.user) for part in parts)
    )  # fmt: skip


def test_what_comes_again_counts_once(tmp_path: Path) -> None:
    """Export is at least once: a file twice changes nothing but the count of repeats."""
    log.write(tmp_path / "decisions-0.parquet", "decisions", decisions(2))
    log.write(tmp_path / "events-0.parquet", "events", events(2))
    found = written(tmp_path, decisions(2), events(2))
    assert (2, 2, 4) == (len(found.decisions), len(found.recorded.user), found.repeated)
    assert 1.0 == found.decisions.reward[0, 1]


def test_deferred_decisions_count_once_they_were_shown(tmp_path: Path) -> None:
    """Activated at once, by a later row, or never."""
    shown = decisions(3, deferred=[True] * 3, activated=[True, False, False])
    news = decisions(1, decision_id=["d1"], activated=[True], slate=[[]], propensities=[[]], candidates=[[]])
    log.write(tmp_path / "decisions-2.parquet", "decisions", news)
    found = written(tmp_path, shown, events(1))
    assert [START_MS, START_MS + 1000] == found.decisions.time_ms.tolist()
    assert (1, 0) == (found.not_shown, found.bad.total)


def test_a_decision_knows_what_was_recorded_before_it(tmp_path: Path) -> None:
    """However early it happened."""
    happened = events(3, time=[START_MS] * 3, recorded=[START_MS + 500, START_MS + 1500, START_MS + 9999])
    found = written(tmp_path, decisions(3), happened)
    assert [0, 1, 2] == found.decisions.seen.tolist()


def test_bad_rows_are_counted_and_shown(tmp_path: Path) -> None:
    """By the first rule they break, with examples; the others are read."""
    shown = decisions(
        6,
        propensities=[[0.5, 0.25], [0.0, 0.2], [0.5], [1.5, 0.1], [0.5, 0.5], [0.5, 0.5]],
        slate=[["b", "a"], ["b", "a"], ["b", "a"], ["b", "a"], ["a", "a"], ["b", "z"]],
    )
    found = written(tmp_path, shown, events(2, reward=[1.0, float("nan")]))
    wanted = {
        RULES["uneven"]: 1,
        RULES["repeated"]: 1,
        RULES["propensity"]: 2,
        RULES["foreign"]: 1,
        RULES["reward"]: 1,
    }
    assert wanted == found.bad.count
    assert "'decision_id': 'd2'" in found.bad.sample[RULES["uneven"]][0]
    assert 1 == len(found.decisions)


def test_parts_hold_every_user_whole(tmp_path: Path) -> None:
    """All parts together are the log."""
    whole = written(tmp_path, decisions(40, users=10), events(40, users=10))
    pieces = [read(tmp_path, part, 3) for part in range(3)]
    assert len(whole.decisions) == sum(len(piece.decisions) for piece in pieces)
    assert sorted(whole.decisions.time_ms) == sorted(t for piece in pieces for t in piece.decisions.time_ms)
    assert 10 == sum(piece.users for piece in pieces)
    assert whole.decisions.reward.sum() == sum(piece.decisions.reward.sum() for piece in pieces)
