"""
How long a call waits: by an object that knows the peers, which is asked for each call and told what came of it, and by
what L{rpcudp.calls.call} is given for one call.
"""

import errno
import socket

from twisted.internet import defer

from rpcudp.calls import call
from rpcudp.exceptions import MalformedMessage
from rpcudp.protocol import RPCProtocol
from rpcudp.statistics import statistics
from tests.simulated import NetworkTestCase, Node
from tests.support import THERE as STRANGER
from tests.support import ProtocolTestCase, request, sums

HERE, THERE = "10.0.0.1", "10.0.0.2"
PEER = (THERE, 1234)


class Waits(object):
    """
    Says the same of each peer, and keeps what it is asked and told.
    """

    def __init__(self, schedule=(1, 2, 4)):
        self.schedule = schedule
        self.told = []

    def waits(self, address):
        self.told.append(("waits", address))
        return self.schedule

    def answered(self, address, seconds):
        self.told.append(("answered", address, round(seconds, 6)))

    def resent(self, address):
        self.told.append(("resent", address))

    def unanswered(self, address):
        self.told.append(("unanswered", address))

    def names(self):
        return [one[0] for one in self.told]


def failing(name):
    """
    @return: an object whose method C{name} fails.
    """

    def fail(*arguments):
        raise ValueError("on purpose")

    waits = Waits()
    setattr(waits, name, fail)
    return waits


class WaitsTestCase(NetworkTestCase):
    """
    A caller whose waits are those of C{self.waits}, and an answerer.  A datagram takes 0.05 seconds.
    """

    def setUp(self):
        NetworkTestCase.setUp(self)
        self.waits = Waits()
        self.caller = RPCProtocol(waitTimeout=self.waits)
        self.port = self.network.host(HERE).listenUDP(1234, self.caller)
        self.answerer = Node()
        self.network.host(THERE).listenUDP(1234, self.answerer)

    def lose(self, *numbers):
        """
        Have the datagrams with these numbers lost, the next one being 0.
        """
        state = {"next": 0}

        def decide(datagram):
            number, state["next"] = state["next"], state["next"] + 1
            return [] if number in numbers else None

        self.network.rule(decide)

    def nothingIsPending(self):
        self.assertEqual(self.caller._outstanding, {})
        self.assertEqual(self.network.host(HERE).getDelayedCalls(), [])


class AskedTests(WaitsTestCase):
    def test_oncePerCallWithTheAddressThatWasCalled(self):
        self.lose(0)
        self.network.run(self.caller.echo(PEER))
        self.network.run(self.caller.echo([THERE, 1234]))
        self.assertEqual([one for one in self.waits.told if one[0] == "waits"], [("waits", PEER)] * 2)

    def test_scheduleIsKept(self):
        self.lose(*range(10))
        deferred = self.caller.echo(PEER)
        self.assertEqual(self.network.run(deferred), (False, None))
        self.assertAlmostEqual(self.network.seconds(), 7)
        self.assertEqual(self.network.counts.sent, 3)

    def test_numberAndListAreSchedulesToo(self):
        self.lose(*range(10))
        for schedule, seconds in [(2, 2), ([1, 2.5], 3.5)]:
            self.waits.schedule = schedule
            began = self.network.seconds()
            self.network.run(self.caller.echo(PEER))
            self.assertAlmostEqual(self.network.seconds() - began, seconds)

    def test_notForACallThatCannotBeMade(self):
        self.assertRaises(ValueError, self.caller.echo, ("host", 1234))
        self.assertRaises(ValueError, self.caller.echo, PEER[:1])
        self.assertEqual(self.waits.told, [])

    def test_wrongSchedulesRaiseAtTheCall(self):
        for schedule, error in [((), ValueError), ((1, 0), ValueError), ((1, float("nan")), ValueError)]:
            self.waits.schedule = schedule
            message = str(self.assertRaises(error, self.caller.echo, PEER))
            self.assertIn("waits({!r}) of {!r} returned {!r}".format(PEER, self.waits, schedule), message)
        for schedule in [None, "1", ("1",), Waits()]:
            self.waits.schedule = schedule
            self.assertRaises(TypeError, self.caller.echo, PEER)
        self.nothingIsPending()
        self.assertEqual(self.network.counts.sent, 0)

    def test_whatItRaisesIsRaisedAtTheCall(self):
        self.caller._waitTimeout = failing("waits")
        self.assertRaises(ValueError, self.caller.echo, PEER)
        self.nothingIsPending()

    def test_mayCloseThePort(self):
        def waits(address):
            self.port.connectionLost()
            return 1

        self.waits.waits = waits
        self.assertIn("the port was closed", str(self.assertRaises(RuntimeError, self.caller.echo, PEER)))
        self.nothingIsPending()

    def test_mayBeReplacedAtAnyTime(self):
        self.lose(*range(100))
        first = self.caller.echo(PEER)
        other = self.caller._waitTimeout = Waits((0.5,))
        second = self.caller.echo(PEER)
        self.caller._waitTimeout = 0.25
        third = self.caller.echo(PEER)
        for deferred, seconds in [(third, 0.25), (second, 0.5), (first, 7)]:
            self.network.run(deferred)
            self.assertAlmostEqual(self.network.seconds(), seconds)
        self.assertEqual(other.names(), ["waits", "unanswered"])
        self.assertEqual(self.waits.names(), ["waits", "resent", "resent", "unanswered"])

    def test_whatIsNoSuchObject(self):
        for wrong in (object(), None, {}, "5", type("NotCallable", (object,), {"waits": 5})(), Waits):
            self.assertRaises(TypeError, RPCProtocol, waitTimeout=wrong)

    def test_methodsThatItLacksAreNotNeeded(self):
        self.caller._waitTimeout = type("Bare", (object,), {"waits": lambda self, address: (1, 2)})()
        self.lose(0, 3, 4)
        outcomes = [self.network.run(self.caller.echo(PEER, 1))[0] for _ in range(3)]
        self.assertEqual(outcomes, [True, False, True])
        self.nothingIsPending()


