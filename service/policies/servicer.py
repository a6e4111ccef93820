"""The calls of service Policies: check, one call into the room, reply."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from protos.quickstudy.v1 import policies_pb2 as pb
from service.access.gate import Context, Gate
from service.errors import FixedPolicyError, InvalidFieldError, ServiceError, UnusablePolicyError
from service.interceptors import Handler, method_handler
from service.metrics import Metrics
from service.policies.library import Fixed, Library, is_version
from service.policies.lineup import Lineup, Standing
from service.policies.report import check_report
from service.policies.succession import Succession
from service.serving import Serving

if TYPE_CHECKING:
    from service.traces import Traces

SERVICE = "quickstudy.v1.Policies"
MAX_REPORT = 4 * 2**20


class PoliciesServicer:
    """The handlers of service Policies; each returns a serialized reply or raises a ServiceError.

    Args:
        serving: what serves.
        library: the versions that there are.
        succession: changes what serves; None: it is fixed.
        require: kind of report that an activation asks for, replay, simulate or any; "": none.
        gate: whom every call has to pass; None: nobody.
        traces: makes a span of each call; None: nobody wants them.
    """

    def __init__(
        self,
        serving: Serving,
        library: Library | Fixed,
        succession: Succession | None,
        require: str,
        metrics: Metrics,
        gate: Gate | None,
        traces: Traces | None,
    ) -> None:
        self._serving = serving
        self._library = library
        self._succession = succession
        self._require = require
        self._metrics = metrics
        self._gate = gate
        self._traces = traces

    def handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        """All methods, wrapped, as grpc.aio takes them."""
        calls: dict[str, tuple[Handler, Callable[[bytes], Any]]] = {
            "ListPolicies": (self.list_policies, pb.ListPoliciesRequest.FromString),
            "GetPolicy": (self.get_policy, pb.GetPolicyRequest.FromString),
            "ActivatePolicy": (self.activate_policy, pb.ActivatePolicyRequest.FromString),
            "RollBackPolicy": (self.roll_back_policy, pb.RollBackPolicyRequest.FromString),
        }
        around = partial(self._traces.around, SERVICE) if self._traces else None
        wrapped = {
            name: method_handler(name, call, parse, self._metrics, self._gate, around)
            for name, (call, parse) in calls.items()
        }
        return grpc.method_handlers_generic_handler(SERVICE, wrapped)

    async def list_policies(self, request: pb.ListPoliciesRequest, context: Context, tenant: str) -> bytes:
        """Shows the lineup and all versions."""
        known = await asyncio.to_thread(lambda: [self._about(version) for version in self._library.versions()])
        reply = pb.ListPoliciesResponse(lineup=_lineup(self._serving.now.lineup), policies=known)
        if self._succession is not None:
            at = self._succession.at
            reply.generation = at.generation
            if len(at.lineups) > 1:
                reply.before.CopyFrom(_lineup(at.lineups[1]))
        return reply.SerializeToString()

    async def get_policy(self, request: pb.GetPolicyRequest, context: Context, tenant: str) -> bytes:
        """Shows one version."""
        _check_version(request.version)
        about = await asyncio.to_thread(self._about, request.version)
        return pb.GetPolicyResponse(policy=about).SerializeToString()

    async def activate_policy(self, request: pb.ActivatePolicyRequest, context: Context, tenant: str) -> bytes:
        """Has a version serve."""
        _check_activation(request)

        async def change(succession: Succession) -> Standing:
            if self._require and not request.shadow:
                check_report(request.report, request.version, self._require)
            return await succession.activate(
                request.version,
                request.canary_share,
                request.shadow,
                other_features=request.other_features,
                generation=request.generation,
            )

        done = await self._changed("activated", change)
        return pb.ActivatePolicyResponse(lineup=_lineup(done.now), generation=done.generation).SerializeToString()

    async def roll_back_policy(self, request: pb.RollBackPolicyRequest, context: Context, tenant: str) -> bytes:
        """Undoes the last change."""
        done = await self._changed("rolled back", lambda succession: succession.roll_back(request.generation))
        return pb.RollBackPolicyResponse(lineup=_lineup(done.now), generation=done.generation).SerializeToString()

    async def _changed(self, outcome: str, change: Callable[[Succession], Any]) -> Standing:
        """Makes a change to its end, though the caller may be gone by then; counts what became of it."""
        try:
            if self._succession is None:
                raise FixedPolicyError(
                    "this service serves one fixed folder; start it with --policies instead of --policy to change it"
                )
            done: Standing = await asyncio.shield(asyncio.ensure_future(change(self._succession)))
        except ServiceError:
            self._metrics.activations.labels("refused").inc()
            raise
        self._metrics.activations.labels(outcome).inc()
        return done

    def _about(self, version: str) -> pb.Policy:
        """What is known of a version. Raises UnknownVersionError."""
        role = self._serving.now.lineup.role_of(version)
        about = pb.Policy(version=version, role=f"POLICY_ROLE_{role.upper()}")
        try:
            manifest, features = self._library.manifest(version)
        except UnusablePolicyError as error:
            about.problem = str(error)
            return about
        about.adapter, about.items = manifest.spec.adapter, manifest.spec.items
        about.temperature, about.git_revision = manifest.temperature, manifest.git_revision
        about.item_features.extend(features)
        about.user_attributes.extend(column.name for column in manifest.attributes)
        about.context.extend(column.name for column in manifest.context)
        about.metrics.update({name: float(value) for name, value in manifest.metrics.items()})
        about.trained_on = json.dumps(dict(manifest.trained_on), sort_keys=True)
        return about


def _lineup(told: Lineup) -> pb.Lineup:
    out = pb.Lineup(active=told.active, canary=told.canary, canary_share=told.share, shadow=told.shadow)
    out.time.FromMilliseconds(told.since_ms)
    return out


def _check_version(version: str) -> None:
    if not is_version(version):
        raise InvalidFieldError("version", f"must be 16 hexadecimal digits, got {version[:64]!r}")


def _check_activation(request: pb.ActivatePolicyRequest) -> None:
    """Raises InvalidFieldError for the first field that breaks a rule."""
    _check_version(request.version)
    if not math.isfinite(request.canary_share) or not 0 <= request.canary_share < 1:
        raise InvalidFieldError("canary_share", f"must be at least 0 and below 1, got {request.canary_share:g}")
    if request.shadow and request.canary_share:
        raise InvalidFieldError("shadow", "must not be given with a canary_share")
    if (size := len(request.report.encode())) > MAX_REPORT:
        raise InvalidFieldError("report", f"must have at most {MAX_REPORT:,} bytes, got {size:,}")
