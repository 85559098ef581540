# -*- coding: utf-8 -*-
"""
Making a call.
"""

import copy
from decimal import Decimal
from socket import AF_INET, AF_INET6

from twisted.internet import defer, reactor, task
from twisted.internet.error import InvalidAddressError
from twisted.trial.unittest import SynchronousTestCase

from rpcudp import _codec, wire
from rpcudp.exceptions import MalformedMessage
from rpcudp.protocol import RPCProtocol
from rpcudp.statistics import statistics
from tests.support import HERE, THERE, FakeTransport, ProtocolTestCase, request, response


class Integer(int):
    """
    What only u-msgpack-python packs.
    """


class RequestTests(ProtocolTestCase):
    def test_requestCarriesMethodAndArguments(self):
        self.protocol.store(THERE, u"key", b"value", 7)
        msgID, method, arguments, address = self.sent()
        self.assertEqual(len(msgID), 20)
        self.assertEqual((method, arguments, address), (u"store", [u"key", b"value", 7], THERE))

    def test_methodIsTextOnEveryInterpreter(self):
        self.protocol.ping(THERE)
        [(datagram, _)] = self.transport.written
        self.assertEqual(datagram[21:], b"\x92\xa4ping\x90")

    def test_methodMayBeNoIdentifier(self):
        for text in (u"two words", u"za\u017c\u00f3\u0142\u0107"):
            # Names of attributes are native strings.
            getattr(self.protocol, text if str is type(text) else text.encode("utf-8"))(THERE)
            self.assertEqual(self.sent()[1], text)

    def test_aRemoteMethodCanBeKeptAndCalledAgain(self):
        ping = self.protocol.ping
        ping(THERE)
        first = self.sent()
        ping(HERE)
        second = self.sent()
        self.assertNotEqual(first[0], second[0])
        self.assertEqual((first[1], second[1]), (u"ping", u"ping"))

    def test_addressMayBeAListAsMessagePackBringsIt(self):
        self.protocol.ping(list(THERE))
        self.assertEqual(self.sent()[3], THERE)

    def test_addressesBeyondOnePeer(self):
        for ip in (u"192.0.2.7", "::1", "255.255.255.255", "<broadcast>", "224.0.0.1", "0.0.0.0"):
            self.protocol.ping((ip, 1))
            self.assertEqual(self.sent()[3], (ip, 1))


class AnswerTests(ProtocolTestCase):
    def setUp(self):
        ProtocolTestCase.setUp(self)
        self.deferred = self.protocol.ping(THERE)
        self.msgID = self.sent()[0]

    def answer(self, result, address=THERE):
        self.protocol.datagramReceived(response(self.msgID, result), address)

    def test_answerFiresTrueAndResult(self):
        self.answer([u"pong", 1])
        self.assertEqual(self.successResultOf(self.deferred), (True, [u"pong", 1]))
        self.assertNothingPending()

    def test_resultMayBeNothing(self):
        self.answer(None)
        self.assertEqual(self.successResultOf(self.deferred), (True, None))

    def test_noAnswerWithinWaitTimeoutFiresFalseAndNone(self):
        self.clock.advance(4.99)
        self.assertNoResult(self.deferred)
        self.clock.advance(0.01)
        self.assertEqual(self.successResultOf(self.deferred), (False, None))
        self.assertNothingPending()

    def test_firstAnswerWins(self):
        self.answer(u"first")
        self.answer(u"second")
        self.assertEqual(self.successResultOf(self.deferred), (True, u"first"))
        self.assertEqual(self.logged(), [])

    def test_answerAfterTheTimeoutIsDropped(self):
        self.clock.advance(5)
        self.answer(u"late")
        self.assertEqual(self.successResultOf(self.deferred), (False, None))
        self.assertEqual(self.logged(), [])

    def test_answerThatNobodyWaitsForIsNotUnpacked(self):
        self.patch(wire, "unpack", None)
        self.patch(wire, "isDeeper", None)
        self.protocol.datagramReceived(response(b"\x00" * 20, [{}] * 8000), THERE)
        self.assertEqual(self.logged(), [])

    def test_answerThatNobodyWaitsForIsDropped(self):
        self.protocol.datagramReceived(response(b"\xff" * 20, u"pong"), THERE)
        self.assertNoResult(self.deferred)
        self.assertEqual(self.logged(), [])

    def test_messageIDAlonePairsAnswerAndCall(self):
        self.answer(u"pong", ("198.51.100.9", 9))
        self.assertEqual(self.successResultOf(self.deferred), (True, u"pong"))

    def test_answersMayComeInAnyOrder(self):
        deferreds = [self.protocol.ping(THERE) for _ in range(100)]
        sent = [datagram[1:21] for datagram, _ in self.transport.written]
        for index in reversed(range(100)):
            self.protocol.datagramReceived(response(sent[index], index), THERE)
        self.assertEqual([self.successResultOf(deferred) for deferred in deferreds], [(True, i) for i in range(100)])

    def test_malformedAnswerLeavesTheCallInFlight(self):
        self.protocol.datagramReceived(b"\x01" + self.msgID + b"\xc1", THERE)
        self.assertNoResult(self.deferred)
        self.answer(u"pong")
        self.assertEqual(self.successResultOf(self.deferred), (True, u"pong"))

    def test_failingCallbackIsTheCallersAlone(self):
        self.deferred.addCallback(lambda _: 1 / 0)
        self.answer(u"pong")
        self.failureResultOf(self.deferred, ZeroDivisionError)
        self.assertNothingPending()

    def test_callbackMayCallAgain(self):
        again = []
        self.deferred.addCallback(lambda _: again.append(self.protocol.ping(THERE)))
        self.answer(u"pong")
        self.assertNoResult(again[0])
        self.assertEqual(len(self.protocol._outstanding), 1)


