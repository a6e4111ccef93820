"""Generic clients in other languages, which know a port and learn the rest by reflection."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import grpc
import protovalidate
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from protos.quickstudy.v1 import recommender_pb2 as pb
from tests.service.descriptors import methods
from tests.service.support import Server

PACKAGES = ["@grpc/grpc-js@1", "grpc-js-reflection-client@1"]
SCRIPT = Path(__file__).with_name("reflecting.js")
OURS = {method.name for method in methods() if method.containing_service.name == "Recommender"}


@pytest.fixture(scope="module")
def node_modules(request: pytest.FixtureRequest) -> Path:
    """A folder with the packages, installed once into pytest's cache; skips where there is no Node or no registry."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    assert request.config.cache is not None
    folder = request.config.cache.mkdir("node")
    if not all((folder / "node_modules" / name.rpartition("@")[0]).exists() for name in PACKAGES):
        options = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
        done = subprocess.run(["npm", "install", *options, *PACKAGES], capture_output=True, text=True, timeout=120)
        if done.returncode:
            pytest.skip(f"npm cannot install {' '.join(PACKAGES)}: {done.stderr.strip().splitlines()[0]}")
    return folder / "node_modules"


def test_a_client_in_node_that_knows_only_reflection(server: Server, node_modules: Path) -> None:
    """It lists services, describes all methods, records an event, gets a slate that reflects it, and is refused."""
    environment = os.environ | {"NODE_PATH": str(node_modules)}
    done = subprocess.run(
        ["node", str(SCRIPT), server.target], capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert {"quickstudy.v1.Recommender", "grpc.health.v1.Health"} <= set(told["services"])
    assert set(told["methods"]) == OURS
    added, rejected = told["recorded"]["statuses"]
    assert (added["result"], rejected["result"]) == ("EVENT_RESULT_ADDED", "EVENT_RESULT_REJECTED")
    assert rejected["reason"] == "item_id must have 1..256 bytes, got 0"
    assert {item["item_id"] for item in told["slate"]["items"]} == {"i1", "i2"}
    assert told["slate"]["unknown_ids"] == ["nowhere"]
    assert (told["slate"]["adaptation"]["source"], told["slate"]["adaptation"]["events_used"]) == ("SOURCE_ADAPTED", 1)
    assert [event["item_id"] for event in told["user"]["events"]] == ["i1"]
    assert told["refused"] == {"code": 3, "details": "user_id must have 1..256 bytes, got 0"}


def test_a_client_checks_by_the_rules_that_reflection_tells(server: Server) -> None:
    """Messages built from nothing but what the port tells have their rules, as protovalidate understands them."""
    with grpc.insecure_channel(server.target) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        request = GetMessageClass(pool.FindMessageTypeByName("quickstudy.v1.RecommendRequest"))
    protovalidate.validate(request(user_id="ü" * 128))
    (found,) = protovalidate.collect_violations(request(user_id="ü" * 129))
    assert ("string.max_bytes", "must be at most 256 bytes") == (found.proto.rule_id, found.proto.message)


def test_grpcurl(server: Server) -> None:
    """The usual tool describes the service and calls it."""
    grpcurl = shutil.which("grpcurl")
    if grpcurl is None:
        pytest.skip("grpcurl is not installed")

    def run(*arguments: str) -> str:
        command = [str(grpcurl), "-plaintext", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout

    service = "quickstudy.v1.Recommender"
    assert service in run(server.target, "list").split()
    assert {f"{service}.{name}" for name in OURS} == set(run(server.target, "list", service).split())
    reply = json.loads(run("-d", '{"user_id": "curl"}', server.target, f"{service}/Recommend"))
    assert reply["adaptation"]["source"] == pb.Source.Name(pb.SOURCE_PRIOR)
