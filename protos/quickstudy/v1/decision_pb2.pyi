from protos.quickstudy.v1 import recommender_pb2 as _recommender_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Decision(_message.Message):
    __slots__ = ("time_ms", "request", "response", "apprentice", "activated")
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    APPRENTICE_FIELD_NUMBER: _ClassVar[int]
    ACTIVATED_FIELD_NUMBER: _ClassVar[int]
    time_ms: int
    request: _recommender_pb2.RecommendRequest
    response: _recommender_pb2.RecommendResponse
    apprentice: _recommender_pb2.RecommendResponse
    activated: _recommender_pb2.ActivateDecisionRequest
    def __init__(self, time_ms: _Optional[int] = ..., request: _Optional[_Union[_recommender_pb2.RecommendRequest, _Mapping]] = ..., response: _Optional[_Union[_recommender_pb2.RecommendResponse, _Mapping]] = ..., apprentice: _Optional[_Union[_recommender_pb2.RecommendResponse, _Mapping]] = ..., activated: _Optional[_Union[_recommender_pb2.ActivateDecisionRequest, _Mapping]] = ...) -> None: ...
