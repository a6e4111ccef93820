"""The commands of `quickstudy bench`: each makes one call into one benchmark, keeps the result and prints it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from terminal import (
    Interactions,
    Items,
    MovieLens,
    Policy,
    Seed,
    Users,
    clear_errors,
    keep,
    show_claims,
    show_result,
    show_table,
)

bench = typer.Typer(help="Measure; each benchmark writes benchmarks/results/NAME.json.", no_args_is_help=True)


@bench.command("demo")
def bench_demo(seed: Seed = 0) -> None:
    """The demo from scratch, kept as a result."""
    with clear_errors(), tempfile.TemporaryDirectory() as out:
        from benchmarks import demo as story
        from benchmarks.report import RESULTS

        result = story.run(Path(out), users=200, retrain=True, seed=seed, command="quickstudy bench demo")
        keep(RESULTS / "demo.json", result)
        shutil.copyfile(Path(out) / "curve.png", RESULTS / "demo.png")
        show_claims(result)


@bench.command("serve")
def bench_serve(policy: Policy) -> None:
    """Throughput and latency of Recommend beside a bare gRPC echo of the same messages."""
    with clear_errors():
        from benchmarks import serve as measure
        from benchmarks import serve_picture
        from benchmarks.report import RESULTS

        result = measure.run(policy, RESULTS / "serve.json")
        serve_picture.draw(result, RESULTS / "serve.png")
        show_claims(result)


@bench.command("workers")
def bench_workers(policy: Policy, out: Annotated[Path | None, typer.Option(help="JSON file.")] = None) -> None:
    """Two workers beside one: throughput and CPU a call, and what is noticed of one that is killed."""
    with clear_errors():
        from benchmarks import workers as measure
        from benchmarks.report import RESULTS

        result = measure.run(policy, out or RESULTS / "workers.json")
        for each in result["missing"]:
            typer.echo(f"missing: {each['what']}: {each['why']}")
        show_result(result)


@bench.command("coldstart")
def bench_coldstart(
    interactions: Interactions = None,
    items: Items = None,
    users: Users = None,
    movielens: MovieLens = None,
    folds: Annotated[int, typer.Option(help="User splits; every user is judged once.", min=2)] = 6,
    seed: Annotated[int, typer.Option(help="Deals the users out.", min=0)] = 601,
    adapters: Annotated[str, typer.Option(help="Names joined by commas beside the default one, or all.")] = "all",
    out: Annotated[Path | None, typer.Option(help="JSON file; the picture goes beside it.")] = None,
) -> None:
    """Every adapter beside tuned peers on user splits that no setting was chosen on."""
    with clear_errors():
        from benchmarks import coldstart as measure
        from benchmarks import curve
        from benchmarks.report import RESULTS

        path = out or RESULTS / "coldstart.json"
        chosen = () if adapters == "all" else adapters.split(",")
        source = measure.Source(movielens, interactions, items, users)
        result = measure.run(source, path, seed=seed, folds=folds, adapters=chosen, tell=typer.echo)
        show_table(f"NDCG@10 of {result['users']} users never seen, by events", result["rows"])
        show_table("beside it", result["beside"])
        curve.draw(result, path.with_suffix(".png"))
        show_claims(result)


@bench.command("control")
def bench_control() -> None:
    """The same adapters on cart-poles and mazes beside a DQN trained on the single task, after 0, 1, 2, 5 episodes."""
    with clear_errors():
        from benchmarks import control as measure
        from benchmarks.report import RESULTS

        result = measure.run(RESULTS / "control.json", RESULTS / "control.png")
        show_table("return of the next episode after so many episodes of a task", measure.printable(result))
        show_claims(result)


@bench.command("simulators")
def bench_simulators(
    movielens: MovieLens = None,
    share: Annotated[float, typer.Option(help="Share of users and trainings, to try it out.", min=0.01, max=1.0)] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Of the users who judge.", min=0)] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file; the picture goes beside it.")] = None,
) -> None:
    """All simulated worlds beside all agents, policies trained anew; about 20 minutes on two cores."""
    with clear_errors():
        from benchmarks import simulators as measure
        from benchmarks.report import RESULTS
        from benchmarks.simulator_findings import printable

        path = out or RESULTS / "simulators.json"
        seed = measure.TEST_SEED if seed is None else seed
        result = measure.ask(
            path, path.with_suffix(".png"), movielens=movielens, share=share, seed=seed, tell=typer.echo
        )
        for world, rows in printable(result).items():
            show_table(world, rows)
        for each in result["missing"]:
            typer.echo(f"missing: {each['what']}: {each['why']}")
        show_claims(result)


@bench.command("metastep")
def bench_metastep() -> None:
    """One meta-step over 32 tasks beside higher, torchopt, torch.func.vmap and a loop, with the same gradients."""
    with clear_errors():
        from benchmarks import metastep as measure

        show_result(measure.run())


@bench.command("adapt")
def bench_adapt() -> None:
    """What one user's adaptation costs, by adapter and number of events, and how large the stored copy is."""
    with clear_errors():
        from benchmarks import adapt as measure

        show_result(measure.run())


