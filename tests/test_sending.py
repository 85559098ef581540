"""
The way out, when the operating system would not take a datagram.
"""

import errno
import socket

from twisted.internet.error import MessageLengthError

from rpcudp import _sending as sending
from rpcudp import wire
from rpcudp.protocol import RPCProtocol
from tests.support import HERE, THERE, ProtocolTestCase, request, response

FULL = [errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, 10055]


def full():
    return socket.error(errno.EAGAIN, "Resource temporarily unavailable")


class SendingTestCase(ProtocolTestCase):
    class protocolClass(RPCProtocol):
        def rpc_echo(self, sender, argument):
            return argument

    def refuse(self, times):
        self.transport.refusals = [full() for _ in range(times)]

    def receive(self, argument):
        self.protocol.datagramReceived(request(u"echo", argument), THERE)

    def methods(self):
        """
        @return: the methods of the requests that were sent since the last time.
        """
        sent = [wire.decode(datagram, wire.RPCUDP) for datagram, _ in self.transport.written]
        del self.transport.written[:]
        return [method for _, _, [method, _] in sent]


class ConnectedSocketTests(SendingTestCase):
    """
    A transport that is no port of Twisted's, and whose socket is connected.
    """

    class Socket(object):
        def getpeername(self):
            return THERE

    def setUp(self):
        SendingTestCase.setUp(self)
        self.transport.socket = self.Socket()

    def test_writesWithoutAnAddress(self):
        self.protocol.ping(THERE)
        self.receive(1)
        self.assertEqual([address for _, address in self.transport.written], [None, None])

    def test_doesNotHearStrangers(self):
        self.protocol.datagramReceived(request(u"echo", 1), HERE)
        self.assertEqual(self.transport.written, [])


class OneDestinationTests(SendingTestCase):
    """
    What is full for one destination holds up no other.
    """

    def setUp(self):
        SendingTestCase.setUp(self)
        self.full = set()
        self.attempts = []
        write = self.transport.write

        def writeToOthers(datagram, address):
            self.attempts.append(address)
            if address in self.full:
                raise socket.error(errno.ENOBUFS, "No buffer space available")
            write(datagram, address)

        self.transport.write = writeToOthers

    def tick(self):
        del self.attempts[:]
        self.clock.advance(sending.RETRY_INTERVAL)

    def test_others(self):
        self.full = {HERE}
        self.protocol.first(HERE)
        self.protocol.second(HERE)
        self.protocol.third(THERE)
        self.protocol.fourth(THERE)
        self.tick()
        self.assertEqual(self.methods(), [u"third", u"fourth"])
        self.assertEqual(self.attempts.count(HERE), 1)
        self.full = set()
        self.tick()
        self.assertEqual(self.methods(), [u"first", u"second"])

    def test_manyAreNotAllTriedAtEachAttempt(self):
        addresses = [("192.0.2.{}".format(number), 1) for number in range(sending.MAX_TRIED + 5)]
        self.full = set(addresses)
        for address in addresses:
            self.protocol.ping(address)
        self.protocol.other(THERE)
        self.tick()
        self.assertEqual(self.attempts, addresses[:-5])
        self.tick()
        self.assertEqual(self.methods(), [u"other"])
        self.assertEqual(self.attempts, addresses[-5:] + [THERE] + addresses[:-10])
        self.full = set()
        self.tick()
        self.assertEqual(len(self.methods()), len(addresses))

    def test_orderForEachDestinationIsKept(self):
        self.patch(sending, "MAX_TRIED", 1)
        self.full = {HERE}
        for method in (u"first", u"second", u"third"):
            getattr(self.protocol, method)(HERE)
        self.protocol.other(THERE)
        self.tick()
        self.assertEqual(self.methods(), [])
        self.tick()
        self.assertEqual(self.methods(), [u"other"])
        self.full = set()
        self.tick()
        self.assertEqual(self.methods(), [u"first", u"second", u"third"])


class ClockStepTests(SendingTestCase):
    """
    A clock that is set while something waits is of no more consequence than the step.
    """

    def test_setBack(self):
        self.refuse(10 ** 5)
        self.protocol.before(THERE)
        self.clock.rightNow -= 3600
        self.transport.refusals = []
        for number in range(600):
            self.protocol.after(THERE)
            self.clock.advance(0.01)
        self.assertEqual(self.methods(), [u"before"] + [u"after"] * 600)

    def test_setBackWhileTheQueueIsFull(self):
        self.refuse(1)
        for _ in range(sending.MAX_WAITING):
            self.protocol.before(THERE)
        self.clock.rightNow -= 3600
        self.protocol.lost(THERE)
        self.clock.advance(sending.RETRY_INTERVAL)
        self.assertEqual(self.methods(), [u"before"] * sending.MAX_WAITING)

    def test_setBackWhenACopyComes(self):
        self.refuse(1)
        datagram = request(u"echo", 1)
        self.protocol.datagramReceived(datagram, THERE)
        self.clock.rightNow -= 3600
        self.protocol.datagramReceived(datagram, THERE)
        self.clock.advance(sending.RETRY_INTERVAL)
        self.assertEqual(self.answered(), [1])

    def test_setBackWhenNothingElseIsSent(self):
        self.refuse(1)
        self.receive(1)
        self.clock.rightNow -= 60
        self.clock.advance(60 + sending.RETRY_INTERVAL)
        self.assertEqual(self.answered(), [1])

    def test_setForward(self):
        self.refuse(1)
        self.receive(1)
        self.clock.rightNow += 3600
        self.clock.advance(0)
        self.receive(2)
        self.assertEqual(self.answered(), [2])
        self.assertNothingPending()


