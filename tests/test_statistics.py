"""
What L{rpcudp.statistics} counts, event by event.  That it adds up whatever comes is judged by L{tests.lossy} and
L{tests.hostile}, with Hypothesis.
"""

import errno
import socket

from twisted.internet import defer
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import globalLogPublisher

from rpcudp import _sending
from rpcudp.exceptions import MalformedMessage
from rpcudp.protocol import RPCProtocol
from rpcudp.statistics import Statistics, statistics
from tests.support import MESSAGE_ID, THERE, ProtocolTestCase, request, response, sums

FULL = socket.error(errno.EAGAIN, "full")
REFUSED = socket.error(errno.EPERM, "no")


class Node(RPCProtocol):
    def rpc_echo(self, sender, value):
        return value

    def rpc_fail(self, sender):
        raise ValueError("on purpose")

    def rpc_failed(self, sender):
        return defer.fail(ValueError("on purpose"))

    def rpc_unsendable(self, sender):
        return object()

    def rpc_later(self, sender):
        self.deferred = defer.Deferred()
        return self.deferred

    def rpc_shared(self, sender):
        return self.deferred

    def rpc_figures(self, sender):
        return list(statistics(self))

    def rpc_close(self, sender):
        self.doStop()


class StatisticsTestCase(ProtocolTestCase):
    protocolClass = Node

    def setUp(self):
        ProtocolTestCase.setUp(self)
        self.before = statistics(self.protocol)

    def assertCounted(self, **expected):
        """
        What has changed since the last time is C{expected}, and it adds up.
        """
        now = statistics(self.protocol)
        changed = {name: getattr(now, name) - getattr(self.before, name) for name in now._fields}
        self.assertEqual({name: change for name, change in changed.items() if change}, expected)
        self.assertEqual(sums(now), [])
        self.before = now

    def receive(self, datagram):
        self.protocol.datagramReceived(datagram, THERE)
        return len(datagram)


class FiguresTests(StatisticsTestCase):
    def test_nothingHasHappened(self):
        self.assertEqual(self.before, Statistics(*[0] * len(Statistics._fields)))

    def test_namedTupleOfIntegersThatDoesNotChange(self):
        self.protocol.echo(THERE)
        self.assertEqual(self.before.called, 0)
        now = statistics(self.protocol)
        self.assertIsInstance(now, tuple)
        self.assertEqual({type(figure) for figure in now}, {int})
        self.assertEqual(now._asdict()["called"], 1)

    def test_whatIsNoProtocolIsRefused(self):
        for wrong in (object(), None, DatagramProtocol(), Node):
            self.assertIn("not an RPCProtocol", str(self.assertRaises(TypeError, statistics, wrong)))

    def test_eachProtocolHasItsOwn(self):
        self.protocol.echo(THERE)
        self.assertEqual(statistics(Node()).called, 0)

    def test_everyFigureIsExplained(self):
        for name in Statistics._fields:
            self.assertIn("@ivar {}:".format(name), Statistics.__doc__)


class CallerTests(StatisticsTestCase):
    def test_answered(self):
        self.protocol.echo(THERE, 1)
        [(sent, _)] = self.transport.written
        self.assertCounted(called=1, inFlight=1, datagramsSent=1, bytesSent=len(sent))
        size = self.receive(response(sent[1:21], 1))
        self.assertCounted(answered=1, inFlight=-1, datagramsReceived=1, bytesReceived=size)
        size = self.receive(response(sent[1:21], 1))
        self.assertCounted(unexpected=1, datagramsReceived=1, bytesReceived=size)

    def test_unansweredAfterCopies(self):
        self.protocol._waitTimeout = (1, 1, 1)
        self.protocol.echo(THERE, 1)
        size = len(self.transport.written[0][0])
        self.clock.pump([1, 1])
        self.assertCounted(called=1, inFlight=1, resent=2, datagramsSent=3, bytesSent=3 * size)
        self.clock.advance(1)
        self.assertCounted(unanswered=1, inFlight=-1)

    def test_cancelled(self):
        deferred = self.protocol.echo(THERE, 1).addErrback(lambda failure: None)
        size = len(self.transport.written[0][0])
        deferred.cancel()
        self.assertCounted(called=1, cancelled=1, datagramsSent=1, bytesSent=size)

    def test_closed(self):
        self.protocol.echo(THERE, 1)
        size = len(self.transport.written[0][0])
        self.protocol.numPorts = 1
        self.protocol.doStop()
        self.assertCounted(called=1, unanswered=1, datagramsSent=1, bytesSent=size)

    def test_cancelledByWhatObservesTheLog(self):
        self.protocol.noisy = True
        deferred = self.protocol.echo(THERE, 1).addErrback(lambda failure: None)
        [(sent, _)] = self.transport.written

        def observe(event):
            if event.get("log_format", "").startswith("answered by"):
                deferred.cancel()

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.receive(response(sent[1:21], 1))
        figures = statistics(self.protocol)
        self.assertEqual((figures.cancelled, figures.unexpected, figures.datagramsReceived), (1, 1, 1))

    def test_callsThatRaise(self):
        self.assertRaises(ValueError, self.protocol.echo, ("host", 1))
        self.assertRaises(MalformedMessage, self.protocol.echo, THERE, object())
        self.transport.refusals = [TypeError("not the operating system's")]
        self.assertRaises(TypeError, self.protocol.echo, THERE)
        self.assertCounted()

    def test_malformedAnswerEndsNothing(self):
        self.protocol.echo(THERE, 1)
        [(sent, _)] = self.transport.written
        self.assertCounted(called=1, inFlight=1, datagramsSent=1, bytesSent=len(sent))
        size = self.receive(b"\x01" + sent[1:21] + b"\xc1")
        self.assertCounted(malformed=1, datagramsReceived=1, bytesReceived=size)


