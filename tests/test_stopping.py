"""
Stopping, and listening again.
"""

from twisted.internet.defer import CancelledError

from rpcudp.protocol import RPCProtocol
from tests.support import THERE, ProtocolTestCase


class StoppingTests(ProtocolTestCase):
    def test_everyCallInFlightFiresFalseAndNone(self):
        deferreds = [self.protocol.ping(THERE) for _ in range(5000)]
        del self.transport.written[:]
        self.protocol.doStop()
        self.assertEqual({self.successResultOf(deferred) for deferred in deferreds}, {(False, None)})
        self.assertNothingPending()
        self.assertEqual(self.logged(), [])

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