class ToldTests(WaitsTestCase):
    def test_answeredAfterASingleCopy(self):
        self.network.run(self.caller.echo(PEER))
        self.assertEqual(self.waits.told, [("waits", PEER), ("answered", PEER, 0.1)])

    def test_answeredAfterACopyIsNoRoundTripTime(self):
        # Karn's rule: the request was lost, or the answer, or only late.
        for lost in (0, 1):
            del self.waits.told[:]
            self.lose(lost)
            self.network.run(self.caller.echo(PEER))
            self.assertEqual(self.waits.told[1:], [("resent", PEER)])
        del self.waits.told[:]
        self.network.rule(lambda datagram: [0.7])
        self.network.run(self.caller.echo(PEER))
        self.assertEqual(self.waits.names(), ["waits", "resent"])

    def test_unanswered(self):
        self.lose(*range(3))
        self.network.run(self.caller.echo(PEER))
        self.assertEqual(self.waits.names(), ["waits", "resent", "resent", "unanswered"])

    def test_endedInsteadOfTheOthers(self):
        told = []
        self.waits.ended = lambda *what: told.append(what)
        for lost in (0, 1, 3):
            self.lose(*range(lost))
            self.network.run(self.caller.echo(PEER))
        self.assertEqual(self.waits.names(), ["waits"] * 3)
        self.assertEqual([what[:3] for what in told], [(PEER, 1, 1), (PEER, 1, 2), (PEER, 1, 3)])
        self.assertAlmostEqual(told[0][3], 0.1)
        self.assertAlmostEqual(told[1][3], 1.1)
        self.assertIsNone(told[2][3])
        # A clock was set back: one copy is not told, and of two it is not known which was answered.
        for lost, count in [(0, 3), (1, 4)]:
            self.lose(*range(lost))
            deferred = self.caller.echo(PEER)
            self.network.advance(0.02 + lost)
            self.network.host(HERE).stepClock(-60)
            self.network.run(deferred)
            self.assertEqual(len(told), count)
        self.assertEqual(told[3][3], 0)

    def test_attributeThatIsNoMethodIsNone(self):
        self.waits.ended = False
        self.network.run(self.caller.echo(PEER))
        self.assertEqual(self.waits.names(), ["waits", "answered"])

    def test_beforeTheDeferredFires(self):
        names = []
        self.caller.echo(PEER).addCallback(lambda _: names.extend(self.waits.names()))
        self.network.advance(1)
        self.assertEqual(names, ["waits", "answered"])

    def test_nothingOfACallThatIsCancelled(self):
        deferred = self.caller.echo(PEER)
        deferred.addErrback(lambda failure: failure.trap(defer.CancelledError))
        deferred.cancel()
        self.network.advance(10)
        self.assertEqual(self.waits.names(), ["waits"])

    def test_nothingOfThePeerWhenThePortIsClosed(self):
        self.caller.stopProtocol = lambda: self.network.host(HERE).listenUDP(4321, self.caller)
        deferred = self.caller.echo(PEER)
        self.port.stopListening()
        self.assertEqual(self.network.run(deferred), (False, None))
        self.network.advance(10)
        self.assertEqual(self.waits.names(), ["waits"])

    def test_roundTripThatAClockStepMadeNegativeIsNotTold(self):
        deferred = self.caller.echo(PEER)
        self.network.host(HERE).stepClock(-60)
        self.assertTrue(self.network.run(deferred)[0])
        self.assertEqual(self.waits.names(), ["waits"])

    def test_answersThatNobodyWaitsForAreNotTold(self):
        # Forged ones, and those that come too late.
        self.network.rule(lambda datagram: [7.5])
        deferred = self.caller.echo(PEER)
        self.listeners[2].transport.write(b"\x01" + b"x" * 20 + b"\xc0", (HERE, 1234))
        self.assertEqual(self.network.run(deferred), (False, None))
        self.network.advance(100)
        self.assertEqual(statistics(self.caller).unexpected, 4)
        self.assertEqual(self.waits.names(), ["waits", "resent", "resent", "unanswered"])

    def test_whatTheyRaiseIsLoggedOnceAndChangesNothing(self):
        for name, lost in [("answered", 0), ("resent", 1), ("unanswered", 3), ("ended", 1)]:
            self.caller._waitTimeout = failing(name)
            self.lose(*range(lost))
            outcome = self.network.run(self.caller.echo(PEER, 1))
            self.assertEqual(outcome[0], name != "unanswered")
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
            self.nothingIsPending()

    def test_whatLookingThemUpRaisesToo(self):
        class Odd(object):
            def waits(self, address):
                return (1, 1)

            def __getattr__(self, name):
                return {}[name]

        self.caller._waitTimeout = Odd()
        for lost in (0, 1, 2):
            self.lose(*range(lost))
            self.assertEqual(self.network.run(self.caller.echo(PEER, 1))[0], lost < 2)
            # Python 2's hasattr takes it for an answer.
            self.flushLoggedErrors(KeyError)
            self.nothingIsPending()

    def test_alsoWhatIsNoException(self):
        class Stop(BaseException):
            pass

        def stop(*arguments):
            raise Stop("on purpose")

        for name, lost in [("answered", 0), ("unanswered", 3)]:
            self.waits = self.caller._waitTimeout = Waits()
            setattr(self.waits, name, stop)
            self.lose(*range(lost))
            self.assertEqual(self.network.run(self.caller.echo(PEER, 1))[0], name == "answered")
            self.assertEqual(len(self.flushLoggedErrors(Stop)), 1)

    def test_theyMayCancelTheVeryCall(self):
        for name, lost in [("answered", 0), ("resent", 1), ("unanswered", 3), ("ended", 1)]:
            self.waits = self.caller._waitTimeout = Waits()
            setattr(self.waits, name, lambda *arguments: deferred.cancel())
            self.lose(*range(lost))
            deferred = self.caller.echo(PEER, 1)
            self.network.advance(20)
            self.failureResultOf(deferred, defer.CancelledError)
            self.assertEqual(sums(statistics(self.caller)), [])
            self.nothingIsPending()

    def test_nothingOfACallThatWaitedForRoomHere(self):
        transport = self.caller.transport
        write = transport.write

        def full(datagram, address):
            raise socket.error(errno.EAGAIN, "full")

        transport.write = full
        deferred = self.caller.echo(PEER)
        self.network.advance(1.5)
        transport.write = write
        self.assertTrue(self.network.run(deferred)[0])
        self.assertEqual(self.waits.names(), ["waits"])
        # The second copy would have been one with the first.
        figures = statistics(self.caller)
        self.assertEqual((figures.datagramsSent, figures.resent), (1, 0))

    def test_nothingOfTheEndOfACallWhoseCopyWaitedForRoomHereOrWasRefused(self):
        for code in (errno.EAGAIN, errno.ENETUNREACH):
            self.waits = self.caller._waitTimeout = Waits()
            self.lose(0)
            deferred = self.caller.echo(PEER)
            transport = self.caller.transport
            write = transport.write

            def refuse(datagram, address):
                raise socket.error(code, "on purpose")

            transport.write = refuse
            self.network.advance(1.5)
            transport.write = write
            self.network.run(deferred)
            self.assertEqual(self.waits.names(), ["waits"])

    def test_theyMayMakeCallsCancelThemOrCloseThePort(self):
        others = []

        class Busy(Waits):
            def answered(inner, address, seconds):
                others.append(self.caller.echo(PEER)) if len(others) < 3 else self.port.stopListening()

            def resent(inner, address):
                [one.cancel() for one in list(self.caller._outstanding.values())]

        self.caller._waitTimeout = Busy()
        self.assertTrue(self.network.run(self.caller.echo(PEER))[0])
        self.network.advance(20)
        self.assertEqual([self.successResultOf(other)[0] for other in others], [True] * 3)
        self.assertIsNone(self.caller.transport)
        self.network.host(HERE).listenUDP(1234, self.caller)
        self.lose(*range(100))
        deferred = self.caller.echo(PEER)
        self.network.advance(20)
        self.failureResultOf(deferred, defer.CancelledError)
        self.nothingIsPending()