class AnswererTests(StatisticsTestCase):
    def assertRequest(self, datagram, answers=0, **expected):
        size = self.receive(datagram)
        sent = [len(answer) for answer, _ in self.transport.written]
        del self.transport.written[:]
        self.assertEqual(len(sent), answers)
        expected.update({"datagramsSent": answers, "bytesSent": sum(sent)} if answers else {})
        self.assertCounted(requests=1, datagramsReceived=1, bytesReceived=size, **expected)

    def test_servedAndRepeated(self):
        datagram = request(u"echo", 1)
        self.assertRequest(datagram, 1, served=1, remembered=1)
        self.assertRequest(datagram, 1, repeated=1)

    def test_failed(self):
        self.assertRequest(request(u"fail"), failed=1, remembered=1)
        self.assertRequest(request(u"unsendable"), failed=1, remembered=1)
        self.assertEqual(len(self.flushLoggedErrors()), 2)

    def test_itAddsUpForWhatObservesTheLog(self):
        self.protocol.noisy = True
        seen = []

        def observe(event):
            if event.get("log_namespace") == "rpcudp.protocol":
                seen.append((event["log_format"], sums(statistics(self.protocol))))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        for method in (u"fail", u"nothing", u"unsendable", u"failed", u"later", u"echo"):
            self.receive(request(method))
        self.protocol.deferred.errback(ValueError("on purpose"))
        self.flushLoggedErrors()
        self.assertEqual([wrong for wrong in seen if wrong[1]], [])
        self.assertGreater(len(seen), 4)

    def test_refused(self):
        self.assertRequest(request(u"nothing"), refused=1, remembered=1)
        self.assertRequest(request(u"echo"), refused=1, remembered=1)

    def test_later(self):
        datagram = request(u"later")
        self.assertRequest(datagram, beingAnswered=1, remembered=1)
        self.assertRequest(datagram, repeated=1)
        self.protocol.deferred.callback(None)
        size = len(self.transport.written[0][0])
        self.assertCounted(served=1, beingAnswered=-1, datagramsSent=1, bytesSent=size)

    def test_laterAndFailed(self):
        for outcome in (ValueError("on purpose"), object()):
            self.assertRequest(request(u"later"), beingAnswered=1, remembered=1)
            fire = self.protocol.deferred.errback if isinstance(outcome, Exception) else self.protocol.deferred.callback
            fire(outcome)
            self.assertCounted(failed=1, beingAnswered=-1)
        self.assertEqual(len(self.flushLoggedErrors()), 2)

    def test_placeIsGivenBackThoughLoggingFails(self):
        def observe(event):
            if event.get("log_namespace") == "rpcudp.protocol":
                raise KeyboardInterrupt

        self.receive(request(u"later"))
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.protocol.deferred.errback(ValueError("on purpose"))
        self.protocol.deferred.addErrback(lambda failure: None)
        self.flushLoggedErrors(ValueError)
        figures = statistics(self.protocol)
        self.assertEqual((figures.failed, figures.beingAnswered), (1, 0))

    def test_severalWaitForOneThatFails(self):
        self.assertRequest(request(u"later"), beingAnswered=1, remembered=1)
        self.assertRequest(request(u"shared"), beingAnswered=1, remembered=1)
        self.protocol.deferred.errback(ValueError("on purpose"))
        self.assertCounted(failed=2, beingAnswered=-2)
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_afterThePortWasClosed(self):
        self.assertRequest(request(u"later"), beingAnswered=1, remembered=1)
        self.protocol.numPorts = 1
        self.protocol.doStop()
        self.assertCounted()
        self.protocol.deferred.callback(None)
        self.assertCounted(failed=1, beingAnswered=-1)

    def test_closedByTheHandler(self):
        self.protocol.numPorts = 1
        self.assertRequest(request(u"close"), failed=1, remembered=1)

    def test_dropped(self):
        self.protocol = Node(reactor=self.clock, maxConcurrent=2)
        self.protocol.makeConnection(self.transport)
        self.before = statistics(self.protocol)
        self.assertRequest(request(u"later"), beingAnswered=1, remembered=1)
        self.assertRequest(request(u"echo", 1), dropped=1)

    def test_nothingIsRememberedWithoutACache(self):
        self.protocol = Node(reactor=self.clock, duplicateLifetime=0)
        self.protocol.makeConnection(self.transport)
        self.before = statistics(self.protocol)
        datagram = request(u"echo", 1)
        self.assertRequest(datagram, 1, served=1)
        self.assertRequest(datagram, 1, served=1)

    def test_handlerThatIsRunningIsInHand(self):
        self.receive(request(u"figures"))
        [figures] = self.answered()
        self.assertEqual((Statistics(*figures).requests, Statistics(*figures).beingAnswered), (1, 1))

    def test_malformed(self):
        for datagram in (b"", b"\x00", b"\x05" + MESSAGE_ID + b"\xc0", b"\x00" + MESSAGE_ID + b"\xc0"):
            size = self.receive(datagram)
            expected = {"bytesReceived": size} if size else {}
            self.assertCounted(malformed=1, datagramsReceived=1, **expected)

    def test_unexpected(self):
        size = self.receive(response(MESSAGE_ID, None))
        self.assertCounted(unexpected=1, datagramsReceived=1, bytesReceived=size)


