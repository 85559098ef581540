"""
A schedule of waits: the same request again, until an answer comes or the last wait is over.
"""

import errno
import socket

from twisted.internet.defer import CancelledError

from rpcudp.protocol import RPCProtocol
from rpcudp._sending import RETRY_INTERVAL
from tests.support import THERE, FakeTransport, ProtocolTestCase, response


class ScheduleTestCase(ProtocolTestCase):
    class protocolClass(RPCProtocol):
        def __init__(self, **options):
            RPCProtocol.__init__(self, waitTimeout=(0.5, 1, 2), **options)

    def receive(self, msgID, result):
        self.protocol.datagramReceived(response(msgID, result), THERE)

    def assertOver(self):
        """
        Nothing more is sent, and no timer is left.
        """
        del self.transport.written[:]
        self.assertNothingPending()
        self.clock.advance(10)
        self.assertNothingPending()


class ScheduleTests(ScheduleTestCase):
    def test_sameDatagramAfterEachWaitButTheLast(self):
        deferred = self.protocol.ping(THERE, 1)
        [first] = self.transport.written
        for wait, copies in ((0.25, 1), (0.25, 2), (0.5, 2), (0.5, 3), (1, 3), (0.75, 3)):
            self.clock.advance(wait)
            self.assertEqual(self.transport.written, [first] * copies)
            self.assertNoResult(deferred)
        self.clock.advance(0.25)
        self.assertEqual(self.successResultOf(deferred), (False, None))
        self.assertEqual(len(self.transport.written), 3)
        self.assertOver()

    def test_listIsAScheduleToo(self):
        self.protocol = RPCProtocol(waitTimeout=[1, 1], reactor=self.clock)
        self.protocol.makeConnection(self.transport)
        deferred = self.protocol.ping(THERE)
        self.clock.pump([1, 1])
        self.assertEqual(self.successResultOf(deferred), (False, None))
        self.assertEqual(len(self.transport.written), 2)

    def test_oneNumberIsOneDatagramAndOneWait(self):
        for waitTimeout in (3, 3.5, (3,)):
            self.protocol._waitTimeout = waitTimeout
            deferred = self.protocol.ping(THERE)
            self.clock.pump([1, 1])
            self.assertNoResult(deferred)
            self.clock.advance(1.5)
            self.assertEqual(self.successResultOf(deferred), (False, None))
            self.assertEqual(len(self.transport.written), 1)
            self.assertOver()

    def test_answerAtAnyTimeEndsTheSchedule(self):
        for before in (0, 0.25, 0.75, 1.75, 3.25):
            deferred = self.protocol.ping(THERE)
            msgID = self.transport.written[0][0][1:21]
            self.clock.pump([0.25] * int(before / 0.25))
            self.receive(msgID, u"pong")
            self.assertEqual(self.successResultOf(deferred), (True, u"pong"))
            self.assertOver()

    def test_firstAnswerWinsAndLaterCopiesAreDroppedSilently(self):
        deferred = self.protocol.ping(THERE)
        msgID = self.transport.written[0][0][1:21]
        self.clock.advance(0.5)
        for result in (u"first", u"first", u"second"):
            self.receive(msgID, result)
        self.assertEqual(self.successResultOf(deferred), (True, u"first"))
        self.assertEqual(self.logged(), [])
        self.assertOver()

    def test_cancelling(self):
        deferred = self.protocol.ping(THERE)
        self.clock.advance(0.5)
        deferred.cancel()
        self.failureResultOf(deferred, CancelledError)
        self.assertOver()

    def test_stopping(self):
        deferred = self.protocol.ping(THERE)
        self.clock.advance(0.5)
        self.protocol.doStop()
        self.assertEqual(self.successResultOf(deferred), (False, None))
        self.assertOver()

    def test_eachCallHasItsOwn(self):
        one = self.protocol.one(THERE)
        self.clock.advance(0.25)
        other = self.protocol.other(THERE)
        ids = [datagram[1:21] for datagram, _ in self.transport.written]
        self.clock.pump([0.25] * 3)
        self.assertEqual([datagram[1:21] for datagram, _ in self.transport.written], ids * 2)
        self.receive(ids[0], 1)
        self.assertEqual(self.successResultOf(one), (True, 1))
        self.clock.pump([0.25] * 11)
        self.assertEqual([datagram[1:21] for datagram, _ in self.transport.written], ids * 2 + ids[1:])
        self.assertEqual(self.successResultOf(other), (False, None))
        self.assertOver()

    def test_oneTimerForAllOfThem(self):
        for _ in range(100):
            self.protocol.ping(THERE)
        for time in (0.5, 1.5, 3.5):
            self.assertEqual([timer.getTime() for timer in self.clock.getDelayedCalls()], [time])
            self.clock.advance(time - self.clock.seconds())
        self.assertOver()

    def test_callMadeByACallbackOfATimeout(self):
        again = []
        self.protocol.ping(THERE).addCallback(lambda _: again.append(self.protocol.ping(THERE)))
        self.clock.pump([0.5, 1, 2])
        self.assertNoResult(again[0])
        self.clock.pump([0.5, 1, 2])
        self.assertEqual(self.successResultOf(again[0]), (False, None))
        self.assertEqual(len(self.transport.written), 6)

    def test_lateReactorWaitsInFullAllTheSame(self):
        deferred = self.protocol.ping(THERE)
        self.clock.advance(100)
        self.assertEqual(len(self.transport.written), 2)
        self.clock.advance(0.75)
        self.assertEqual(len(self.transport.written), 2)
        self.clock.advance(0.25)
        self.assertEqual(len(self.transport.written), 3)
        self.clock.advance(2)
        self.assertEqual(self.successResultOf(deferred), (False, None))

    def test_nothingIsLeftOfAMisplacedCall(self):
        self.assertRaises(ValueError, self.protocol.ping, "nowhere")
        self.assertOver()


