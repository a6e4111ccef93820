import datetime

from protos.buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    MODE_GREEDY: _ClassVar[Mode]
    MODE_EXPLORE: _ClassVar[Mode]
    MODE_BASELINE: _ClassVar[Mode]

class Source(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_UNSPECIFIED: _ClassVar[Source]
    SOURCE_ADAPTED: _ClassVar[Source]
    SOURCE_PRIOR: _ClassVar[Source]
    SOURCE_STALE: _ClassVar[Source]
    SOURCE_BASELINE: _ClassVar[Source]

class EventResult(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_RESULT_UNSPECIFIED: _ClassVar[EventResult]
    EVENT_RESULT_ADDED: _ClassVar[EventResult]
    EVENT_RESULT_DUPLICATE: _ClassVar[EventResult]
    EVENT_RESULT_TOO_OLD: _ClassVar[EventResult]
    EVENT_RESULT_REJECTED: _ClassVar[EventResult]
MODE_UNSPECIFIED: Mode
MODE_GREEDY: Mode
MODE_EXPLORE: Mode
MODE_BASELINE: Mode
SOURCE_UNSPECIFIED: Source
SOURCE_ADAPTED: Source
SOURCE_PRIOR: Source
SOURCE_STALE: Source
SOURCE_BASELINE: Source
EVENT_RESULT_UNSPECIFIED: EventResult
EVENT_RESULT_ADDED: EventResult
EVENT_RESULT_DUPLICATE: EventResult
EVENT_RESULT_TOO_OLD: EventResult
EVENT_RESULT_REJECTED: EventResult

class RecommendRequest(_message.Message):
    __slots__ = ("user_id", "candidate_ids", "slate_size", "mode", "excluded_ids", "include_seen", "seed", "decision_id", "context", "defer_activation")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_IDS_FIELD_NUMBER: _ClassVar[int]
    SLATE_SIZE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_IDS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_SEEN_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    DEFER_ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    candidate_ids: _containers.RepeatedScalarFieldContainer[str]
    slate_size: int
    mode: Mode
    excluded_ids: _containers.RepeatedScalarFieldContainer[str]
    include_seen: bool
    seed: int
    decision_id: str
    context: Context
    defer_activation: bool
    def __init__(self, user_id: _Optional[str] = ..., candidate_ids: _Optional[_Iterable[str]] = ..., slate_size: _Optional[int] = ..., mode: _Optional[_Union[Mode, str]] = ..., excluded_ids: _Optional[_Iterable[str]] = ..., include_seen: _Optional[bool] = ..., seed: _Optional[int] = ..., decision_id: _Optional[str] = ..., context: _Optional[_Union[Context, _Mapping]] = ..., defer_activation: _Optional[bool] = ...) -> None: ...

class Context(_message.Message):
    __slots__ = ("numbers", "categories")
    class NumbersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class CategoriesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    numbers: _containers.ScalarMap[str, float]
    categories: _containers.ScalarMap[str, str]
    def __init__(self, numbers: _Optional[_Mapping[str, float]] = ..., categories: _Optional[_Mapping[str, str]] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("decision_id", "items", "log_propensity", "adaptation", "unknown_ids", "seed")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    LOG_PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    ADAPTATION_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_IDS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    items: _containers.RepeatedCompositeFieldContainer[RankedItem]
    log_propensity: float
    adaptation: Adaptation
    unknown_ids: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    def __init__(self, decision_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[RankedItem, _Mapping]]] = ..., log_propensity: _Optional[float] = ..., adaptation: _Optional[_Union[Adaptation, _Mapping]] = ..., unknown_ids: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ...) -> None: ...

class RankedItem(_message.Message):
    __slots__ = ("item_id", "score", "q_value", "propensity")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    Q_VALUE_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    score: float
    q_value: float
    propensity: float
    def __init__(self, item_id: _Optional[str] = ..., score: _Optional[float] = ..., q_value: _Optional[float] = ..., propensity: _Optional[float] = ...) -> None: ...

class Adaptation(_message.Message):
    __slots__ = ("policy_version", "adapter", "source", "reason", "events_used", "watermark", "loss_before", "loss_after", "staleness")
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EVENTS_USED_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    LOSS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    LOSS_AFTER_FIELD_NUMBER: _ClassVar[int]
    STALENESS_FIELD_NUMBER: _ClassVar[int]
    policy_version: str
    adapter: str
    source: Source
    reason: str
    events_used: int
    watermark: int
    loss_before: float
    loss_after: float
    staleness: float
    def __init__(self, policy_version: _Optional[str] = ..., adapter: _Optional[str] = ..., source: _Optional[_Union[Source, str]] = ..., reason: _Optional[str] = ..., events_used: _Optional[int] = ..., watermark: _Optional[int] = ..., loss_before: _Optional[float] = ..., loss_after: _Optional[float] = ..., staleness: _Optional[float] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("event_id", "user_id", "item_id", "reward", "time", "decision_id", "position")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    user_id: str
    item_id: str
    reward: float
    time: _timestamp_pb2.Timestamp
    decision_id: str
    position: int
    def __init__(self, event_id: _Optional[str] = ..., user_id: _Optional[str] = ..., item_id: _Optional[str] = ..., reward: _Optional[float] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decision_id: _Optional[str] = ..., position: _Optional[int] = ...) -> None: ...

class RecordEventsRequest(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class RecordEventsResponse(_message.Message):
    __slots__ = ("statuses",)
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    statuses: _containers.RepeatedCompositeFieldContainer[EventStatus]
    def __init__(self, statuses: _Optional[_Iterable[_Union[EventStatus, _Mapping]]] = ...) -> None: ...

class EventStatus(_message.Message):
    __slots__ = ("result", "reason")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    result: EventResult
    reason: str
    def __init__(self, result: _Optional[_Union[EventResult, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class GetUserRequest(_message.Message):
    __slots__ = ("user_id",)
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    def __init__(self, user_id: _Optional[str] = ...) -> None: ...

class GetUserResponse(_message.Message):
    __slots__ = ("events", "watermark", "copy", "attributes")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    COPY_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[StoredEvent]
    watermark: int
    copy: CopyStatus
    attributes: Attributes
    def __init__(self, events: _Optional[_Iterable[_Union[StoredEvent, _Mapping]]] = ..., watermark: _Optional[int] = ..., copy: _Optional[_Union[CopyStatus, _Mapping]] = ..., attributes: _Optional[_Union[Attributes, _Mapping]] = ...) -> None: ...

class StoredEvent(_message.Message):
    __slots__ = ("event_hash", "item_id", "item_hash", "reward", "time", "position")
    EVENT_HASH_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_HASH_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    event_hash: int
    item_id: str
    item_hash: int
    reward: float
    time: _timestamp_pb2.Timestamp
    position: int
    def __init__(self, event_hash: _Optional[int] = ..., item_id: _Optional[str] = ..., item_hash: _Optional[int] = ..., reward: _Optional[float] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., position: _Optional[int] = ...) -> None: ...

class CopyStatus(_message.Message):
    __slots__ = ("present", "current", "policy_version", "watermark")
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    present: bool
    current: bool
    policy_version: str
    watermark: int
    def __init__(self, present: _Optional[bool] = ..., current: _Optional[bool] = ..., policy_version: _Optional[str] = ..., watermark: _Optional[int] = ...) -> None: ...

class DeleteUserRequest(_message.Message):
    __slots__ = ("user_id",)
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    def __init__(self, user_id: _Optional[str] = ...) -> None: ...

class DeleteUserResponse(_message.Message):
    __slots__ = ("existed",)
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    existed: bool
    def __init__(self, existed: _Optional[bool] = ...) -> None: ...

class UpsertUsersRequest(_message.Message):
    __slots__ = ("users",)
    USERS_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedCompositeFieldContainer[User]
    def __init__(self, users: _Optional[_Iterable[_Union[User, _Mapping]]] = ...) -> None: ...

class User(_message.Message):
    __slots__ = ("user_id", "attributes")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    attributes: Attributes
    def __init__(self, user_id: _Optional[str] = ..., attributes: _Optional[_Union[Attributes, _Mapping]] = ...) -> None: ...

class ActivateDecisionRequest(_message.Message):
    __slots__ = ("user_id", "decision_id")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    decision_id: str
    def __init__(self, user_id: _Optional[str] = ..., decision_id: _Optional[str] = ...) -> None: ...

class ActivateDecisionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UpsertItemsRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Item]
    def __init__(self, items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("item_id", "features")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    features: Attributes
    def __init__(self, item_id: _Optional[str] = ..., features: _Optional[_Union[Attributes, _Mapping]] = ...) -> None: ...

class UpsertItemsResponse(_message.Message):
    __slots__ = ("unknown_names",)
    UNKNOWN_NAMES_FIELD_NUMBER: _ClassVar[int]
    unknown_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, unknown_names: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteItemsRequest(_message.Message):
    __slots__ = ("item_ids",)
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, item_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteItemsResponse(_message.Message):
    __slots__ = ("unknown_ids",)
    UNKNOWN_IDS_FIELD_NUMBER: _ClassVar[int]
    unknown_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, unknown_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Attributes(_message.Message):
    __slots__ = ("numbers", "categories", "vectors")
    class NumbersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class CategoriesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Words
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Words, _Mapping]] = ...) -> None: ...
    class VectorsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Vector
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Vector, _Mapping]] = ...) -> None: ...
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    numbers: _containers.ScalarMap[str, float]
    categories: _containers.MessageMap[str, Words]
    vectors: _containers.MessageMap[str, Vector]
    def __init__(self, numbers: _Optional[_Mapping[str, float]] = ..., categories: _Optional[_Mapping[str, Words]] = ..., vectors: _Optional[_Mapping[str, Vector]] = ...) -> None: ...

class Words(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class Vector(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class UpsertUsersResponse(_message.Message):
    __slots__ = ("unknown_names",)
    UNKNOWN_NAMES_FIELD_NUMBER: _ClassVar[int]
    unknown_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, unknown_names: _Optional[_Iterable[str]] = ...) -> None: ...
