"""What the contract says of itself: every method, found by its descriptors, so that none can be forgotten."""

from __future__ import annotations

import importlib
import pkgutil

from google.protobuf.descriptor import MethodDescriptor

import protos.quickstudy.v1


def methods() -> list[MethodDescriptor]:
    """Every method of every service of the contract."""
    package = protos.quickstudy.v1
    names = [module.name for module in pkgutil.iter_modules(package.__path__) if module.name.endswith("_pb2")]
    files = [importlib.import_module(f"{package.__name__}.{name}").DESCRIPTOR for name in names]
    return [method for file in files for service in file.services_by_name.values() for method in service.methods]


def path(method: MethodDescriptor) -> str:
    """How a method is called on the wire."""
    return f"/{method.containing_service.full_name}/{method.name}"


def kind(method: MethodDescriptor) -> str:
    """How a gRPC channel calls it: unary_unary, unary_stream, stream_unary or stream_stream."""
    return f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