class RefusedTests(ScheduleTestCase):
    """
    What the operating system does not take.
    """

    def refuse(self, times, code):
        self.transport.refusals = [socket.error(code, "refused") for _ in range(times)]

    def test_lossIsCoveredByTheNextTime(self):
        self.refuse(2, errno.ENETUNREACH)
        self.protocol.ping(THERE)
        self.clock.pump([0.5, 1])
        self.assertEqual(len(self.transport.written), 1)

    def test_whatStillWaitsForTheBufferIsNotQueuedAgain(self):
        self.refuse(int(2 / RETRY_INTERVAL), errno.EAGAIN)
        self.protocol.ping(THERE)
        self.clock.pump([RETRY_INTERVAL] * int(1.9 / RETRY_INTERVAL))
        self.assertEqual(self.transport.written, [])
        self.clock.pump([RETRY_INTERVAL] * int(0.2 / RETRY_INTERVAL))
        self.assertEqual(len(self.transport.written), 1)

    def test_bufferThatHasRoomAgainIsSentToAgain(self):
        self.refuse(1, errno.EAGAIN)
        self.protocol.ping(THERE)
        self.clock.advance(RETRY_INTERVAL)
        self.assertEqual(len(self.transport.written), 1)
        self.clock.advance(0.5)
        self.assertEqual(len(self.transport.written), 2)

    def test_fullBufferIsWaitedForUntilTheScheduleEnds(self):
        self.refuse(10 ** 4, errno.ENOBUFS)
        deferred = self.protocol.ping(THERE)
        self.clock.pump([RETRY_INTERVAL] * int(3.55 / RETRY_INTERVAL))
        self.assertEqual(self.successResultOf(deferred), (False, None))
        self.transport.refusals = []
        self.clock.advance(RETRY_INTERVAL)
        self.assertOver()

    def test_answerWaitsAsLongAsACallerWould(self):
        self.protocol.rpc_echo = lambda sender: 7
        for waits, sent in ((3.25, 1), (3.75, 0)):
            self.transport.refusals = [socket.error(errno.EAGAIN, "full")] * 1000
            self.protocol._acceptRequest(b"i" * 20, [u"echo", []], THERE)
            self.clock.pump([RETRY_INTERVAL] * int(waits / RETRY_INTERVAL))
            self.transport.refusals = []
            self.clock.advance(RETRY_INTERVAL)
            self.assertEqual(len(self.transport.written), sent)
            del self.transport.written[:]

    def test_errorOfTheTransportEndsNothing(self):
        deferred = self.protocol.ping(THERE)
        self.transport.refusals = [AssertionError("broken transport")]
        self.assertRaises(AssertionError, self.clock.advance, 0.5)
        self.clock.advance(1)
        self.assertEqual(len(self.transport.written), 2)
        self.clock.advance(2)
        self.assertEqual(self.successResultOf(deferred), (False, None))
        self.assertOver()

    def test_errorOfTheTransportAtTheCall(self):
        self.transport.refusals = [AssertionError("broken transport")]
        self.assertRaises(AssertionError, self.protocol.ping, THERE)
        self.assertOver()


class RestartTests(ScheduleTestCase):
    def test_callsOfBeforeAreNotSentThroughTheNewPort(self):
        self.protocol.ping(THERE)
        self.protocol.doStop()
        another = FakeTransport()
        self.protocol.makeConnection(another)
        self.protocol.pong(THERE)
        self.clock.pump([0.5, 1, 2])
        self.assertEqual(len(self.transport.written), 1)
        self.assertEqual(len(set(datagram for datagram, _ in another.written)), 1)