class SendingTests(StatisticsTestCase):
    def test_refusedByTheOperatingSystem(self):
        self.transport.refusals = [REFUSED]
        self.protocol.echo(THERE, 1)
        self.assertCounted(called=1, inFlight=1, lost=1)

    def test_waitingForRoom(self):
        self.transport.refusals = [FULL]
        self.protocol.echo(THERE, 1)
        self.assertCounted(called=1, inFlight=1, waiting=1)
        self.clock.advance(0.01)
        size = len(self.transport.written[0][0])
        self.assertCounted(waiting=-1, datagramsSent=1, bytesSent=size)

    def test_givenUpWhileItWaits(self):
        self.transport.refusals = [FULL] * 100
        self.protocol.echo(THERE, 1).addErrback(lambda failure: None).cancel()
        self.assertCounted(called=1, cancelled=1, lost=1)
        self.protocol.echo(THERE, 1)
        self.protocol.echo(THERE, 1)
        self.receive(request(u"echo", 1))
        self.before = statistics(self.protocol)
        self.protocol.numPorts = 1
        self.protocol.doStop()
        self.assertCounted(unanswered=2, inFlight=-2, waiting=-3, lost=3)

    def test_answerThatHasWaitedForTooLong(self):
        self.transport.refusals = [FULL] * 10000
        self.receive(request(u"echo", 1))
        self.before = statistics(self.protocol)
        self.assertEqual((self.before.served, self.before.waiting), (1, 1))
        self.clock.pump([0.1] * 60)
        self.assertCounted(waiting=-1, lost=1)

    def test_noRoomInTheQueueEither(self):
        self.transport.refusals = [FULL] * 10000
        self.patch(_sending, "MAX_WAITING", 2)
        for _ in range(3):
            self.protocol.echo(THERE, 1)
        self.assertCounted(called=3, inFlight=3, waiting=2, lost=1)


class StrangerTests(StatisticsTestCase):
    def test_thoseToAConnectedPortAreNotCounted(self):
        class Socket(object):
            def getpeername(self):
                return ("192.0.2.9", 1)

        self.transport.socket = Socket()
        self.receive(request(u"echo", 1))
        self.receive(b"")
        self.assertCounted()
