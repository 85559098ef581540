"""
A node of a peer-to-peer network, as its author would write it who has it checked.  L{run} runs all of it, on a
simulated network.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Callable, Generator, Sequence

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReactorTime, IUDPTransport
from twisted.internet.task import Clock, Cooperator, LoopingCall, deferLater

from rpcudp import version, version_info, wire
from rpcudp.calls import call
from rpcudp.exceptions import MalformedMessage
from rpcudp.protocol import RPCProtocol
from rpcudp.roundtrip import RoundTripWaits
from rpcudp.statistics import Statistics, statistics
from rpcudp.testing import Counts, Datagram, Host, LimitReached, NothingLeft, SimulatedNetwork
from storjrpcudp.protocol import RPCProtocol as StorjProtocol

Address = tuple[str, int]


class Node(RPCProtocol):
    """
    Its handlers are of every kind, and the remote methods that it calls are declared, each as it is called.
    """

    # An annotation alone makes no attribute, so that the name remains that of a remote method.
    add: Callable[[Address, int, int], Deferred[tuple[bool, int]]]
    whoAmI: Callable[[Address], Deferred[tuple[bool, list[Any]]]]

    if TYPE_CHECKING:

        def store(self, address: Address, key: bytes, value: str, /) -> Deferred[tuple[bool, bool]]: ...

    def __init__(self, waits: RoundTripWaits, reactor: IReactorTime | None = None) -> None:
        # Before the base class is asked, as applications do.
        self.storage: dict[bytes, str] = {}
        self.router = "a router"
        super().__init__(waitTimeout=waits, reactor=reactor, maxConcurrent=100, duplicateLifetime=30)
        self.waits = waits
        self.refreshing = LoopingCall(self.refresh)

    def startProtocol(self) -> None:
        self.refreshing.clock = self.transport.reactor
        self.refreshing.start(60, now=False)
        super().startProtocol()

    def doStop(self) -> None:
        super().doStop()

    def stopProtocol(self) -> None:
        if self.refreshing.running:
            self.refreshing.stop()

    def refresh(self) -> None:
        pass

    def rpc_add(self, sender: Address, a: int, b: int) -> int:
        return a + b

    def rpc_whoAmI(self, sender: Address) -> Deferred[Address]:
        return succeed(sender)

    @inlineCallbacks
    def rpc_store(self, sender: Address, key: bytes, value: str) -> Generator[Deferred[Any], Any, bool]:
        yield deferLater(self.transport.reactor, 0.1, lambda: None)
        self.storage[key] = value
        return True

    async def rpc_relay(self, sender: Address, ip: str, port: int) -> int | None:
        answered, total = await self.add((ip, port), 1, 2)
        return total if answered else None

    def rpc_future(self, sender: Address) -> asyncio.Future[str]:
        future: asyncio.Future[str] = asyncio.get_event_loop().create_future()
        return future

    def rpc_square(self, sender: Address) -> int:
        return 4


class Logging(RPCProtocol):
    """
    It overrides what is for subclasses.
    """

    noisy = True

    def _acceptRequest(self, msgID: bytes, data: list[Any], address: Address) -> None:
        self.last = data[0]
        super()._acceptRequest(msgID, data, address)

    def _sendResponse(self, response: object, msgID: bytes, address: Address) -> None:
        super()._sendResponse(response, msgID, address)

    def datagramReceived(self, datagram: bytes, addr: Address) -> None:
        super().datagramReceived(datagram, addr)

    def rpc_add(self, sender: Address, a: int, b: int) -> int:
        return a + b


class StorjNode(StorjProtocol):
    def rpc_ping(self, sender: Address) -> str:
        return "pong"


class ByNetwork:
    """
    Waits of its own.
    """

    def waits(self, peer: Address) -> float | tuple[float, ...]:
        return (0.1, 0.2) if peer[0].startswith("10.") else 2

    def unanswered(self, peer: Address) -> None:
        pass


def make(clock: Clock, host: Host, schedule: list[int]) -> list[RPCProtocol]:
    """
    All forms of C{waitTimeout}, and of C{reactor}.
    """
    return [
        RPCProtocol(),
        RPCProtocol(5),
        RPCProtocol(0.5),
        RPCProtocol(waitTimeout=(0.5, 1, 2)),
        RPCProtocol(waitTimeout=[0.5, 1, 2]),
        RPCProtocol(waitTimeout=schedule),
        RPCProtocol(waitTimeout=RoundTripWaits(attempts=4, first=2)),
        RPCProtocol(waitTimeout=ByNetwork()),
        RPCProtocol(reactor=clock),
        RPCProtocol(reactor=host),
        RPCProtocol(reactor=reactor),
    ]


def passOn(host: Host) -> tuple[IListeningPort, IUDPTransport, IDelayedCall, Sequence[IDelayedCall]]:
    """
    What a host and its port and timers are to Twisted.
    """
    port = host.listenUDP(0, Node(RoundTripWaits(), reactor=host))
    timer = host.callLater(1, print)
    timer.reset(2)
    Cooperator(scheduler=lambda function: host.callLater(0.1, function)).stop()
    deferLater(host, 1, lambda: None).addTimeout(2, host).addErrback(lambda failure: None).cancel()
    return port, port, timer, host.getDelayedCalls()


class Swarm(SimulatedNetwork):
    def add(self, number: int) -> Host:
        return self.host("10.0.1.{}".format(number))


def countLosses(network: SimulatedNetwork, node: RPCProtocol) -> tuple[Counts, Statistics]:
    counts: Counts = network.counts
    figures: Statistics = statistics(node)
    shares: list[float] = [counts.lost / max(1, counts.sent), figures.unanswered / max(1, figures.called)]
    assert max(shares) <= 1
    return counts, figures


def losePings(datagram: Datagram) -> list[float] | None:
    try:
        kind, _, value = wire.decode(datagram.data, wire.RPCUDP)
    except MalformedMessage:
        return None
    return [] if kind == wire.RPCUDP.request and value[0] == "ping" else None


def run() -> dict[str, Any]:
    """
    @return: what came of calls, by what they are.
    """
    outcomes: dict[str, Any] = {}
    with SimulatedNetwork(seed=1, latency=lambda source, destination: 0.05, loss=0.1, trace=True) as network:
        nodes = [Node(RoundTripWaits()) for _ in range(2)]
        hosts = [network.host("10.0.0.{}".format(number)) for number in range(2)]
        for host, node in zip(hosts, nodes):
            host.listenUDP(1234, node)
        node, there = nodes[0], ("10.0.0.1", 1234)
        logging = Logging(5)
        port: int = hosts[1].listenUDP(0, logging).getHost().port

        answered, total = network.run(node.add(there, 1, 2))
        outcomes["declared"] = answered, total + 1
        outcomes["declared as a method"] = network.run(node.store(there, b"key", "value"))
        outcomes["deferred"] = network.run(node.whoAmI(there))
        outcomes["not declared"] = network.run(node.relay(there, *there))
        outcomes["call"] = network.run(call(node, there, "add", (3, 4), waitTimeout=(1, 2)))
        # As an address comes in an answer.
        outcomes["list"] = network.run(node.square(list(there))), network.run(call(node, list(there), "square"))
        outcomes["hooks"] = network.run(call(node, ("10.0.0.1", port), "add", [5, 6])), logging.last

        async def scenario() -> int:
            answered, total = await node.add(there, 7, 8)
            await deferLater(hosts[0], 5, lambda: None)
            return total if answered else 0

        outcomes["coroutine"] = network.run(scenario(), limit=60)
        outcomes["expected"] = round(node.waits.expected(there) or 0, 6)

        remove = network.rule(losePings)
        outcomes["ruled"] = network.run(node.ping(there)), network.counts.ruled
        remove()
        with network.partition([hosts[0]], ["10.0.0.1"]):
            outcomes["partitioned"] = network.run(node.add(there, 1, 2))
        try:
            network.run(Deferred[None](), limit=1)
        except (NothingLeft, LimitReached) as error:
            outcomes["pending"] = type(error).__name__
        with hosts[0].asReactor() as host:
            host.stepClock(10)
            host.crash()
        network.advance(100)
        counts, figures = countLosses(network, nodes[1])
        outcomes["figures"] = counts.sent > 0, figures.requests
        assert network.trace is not None and isinstance(network.trace[0].datagram.source[0], str)

        storj = [StorjNode(), StorjNode()]
        for number, peer in enumerate(storj, 2):
            network.host("10.0.0.{}".format(number)).listenUDP(1234, peer)
        outcomes["storj"] = network.run(storj[0].ping(("10.0.0.3", 1234)))
    with Swarm() as swarm:
        outcomes["passed on"] = passOn(swarm.add(1))
    outcomes["made"] = len(make(Clock(), network.host("10.0.0.1"), [1, 2]))
    outcomes["version"] = version.split(".") == [str(part) for part in version_info]
    return outcomes
