import datetime

from protos.buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReplayPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPLAY_PHASE_UNSPECIFIED: _ClassVar[ReplayPhase]
    REPLAY_PHASE_EXPORTING: _ClassVar[ReplayPhase]
    REPLAY_PHASE_REPLAYING: _ClassVar[ReplayPhase]
    REPLAY_PHASE_JUDGING: _ClassVar[ReplayPhase]
REPLAY_PHASE_UNSPECIFIED: ReplayPhase
REPLAY_PHASE_EXPORTING: ReplayPhase
REPLAY_PHASE_REPLAYING: ReplayPhase
REPLAY_PHASE_JUDGING: ReplayPhase

class ReplayRequest(_message.Message):
    __slots__ = ("policy_versions", "log", "estimator", "temperature", "reward_window", "default_reward", "history", "without_frozen", "not_worse", "seed", "report")
    POLICY_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    ESTIMATOR_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    REWARD_WINDOW_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_REWARD_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_FROZEN_FIELD_NUMBER: _ClassVar[int]
    NOT_WORSE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    policy_versions: _containers.RepeatedScalarFieldContainer[str]
    log: str
    estimator: str
    temperature: float
    reward_window: _duration_pb2.Duration
    default_reward: float
    history: int
    without_frozen: bool
    not_worse: bool
    seed: int
    report: bool
    def __init__(self, policy_versions: _Optional[_Iterable[str]] = ..., log: _Optional[str] = ..., estimator: _Optional[str] = ..., temperature: _Optional[float] = ..., reward_window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., default_reward: _Optional[float] = ..., history: _Optional[int] = ..., without_frozen: _Optional[bool] = ..., not_worse: _Optional[bool] = ..., seed: _Optional[int] = ..., report: _Optional[bool] = ...) -> None: ...

class ReplayProgress(_message.Message):
    __slots__ = ("step", "result", "report")
    STEP_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    step: ReplayStep
    result: ReplayResult
    report: bytes
    def __init__(self, step: _Optional[_Union[ReplayStep, _Mapping]] = ..., result: _Optional[_Union[ReplayResult, _Mapping]] = ..., report: _Optional[bytes] = ...) -> None: ...

class ReplayStep(_message.Message):
    __slots__ = ("phase", "done", "total", "seconds")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    phase: ReplayPhase
    done: int
    total: int
    seconds: float
    def __init__(self, phase: _Optional[_Union[ReplayPhase, str]] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class ReplayResult(_message.Message):
    __slots__ = ("passed", "verdicts", "json")
    PASSED_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    passed: bool
    verdicts: _containers.RepeatedCompositeFieldContainer[Verdict]
    json: str
    def __init__(self, passed: _Optional[bool] = ..., verdicts: _Optional[_Iterable[_Union[Verdict, _Mapping]]] = ..., json: _Optional[str] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("policy", "beside", "outcome", "difference", "reasons")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[Verdict.Outcome]
        OUTCOME_BETTER: _ClassVar[Verdict.Outcome]
        OUTCOME_WORSE: _ClassVar[Verdict.Outcome]
        OUTCOME_CANNOT_TELL: _ClassVar[Verdict.Outcome]
    OUTCOME_UNSPECIFIED: Verdict.Outcome
    OUTCOME_BETTER: Verdict.Outcome
    OUTCOME_WORSE: Verdict.Outcome
    OUTCOME_CANNOT_TELL: Verdict.Outcome
    POLICY_FIELD_NUMBER: _ClassVar[int]
    BESIDE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    policy: str
    beside: str
    outcome: Verdict.Outcome
    difference: Estimate
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, policy: _Optional[str] = ..., beside: _Optional[str] = ..., outcome: _Optional[_Union[Verdict.Outcome, str]] = ..., difference: _Optional[_Union[Estimate, _Mapping]] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class Estimate(_message.Message):
    __slots__ = ("value", "low", "high", "error")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    value: float
    low: float
    high: float
    error: float
    def __init__(self, value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., error: _Optional[float] = ...) -> None: ...
