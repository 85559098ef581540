"""
What type checkers have to refuse: each line that ends with a comment C{type: ignore}.  That they are told to say where
such a comment is needless is how a line that they accept fails C{tox -e types}.  Nothing here is run.
"""

from __future__ import annotations

from typing import Any, Callable

from twisted.internet.defer import Deferred

from rpcudp import wire
from rpcudp.calls import call
from rpcudp.protocol import RPCProtocol
from rpcudp.roundtrip import RoundTripWaits
from rpcudp.statistics import statistics
from rpcudp.testing import Datagram, SimulatedNetwork

Address = tuple[str, int]


class Node(RPCProtocol):
    add: Callable[[Address, int, int], Deferred[tuple[bool, int]]]


class Patient:
    """
    It says nothing of how long to wait.
    """

    def answered(self, address: Address, seconds: float) -> None:
        pass


class Talkative:
    def waits(self, address: Address) -> str:
        return "for long"


class Forgetful:
    def waits(self) -> float:
        return 1


def construct() -> None:
    RPCProtocol(waitTimeout="5")  # type: ignore[arg-type]
    RPCProtocol(waitTimeout=None)  # type: ignore[arg-type]
    RPCProtocol(waitTimeout={1: 2})  # type: ignore[arg-type]
    RPCProtocol(waitTimeout=("1", "2"))  # type: ignore[arg-type]
    RPCProtocol(waitTimeout=Patient())  # type: ignore[arg-type]
    RPCProtocol(waitTimeout=Talkative())  # type: ignore[arg-type]
    RPCProtocol(waitTimeout=Forgetful())  # type: ignore[arg-type]
    RPCProtocol(waitTimeout=RoundTripWaits)  # type: ignore[arg-type]
    RPCProtocol(timeout=5)  # type: ignore[call-arg]
    RPCProtocol(reactor=5)  # type: ignore[arg-type]
    RPCProtocol(maxConcurrent="10")  # type: ignore[arg-type]
    RPCProtocol(maxConcurrent=0.5)  # type: ignore[arg-type]
    RPCProtocol(duplicateLifetime=None)  # type: ignore[arg-type]
    RoundTripWaits(attempts="3")  # type: ignore[arg-type]
    RoundTripWaits(peers=1.5)  # type: ignore[arg-type]


def callRemotely(node: Node, there: Address) -> None:
    node.ping()  # type: ignore[call-arg]
    node.ping("10.0.0.1", 1234)  # type: ignore[arg-type]
    node.ping(("10.0.0.1", "1234"))  # type: ignore[arg-type]
    node.ping(there, name="value")  # type: ignore[call-arg]
    node.ping(there).addCallback(5)  # type: ignore[call-overload]
    node.add(there, "1", 2)  # type: ignore[arg-type]
    node.add(there, 1)  # type: ignore[call-arg,misc]
    node._waitTimeout = "5"  # type: ignore[assignment]
    node._outstanding["id"]  # type: ignore[index]


async def useOutcomes(node: Node, there: Address) -> None:
    answered, result, more = await node.ping(there)  # type: ignore[misc]
    result.anything()
    text: str = await node.ping(there)  # type: ignore[assignment]
    print(text)
    answered, total = await node.add(there, 1, 2)
    total.upper()  # type: ignore[attr-defined]
    (await node.add(there, 1, 2)).bit_length()  # type: ignore[attr-defined]


def callByItself(node: Node, there: Address) -> None:
    call(node, there, b"ping")  # type: ignore[arg-type]
    call(node, there, "ping", "arguments")  # type: ignore[arg-type]
    call(node, there, "ping", waitTimeout="5")  # type: ignore[arg-type]
    call("node", there, "ping")  # type: ignore[arg-type]
    call(node, "there", "ping")  # type: ignore[arg-type]


def count(node: Node) -> None:
    statistics("node")  # type: ignore[arg-type]
    statistics(node).sent  # type: ignore[attr-defined]
    statistics(node).called = 5  # type: ignore[misc]
    print(len(statistics(node).called))  # type: ignore[arg-type]


def ruleWithText(datagram: Datagram) -> str:
    return "lost"


def ruleWithoutDatagram() -> None:
    return None


def simulate(node: Node, there: Address) -> None:
    SimulatedNetwork(seed="1")  # type: ignore[arg-type]
    SimulatedNetwork(latency="1")  # type: ignore[arg-type]
    SimulatedNetwork(loss=lambda source: 0.5)  # type: ignore[arg-type,misc]
    network = SimulatedNetwork()
    network.host(5)  # type: ignore[arg-type]
    network.run(5)  # type: ignore[arg-type]
    network.run(node.add)  # type: ignore[arg-type]
    network.rule(ruleWithText)  # type: ignore[arg-type]
    network.rule(ruleWithoutDatagram)  # type: ignore[arg-type]
    network.partition(5)  # type: ignore[arg-type]
    network.advance("5")  # type: ignore[arg-type]
    network.counts.lost = 5  # type: ignore[misc]
    network.host("10.0.0.1").listenUDP(1234, "node")  # type: ignore[arg-type]
    print(network.run(node.add(there, 1, 2)).bit_length())  # type: ignore[attr-defined]


def decode(data: bytes) -> Any:
    wire.encode(wire.RPCUDP.request, "id", [])  # type: ignore[arg-type]
    wire.encode(wire.RPCUDP, b"id", [])  # type: ignore[arg-type]
    wire.decode(data)  # type: ignore[call-arg]
    wire.decode("data", wire.RPCUDP)  # type: ignore[arg-type]
    return wire.RPCUDP.error  # type: ignore[attr-defined]
