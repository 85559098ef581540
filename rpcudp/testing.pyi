from contextlib import AbstractContextManager
from os import PathLike
from types import TracebackType
from typing import Any, Callable, Coroutine, Iterable, Literal, NamedTuple, TypeVar

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReactorTime, IReactorUDP, IUDPTransport
from twisted.internet.protocol import AbstractDatagramProtocol
from twisted.internet.udp import Port

from typing_extensions import Self

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

# What provides an interface of Twisted is derived from it here, so that it can be passed where Twisted asks for that.
# The methods of interfaces have no self, and many of Port's have no types.
class _Timer(DelayedCall, IDelayedCall): ...  # type: ignore[misc]

class _Port(Port, IListeningPort, IUDPTransport):  # type: ignore[misc]
    def getHost(self) -> IPv4Address | IPv6Address: ...  # type: ignore[override]
    def connect(self, host: str, port: int) -> None: ...  # type: ignore[override]
    def stopListening(self) -> Any: ...

class Host(IReactorTime, IReactorUDP):
    address: str
    addressFamily: int
    def __init__(self, network: SimulatedNetwork, family: int, address: str) -> None: ...
    def seconds(self) -> float: ...
    def callLater(  # type: ignore[override]
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> _Timer: ...
    def getDelayedCalls(self) -> list[_Timer]: ...
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
    def __enter__(self) -> Self: ...
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