class PatienceTests(ProtocolTestCase):
    """
    An answer waits for room in a full send buffer for as long as a call of ours would wait, or where that is up to the
    peer, for five seconds.
    """

    protocolClass = Node

    def assertWaits(self, seconds):
        self.transport.refusals = [socket.error(errno.EAGAIN, "full")] * 10000
        self.protocol.datagramReceived(request(u"echo"), STRANGER)
        self.clock.pump([0.01] * int(round(100 * seconds - 2)))
        self.assertEqual(statistics(self.protocol).waiting, 1)
        self.clock.pump([0.01] * 4)
        self.assertEqual(statistics(self.protocol).waiting, 0)

    def test_answersWaitForFiveSeconds(self):
        self.protocol._waitTimeout = Waits((0.1,))
        self.assertWaits(5)
        self.assertEqual(self.protocol._waitTimeout.told, [])

    def test_answersWaitForTheSumOfASchedule(self):
        self.protocol._waitTimeout = (0.5, 1)
        self.assertWaits(1.5)


class OneCallTests(WaitsTestCase):
    def test_sameAsTheMethod(self):
        self.assertEqual(self.network.run(call(self.caller, PEER, "echo", (1, u"two"))), (True, [1, u"two"]))
        self.assertEqual(self.network.run(call(self.caller, [THERE, 1234], u"echo", [1])), (True, [1]))
        self.assertEqual(self.waits.names(), ["waits", "answered"] * 2)

    def test_waitsOfItsOwn(self):
        self.lose(*range(100))
        for waitTimeout, seconds in [(2, 2), ((1, 2.5), 3.5), ([1], 1)]:
            began = self.network.seconds()
            self.assertEqual(self.network.run(call(self.caller, PEER, "echo", (), waitTimeout)), (False, None))
            self.assertAlmostEqual(self.network.seconds() - began, seconds)
        self.assertEqual(self.waits.told, [])
        other = Waits((1,))
        self.network.run(call(self.caller, PEER, "echo", waitTimeout=other))
        self.assertEqual((self.waits.names(), other.names()), ([], ["waits", "unanswered"]))
        # Those of the others are what they were.
        self.network.run(self.caller.echo(PEER))
        self.assertEqual(self.waits.names(), ["waits", "resent", "resent", "unanswered"])

    def test_namesThatAttributesHideOrThatAreNone(self):
        called = []
        self.answerer.rpc_noisy = lambda sender: called.append("noisy")
        setattr(self.answerer, "rpc_find-node", lambda sender: called.append("find-node"))
        setattr(self.answerer, "rpc__private", lambda sender: called.append("_private"))
        setattr(self.answerer, "rpc_", lambda sender: called.append(""))
        names = ["noisy", "find-node", "_private", ""]
        for name in names:
            self.assertEqual(self.network.run(call(self.caller, PEER, name)), (True, None))
        self.assertEqual(called, names)

    def test_wrongArguments(self):
        for wrong, text in [
            ((object(), PEER, "echo"), "not an RPCProtocol"),
            ((self.listeners[0], PEER, "echo"), "not an RPCProtocol"),
            ((self.caller, PEER, 5), "method is 5, and not text"),
            ((self.caller, PEER, None), "method is None, and not text"),
            ((self.caller, PEER, "echo", "text"), "arguments is 'text', and neither a tuple nor a list"),
            ((self.caller, PEER, "echo", {}), "neither a tuple nor a list"),
            ((self.caller, PEER, "echo", (), "5"), "waitTimeout is '5'"),
        ]:
            self.assertIn(text, str(self.assertRaises(TypeError, call, *wrong)))
        for waitTimeout in (0, -1, (), (1, float("inf"))):
            self.assertRaises(ValueError, call, self.caller, PEER, "echo", (), waitTimeout)
        self.assertRaises(ValueError, call, self.caller, ("host", 1), "echo")
        self.assertRaises(MalformedMessage, call, self.caller, PEER, "echo", [object()])
        self.assertRaises(RuntimeError, call, RPCProtocol(), PEER, "echo")
        self.nothingIsPending()
        self.assertEqual(self.network.counts.sent, 0)
