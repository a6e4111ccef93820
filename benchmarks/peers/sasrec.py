"""SASRec (Kang & McAuley 2018) of the library `rectools`, which runs in an environment of its own: `make peers-env`."""

from __future__ import annotations

import json
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.group import Group
from meta.coldstart import Scorer
from meta.types import Context, Events, FloatArray

PYTHON = Path(__file__).parents[2] / ".venv-peers" / "bin" / "python"


def available() -> bool:
    """Whether the environment has been made."""
    return PYTHON.is_file()


SESSION = 50
"""Events in a row that the model sees; longer histories are cut, so that all of them are learnt from."""
LEAST = 3
"""Likes that an item needs to have an embedding."""


def sasrec(group: Group, *, likes_only: bool, **settings: Any) -> Scorer:
    """Score by the similarity of the session and the items.

    Args:
        group: whose events are learnt.
        likes_only: whether events that were not liked are left out, in training and when asked.
        settings: arguments of `rectools.models.SASRecModel`.
    """
    log = group.log
    at = log.events_of(group.users)
    known = log.positives(group.users) >= LEAST
    use = ((log.reward[at] > 0) | (not likes_only)) & known[log.item[at]]
    place = np.arange(len(at)) - np.repeat(np.cumsum(log.lengths[group.users]), log.lengths[group.users])
    session = np.repeat(np.arange(len(group.users)), log.lengths[group.users]) * len(at) - place // SESSION
    settings |= {"session_max_len": SESSION, "n_heads": 1, "n_blocks": 1, "batch_size": 64}
    worker = _Worker()
    worker.ask(user=session[use], item=log.item[at][use], order=np.flatnonzero(use), settings=json.dumps(settings))

    def score(events: Events, context: Context) -> FloatArray:
        user, event = np.nonzero(events.mask & ((events.reward > 0) | (not likes_only)))
        worker.ask(user=user, item=events.item[user, event], order=event, users=events.users, items=log.items)
        return worker.answer()

    return score


class _Worker:
    """The child process; it ends with the scorer that holds it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._errors = Path(self._folder.name, "errors.txt")
        with self._errors.open("w") as errors:
            self._child = subprocess.Popen(
                [PYTHON, Path(__file__).with_name("sasrec_worker.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=errors, text=True, cwd=self._folder.name,
            )  # fmt: skip
        weakref.finalize(self, _end, self._child, self._folder)

    def ask(self, **arrays: Any) -> None:
        """Hands arrays over and waits until they are dealt with; RuntimeError with the child's last words."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        np.savez(self._path("asked.npz"), **arrays)
        self._child.stdin.write(f"{self._path('asked.npz')}\t{self._path('answer.npy')}\n")
        self._child.stdin.flush()
        if self._child.stdout.readline() != "done\n":
            raise RuntimeError(f"the SASRec process ended: {self._errors.read_text()[-500:]}")

    def answer(self) -> FloatArray:
        """The scores of the latest question."""
        scores: FloatArray = np.load(self._path("answer.npy"))
        return scores

    def _path(self, name: str) -> Path:
        return Path(self._folder.name, name)


def _end(child: subprocess.Popen[str], folder: tempfile.TemporaryDirectory[str]) -> None:
    child.communicate()  # closes the input, and waits
    folder.cleanup()