@bench.command("scale")
def bench_scale(
    quick: Annotated[bool, typer.Option("--quick/--full", help="Up to 100,000 items and users only.")] = False,
    out: Annotated[Path | None, typer.Option(help="JSON file; the picture goes beside it.")] = None,
) -> None:
    """Catalogues, histories and crowds by their size, on a real server and store; about 8 minutes in full."""
    with clear_errors():
        from benchmarks import scale as measure
        from benchmarks import scale_picture
        from benchmarks.report import RESULTS

        path = out or RESULTS / "scale.json"
        result = measure.run(path, quick=quick, tell=typer.echo)
        scale_picture.draw(result, path.with_suffix(".png"))
        for name, rows in measure.printable(result).items():
            show_table(name, rows)
        show_claims(result)


@bench.command("train")
def bench_train(movielens: Annotated[Path, typer.Option(help="A MovieLens folder.")]) -> None:
    """What training costs by items, users and events, and from end to end."""
    with clear_errors():
        from benchmarks import train as measure
        from benchmarks.report import RESULTS

        result = measure.run(movielens)
        measure.draw(result, RESULTS / "train.png")
        show_table("CPU milliseconds a step", result["rows"])
        show_claims(result)


@bench.command("coat")
def bench_coat(
    coat: Annotated[Path, typer.Option(help="A folder of Coat: train.ascii, test.ascii and features.")],
    seed: Annotated[int, typer.Option(help="Deals the users out.", min=0)] = 601,
    out: Annotated[Path | None, typer.Option(help="JSON file.")] = None,
) -> None:
    """Rewards of randomly drawn items, predicted from ratings of items that users picked."""
    with clear_errors():
        from benchmarks import coat as measure
        from benchmarks.report import RESULTS

        result = measure.run(coat, out or RESULTS / "coat.json", seed=seed, tell=typer.echo)
        show_table(f"NDCG@10 of {result['users']} users never seen, by ratings", result["rows"])
        show_claims(result)


@bench.command("fuzz")
def bench_fuzz(
    calls: Annotated[int, typer.Option(help="Fuzzed calls.", min=100)] = 1_000_000,
    connections: Annotated[int, typer.Option(help="Hostile connections.", min=100)] = 100_000,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="JSON file.")] = None,
) -> None:
    """A million calls and a hundred thousand connections that nobody should make; about 6 minutes on two cores."""
    with clear_errors():
        from benchmarks import fuzz as measure
        from benchmarks.report import RESULTS

        path = out or RESULTS / "fuzz.json"
        show_claims(measure.run(path, calls=calls, connections=connections, seed=seed, tell=typer.echo))


@bench.command("soak")
def bench_soak(
    requests: Annotated[int, typer.Option(help="Requests.", min=1_000)] = 200_000,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="JSON file.")] = None,
) -> None:
    """Latency and memory of the last tenth of 200,000 mixed requests beside the first; about 5 minutes."""
    with clear_errors():
        from benchmarks import soak as measure
        from benchmarks.report import RESULTS

        result = measure.run(out or RESULTS / "soak.json", requests=requests, seed=seed, tell=typer.echo)
        show_table("latency of requests", result["rows"])
        show_claims(result)


@bench.command("faults")
def bench_faults(
    seconds: Annotated[float, typer.Option(help="How long the store is away, each time.", min=1.0)] = 15.0,
    overload: Annotated[float, typer.Option(help="How long twice the load lasts, seconds.", min=1.0)] = 60.0,
    out: Annotated[Path | None, typer.Option(help="JSON file.")] = None,
) -> None:
    """Kills, pauses, fills and overloads, and counts what was acknowledged before and after; about 5 minutes."""
    with clear_errors():
        from benchmarks import faults as measure
        from benchmarks.report import RESULTS

        path = out or RESULTS / "faults.json"
        show_claims(measure.run(path, seconds=seconds, overload_s=overload, tell=typer.echo))


@bench.command("replay")
def bench_replay(
    obd: Annotated[Path | None, typer.Option(help="Folder of the Open Bandit samples.")] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy folder that serves while versions are changed.")] = None,
    other: Annotated[Path | None, typer.Option(help="Another one of the same items, which comes and goes.")] = None,
    logs: Annotated[int, typer.Option(help="Simulated logs a question.", min=2)] = 200,
    decisions: Annotated[int, typer.Option(help="Of the log that is timed.", min=1_000)] = 1_000_000,
    out: Annotated[Path | None, typer.Option(help="JSON file; the picture goes beside it.")] = None,
) -> None:
    """Estimates, intervals and verdicts from logs beside the truth, beside obp, and what they cost."""
    with clear_errors():
        from benchmarks import replay as measure
        from benchmarks.report import RESULTS

        path = out or RESULTS / "replay.json"
        result = measure.run(obd, path, policies=(policy, other), logs=logs, decisions=decisions, tell=typer.echo)
        measure.draw(result, path.with_suffix(".png"))
        for name, rows in measure.printable(result).items():
            show_table(name, rows)
        show_claims(result)


@bench.command("report")
def bench_report() -> None:
    """Writes docs/results.md from the committed results."""
    with clear_errors():
        from benchmarks import results_table

        results_table.PAGE.parent.mkdir(exist_ok=True)
        results_table.PAGE.write_text(results_table.page())
        typer.echo("docs/results.md written")
