"""
Stopping, and listening again.
"""

import errno
import socket

from twisted.internet.defer import CancelledError

from rpcudp.protocol import RPCProtocol
from tests.support import THERE, FakeTransport, ProtocolTestCase, request, response


class StoppingTests(ProtocolTestCase):
    def test_everyCallInFlightFiresFalseAndNone(self):
        deferreds = [self.protocol.ping(THERE) for _ in range(5000)]
        del self.transport.written[:]
        self.protocol.doStop()
        self.assertEqual({self.successResultOf(deferred) for deferred in deferreds}, {(False, None)})
        self.assertNothingPending()
        self.assertEqual(self.logged(), [])

    def test_nothingIsLeftWhenTheCallsFire(self):
        left = []
        self.protocol.ping(THERE).addCallback(lambda _: left.extend(self.clock.getDelayedCalls()))
        self.protocol.doStop()
        self.assertEqual(left, [])

    def test_callAfterwardsSaysThatNobodyListens(self):
        self.protocol.doStop()
        self.assertRaises(RuntimeError, self.protocol.ping, THERE)
        self.assertNothingPending()

    def test_sameProtocolMayListenAgain(self):
        self.protocol.doStop()
        self.protocol.makeConnection(self.transport)
        deferred = self.protocol.ping(THERE)
        msgID = self.sent()[0]
        self.protocol.datagramReceived(b"\x01" + msgID + b"\x07", THERE)
        self.assertEqual(self.successResultOf(deferred), (True, 7))

    def test_callThatIsMadeAgainOnAnotherPortGoesOn(self):
        again = []

        def listenAgain(result):
            if not again:
                self.protocol.makeConnection(self.transport)
            again.append(self.protocol.ping(THERE))

        for _ in range(2):
            self.protocol.ping(THERE).addCallback(listenAgain)
        self.protocol.doStop()
        self.assertEqual(len(again), 2)
        for deferred in again:
            self.assertNoResult(deferred)

    def test_callsMayCancelEachOtherMeanwhile(self):
        one, other = self.protocol.ping(THERE), self.protocol.ping(THERE)
        one.addBoth(lambda _: other.cancel())
        other.addErrback(lambda failure: failure.trap(CancelledError)).addBoth(lambda _: one.cancel())
        del self.transport.written[:]
        self.protocol.doStop()
        self.assertNothingPending()


class RestlessNode(RPCProtocol):
    """
    Listens again as soon as it is told that it does no more.
    """

    def stopProtocol(self):
        self.makeConnection(self.another)
        self.again = self.ping(THERE)

    def rpc_echo(self, sender):
        return u"echo"


class RestlessNodeTests(ProtocolTestCase):
    protocolClass = RestlessNode

    def test_callsThatAreMadeInStopProtocolGoOn(self):
        self.protocol.another = FakeTransport()
        before = self.protocol.ping(THERE)
        self.protocol.doStop()
        self.assertEqual(self.successResultOf(before), (False, None))
        self.assertNoResult(self.protocol.again)
        [(datagram, _)] = self.protocol.another.written
        self.protocol.datagramReceived(response(datagram[1:21], u"pong"), THERE)
        self.assertEqual(self.successResultOf(self.protocol.again), (True, u"pong"))

    def test_whatIsSentInStopProtocolIsSent(self):
        self.protocol.another = FakeTransport()
        for transport in (self.transport, self.protocol.another):
            transport.refusals.append(socket.error(errno.EAGAIN, "full"))
        self.protocol.datagramReceived(request(u"echo"), THERE)
        self.protocol.doStop()
        self.clock.advance(1)
        self.assertEqual(self.transport.written, [])
        self.assertEqual([datagram[:1] for datagram, _ in self.protocol.another.written], [b"\x00"])
        self.clock.advance(4)
        self.assertEqual(self.successResultOf(self.protocol.again), (False, None))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ForgetfulNode(RPCProtocol):
    """
    Overrides what Twisted has a protocol override, without a thought for the base class.
    """

    def startProtocol(self):
        self.started = True

    def stopProtocol(self):
        raise ValueError("on purpose")


class ForgetfulNodeTests(ProtocolTestCase):
    protocolClass = ForgetfulNode

    def test_callsAreGivenUpAllTheSame(self):
        deferred = self.protocol.ping(THERE)
        del self.transport.written[:]
        self.assertRaises(ValueError, self.protocol.doStop)
        self.assertTrue(self.protocol.started)
        self.assertEqual(self.successResultOf(deferred), (False, None))
        self.assertNothingPending()
