"""The commands `quickstudy policies`: trained folders into a store of versions, and from there into service."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from meta.errors import InputError
from terminal import clear_errors, show_table

CALL_S = 120.0
"""Seconds that a call may take: a large version takes a while to load, from far away above all."""
policies = typer.Typer(help="Versions of the policy: which are there, and which serve.", no_args_is_help=True)

Version = Annotated[str, typer.Argument(help="16 hexadecimal digits, as `list` shows them; the first few will do.")]
Target = Annotated[str, typer.Option(help="host:port of the running service.", envvar="QUICKSTUDY_TARGET")]
Token = Annotated[
    str | None,
    typer.Option(help="Its token: read to look, admin to change.", envvar="QUICKSTUDY_TOKEN"),
]
Roots = Annotated[Path | None, typer.Option("--ca", help="PEM file of roots that the service's TLS is trusted by.")]
LOCAL = "127.0.0.1:50051"


@policies.command("add")
def add(
    folder: Annotated[Path, typer.Argument(help="Policy folder, as `quickstudy train` writes it.")],
    store: Annotated[
        str,
        typer.Option(
            "--policies", help="The store that services are started with.", envvar="QUICKSTUDY_POLICIES_STORE"
        ),
    ],
) -> None:
    """Put a trained folder into a store of versions, whole or not at all; prints its version."""
    with clear_errors():
        import tempfile

        from service.errors import ServiceError
        from service.policies.library import opened

        try:
            with tempfile.TemporaryDirectory() as cache:
                typer.echo(opened(store, Path(cache)).add(folder))
        except ServiceError as error:
            raise InputError(str(error)) from error


@policies.command("list")
def list_policies(target: Target = LOCAL, token: Token = None, ca: Roots = None) -> None:
    """What serves, what a rollback would put in its place, and all versions that there are."""
    with clear_errors():
        found = _listed(target, token, ca)
        typer.echo(f"serves: {_told(found.lineup)}" + (f", generation {found.generation}" if found.generation else ""))
        if found.HasField("before"):
            typer.echo(f"before: {_told(found.before)}")
        show_table("versions", [_row(policy) for policy in found.policies])


@policies.command("show")
def show(version: Version, target: Target = LOCAL, token: Token = None, ca: Roots = None) -> None:
    """What a version says of itself."""
    with clear_errors():
        from protos.quickstudy.v1 import policies_pb2 as pb

        request = pb.GetPolicyRequest(version=_whole(version, target, token, ca))
        policy = _call(target, token, ca, lambda stub: stub.GetPolicy, request).policy
        features = {"items": policy.item_features, "users": policy.user_attributes, "contexts": policy.context}
        rows = list(_row(policy).items())
        rows += [(f"reads of {noun}", ", ".join(names) or "nothing") for noun, names in features.items()]
        rows += [("trained on", policy.trained_on), ("by the code of", policy.git_revision or "unknown")]
        rows += [(name, f"{value:.4g}") for name, value in sorted(policy.metrics.items())]
        show_table(policy.version, [{"what": name, "is": value} for name, value in rows])


@policies.command("activate")
def activate(
    version: Version,
    canary: Annotated[float, typer.Option(help="Share of users that it serves; 0: everybody.", min=0, max=1)] = 0.0,
    shadow: Annotated[bool, typer.Option("--shadow", help="It ranks behind the replies, for the log only.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Passed report of `replay --json` or `simulate --json`, where one is asked for.")
    ] = None,
    other_features: Annotated[
        bool, typer.Option("--other-features", help="Though it reads other features than what serves.")
    ] = False,
    target: Target = LOCAL,
    token: Token = None,
    ca: Roots = None,
) -> None:
    """Have a version serve: everybody, a share of the users, or nobody but the log."""
    with clear_errors():
        from protos.quickstudy.v1 import policies_pb2 as pb

        request = pb.ActivatePolicyRequest(
            version=_whole(version, target, token, ca),
            canary_share=canary,
            shadow=shadow,
            report=_read(report) if report else "",
            other_features=other_features,
        )
        _tell(_call(target, token, ca, lambda stub: stub.ActivatePolicy, request))


@policies.command("rollback")
def rollback(target: Target = LOCAL, token: Token = None, ca: Roots = None) -> None:
    """Undo the last change of what serves."""
    with clear_errors():
        from protos.quickstudy.v1 import policies_pb2 as pb

        request = pb.RollBackPolicyRequest(generation=_listed(target, token, ca).generation)
        _tell(_call(target, token, ca, lambda stub: stub.RollBackPolicy, request))


def _listed(target: str, token: str | None, ca: Path | None) -> Any:
    from protos.quickstudy.v1 import policies_pb2 as pb

    return _call(target, token, ca, lambda stub: stub.ListPolicies, pb.ListPoliciesRequest())


def _whole(start: str, target: str, token: str | None, ca: Path | None) -> str:
    """The one version that begins so. Raises InputError."""
    known = [policy.version for policy in _listed(target, token, ca).policies]
    found = [version for version in known if version.startswith(start)]
    if len(found) != 1:
        raise InputError(f"{start!r} must begin one version, it begins {len(found)} of: {', '.join(known)}")
    return str(found[0])


def _call(target: str, token: str | None, ca: Path | None, method: Callable[[Any], Any], request: Any) -> Any:
    """A reply of the service; what it refuses is told in its own words. Nothing is tried again."""
    import grpc

    from protos.quickstudy.v1.policies_pb2_grpc import PoliciesStub
    from service.access.credentials import of_caller

    trusted = of_caller(ca)
    channel = grpc.insecure_channel(target) if trusted is None else grpc.secure_channel(target, trusted)
    with channel:
        metadata = None if token is None else (("authorization", f"Bearer {token}"),)
        try:
            return method(PoliciesStub(channel))(request, timeout=CALL_S, metadata=metadata)  # type: ignore[no-untyped-call] # generated
        except grpc.RpcError as error:
            told: Any = error  # every error of a call is a call
            raise InputError(f"{target} answers {told.code().name}: {told.details()}") from error


def _read(report: Path) -> str:
    try:
        return report.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {report}: {error}") from error


def _tell(done: Any) -> None:
    typer.echo(
        f"serves: {_told(done.lineup)}, generation {done.generation}; all workers and replicas follow within 2 s"
    )


def _told(lineup: Any) -> str:
    """A lineup in one line."""
    since = datetime.fromtimestamp(lineup.time.seconds, UTC)
    canary = f", canary {lineup.canary} to {lineup.canary_share:.1%} of users" if lineup.canary else ""
    shadow = f", shadow {lineup.shadow}" if lineup.shadow else ""
    return f"{lineup.active}{canary}{shadow}" + (f", since {since:%Y-%m-%d %H:%M} UTC" if lineup.time.seconds else "")


def _row(policy: Any) -> dict[str, str]:
    """A version in one row."""
    from protos.quickstudy.v1 import policies_pb2 as pb

    role = pb.PolicyRole.Name(policy.role).removeprefix("POLICY_ROLE_").lower()
    if policy.problem:
        return {"version": policy.version, "role": role, "adapter": policy.problem, "items": "", "temperature": ""}
    numbers = {"items": f"{policy.items:,}", "temperature": f"{policy.temperature:g}"}
    return {"version": policy.version, "role": role, "adapter": policy.adapter, **numbers}
