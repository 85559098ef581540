# -*- coding: utf-8 -*-
"""
What is logged, and what is not.
"""

import errno
import socket
from binascii import hexlify

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel, globalLogPublisher

from rpcudp import _sending as sending
from rpcudp.protocol import RPCProtocol
from rpcudp.statistics import statistics
from tests.support import MESSAGE_ID, THERE, ProtocolTestCase, request, response


class Node(RPCProtocol):
    def __init__(self, **options):
        RPCProtocol.__init__(self, maxConcurrent=1, **options)

    def rpc_echo(self, sender, argument):
        return argument

    def rpc_never(self, sender):
        return Deferred()


def exerciseNetwork(test):
    """
    Everything that the network alone can do to a protocol.
    """
    protocol, transport = test.protocol, test.transport
    answered, late = protocol.ping(THERE), protocol.ping(THERE)
    ids = [datagram[1:21] for datagram, _ in transport.written]
    protocol.datagramReceived(response(ids[0], u"pong"), THERE)
    protocol.datagramReceived(b"\x01" + ids[1] + b"\xc1", THERE)
    test.clock.advance(5)
    protocol.datagramReceived(response(ids[1], u"pong"), THERE)
    answeredRequest = request(u"echo", 1)
    protocol.datagramReceived(answeredRequest, THERE)
    protocol.datagramReceived(request(u"absent"), THERE)
    protocol.datagramReceived(request(u"\u017c\u00f3\u0142w\n"), THERE)
    protocol.datagramReceived(request(u"echo"), THERE)
    protocol.datagramReceived(b"", THERE)
    protocol.datagramReceived(b"\x00" + MESSAGE_ID + b"\xc1", THERE)
    transport.refusals = [socket.error(errno.ENETUNREACH, "Network is unreachable")]
    protocol.datagramReceived(request(u"echo", 2), THERE)
    transport.refusals = [socket.error(errno.EAGAIN, "Resource temporarily unavailable")]
    for number in range(sending.MAX_WAITING + 1):
        protocol.datagramReceived(request(u"echo", number), THERE)
    for copied in (request(u"absent"), answeredRequest):
        protocol.datagramReceived(copied, THERE)
        protocol.datagramReceived(copied, THERE)
    protocol.datagramReceived(request(u"never"), THERE)
    protocol.datagramReceived(request(u"echo", 4), THERE)
    protocol._waitTimeout = (0.5, 1)
    protocol.ping(THERE)
    ids.extend(protocol._outstanding)
    test.clock.advance(0.5)
    protocol.doStop()
    test.assertEqual(test.successResultOf(answered), (True, u"pong"))
    test.assertEqual(test.successResultOf(late), (False, None))
    return ids


class QuietTests(ProtocolTestCase):
    protocolClass = Node

    def test_quietByDefault(self):
        self.assertIs(RPCProtocol.noisy, False)

    def test_nothingThatTheNetworkCausedIsLogged(self):
        exerciseNetwork(self)
        self.assertEqual(self.logged(), [])


class NoisyTests(ProtocolTestCase):
    protocolClass = Node

    def setUp(self):
        ProtocolTestCase.setUp(self)
        self.protocol.noisy = True

    def test_whatObservesTheLogMayCloseThePort(self):
        def observe(event):
            globalLogPublisher.removeObserver(observe)
            self.protocol.doStop()

        globalLogPublisher.addObserver(observe)
        self.assertIn("the port was closed", str(self.assertRaises(RuntimeError, self.protocol.ping, THERE)))
        self.assertNothingPending()

    def test_whatObservesTheLogMayCancelTheCall(self):
        def observe(event):
            globalLogPublisher.removeObserver(observe)
            [deferred] = self.protocol._outstanding.values()
            deferred.cancel()

        globalLogPublisher.addObserver(observe)
        self.failureResultOf(self.protocol.ping(THERE), CancelledError)
        self.assertEqual(self.transport.written, [])
        self.assertNothingPending()

    def test_whatObservesTheLogMayCancelTheCallAsItIsSentAgain(self):
        def observe(event):
            if "again" in event["log_format"]:
                deferred.cancel()

        self.protocol._waitTimeout = (1, 5)
        deferred = self.protocol.ping(THERE)
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.clock.advance(1)
        self.failureResultOf(deferred, CancelledError)
        self.assertEqual(len(self.transport.written), 1)
        self.assertEqual(statistics(self.protocol).resent, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_theLifeOfEachDatagramIsTold(self):
        ids = exerciseNetwork(self)
        first, second, fourth = [hexlify(msgID).decode("ascii") for msgID in ids]
        third = hexlify(MESSAGE_ID).decode("ascii")
        events = self.events[:]
        texts = self.logged()
        for event in events:
            self.assertEqual(event["log_level"], LogLevel.info)
        peer = repr(THERE)
        for expected in (
            "calling ping of {} [{}]".format(peer, first),
            "answered by {} [{}]".format(peer, first),
            "no answer [{}]".format(second),
            "dropped a response of {} that nobody waits for [{}]".format(peer, second),
            "answering {} [{}]".format(peer, third),
            "refused {!r} to {}: no such method [{}]".format(u"absent", peer, third),
            "refused {!r} to {}: no such method [{}]".format(u"\u017c\u00f3\u0142w\n", peer, third),
            "dropped a request of {}: 1 are being answered [{}]".format(peer, third),
            "dropped a copy of a request of {} that has no answer [{}]".format(peer, third),
            "answering {} again [{}]".format(peer, third),
            "calling {} again [{}]".format(peer, fourth),
            "lost a datagram to {}: {} are waiting [{}]".format(peer, sending.MAX_WAITING, third),
        ):
            self.assertIn(expected, texts)
        for beginning in (
            "refused {!r} to {}: ".format(u"echo", peer),
            "dropped a datagram of {}: kind is".format(peer),
            "dropped a datagram of {}: payload does not begin with".format(peer),
            "lost a datagram to {}: [Errno {}] Network is unreachable".format(peer, errno.ENETUNREACH),
        ):
            self.assertTrue([text for text in texts if text.startswith(beginning)], (beginning, texts[:20]))

    def test_fieldsAreStructured(self):
        self.protocol.ping(THERE)
        [event] = self.events
        self.assertEqual(event["method"], u"ping")
        self.assertEqual(event["peer"], THERE)
        self.assertEqual(len(event["msgID"]), 40)


class FailureTests(ProtocolTestCase):
    class protocolClass(RPCProtocol):
        def rpc_fail(self, sender):
            raise ValueError("on purpose")

    def test_whatTheApplicationDidWrongIsLoggedWithFields(self):
        self.protocol.datagramReceived(request(u"fail"), THERE)
        [event] = self.events
        self.assertEqual((event["method"], event["peer"]), (u"fail", THERE))
        self.assertFailureLogged(ValueError)