class LossTests(SendingTestCase):
    """
    What the operating system refuses is lost on the way.
    """

    def test_refusedCallIsALossAndNoException(self):
        codes = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPERM, errno.EACCES, errno.ENETDOWN, errno.EINVAL)
        for error in [socket.error(code, "refused") for code in codes] + [socket.error()]:
            self.transport.refusals = [error]
            deferred = self.protocol.ping(THERE)
            self.assertNoResult(deferred)
            self.clock.pump([1] * 5)
            self.assertEqual(self.successResultOf(deferred), (False, None))
            self.assertNothingPending()
            self.assertEqual(self.logged(), [])

    def test_datagramTooLongForTheNetworkIsALoss(self):
        self.transport.refusals = [MessageLengthError("message too long")]
        deferred = self.protocol.ping(THERE)
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(deferred), (False, None))
        self.assertNothingPending()

    def test_refusedAnswerIsALossAndNoFailureOfTheHandler(self):
        self.transport.refusals = [socket.error(errno.ENETUNREACH, "refused")]
        self.receive(1)
        self.assertEqual((self.answered(), self.logged()), ([], []))
        self.receive(2)
        self.assertEqual(self.answered(), [2])


class FullBufferTests(SendingTestCase):
    """
    A full send buffer is waited for.
    """

    def test_callWaitsForTheBufferAndIsAnswered(self):
        for code in FULL:
            for error in (socket.error(code, "full"), socket.error(code)):
                self.transport.refusals = [error] + [socket.error(code, "full") for _ in range(3)]
                deferred = self.protocol.ping(THERE)
                self.assertEqual(self.transport.written, [])
                self.clock.pump([sending.RETRY_INTERVAL] * 4)
                msgID = self.sent()[0]
                self.protocol.datagramReceived(response(msgID, u"pong"), THERE)
                self.assertEqual(self.successResultOf(deferred), (True, u"pong"))
                self.assertNothingPending()

    def test_answerWaitsForTheBuffer(self):
        self.refuse(2)
        self.receive(1)
        self.assertEqual((self.answered(), self.logged()), ([], []))
        self.clock.pump([sending.RETRY_INTERVAL] * 2)
        self.assertEqual(self.answered(), [1])
        self.assertNothingPending()

    def test_whatIsSentMeanwhileKeepsItsOrder(self):
        self.refuse(1)
        self.protocol.first(THERE)
        self.protocol.second(THERE)
        self.protocol.third(THERE)
        self.assertEqual(self.methods(), [])
        self.clock.advance(sending.RETRY_INTERVAL)
        self.assertEqual(self.methods(), [u"first", u"second", u"third"])

    def test_bufferThatFillsAgainKeepsTheRest(self):
        self.refuse(1)
        self.protocol.first(THERE)
        self.protocol.second(THERE)
        self.protocol.third(THERE)
        write = self.transport.write

        def writeOne(datagram, address):
            if self.transport.written:
                raise full()
            write(datagram, address)

        self.transport.write = writeOne
        for method in (u"first", u"second", u"third"):
            self.clock.advance(sending.RETRY_INTERVAL)
            self.assertEqual(self.methods(), [method])
        # That of the calls.
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_callWaitsForTheBufferAsLongAsItWaitsAtAll(self):
        self.refuse(int(4.9 / sending.RETRY_INTERVAL))
        self.protocol.ping(THERE)
        self.clock.pump([sending.RETRY_INTERVAL] * int(4.95 / sending.RETRY_INTERVAL))
        self.assertEqual(self.methods(), [u"ping"])

    def test_noisyProtocolTellsOfAnAnswerThatWaitedTooLong(self):
        self.protocol.noisy = True
        self.refuse(10 ** 4)
        self.receive(1)
        self.clock.pump([sending.RETRY_INTERVAL] * 1001)
        self.assertIn("it has waited for 5 seconds", self.logged()[-1])

    def test_callThatGaveUpIsNotSentAfterwards(self):
        self.refuse(10 ** 4)
        deferred = self.protocol.ping(THERE)
        self.clock.pump([sending.RETRY_INTERVAL] * 1001)
        self.assertEqual(self.successResultOf(deferred), (False, None))
        self.transport.refusals = []
        self.clock.advance(sending.RETRY_INTERVAL)
        self.assertNothingPending()

    def test_answerWaitsAsLongAsTheLastWaitsThatWereRight(self):
        self.protocol._waitTimeout = None
        self.refuse(100)
        self.receive(1)
        self.clock.pump([sending.RETRY_INTERVAL] * 101)
        self.assertEqual((self.answered(), self.logged()), ([1], []))

    def test_answerThatWaitedTooLongIsNotSentAfterwards(self):
        self.refuse(10 ** 4)
        self.receive(1)
        self.clock.pump([sending.RETRY_INTERVAL] * 1001)
        self.transport.refusals = []
        self.clock.advance(sending.RETRY_INTERVAL)
        self.assertNothingPending()

    def test_copyDoesNotRenewTheAgeOfAnAnswer(self):
        datagram = request(u"echo", 1)
        self.protocol.datagramReceived(datagram, THERE)
        del self.transport.written[:]
        self.refuse(10 ** 5)
        for _ in range(6):
            self.protocol.datagramReceived(datagram, THERE)
            self.clock.pump([sending.RETRY_INTERVAL] * 180)
        self.transport.refusals = []
        self.clock.advance(sending.RETRY_INTERVAL)
        self.assertNothingPending()

    def test_cancelledCallsKeepNoPlaces(self):
        self.refuse(10 ** 5)
        calls = [self.protocol.ping(THERE).addErrback(lambda _: None) for _ in range(sending.MAX_WAITING)]
        for call in calls[1:]:
            call.cancel()
        self.protocol.other(THERE)
        self.transport.refusals = []
        self.clock.advance(sending.RETRY_INTERVAL)
        self.assertEqual(self.methods(), [u"ping", u"other"])

    def test_callsThatHaveEndedKeepNoPlaces(self):
        self.refuse(10 ** 5)
        self.protocol._waitTimeout = 1
        for _ in range(sending.MAX_WAITING):
            self.protocol.ping(THERE)
        self.clock.advance(1)
        self.protocol.other(THERE)
        self.transport.refusals = []
        self.clock.advance(sending.RETRY_INTERVAL)
        self.assertEqual(self.methods(), [u"other"])

    def test_callThatIsCancelledWhileAnotherIsSentLeavesNoTimer(self):
        write = self.transport.write

        def writeAndCall(datagram, address):
            write(datagram, address)
            self.protocol.ping(THERE).addErrback(lambda _: None).cancel()

        self.refuse(1)
        self.receive(1)
        self.transport.write = writeAndCall
        self.clock.advance(sending.RETRY_INTERVAL)
        self.assertEqual((self.answered(), self.clock.getDelayedCalls()), ([1], []))

    def test_cancellingTheLastCallLeavesNoTimer(self):
        self.refuse(10 ** 5)
        self.protocol.ping(THERE).addErrback(lambda _: None).cancel()
        self.assertNothingPending()

    def test_retransmissionOfACallThatStillWaitsIsOneWithIt(self):
        self.protocol._waitTimeout = (0.5, 1)
        self.refuse(10 ** 5)
        self.protocol.ping(THERE)
        self.clock.advance(0.5)
        self.transport.refusals = []
        self.clock.advance(sending.RETRY_INTERVAL)
        self.assertEqual(self.methods(), [u"ping"])

    def test_cancelledCallIsNotSentAfterwards(self):
        self.refuse(1)
        self.protocol.cancelled(THERE).addErrback(lambda _: None).cancel()
        self.protocol.other(THERE)
        self.clock.advance(sending.RETRY_INTERVAL)
        self.assertEqual(self.methods(), [u"other"])

    def test_lossWhileOthersWaitHoldsNothingUp(self):
        self.refuse(1)
        self.protocol.first(THERE)
        self.protocol.second(THERE)
        self.transport.refusals = [socket.error(errno.EHOSTUNREACH, "refused")]
        self.clock.advance(sending.RETRY_INTERVAL)
        self.assertEqual(self.methods(), [u"second"])

    def test_errorOfTheTransportHoldsNothingUp(self):
        self.refuse(1)
        self.protocol.first(THERE)
        self.protocol.second(THERE)
        self.transport.refusals = [AssertionError("broken transport")]
        self.assertRaises(AssertionError, self.clock.advance, sending.RETRY_INTERVAL)
        self.clock.advance(sending.RETRY_INTERVAL)
        self.assertEqual(self.methods(), [u"second"])

    def test_whatWaitsIsBounded(self):
        self.refuse(1)
        for number in range(sending.MAX_WAITING + 1):
            self.receive(number)
        self.clock.advance(sending.RETRY_INTERVAL)
        self.assertEqual(self.answered(), list(range(sending.MAX_WAITING)))
        self.assertEqual(self.logged(), [])

    def test_stoppingForgetsWhatWaits(self):
        self.refuse(1)
        deferred = self.protocol.ping(THERE)
        self.receive(1)
        self.protocol.doStop()
        self.assertEqual(self.successResultOf(deferred), (False, None))
        self.assertNothingPending()
        self.protocol.makeConnection(self.transport)
        self.refuse(1)
        self.receive(2)
        self.clock.advance(sending.RETRY_INTERVAL)
        self.assertEqual(self.answered(), [2])
