from protos.buf.validate import validate_pb2 as _validate_pb2
from protos.quickstudy.v1 import recommender_pb2 as _recommender_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Decision(_message.Message):
    __slots__ = ("time_ms", "request", "response", "apprentice", "activated", "user", "temperature", "shadow")
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    APPRENTICE_FIELD_NUMBER: _ClassVar[int]
    ACTIVATED_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    time_ms: int
    request: _recommender_pb2.RecommendRequest
    response: _recommender_pb2.RecommendResponse
    apprentice: _recommender_pb2.RecommendResponse
    activated: _recommender_pb2.ActivateDecisionRequest
    user: int
    temperature: float
    shadow: _recommender_pb2.RecommendResponse
    def __init__(self, time_ms: _Optional[int] = ..., request: _Optional[_Union[_recommender_pb2.RecommendRequest, _Mapping]] = ..., response: _Optional[_Union[_recommender_pb2.RecommendResponse, _Mapping]] = ..., apprentice: _Optional[_Union[_recommender_pb2.RecommendResponse, _Mapping]] = ..., activated: _Optional[_Union[_recommender_pb2.ActivateDecisionRequest, _Mapping]] = ..., user: _Optional[int] = ..., temperature: _Optional[float] = ..., shadow: _Optional[_Union[_recommender_pb2.RecommendResponse, _Mapping]] = ...) -> None: ...

class Recorded(_message.Message):
    __slots__ = ("time_ms", "user", "outcomes")
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    time_ms: int
    user: int
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcome]
    def __init__(self, time_ms: _Optional[int] = ..., user: _Optional[int] = ..., outcomes: _Optional[_Iterable[_Union[Outcome, _Mapping]]] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("event_hash", "item_id", "reward", "time_ms", "decision_id", "position")
    EVENT_HASH_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    event_hash: int
    item_id: str
    reward: float
    time_ms: int
    decision_id: str
    position: int
    def __init__(self, event_hash: _Optional[int] = ..., item_id: _Optional[str] = ..., reward: _Optional[float] = ..., time_ms: _Optional[int] = ..., decision_id: _Optional[str] = ..., position: _Optional[int] = ...) -> None: ...
