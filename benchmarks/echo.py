"""The other side of `benchmarks.serve`: a bare echo of the service's messages, `python -m benchmarks.echo`."""

from __future__ import annotations

from typing import Any

import grpc
import uvloop

from protos.quickstudy.v1 import recommender_pb2 as pb

SERVICE = "quickstudy.v1.Recommender"
EVENTS = 20


async def serve() -> None:
    """Parses the request and answers ten items, or one status for each event; nothing else."""
    items = [pb.RankedItem(item_id=f"item-{i}", score=0.5, q_value=0.5, propensity=0.5) for i in range(10)]
    adaptation = pb.Adaptation(policy_version="0" * 16, adapter="echo", source=pb.SOURCE_ADAPTED, events_used=EVENTS)
    added = pb.EventStatus(result=pb.EVENT_RESULT_ADDED)

    async def recommend(request: pb.RecommendRequest, context: Any) -> pb.RecommendResponse:
        return pb.RecommendResponse(decision_id=request.user_id, items=items, adaptation=adaptation)

    async def record(request: pb.RecordEventsRequest, context: Any) -> pb.RecordEventsResponse:
        return pb.RecordEventsResponse(statuses=[added] * len(request.events))

    handlers = {
        "Recommend": grpc.unary_unary_rpc_method_handler(
            recommend,
            request_deserializer=pb.RecommendRequest.FromString,
            response_serializer=pb.RecommendResponse.SerializeToString,
        ),
        "RecordEvents": grpc.unary_unary_rpc_method_handler(
            record,
            request_deserializer=pb.RecordEventsRequest.FromString,
            response_serializer=pb.RecordEventsResponse.SerializeToString,
        ),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"serving on 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve())
