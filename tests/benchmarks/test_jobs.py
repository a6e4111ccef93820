"""Jobs in processes of their own: order, failures and time."""

from __future__ import annotations

import math

from benchmarks.jobs import Done, Job, run


def test_a_failure_is_told_with_those_who_waited_and_loses_nobody_else() -> None:
    """The root of -1 fails, and the job that waited for it with it; the root of 4 is 2 and lets its follower run."""
    jobs = [
        Job("bad", math.sqrt, (-1.0,), (Job("after bad", math.sqrt, (9.0,)),)),
        Job("good", math.sqrt, (4.0,), (Job("after good", math.sqrt, (9.0,)),)),
    ]
    done = {each.job.name: each for each in run(jobs, processes=1, seconds=60.0)}
    assert {"bad", "after bad", "good", "after good"} == done.keys()
    assert (None, "ValueError: math domain error") == (done["bad"].result, done["bad"].failure)
    assert (None, "bad failed") == (done["after bad"].result, done["after bad"].failure)
    assert (2.0, "", 3.0) == (done["good"].result, done["good"].failure, done["after good"].result)


def test_followers_come_before_the_next_job() -> None:
    """What waits for a job is as important as it."""
    jobs = [Job("first", math.sqrt, (1.0,), (Job("its own", math.sqrt, (1.0,)),)), Job("second", math.sqrt, (1.0,))]
    assert ["first", "its own", "second"] == [each.job.name for each in run(jobs, processes=1, seconds=60.0)]


def test_what_there_is_no_time_for_is_told() -> None:
    """Without time nothing starts, and every job says so."""
    job = Job("late", math.sqrt, (4.0,))
    assert [Done(job, None, "there was no time left")] == list(run([job], processes=1, seconds=0.0))
