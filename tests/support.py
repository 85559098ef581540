"""
What more than one test needs: a transport without a network, and what came of it.
"""

import itertools
import os
import re

import umsgpack
from twisted.internet import defer, reactor
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

import rpcudp
from rpcudp.protocol import RPCProtocol

# For other processes, so that they import the same rpcudp, and these tests.
_FOLDERS = [os.path.dirname(os.path.dirname(os.path.abspath(path))) for path in (rpcudp.__file__, __file__)]
ENVIRONMENT = dict(os.environ, PYTHONPATH=os.pathsep.join(_FOLDERS))

HERE = ("127.0.0.1", 1234)
THERE = ("192.0.2.7", 5678)
MESSAGE_ID = bytes(bytearray(range(20)))

_numbers = itertools.count()


class FakeTransport(object):
    """
    Keeps what is written to it in C{written}, and raises instead as long as there is something in C{refusals}.
    """

    def __init__(self):
        self.written = []
        self.refusals = []

    def write(self, datagram, address):
        if self.refusals:
            raise self.refusals.pop(0)
        self.written.append((datagram, address))


def request(method, *arguments):
    """
    @return: the datagram with which a peer calls.  Bytes after the payload, which mean nothing, make it another request
        each time.
    """
    return b"\x00" + MESSAGE_ID + umsgpack.packb([method, arguments]) + umsgpack.packb(next(_numbers))


def response(msgID, result):
    """
    @return: the datagram with which a peer answers.
    """
    return b"\x01" + msgID + umsgpack.packb(result)


def sums(figures):
    """
    @type figures: L{rpcudp.statistics.Statistics}

    @return: what does not add up in it, and what is negative.
    @rtype: L{list}
    """
    ended = figures.answered + figures.unanswered + figures.cancelled
    handled = figures.served + figures.failed + figures.repeated + figures.refused + figures.dropped
    came = figures.requests + figures.answered + figures.unexpected + figures.malformed
    equations = {
        "called": figures.called == ended + figures.inFlight,
        "requests": figures.requests == handled + figures.beingAnswered,
        "datagramsReceived": figures.datagramsReceived == came,
        "less than nothing": min(figures) >= 0,
    }
    return [name for name, holds in equations.items() if not holds]


def spell(value):
    """
    @return: C{value} so that two of them are equal only where their types are as well.
    """
    if isinstance(value, (list, tuple)):
        return type(value), [spell(part) for part in value]
    if isinstance(value, dict):
        return type(value), [(spell(key), spell(part)) for key, part in value.items()]
    if isinstance(value, umsgpack.Ext):
        return umsgpack.Ext, value.type, value.data
    return type(value), repr(value)


def outcome(function, argument):
    """
    @return: what C{function} makes of C{argument}, or how it refuses it, spelt so that it can be compared.
    """
    try:
        return spell(function(argument))
    except Exception as error:
        # But for the addresses of objects, which some refusals name.
        return "refused", type(error), re.sub("0x[0-9a-f]+", "", str(error))


class BackgroundProcess(ProcessProtocol):
    """
    A program that runs until it is stopped.

    @ivar firstLine: a Deferred of the first line that it prints, which it does when it is ready.
    @ivar lines: a L{DeferredQueue} of the lines that it prints then.
    @ivar errors: what it has written to stderr.
    """

    def __init__(self, command, environment):
        self.firstLine = defer.Deferred()
        self.lines = defer.DeferredQueue()
        self._ended = defer.Deferred()
        self._printed = self.errors = b""
        reactor.spawnProcess(self, command[0], command, env=environment)

    def outReceived(self, data):
        self._printed += data
        while b"\n" in self._printed:
            line, self._printed = self._printed.split(b"\n", 1)
            if self.firstLine.called:
                self.lines.put(line)
            else:
                self.firstLine.callback(line)

    def errReceived(self, data):
        self.errors += data

    def processEnded(self, reason):
        if not self.firstLine.called:
            self.firstLine.errback(AssertionError(self.errors))
        self._ended.callback(None)

    def stop(self):
        """
        @return: a Deferred that fires when the process has ended.
        """
        if self.transport.pid:
            self.transport.signalProcess("KILL")
        return self._ended


def collectLog(test):
    """
    Keep in C{test.events} what rpcudp logs until the test ends.
    """

    def observe(event):
        if event.get("log_namespace", "").startswith("rpcudp"):
            test.events.append(event)

    test.events = []
    globalLogPublisher.addObserver(observe)
    test.addCleanup(globalLogPublisher.removeObserver, observe)


class ProtocolTestCase(SynchronousTestCase):
    """
    A protocol on a L{FakeTransport}, with a L{Clock}, and what it logs.

    @ivar events: what was logged by it since the test began.
    """

    protocolClass = RPCProtocol

    def setUp(self):
        self.clock = Clock()
        self.protocol = self.protocolClass(reactor=self.clock)
        self.transport = FakeTransport()
        self.protocol.makeConnection(self.transport)
        collectLog(self)

    def logged(self):
        """
        @return: the text of each event since the last time.
        """
        texts = [formatEvent(event) for event in self.events]
        del self.events[:]
        return texts

    def sent(self):
        """
        @return: the message id, method and arguments of the one request that was sent, and its address.
        """
        [(datagram, address)] = self.transport.written
        del self.transport.written[:]
        self.assertEqual(datagram[:1], b"\x00")
        method, arguments = umsgpack.unpackb(datagram[21:])
        return datagram[1:21], method, arguments, address

    def answered(self):
        """
        @return: the results in the responses that were sent since the last time, all to the request of L{request}.
        """
        results = []
        for datagram, address in self.transport.written:
            self.assertEqual((datagram[:21], address), (b"\x01" + MESSAGE_ID, THERE))
            results.append(umsgpack.unpackb(datagram[21:]))
        del self.transport.written[:]
        return results

    def assertNothingPending(self):
        self.assertEqual(self.protocol._outstanding, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.transport.written, [])

    def assertFailureLogged(self, error, *texts):
        """
        One failure of type C{error} was logged, with its traceback, in an event that has all of C{texts}; it is
        returned.
        """
        [event] = self.events
        self.assertEqual(event["log_level"], LogLevel.critical)
        [failure] = self.flushLoggedErrors(error)
        self.assertIs(event["log_failure"], failure)
        self.assertIn("Traceback", failure.getTraceback())
        [text] = self.logged()
        for expected in texts:
            self.assertIn(expected, text)
        return failure