class CancelTests(ProtocolTestCase):
    def test_cancellingForgetsTheCallAndItsTimer(self):
        deferred = self.protocol.ping(THERE)
        msgID = self.sent()[0]
        deferred.cancel()
        self.failureResultOf(deferred, defer.CancelledError)
        self.assertNothingPending()
        self.protocol.datagramReceived(response(msgID, u"pong"), THERE)
        self.assertEqual(self.logged(), [])

    def test_cancellingOneLeavesTheOthers(self):
        one, other = self.protocol.ping(THERE), self.protocol.ping(THERE)
        one.cancel()
        self.failureResultOf(one, defer.CancelledError)
        self.assertNoResult(other)
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(other), (False, None))

    def test_cancellingAnAnsweredCallDoesNothing(self):
        deferred = self.protocol.ping(THERE)
        self.clock.advance(5)
        deferred.cancel()
        self.assertEqual(self.successResultOf(deferred), (False, None))


class WrongCallTests(ProtocolTestCase):
    """
    Wrong arguments raise at the call, say what is wrong, and leave nothing behind.
    """

    def assertRefused(self, error, text, *arguments):
        raised = self.assertRaises(error, self.protocol.ping, *arguments)
        self.assertIn(text, str(raised))
        self.assertNothingPending()

    def assertInvalid(self, address, text):
        """
        Twisted's own error is raised, which is a C{ValueError} too.
        """
        self.assertRefused(InvalidAddressError, "address is {!r}, and {}".format(address, text), address)
        self.assertTrue(issubclass(InvalidAddressError, ValueError))

    def test_addressThatIsNoPair(self):
        for address in (None, 1234, "127.0.0.1", "ab", (), ("127.0.0.1",), ("127.0.0.1", 1, 2), {"127.0.0.1": 1}):
            self.assertInvalid(address, "not an (ip, port) pair")

    def test_addressThatIsNoIP(self):
        for host in (
            "localhost",
            "example.org",
            "",
            "256.0.0.1",
            "1.2.3",
            "1.2.3.4 ",
            " 1.2.3.4",
            "1.2.3. 4",
            "1.2.3.4%lo",
            "0x7f.0.0.1",
            "1.2.3.4\0",
            ":::",
            "fe80::1%",
            "fe80::1%nosuch",
            "fe80::1%lo\0",
            u"fe80::1%" + u"\ufdfa" * 2700,
            "fe80::1%\u017c",
            "%lo",
            None,
            1,
            b"\xff",
            [],
            u"\u017c",
            u"\uff11.2.3.4",
        ):
            self.assertInvalid((host, 1234), "its first part not an IP address")

    def test_zoneOfThisMachine(self):
        # A socket looks for it in the fourth part alone.
        self.protocol.ping(("fe80::1%1", 1234))
        address = self.sent()[3]
        self.assertEqual((address[0].partition("%")[0], address[1:]), ("fe80::1", (1234, 0, 1)))

    def test_portOutOfRange(self):
        for port in (0, -1, 65536, 2 ** 70, "1234", None, 1.5):
            self.assertInvalid(("127.0.0.1", port), "its second part not a port")

    def test_addressOfTheOtherIPVersion(self):
        self.transport.addressFamily = AF_INET
        self.assertInvalid(("::1", 1), "the port does not speak IPv6")
        self.transport.addressFamily = AF_INET6
        self.assertInvalid(("127.0.0.1", 1), "the port does not speak IPv4")

    def test_argumentsThatCannotBeSerialised(self):
        self.assertRefused(MalformedMessage, "cannot be serialised", THERE, object())
        self.assertRefused(MalformedMessage, "cannot be serialised", THERE, {1, 2})

    def test_payloadTooLong(self):
        # [method, [bytes]] takes 10 bytes besides the bytes.
        self.assertRefused(MalformedMessage, "payload is 8193 bytes, 1 over the limit of 8192", THERE, b"x" * 8183)
        self.protocol.ping(THERE, b"x" * 8182)
        self.assertEqual(len(self.transport.written[0][0]), 21 + 8192)

    def test_argumentThatNestsDeeperThanAPeerReads(self):
        def nested(levels):
            value = None
            for _ in range(levels):
                value = [value]
            return value

        # [method, [argument]] are two levels.
        for levels in (127, 128, 300):
            self.assertRefused(MalformedMessage, "nested deeper than 128 levels", THERE, nested(levels))
        self.protocol.ping(THERE, nested(126))
        [(datagram, _)] = self.transport.written
        self.assertEqual(wire.decode(datagram, wire.RPCUDP)[2], [u"ping", [nested(126)]])

    def test_longAndDeepArgumentIsRefusedAtOnce(self):
        # To tell how deep this is takes seconds.
        self.patch(_codec, "isDeeper", None)
        self.assertRefused(MalformedMessage, "over the limit of 8192", THERE, {u"key": Integer(1)}, [[]] * 100000)

    def test_notListening(self):
        protocol = RPCProtocol(reactor=self.clock)
        raised = self.assertRaises(RuntimeError, protocol.ping, THERE)
        self.assertIn("ping cannot be called: this protocol does not listen on a port", str(raised))
        self.assertEqual(protocol._outstanding, {})
        self.assertNothingPending()

    def test_noAddress(self):
        self.assertRaises(TypeError, self.protocol.ping)
        self.assertNothingPending()

    def test_keywordArgument(self):
        self.assertRaises(TypeError, self.protocol.ping, THERE, name=u"value")
        self.assertNothingPending()

    def test_errorOfTheTransport(self):
        self.transport.refusals.append(AssertionError("connected to another peer"))
        self.assertRefused(AssertionError, "connected to another peer", THERE)


