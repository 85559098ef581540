from types import ModuleType
from typing import Any, Callable, Protocol

from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import DatagramProtocol

_Address = tuple[str, int]
# Whom to call: what came in an answer is a list.
_Peer = tuple[str, int] | list[Any]
_Outcome = Deferred[tuple[bool, Any]]

# A list of integers is none of floats to a type checker, as whoever has it might put a float in.
_Schedule = float | tuple[float, ...] | list[float] | list[int]

class _Waits(Protocol):
    def waits(self, address: _Address, /) -> _Schedule: ...

_WaitTimeout = _Schedule | _Waits

# What is not declared to be an IReactorTime, as zope.interface does that at run time: twisted.internet.task.Clock.
class _Clock(Protocol):
    def seconds(self) -> float: ...
    def callLater(self, delay: float, callable: Callable[[], object], /) -> Any: ...

class _RemoteMethod(Protocol):
    def __call__(self, address: _Peer, /, *arguments: object) -> _Outcome: ...

class RPCProtocol(DatagramProtocol):
    # A port, which can do more than what DatagramProtocol says.
    transport: Any
    _waitTimeout: _WaitTimeout
    _outstanding: dict[bytes, _Outcome]
    def __init__(
        self,
        waitTimeout: _WaitTimeout = 5,
        # With Twisted before 25, "from twisted.internet import reactor" is a module to a type checker.
        reactor: IReactorTime | ReactorBase | _Clock | ModuleType | None = None,
        maxConcurrent: int = 1000,
        duplicateLifetime: float = 60,
    ) -> None: ...
    def doStart(self) -> None: ...
    def doStop(self) -> None: ...
    # Twisted has no types for these.
    def startProtocol(self) -> Any: ...
    def stopProtocol(self) -> Any: ...
    def __getattr__(self, name: str) -> _RemoteMethod: ...
    # What these return is ignored, so those of a subclass may return a Deferred.
    def _timeout(self, msgID: bytes) -> Any: ...
    def _acceptResponse(self, msgID: bytes, data: Any, address: _Address) -> Any: ...
    def _acceptRequest(self, msgID: bytes, data: list[Any], address: _Address) -> Any: ...
    def _sendResponse(self, response: object, msgID: bytes, address: _Address) -> Any: ...
