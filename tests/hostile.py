"""
A judge of what a protocol does with a stranger's datagrams: nothing, unless one is a well-formed request for a handler
of its own, or bears the message id of a call in flight.

The judge decides for itself, with u-msgpack-python, what each datagram is; but what would take that to the end of the
stack, it believes to be too deep.
"""

import umsgpack
from twisted.internet import defer
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

import rpcudp.protocol
import storjrpcudp.protocol
from rpcudp._nesting import isDeeper
from rpcudp.statistics import statistics
from tests.support import THERE, FakeTransport, sums

TEXT = type(u"")
MAX_PAYLOAD = 8192
MAX_DEPTH = 128


def depth(value):
    """
    @return: how many arrays and maps are within each other in C{value}.
    """
    level, levels = [value], -1
    while level:
        levels += 1
        parts = []
        for item in level:
            if isinstance(item, dict):
                parts.extend(item.keys())
                parts.extend(item.values())
                parts.append(None)
            elif isinstance(item, (list, tuple)):
                parts.extend(item)
                parts.append(None)
        level = parts
    return levels


class Handlers(object):
    """
    What is open to the network.
    """

    def rpc_echo(self, sender, value):
        # What arrives as a 32 bit float goes out as one of 64 bits, so that not all that fits comes back.
        return value if len(umsgpack.packb(value)) <= MAX_PAYLOAD else None

    def rpc_count(self, sender, *values):
        return len(values)

    def rpc_later(self, sender):
        self.deferred = defer.Deferred()
        return self.deferred

    @defer.inlineCallbacks
    def rpc_generator(self, sender, first, second=None):
        yield defer.succeed(None)

    def rpc_(self, sender):
        return None

    rpc_attribute = u"not callable"

    def public(self, sender, *values):
        raise AssertionError("called from the network")

    # How many arguments each takes.
    ARGUMENTS = {u"echo": [1], u"count": range(MAX_PAYLOAD), u"later": [0], u"generator": [1, 2], u"": [0]}


class RPCUDPNode(Handlers, rpcudp.protocol.RPCProtocol):
    kinds = b"\x00\x01"


class StorjNode(Handlers, storjrpcudp.protocol.RPCProtocol):
    kinds = b"\x02\x03"


class Judge(object):
    """
    Hands datagrams to a protocol, and fails with L{AssertionError} where it does what it should not.

    @ivar judged: how many datagrams.
    @ivar answered: how many of them were requests that had to be answered, and were.
    @ivar fired: how many were responses to a call in flight, and ended it.
    """

    def __init__(self, nodeClass):
        self.clock = Clock()
        self.node = nodeClass(reactor=self.clock)
        self.request, self.response = nodeClass.kinds[:1], nodeClass.kinds[1:]
        self.transport = FakeTransport()
        self.node.makeConnection(self.transport)
        self.events = []
        self.judged = self.answered = self.fired = 0
        self._call()
        globalLogPublisher.addObserver(self._observe)

    def close(self):
        globalLogPublisher.removeObserver(self._observe)
        self.node.doStop()

    def _observe(self, event):
        self.events.append(event)

    def _call(self):
        self.call = self.node.ping(THERE)
        [self.msgID] = self.node._outstanding
        del self.transport.written[:]

    def _value(self, datagram):
        """
        @return: the value of a well-formed payload in a tuple of its own, or nothing in one.
        """
        payload = datagram[21 : 21 + MAX_PAYLOAD]
        if not payload or isDeeper(payload, MAX_DEPTH + 2):
            return ()
        try:
            value = umsgpack.unpackb(payload)
        except Exception:
            return ()
        return (value,) if depth(value) <= MAX_DEPTH else ()

    def _fits(self, value):
        return (
            isinstance(value, list)
            and len(value) == 2
            and isinstance(value[0], TEXT)
            and isinstance(value[1], list)
            and len(value[1]) in Handlers.ARGUMENTS.get(value[0], [])
        )

    def judge(self, datagram):
        """
        @param datagram: bytes, in which the first 20 bytes C{0xFF} stand for the message id of the call in flight.
        """
        datagram = datagram.replace(b"\xff" * 20, self.msgID, 1)
        kind, msgID, values = datagram[:1], datagram[1:21], self._value(datagram)
        self.node.deferred = None
        self.node.datagramReceived(datagram, THERE)
        if self.node.deferred is not None:
            self.node.deferred.callback(None)
        self.judged += 1

        answers = [(answer[:21], address) for answer, address in self.transport.written]
        expected = [(self.response + msgID, THERE)] if kind == self.request and any(map(self._fits, values)) else []
        assert answers == expected, ("answers", answers, "instead of", expected, "to", datagram)
        assert not self.events, ("logged", [formatEvent(event) for event in self.events], "for", datagram)
        self.answered += len(answers)
        del self.transport.written[:]

        if kind == self.response and msgID == self.msgID and values:
            results = []
            self.call.addCallback(results.append)
            assert len(results) == 1 and results[0][0] is True, ("call not answered by", datagram)
            assert umsgpack.packb(results[0][1]) == umsgpack.packb(values[0]), ("call answered wrongly by", datagram)
            self.fired += 1
            self._call()
        else:
            assert not self.call.called, ("call disturbed by", datagram)
            assert list(self.node._outstanding) == [self.msgID], ("calls disturbed by", datagram)
        assert len(self.clock.getDelayedCalls()) == 1, ("timers left by", datagram)
        figures = statistics(self.node)
        assert not sums(figures), ("figures that do not add up", figures, "for", datagram)
        told = figures.datagramsReceived, figures.answered, figures.inFlight, figures.beingAnswered
        assert told == (self.judged, self.fired, 1, 0), ("figures", figures, "for", datagram)
