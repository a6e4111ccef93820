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

class PolicyRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POLICY_ROLE_UNSPECIFIED: _ClassVar[PolicyRole]
    POLICY_ROLE_ACTIVE: _ClassVar[PolicyRole]
    POLICY_ROLE_CANARY: _ClassVar[PolicyRole]
    POLICY_ROLE_SHADOW: _ClassVar[PolicyRole]
    POLICY_ROLE_IDLE: _ClassVar[PolicyRole]
POLICY_ROLE_UNSPECIFIED: PolicyRole
POLICY_ROLE_ACTIVE: PolicyRole
POLICY_ROLE_CANARY: PolicyRole
POLICY_ROLE_SHADOW: PolicyRole
POLICY_ROLE_IDLE: PolicyRole

class Lineup(_message.Message):
    __slots__ = ("active", "canary", "canary_share", "shadow", "time")
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    CANARY_FIELD_NUMBER: _ClassVar[int]
    CANARY_SHARE_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    active: str
    canary: str
    canary_share: float
    shadow: str
    time: _timestamp_pb2.Timestamp
    def __init__(self, active: _Optional[str] = ..., canary: _Optional[str] = ..., canary_share: _Optional[float] = ..., shadow: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("version", "role", "problem", "adapter", "items", "temperature", "item_features", "user_attributes", "context", "metrics", "trained_on", "git_revision")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    ITEM_FEATURES_FIELD_NUMBER: _ClassVar[int]
    USER_ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    TRAINED_ON_FIELD_NUMBER: _ClassVar[int]
    GIT_REVISION_FIELD_NUMBER: _ClassVar[int]
    version: str
    role: PolicyRole
    problem: str
    adapter: str
    items: int
    temperature: float
    item_features: _containers.RepeatedScalarFieldContainer[str]
    user_attributes: _containers.RepeatedScalarFieldContainer[str]
    context: _containers.RepeatedScalarFieldContainer[str]
    metrics: _containers.ScalarMap[str, float]
    trained_on: str
    git_revision: str
    def __init__(self, version: _Optional[str] = ..., role: _Optional[_Union[PolicyRole, str]] = ..., problem: _Optional[str] = ..., adapter: _Optional[str] = ..., items: _Optional[int] = ..., temperature: _Optional[float] = ..., item_features: _Optional[_Iterable[str]] = ..., user_attributes: _Optional[_Iterable[str]] = ..., context: _Optional[_Iterable[str]] = ..., metrics: _Optional[_Mapping[str, float]] = ..., trained_on: _Optional[str] = ..., git_revision: _Optional[str] = ...) -> None: ...

class ListPoliciesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPoliciesResponse(_message.Message):
    __slots__ = ("lineup", "generation", "before", "policies")
    LINEUP_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    lineup: Lineup
    generation: int
    before: Lineup
    policies: _containers.RepeatedCompositeFieldContainer[Policy]
    def __init__(self, lineup: _Optional[_Union[Lineup, _Mapping]] = ..., generation: _Optional[int] = ..., before: _Optional[_Union[Lineup, _Mapping]] = ..., policies: _Optional[_Iterable[_Union[Policy, _Mapping]]] = ...) -> None: ...

class GetPolicyRequest(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: str
    def __init__(self, version: _Optional[str] = ...) -> None: ...

class GetPolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: Policy
    def __init__(self, policy: _Optional[_Union[Policy, _Mapping]] = ...) -> None: ...

class ActivatePolicyRequest(_message.Message):
    __slots__ = ("version", "canary_share", "shadow", "report", "other_features", "generation")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CANARY_SHARE_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    OTHER_FEATURES_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    version: str
    canary_share: float
    shadow: bool
    report: str
    other_features: bool
    generation: int
    def __init__(self, version: _Optional[str] = ..., canary_share: _Optional[float] = ..., shadow: _Optional[bool] = ..., report: _Optional[str] = ..., other_features: _Optional[bool] = ..., generation: _Optional[int] = ...) -> None: ...

class ActivatePolicyResponse(_message.Message):
    __slots__ = ("lineup", "generation")
    LINEUP_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    lineup: Lineup
    generation: int
    def __init__(self, lineup: _Optional[_Union[Lineup, _Mapping]] = ..., generation: _Optional[int] = ...) -> None: ...

class RollBackPolicyRequest(_message.Message):
    __slots__ = ("generation",)
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    generation: int
    def __init__(self, generation: _Optional[int] = ...) -> None: ...

class RollBackPolicyResponse(_message.Message):
    __slots__ = ("lineup", "generation")
    LINEUP_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    lineup: Lineup
    generation: int
    def __init__(self, lineup: _Optional[_Union[Lineup, _Mapping]] = ..., generation: _Optional[int] = ...) -> None: ...
