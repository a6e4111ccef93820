"""All simulated worlds beside all agents: policies are trained, and then everybody meets the same new users.

No setting was chosen on the users of `TEST_SEED`, and training meets others. Two processes work through
`simulator_questions.QUESTIONS`; the service and the speed of a world are measured after them, alone on the machine.
Intervals are those of `simulators.intervals`: over users, and over trainings where there are several.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import jobs
from benchmarks.jobs import Job
from benchmarks.processes import service
from benchmarks.simulator_findings import FROZEN, Findings, Part, told
from benchmarks.simulator_questions import DEFAULT, QUESTIONS, Question, Recipe
from meta.policy import Policy
from service.client.crowd import Crowd
from simulators import agents, picture
from simulators.agents.policy import PolicyAgent
from simulators.agents.served import ServedAgent
from simulators.drifting_taste import DriftingTaste
from simulators.run import meet

TEST_SEED = 20_261_130
PROCESSES = 2
SECONDS = 18.0 * 60.0
"""After which no job starts any more, so that the last ones and the service end within 20 minutes."""
BATCH = 64
"""Users met at once in training."""
CROWD = 4_096
"""Users of a batch whose steps are timed."""


def ask(
    path: Path,
    png: Path,
    *,
    movielens: Path | None = None,
    share: float = 1.0,
    seed: int = TEST_SEED,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Train, meet, measure; writes the result and its picture, and what is known so far beside them until then.

    Args:
        path: JSON file of the result.
        png: picture, one panel a world.
        movielens: log of the world `fitted`; None: it is missing.
        share: of users and trainings, to try the report out.
        seed: of the users who judge.
        tell: hears of every job that ended.
    """
    began, found = (
        time.monotonic(),
        Findings([replace(question.share(share), log=str(movielens or "")) for question in QUESTIONS]),
    )
    found.speed = speed()  # first: later the threads of gRPC would be counted too
    tell(f"drifting_taste steps {found.speed:,.0f} users a second")
    partial = path.with_suffix(".partial.json")
    with tempfile.TemporaryDirectory() as scratch:
        todo = plan(found.questions, Path(scratch), seed)
        count = len(todo) + sum(len(job.then) for job in todo)
        for number, done in enumerate(jobs.run(todo, processes=PROCESSES, seconds=SECONDS), 1):
            for part in done.result or ():
                found.parts.append(part)
            if done.failure:
                found.missing.append({"what": done.job.name, "why": done.failure})
            says = done.failure or ", ".join(map(str, done.result or ()))
            tell(f"{number}/{count} at {(time.monotonic() - began) / 60:.1f} min, {done.job.name}: {says}")
            partial.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(told(found, share, seed)) + "\n")
        for question in found.questions:
            if question.served:
                _serve(question, Path(scratch), seed, found, tell)
    tell(f"all in {(time.monotonic() - began) / 60:.1f} min")
    result = told(found, share, seed)
    path.write_text(json.dumps(result, indent=1) + "\n")
    with suppress(FileNotFoundError):
        partial.unlink()
    panels = {question.world: list(found.earned(question).values()) for question in found.questions}
    picture.draw({world: earned for world, earned in panels.items() if earned}, png)
    return result


def plan(questions: Sequence[Question], scratch: Path, seed: int) -> list[Job[list[Part]]]:
    """The jobs of all questions: trainings, each before the other worlds that its policy is met in, and the rest."""
    todo: list[Job[list[Part]]] = []
    for question in questions:
        others = [other for other in questions if other.trained_in == question.world]
        for recipe in question.recipes:
            for which in recipe.seeds:
                out = folder(scratch, question.world, recipe.name, which)
                then = tuple(
                    Job(f"{other.world}, {recipe.name} {which}", judge, (other, recipe.name, which, out, seed))
                    for other in others
                )
                name = f"{question.world}, {recipe.name} {which}"
                todo.append(Job(name, learn, (question, recipe, which, out, seed), then))
        todo.append(Job(f"{question.world}, the others", compare, (question, seed)))
    return sorted(todo, key=lambda job: job.call is learn and job.arguments[1].last)


def learn(question: Question, recipe: Recipe, seed: int, out: Path, test_seed: int) -> list[Part]:
    """Train one policy, and let new users meet it."""
    import torch

    from meta.trainer import worlds
    from meta.trainer.budget import Budget

    torch.set_num_threads(1)
    settings, world = worlds.Settings(**recipe.settings), question.among(BATCH, "met")
    iterations, prices = (ceil(recipe.share * count) for count in (settings.iterations, settings.prices))
    settings = replace(settings, iterations=iterations, prices=prices)
    budget, began = Budget(recipe.minutes), time.process_time()
    training = worlds.train(world, out, adapter=recipe.adapter, seed=seed, settings=settings, budget=budget)
    iterations = sum(1 for _ in training)
    seconds = time.process_time() - began
    return [
        replace(part, seconds=seconds, iterations=iterations)
        for part in judge(question, recipe.name, seed, out, test_seed)
    ]


def judge(question: Question, name: str, seed: int, policy: Path, test_seed: int) -> list[Part]:
    """Let new users meet a policy, the default one without adaptation too."""
    loaded = Policy.load(policy)
    who = [PolicyAgent(loaded, name=name)]
    if name == DEFAULT:
        who.append(PolicyAgent(loaded, name=FROZEN, frozen=True))
    world = question.among(question.users)
    return [Part(question.world, meet(world, [agent], [test_seed]), seed=seed) for agent in who]


def compare(question: Question, test_seed: int) -> list[Part]:
    """Let new users meet everyone whom a policy is compared with."""
    world = question.among(question.users)
    return [Part(question.world, meet(world, [agent], [test_seed])) for agent in agents.beside(world)]


def folder(scratch: Path, world: str, recipe: str, seed: int) -> Path:
    """Where a policy is kept until the end."""
    return scratch / f"{world}-{recipe.replace(' ', '-').replace(',', '')}-{seed}"


def _serve(question: Question, scratch: Path, seed: int, found: Findings, tell: Callable[[str], None]) -> None:
    """Let users meet the first default policy through the service and in process."""
    policy, name = folder(scratch, question.world, DEFAULT, 0), f"{question.world}, {DEFAULT} 0 through gRPC"
    try:
        world = question.among(question.served)
        inside = meet(world, [PolicyAgent(Policy.load(policy))], [seed])
        with service(policy) as running, Crowd(running.address, "bench") as crowd:
            began = time.perf_counter()
            through = meet(world, [ServedAgent(crowd)], [seed])
            rate = through.reward.size / (time.perf_counter() - began)
    except Exception as error:  # whatever it was, the other rows are not lost with it
        found.missing.append({"what": name, "why": f"{type(error).__name__}: {error}"})
        tell(f"{name}: {error}")
        return
    found.served[question.world] = through, inside, rate
    tell(f"{name}: {through.overall.value:.4f}, in process {inside.overall.value:.4f}, {rate:,.0f} user-steps a second")


def speed(steps: int = 20) -> float:
    """User-steps a second of one processor: `drifting_taste`, 4,096 users, random slates that were drawn before."""
    world, rng = DriftingTaste(CROWD, steps=steps), np.random.default_rng(0)
    slates = rng.random((steps, CROWD, world.candidates)).argpartition(world.slate_size)[..., : world.slate_size]
    taken = []
    for _ in range(5):
        world.reset(seed=0)
        began = time.process_time()
        for slate in slates:
            world.step(slate)
        taken.append(time.process_time() - began)
    return steps * CROWD / float(np.median(taken))