class WrongConstructionTests(SynchronousTestCase):
    def test_waitTimeoutThatIsNoNumber(self):
        for wrong in (None, "5", u"5", 1j, Decimal(5), {5}, {5: 5}, iter([5]), (wait for wait in (1, 2))):
            error = self.assertRaises(TypeError, RPCProtocol, waitTimeout=wrong)
            self.assertIn("waitTimeout is {0!r}, and {0!r} is not a number".format(wrong), str(error))

    def test_waitTimeoutThatIsNotPositiveAndFinite(self):
        for wrong in (10 ** 400, 0, -1, 0.0, -0.5, float("inf"), float("nan")):
            error = self.assertRaises(ValueError, RPCProtocol, waitTimeout=wrong)
            self.assertIn("waitTimeout is {0!r}, and {0!r} not positive and finite".format(wrong), str(error))

    def test_scheduleWithoutAWait(self):
        for wrong in ((), []):
            error = self.assertRaises(ValueError, RPCProtocol, waitTimeout=wrong)
            self.assertIn("waitTimeout is {!r}, and has no wait in it".format(wrong), str(error))

    def test_scheduleWithAWrongWait(self):
        for wrong in (0, -1, float("inf"), float("nan")):
            for schedule in ((wrong,), (1, wrong), (1, wrong, 2)):
                error = self.assertRaises(ValueError, RPCProtocol, waitTimeout=schedule)
                self.assertIn("waitTimeout is {!r}, and {!r} not positive".format(schedule, wrong), str(error))
        for wrong in (None, "5", (1,)):
            schedule = (1, wrong)
            error = self.assertRaises(TypeError, RPCProtocol, waitTimeout=schedule)
            self.assertIn("waitTimeout is {!r}, and {!r} is not a number".format(schedule, wrong), str(error))

    def test_maxConcurrentThatIsNoInteger(self):
        for wrong in (None, "5", 1.5, [5]):
            error = self.assertRaises(TypeError, RPCProtocol, maxConcurrent=wrong)
            self.assertIn("maxConcurrent is {!r}, and not an integer".format(wrong), str(error))

    def test_maxConcurrentOfLessThanOne(self):
        for wrong in (0, -1):
            error = self.assertRaises(ValueError, RPCProtocol, maxConcurrent=wrong)
            self.assertIn("maxConcurrent is {!r}, and 1 is the least".format(wrong), str(error))

    def test_reactorWithoutClock(self):
        error = self.assertRaises(TypeError, RPCProtocol, reactor="reactor")
        self.assertIn("reactor is 'reactor', and has no callLater", str(error))


