"""The process of a replay: `python -m service.evaluation.child FOLDER`, as `process` starts it.

Its job is the first line of stdin, which stays open: its end is the end of the service. On stdout it tells how far it
is, a JSON object a line, the last of which says whether there is a result. The server imports none of this.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

from meta.errors import InputError
from service.evaluation.job import EXPORTING, REPORT, RESULT, Job, Source

APART_S = 0.25
"""Between two tellings of one phase, seconds."""


def main(folder: Path) -> None:
    """Does the job of stdin in a folder, and waits to be ended."""
    job = Job.of(sys.stdin.readline())
    watch = Thread(target=_end_with_service, args=(folder,), daemon=True)
    watch.start()
    try:
        _run(job, folder)
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        _say(refused="a replay needs pyarrow beside the service; install quickstudy[export] there")
    except InputError as error:
        _say(refused=str(error))
    except BrokenPipeError:
        pass  # nobody hears it any more
    else:
        _say(finished=True)
    watch.join()


def _run(job: Job, folder: Path) -> None:
    from replay import page, reading

    tell, question = Teller(), job.question
    os.chdir(job.root)  # so that errors call the log by its name
    lost = 0 if job.source is None else _export(job.source, Path(job.log), tell)
    contenders = question.contenders()
    for name, each in zip(question.policies, contenders, strict=False):
        if each.policy.version != name:
            raise InputError(f"the folder of version {name} holds {each.policy.version} now; it was changed meanwhile")
    parts = reading.in_parts(Path(job.log), question.reward_window_s, question.default_reward)
    result = question.answer(contenders, job.log, parts, tell)
    result["log"]["lost"] = lost
    (folder / RESULT).write_text(json.dumps(result, indent=1) + "\n")
    if job.report:
        (folder / REPORT).write_text(page.page(result), encoding="utf-8")


def _export(source: Source, out: Path, tell: Teller) -> int:
    """Copies the log of a tenant, and leaves it as it is; returns how many entries had left it before."""
    from redis import Redis

    from replay.rewards import Rewards
    from service.export import export

    rewards = Rewards(source.window_s, source.default)
    tell(EXPORTING, 0, 0)
    with Redis.from_url(source.redis) as redis:
        for done in export(
            redis, out, prefix=source.prefix, tenant=source.tenant, shards=source.shards, rewards=rewards
        ):
            rows = done.decisions + done.events + done.activations
            tell(EXPORTING, rows, rows + done.left)
    if not done.decisions:
        raise InputError("the service's log must hold a decision, got none; ask for recommendations first")
    return done.lost


class Teller:
    """Tells how far the job is: every phase, and in it not too often."""

    def __init__(self) -> None:
        self._phase, self._next = "", 0.0

    def __call__(self, phase: str, done: int, total: int) -> None:
        """As `replay.question.Tell`."""
        now = monotonic()
        if phase != self._phase or done == total or now >= self._next:
            self._phase, self._next = phase, now + APART_S
            _say(phase=phase, done=done, total=total)


def _say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def _end_with_service(folder: Path) -> None:
    """Waits for the end of the service, and cleans up where that could not."""
    with suppress(OSError):  # it ended with something left to read
        sys.stdin.read()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
