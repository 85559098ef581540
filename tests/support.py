"""
What more than one test needs: a transport without a network, and what came of it.
"""

import io
import itertools
import os
import re
import socket
import sys

import umsgpack
from twisted.internet import defer, reactor
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.internet.utils import getProcessOutputAndValue
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

import rpcudp
from rpcudp.protocol import RPCProtocol

# For other processes, so that they import the same rpcudp, and these tests.
_FOLDERS = [os.path.dirname(os.path.dirname(os.path.abspath(path))) for path in (rpcudp.__file__, __file__)]
ENVIRONMENT = dict(os.environ, PYTHONPATH=os.pathsep.join(_FOLDERS))

HERE = ("127.0.0.1", 1234)
THERE = ("192.0.2.7", 5678)
MESSAGE_ID = bytes(bytearray(range(20)))

_numbers = itertools.count()

# Runs the program named first, as Python does, and says so once it listens.
ANNOUNCE = """
from __future__ import print_function
import os, runpy, sys
from twisted.internet import reactor
reactor.callWhenRunning(lambda: (print("running"), sys.stdout.flush()))
del sys.argv[0]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


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
    @ivar ended: a Deferred that fires when it has ended.
    """

    def __init__(self, command, environment, folder=None):
        self.firstLine = defer.Deferred()
        self.lines = defer.DeferredQueue()
        self.ended = defer.Deferred()
        self._printed = self.errors = b""
        reactor.spawnProcess(self, command[0], command, env=environment, path=folder)

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
        self.ended.callback(None)

    def stop(self):
        """
        @return: a Deferred that fires when the process has ended.
        """
        if self.transport.pid:
            self.transport.signalProcess("KILL")
        return self.ended


def freePort():
    """
    @return: a UDP port that nobody listens on.
    """
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.bind(("", 0))
    port = probe.getsockname()[1]
    probe.close()
    return port


class ProcessTestCase(TestCase):
    """
    Runs programs.
    """

    timeout = 60

    @defer.inlineCallbacks
    def runPython(self, *command, **options):
        """
        @return: a Deferred of a program's output, errors and exit code.
        """
        out, err, code = yield getProcessOutputAndValue(sys.executable, command, env=ENVIRONMENT, **options)
        defer.returnValue((out.decode("utf-8"), err.decode("utf-8"), code))

    def serve(self, *arguments):
        """
        @return: a Deferred that fires when a program listens, which it does until the test ends.
        """
        server = BackgroundProcess([sys.executable, "-c", ANNOUNCE] + list(arguments), ENVIRONMENT)
        self.addCleanup(server.stop)
        return server.firstLine

    def takePort(self):
        """
        @return: a UDP port that is taken until the test ends.
        """
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(taken.close)
        taken.bind(("", 0))
        return taken.getsockname()[1]

    def assertPlainFailure(self, outcome, sentence):
        out, err, code = outcome
        self.assertEqual((out, code), ("", 1))
        self.assertRegex(err.strip(), sentence)
        self.assertNotIn("Traceback", err)

    if not hasattr(TestCase, "assertRegex"):
        # Python 2.7's name of it.
        assertRegex = TestCase.assertRegexpMatches


def captureOutput(test, function, *arguments):
    """
    @return: what C{function} returns, and what it prints to standard output and to standard error.
    """
    # What print writes on Python 2 is bytes.
    files = [io.StringIO() if sys.version_info >= (3,) else io.BytesIO() for _ in range(2)]
    test.patch(sys, "stdout", files[0])
    test.patch(sys, "stderr", files[1])
    return (function(*arguments),) + tuple(file.getvalue() for file in files)


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