class ClockTests(SynchronousTestCase):
    """
    The clock is the argument, else that of the port listened on, else the global reactor.
    """

    def call(self, transport, *arguments):
        protocol = RPCProtocol(*arguments)
        protocol.makeConnection(transport)
        return protocol.ping(THERE)

    def test_positionalArguments(self):
        clock = task.Clock()
        deferred = self.call(FakeTransport(), 0.5, clock)
        clock.advance(0.5)
        self.assertEqual(self.successResultOf(deferred), (False, None))

    def test_waitTimeoutIs5SecondsByDefault(self):
        clock = task.Clock()
        transport = FakeTransport()
        transport.reactor = clock
        self.call(transport)
        [timer] = clock.getDelayedCalls()
        self.assertEqual(timer.getTime(), 5)

    def test_argumentBeforePort(self):
        clock = task.Clock()
        transport = FakeTransport()
        transport.reactor = task.Clock()
        self.call(transport, 1, clock)
        self.assertEqual(len(clock.getDelayedCalls()), 1)
        self.assertEqual(transport.reactor.getDelayedCalls(), [])

    def test_portBeforeGlobalReactor(self):
        transport = FakeTransport()
        transport.reactor = task.Clock()
        before = len(reactor.getDelayedCalls())
        self.call(transport)
        self.assertEqual(len(transport.reactor.getDelayedCalls()), 1)
        self.assertEqual(len(reactor.getDelayedCalls()), before)

    def test_transportThatWasSetByHand(self):
        protocol = RPCProtocol()
        protocol.transport = FakeTransport()
        clock = protocol.transport.reactor = task.Clock()
        deferred = protocol.ping(THERE)
        clock.advance(5)
        self.assertEqual(self.successResultOf(deferred), (False, None))

    def test_transportThatIsAnotherObjectEachTime(self):
        # As a property that wraps it.
        written = FakeTransport()
        written.reactor = task.Clock()

        class Wrapping(RPCProtocol):
            transport = property(lambda self: copy.copy(written))

        deferred = Wrapping().ping(THERE)
        self.assertEqual(len(written.written), 1)
        written.reactor.advance(5)
        self.assertEqual(self.successResultOf(deferred), (False, None))

    def test_transportThatWasSetByHandForAnswers(self):
        protocol = RPCProtocol(duplicateLifetime=30)
        protocol.rpc_one = lambda sender: 1
        protocol.transport = FakeTransport()
        clock = protocol.transport.reactor = task.Clock()
        datagram = request(u"one")
        for seconds in (29, 2, 1):
            protocol.datagramReceived(datagram, THERE)
            clock.advance(seconds)
        self.assertEqual(statistics(protocol).served, 2)

    def test_callBeforeTheProtocolHasStarted(self):
        class Eager(RPCProtocol):
            def doStart(self):
                self.first = self.ping(THERE)
                RPCProtocol.doStart(self)

        protocol = Eager()
        transport = FakeTransport()
        clock = transport.reactor = task.Clock()
        protocol.makeConnection(transport)
        second = protocol.ping(THERE)
        clock.advance(5)
        for deferred in (protocol.first, second):
            self.assertEqual(self.successResultOf(deferred), (False, None))
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_globalReactorAtLast(self):
        before = len(reactor.getDelayedCalls())
        deferred = self.call(FakeTransport())
        self.assertEqual(len(reactor.getDelayedCalls()), before + 1)
        deferred.cancel()
        self.failureResultOf(deferred, defer.CancelledError)
        self.assertEqual(len(reactor.getDelayedCalls()), before)
