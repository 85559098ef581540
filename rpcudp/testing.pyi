from contextlib import AbstractContextManager
from os import PathLike
from types import TracebackType
from typing import Any, Callable, Coroutine, Iterable, Literal, NamedTuple, TypeVar

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IReactorUDP
from twisted.internet.protocol import AbstractDatagramProtocol
from twisted.internet.udp import Port

from rpcudp.protocol import _Address

__all__ = ["Counts", "Datagram", "Fate", "Host", "LimitReached", "NothingLeft", "SimulatedNetwork", "Traced"]

_T = TypeVar("_T")
_Figure = float | Callable[[str, str], float]

class NothingLeft(Exception): ...
class LimitReached(Exception): ...

class Datagram(NamedTuple):
    time: float
    source: _Address
    destination: _Address
    data: bytes

class Fate(NamedTuple):
    time: float
    what: Literal["delivered", "truncated", "lost", "partitioned", "ruled", "unheard"]

class Traced(NamedTuple):
    datagram: Datagram
    fates: list[Fate]

class Counts(NamedTuple):
    sent: int
    delivered: int
    lost: int
    duplicated: int
    partitioned: int
    ruled: int
    unheard: int
    truncated: int

# Twisted has no types for these.
class _Port(Port):
    def getHost(self) -> IPv4Address | IPv6Address: ...
    def connect(self, host: str, port: int) -> None: ...
    def stopListening(self) -> Any: ...

# It provides these interfaces, whose methods have no self, so that it can be passed where Twisted asks for them.
class Host(IReactorTime, IReactorUDP):
    address: str
    addressFamily: int
    def __init__(self, network: SimulatedNetwork, family: int, address: str) -> None: ...
    def seconds(self) -> float: ...
    def callLater(  # type: ignore[override]
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> DelayedCall: ...
    def getDelayedCalls(self) -> list[DelayedCall]: ...  # type: ignore[override]
    def listenUDP(  # type: ignore[override]
        self, port: int, protocol: AbstractDatagramProtocol, interface: str = "", maxPacketSize: int = 8192
    ) -> _Port: ...
    def asReactor(self) -> AbstractContextManager[Host]: ...
    def crash(self) -> None: ...
    def stepClock(self, seconds: float) -> None: ...

class SimulatedNetwork:
    trace: list[Traced] | None
    def __init__(
        self,
        seed: int = 0,
        latency: _Figure = 0.05,
        jitter: _Figure = 0.0,
        loss: _Figure = 0.0,
        duplication: _Figure = 0.0,
        trace: bool = False,
    ) -> None: ...
    def __enter__(self) -> SimulatedNetwork: ...
    def __exit__(
        self,
        exceptionType: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    @property
    def counts(self) -> Counts: ...
    def seconds(self) -> float: ...
    def host(self, address: str) -> Host: ...
    def advance(self, seconds: float) -> None: ...
    def run(self, awaitable: Deferred[_T] | Coroutine[Any, Any, _T], limit: float = 3600) -> _T: ...
    def partition(self, *groups: Iterable[str | Host]) -> AbstractContextManager[None]: ...
    def rule(self, function: Callable[[Datagram], Iterable[float] | None]) -> Callable[[], None]: ...
    def capture(self, path: str | PathLike[str]) -> None: ...
