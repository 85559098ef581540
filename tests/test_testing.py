"""
A simulated network: its time, its hosts, what it runs, and that it is the same every time.

What becomes of datagrams on it is in C{test_faults}, what its hosts and their timers do in C{test_hosts}, and what its
ports promise in C{test_ports}.
"""

import gc
import hashlib
import random
import socket
import subprocess
import sys
import threading

from twisted.internet import defer, task
from twisted.internet.error import InvalidAddressError
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IReactorUDP
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rpcudp import testing
from rpcudp.testing import LimitReached, NothingLeft, SimulatedNetwork
from tests.simulated import NAN, WRONG_SECONDS, Calling, NetworkTestCase, Node
from tests.support import ENVIRONMENT, collectLog

if sys.version_info >= (3,):
    from tests.coroutines import SimulatedCoroutineTests  # noqa: F401, trial finds them here


# A program that is told by Ctrl-C to stop, while a Deferred is at work.
INTERRUPTED = """
from __future__ import print_function
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from twisted.internet.defer import maybeDeferred
from rpcudp.testing import SimulatedNetwork

def work():
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass

network = SimulatedNetwork()
host = network.host("10.0.0.1")
host.callLater(1, lambda: maybeDeferred(work).addErrback(lambda failure: print("taken")))
host.callLater(2, print, "went on")
try:
    network.advance(10)
except KeyboardInterrupt:
    print("interrupted", network.seconds())
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)

def own(*arguments):
    pass

host.callLater(1, signal.signal, signal.SIGINT, own)
for _ in range(2):
    network.advance(10)
    print(signal.getsignal(signal.SIGINT) is own)
"""


def scenario(seed, broadcast=False):
    """
    @return: what happens in two minutes on a bad network of nodes that call each other.
    """
    network = SimulatedNetwork(seed=seed, jitter=0.3, loss=0.2, duplication=0.2, trace=True)
    addresses = [("10.0.0.{}".format(number), 9) for number in range(1, 5)]
    nodes = [Node(waitTimeout=(0.2, 0.4, 0.8)) for _ in addresses]
    for node, (ip, port) in zip(nodes, addresses):
        network.host(ip).listenUDP(port, node)
    results = []

    def call():
        for node in nodes:
            for address in addresses:
                node.echo(address, len(results)).addCallback(results.append)
        if broadcast:
            nodes[0].transport.write(b"to all", ("<broadcast>", 9))

    nodes[0].transport.setBroadcastAllowed(True)
    looping = task.LoopingCall(call)
    looping.clock = network.host("10.0.0.9")
    looping.start(1)
    network.advance(20)
    looping.stop()
    network.advance(100)
    return network.trace, network.counts, results


def digest(seed, broadcast):
    return hashlib.sha256(repr(scenario(seed, broadcast)).encode("ascii")).hexdigest()


class SeedTests(SynchronousTestCase):
    """
    The same seed and program, the same run to the byte.
    """

    def test_sameSeed(self):
        # To print where they differ would take minutes.
        self.assertTrue(scenario(5) == scenario(5))

    def test_somethingHappens(self):
        trace, counts, results = scenario(5)
        for name in ("sent", "delivered", "lost", "duplicated"):
            self.assertGreater(getattr(counts, name), 50)
        outcomes = [answered for answered, _ in results]
        self.assertEqual((len(outcomes), set(outcomes)), (16 * 21, {True, False}))

    def test_anotherSeed(self):
        self.assertNotEqual(scenario(5)[0], scenario(6)[0])

    def test_messageIDsToo(self):
        def messageIDs(seed):
            return [traced.datagram.data[1:21] for traced in scenario(seed)[0]]

        self.assertTrue(messageIDs(1) == messageIDs(1))
        self.assertFalse(set(messageIDs(1)) & set(messageIDs(2)))

    def test_messageIDsAreDistinct(self):
        requests = [traced.datagram.data for traced in scenario(1)[0] if traced.datagram.data[:1] == b"\x00"]
        self.assertEqual(len(set(data[1:21] for data in requests)), 16 * 21)

    def test_otherRandomnessIsLeftAlone(self):
        random.seed(1)
        expected = random.random()
        random.seed(1)
        scenario(5)
        self.assertEqual(random.random(), expected)

    def test_protocolOnAnotherNetworkHasItsMessageIDs(self):
        def call(node):
            network = SimulatedNetwork(seed=3, trace=True)
            port = network.host("10.0.0.1").listenUDP(9, node)
            node.echo(("10.0.0.2", 9))
            network.run(port.stopListening())
            return network.trace[0].datagram.data

        node = Node()
        self.assertEqual(call(node), call(node))

    def checkOtherProcesses(self, broadcast):
        """
        However their strings are hashed, and so their sets ordered, on Python 2 their dictionaries too.
        """
        program = "from tests import test_testing; print(test_testing.digest(7, {}))".format(broadcast)
        for hashSeed in ("1", "2"):
            environment = dict(ENVIRONMENT, PYTHONHASHSEED=hashSeed)
            printed = subprocess.check_output([sys.executable, "-c", program], env=environment)
            self.assertEqual(printed.decode("ascii").strip(), digest(7, broadcast))

    def test_inOtherProcesses(self):
        self.checkOtherProcesses(broadcast=False)

    def test_broadcastsInOtherProcesses(self):
        self.checkOtherProcesses(broadcast=True)

    def test_seedIsPartOfRepr(self):
        self.assertIn("seed=1234", repr(SimulatedNetwork(seed=1234)))

    def test_seedsThatAreNoIntegers(self):
        for wrong in ("1", 1.0, None, NAN):
            error = self.assertRaises(TypeError, SimulatedNetwork, seed=wrong)
            self.assertIn(repr(wrong), str(error))

    def test_integersOfAnySize(self):
        for seed in (0, -1, 1 << 100):
            SimulatedNetwork(seed)


class HostTests(NetworkTestCase):
    def test_alwaysTheSameObject(self):
        for host, address in zip(self.hosts, self.addresses):
            self.assertIs(self.network.host(address), host)
            self.assertIs(self.network.host(u"" + address), host)
            self.assertIs(self.network.host((u"" + address).encode("ascii")), host)

    def test_spellingsOfIPv6(self):
        host = self.network.host("FD00:0:0:0:0:0:0:1")
        self.assertEqual((host.address, type(host.address)), ("fd00::1", str))
        for spelling in ("fd00::1", "FD00::1", "fd00:0::1", "fd00::0.0.0.1", "FD00:0:0:0:0:0:0:1"):
            self.assertIs(self.network.host(spelling), host)
            self.assertIn("4 hosts", repr(self.network))

    def test_addressFamily(self):
        self.assertEqual(self.hosts[0].addressFamily, socket.AF_INET)
        self.assertEqual(self.network.host("fd00::1").addressFamily, socket.AF_INET6)

    def test_whatIsNoAddress(self):
        before = repr(self.network)
        wrong = ["localhost", "", "10.0.0", "10.0.0.256", "10.0.0.1:9", "fd00::1::2", u"10.0.0.\xb2", "10.0.0.1\x00"]
        for address in wrong + [None, 5, ("10.0.0.1", 9), self.hosts[0], ["10.0.0.1"]]:
            self.assertRaises(InvalidAddressError, self.network.host, address)
        self.assertEqual(repr(self.network), before)

    def test_addressesOfMoreThanOneHost(self):
        for address in ("0.0.0.0", "::", "0:0:0:0:0:0:0:0", "255.255.255.255", "<broadcast>"):
            self.assertRaises(InvalidAddressError, self.network.host, address)

    def test_interfaces(self):
        for host in (self.hosts[0], self.network.host("fd00::1")):
            verifyObject(IReactorTime, host)
            verifyObject(IReactorUDP, host)
            verifyObject(IDelayedCall, host.callLater(1, self.note))

    def test_repr(self):
        self.hosts[0].callLater(1, self.note)
        self.assertEqual(repr(self.hosts[0]), "<Host 10.0.0.1: 1 ports, 1 timers>")
        self.assertEqual(repr(self.network), "<SimulatedNetwork(seed=0): 0.0 s, 3 hosts, 1 events pending>")

    def test_IPv4AndIPv6DoNotHearEachOther(self):
        six = self.listen(self.network.host("fd00::1"))
        self.assertRaises(InvalidAddressError, six.transport.write, b"data", ("10.0.0.1", 9))
        self.assertRaises(InvalidAddressError, self.listeners[0].transport.write, b"data", ("fd00::1", 9))


class AdvanceTests(NetworkTestCase):
    def test_timeThatDoesNotGoOn(self):
        self.patch(testing, "_MOST_AT_ONCE", 100)

        def again():
            self.hosts[0].callLater(0, again)

        self.hosts[0].callLater(1, again)
        for run in (lambda: self.network.advance(10), lambda: self.network.run(defer.Deferred())):
            error = self.assertRaises(LimitReached, run)
            self.assertIn("100 events", str(error))
            self.assertIn("again", str(error))
            self.assertEqual(self.network.seconds(), 1)

    def test_manyEventsAtOneTimeAreNotTooMany(self):
        self.patch(testing, "_MOST_AT_ONCE", 100)
        for delay in (0, 1, 2):
            for _ in range(100):
                self.hosts[0].callLater(delay, self.note)
        self.network.advance(10)
        self.assertEqual(len(self.log), 300)

    def test_timeThatWouldNotBeFinite(self):
        self.network.advance(1.7e308)
        self.assertRaises(ValueError, self.network.advance, 1.7e308)
        self.assertRaises(ValueError, self.network.run, defer.Deferred(), limit=1.7e308)
        self.assertEqual(self.network.seconds(), 1.7e308)

    def test_seconds(self):
        self.assertEqual((self.network.seconds(), type(self.network.seconds())), (0.0, float))
        self.network.advance(2)
        self.network.advance(0)
        self.network.advance(0.5)
        self.assertEqual((self.network.seconds(), type(self.network.seconds())), (2.5, float))
        self.assertEqual([host.seconds() for host in self.hosts], [2.5] * 3)

    def test_timeGoesFromEventToEvent(self):
        for delay in (1, 2, 2, 5):
            self.hosts[0].callLater(delay, lambda: self.note(self.hosts[1].seconds()))
        self.network.advance(10)
        self.assertEqual(self.log, [(1, 1), (2, 2), (2, 2), (5, 5)])

    def test_theEndIsIncluded(self):
        self.hosts[0].callLater(1, self.note)
        self.network.advance(1)
        self.assertEqual(self.log, [(1, None)])

    def test_inPartsItIsTheSame(self):
        def run(parts):
            self.build(seed=3, jitter=1, loss=0.1, duplication=0.1)
            del self.log[:]

            def talk(number):
                self.send(number % 3, (number + 1) % 3)
                self.note(number)
                if number < 60:
                    self.hosts[number % 3].callLater(0.125, talk, number + 1)

            talk(0)
            for part in parts:
                self.network.advance(part)
            return self.network.trace, self.network.counts, self.log[:], [each.received for each in self.listeners]

        whole = run([16])
        self.assertEqual(run([7, 9]), whole)
        self.assertEqual(run([0.125] * 128), whole)
        # In 64ths of a second, which floats add without rounding.
        parts, generator = [], random.Random(1)
        while sum(parts) < 1024:
            parts.append(min(generator.randrange(40), 1024 - sum(parts)))
        self.assertEqual(run([part / 64.0 for part in parts]), whole)

    def test_wrongArguments(self):
        self.hosts[0].callLater(0, self.note)
        for wrong, error in WRONG_SECONDS:
            self.assertRaises(error, self.network.advance, wrong)
        self.assertEqual((self.network.seconds(), self.log), (0, []))

    def test_withinItself(self):
        deferred = defer.Deferred()

        def inside():
            for again in (lambda: self.network.advance(1), lambda: self.network.run(deferred)):
                self.assertRaises(RuntimeError, again)
            self.note()

        self.hosts[0].callLater(1, inside)
        self.network.advance(2)
        self.assertEqual((self.log, self.network.seconds()), ([(1, None)], 2))
        # What could not be waited for is as it was.
        deferred.callback(5)
        self.assertEqual(self.network.run(deferred), 5)

    def test_itMayGoOnAfterwards(self):
        self.hosts[0].callLater(1, self.network.advance, 1)
        self.hosts[0].callLater(2, self.note)
        self.network.advance(3)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.log, [(2, None)])


class RunTests(NetworkTestCase):
    def test_inAThread(self):
        results = []
        deferred = task.deferLater(self.hosts[0], 1, lambda: 5)
        thread = threading.Thread(target=lambda: results.append(self.network.run(deferred)))
        thread.start()
        thread.join()
        self.assertEqual(results, [5])

    def test_failureTogetherWithThatOfARuleIsKept(self):
        deferred = defer.Deferred()
        self.network.rule(lambda datagram: 1 / 0)

        def fail():
            self.send(0, 1)
            deferred.errback(ValueError("on purpose"))

        self.hosts[0].callLater(1, fail)
        self.assertRaises(ZeroDivisionError, self.network.run, deferred)
        self.assertRaises(ValueError, self.network.run, deferred)
        # Once is enough.
        self.assertIs(self.network.run(deferred), None)

    def test_failureThatOthersMakeOfItIsLogged(self):
        def fail():
            deferred = defer.Deferred()
            self.hosts[0].callLater(1, deferred.addErrback, lambda failure: {}["lost"])
            self.hosts[0].callLater(2, deferred.errback, ValueError("on purpose"))
            self.assertRaises(ValueError, self.network.run, deferred)

        fail()
        gc.collect()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_resultIsStillThereForOthers(self):
        deferred = task.deferLater(self.hosts[0], 1, lambda: 5)
        self.assertEqual([self.network.run(deferred), self.successResultOf(deferred)], [5, 5])

    def test_pendingIsNotWhatWasCancelled(self):
        self.hosts[0].callLater(5, self.note)
        self.hosts[0].callLater(6, self.fail).cancel()
        error = self.assertRaises(LimitReached, self.network.run, defer.Deferred(), limit=1)
        self.assertIn("note", str(error))
        self.assertNotIn("fail", str(error))

    def later(self, delay, function, *arguments):
        return task.deferLater(self.hosts[0], delay, function, *arguments)

    def test_resultOfADeferred(self):
        for result in (5, None, [], False):
            self.assertIs(self.network.run(self.later(1, lambda: result)), result)

    def test_timeStopsThere(self):
        self.hosts[1].callLater(1, self.note)
        self.hosts[1].callLater(2, self.note)
        self.network.run(self.later(1, self.note))
        self.assertEqual((self.log, self.network.seconds()), ([(1, None)] * 2, 1))

    def test_noEventMoreThanNeeded(self):
        deferred = self.later(1, lambda: None)
        self.hosts[1].callLater(1, self.note)
        self.network.run(deferred)
        self.assertEqual(self.log, [])
        self.network.advance(0)
        self.assertEqual(self.log, [(1, None)])

    def test_failure(self):
        error = KeyError("on purpose")

        def fail():
            raise error

        self.assertIs(self.assertRaises(KeyError, self.network.run, self.later(1, fail)), error)
        self.assertEqual(self.network.seconds(), 1)

    def test_oneThatHasFired(self):
        self.hosts[0].callLater(0, self.note)
        self.assertEqual(self.network.run(defer.succeed(5)), 5)
        self.assertRaises(KeyError, self.network.run, defer.fail(KeyError()))
        self.assertEqual((self.log, self.network.seconds()), ([], 0))

    def test_limitOfNothing(self):
        self.assertEqual(self.network.run(self.later(0, lambda: 5), limit=0), 5)
        self.assertRaises(LimitReached, self.network.run, self.later(1, self.note), limit=0)

    def test_nothingIsLeft(self):
        self.build(seed=1234)
        self.hosts[0].callLater(3, self.note)
        deferred = defer.Deferred()
        error = self.assertRaises(NothingLeft, self.network.run, deferred)
        self.assertEqual((self.network.seconds(), len(self.log)), (3, 1))
        for expected in ("Deferred", "seed=1234", "0 events pending"):
            self.assertIn(expected, str(error))

    def test_nothingAtAll(self):
        self.assertRaises(NothingLeft, self.network.run, defer.Deferred())

    def test_cancelledTimersAreNothing(self):
        self.hosts[0].callLater(3, self.note).cancel()
        self.assertRaises(NothingLeft, self.network.run, defer.Deferred())
        self.assertEqual(self.network.seconds(), 0)

    def test_limit(self):
        self.build(seed=1234)

        def tick():
            self.hosts[0].callLater(4, tick)

        tick()
        self.hosts[0].callLater(1, self.send, 0, 1)
        self.listeners[0].transport.write(b"12345", ("10.0.0.3", 7))
        error = self.assertRaises(LimitReached, self.network.run, defer.Deferred(), limit=0.03125)
        self.assertEqual(self.network.seconds(), 0.03125)
        for expected in (
            "Deferred",
            "0.03125 seconds",
            "seed=1234",
            "3 events pending",
            "at 0.05 s: 5 bytes from ('10.0.0.1', 9) to ('10.0.0.3', 7)",
            "at 1.0 s: timer of 10.0.0.1: send",
            "at 4.0 s: timer of 10.0.0.1: tick",
        ):
            self.assertIn(expected, str(error))

    def test_limitIsFromNow(self):
        self.network.advance(10)
        self.assertRaises(LimitReached, self.network.run, self.later(6, self.note), limit=5)
        self.assertEqual(self.network.seconds(), 15)

    def test_limitIsAnHour(self):
        self.assertRaises(LimitReached, self.network.run, self.later(3601, self.note))
        self.assertEqual(self.network.seconds(), 3600)
        self.assertEqual(self.network.run(self.later(3600, lambda: 5)), 5)

    def test_textIsNotTooLong(self):
        for number in range(100):
            self.hosts[0].callLater(10 + number, self.note)
        error = self.assertRaises(LimitReached, self.network.run, defer.Deferred(), limit=1)
        self.assertEqual(str(error).count("timer of"), 10)
        self.assertIn("at 10.0 s", str(error))
        self.assertIn("at 19.0 s", str(error))

    def test_textNamesWhatHasNoName(self):
        self.hosts[0].callLater(10, Calling(None).datagramReceived)
        self.hosts[0].callLater(10, task.LoopingCall(self.note))
        error = self.assertRaises(LimitReached, self.network.run, defer.Deferred(), limit=1)
        self.assertIn("timer of 10.0.0.1: datagramReceived", str(error))
        self.assertIn("timer of 10.0.0.1: LoopingCall", str(error))

    def test_cancelledTimersAreNotPending(self):
        self.hosts[0].callLater(10, self.note)
        self.hosts[0].callLater(9, self.send).cancel()
        error = self.assertRaises(LimitReached, self.network.run, defer.Deferred(), limit=1)
        self.assertNotIn("send", str(error))
        self.assertIn("1 events pending", str(error))

    def test_againAfterTheLimit(self):
        deferred = self.later(10, lambda: 5)
        self.assertRaises(LimitReached, self.network.run, deferred, limit=1)
        self.assertEqual(self.network.run(deferred), 5)

    def test_againAfterTheLimitIfItFails(self):
        deferred = self.later(10, lambda: {}["on purpose"])
        self.assertRaises(LimitReached, self.network.run, deferred, limit=1)
        self.assertRaises(KeyError, self.network.run, deferred)

    def test_againWhenThereIsSomethingLeft(self):
        deferred = defer.Deferred()
        self.assertRaises(NothingLeft, self.network.run, deferred)
        self.hosts[0].callLater(1, deferred.callback, 5)
        self.assertEqual(self.network.run(deferred), 5)

    def test_whatIsNoAwaitable(self):
        self.hosts[0].callLater(0, self.note)
        for wrong in (None, 5, "text", [], lambda: None, self.hosts[0]):
            error = self.assertRaises(TypeError, self.network.run, wrong)
            self.assertIn(repr(wrong), str(error))
        self.assertEqual(self.log, [])

    def test_wrongLimits(self):
        deferred = self.later(0, lambda: 5)
        for wrong, error in WRONG_SECONDS:
            self.assertRaises(error, self.network.run, deferred, limit=wrong)
        self.assertEqual(self.network.run(deferred), 5)

    def test_gathered(self):
        results = self.network.run(defer.gatherResults([self.later(delay, lambda: 5) for delay in (3, 1)]))
        self.assertEqual((results, self.network.seconds()), ([5, 5], 3))

    def test_calls(self):
        one, other = Node(), Node()
        self.listen(self.hosts[0], one, 10)
        self.listen(self.hosts[1], other, 10)
        self.assertEqual(self.network.run(one.echo(("10.0.0.2", 10), 1)), (True, [1]))
        self.assertEqual(self.network.seconds(), 0.1)
        self.assertEqual(self.network.run(one.never(("10.0.0.2", 10))), (False, None))
        self.assertEqual(self.network.seconds(), 5.1)

    def test_longestPayloadOfACall(self):
        one, other = Node(), Node()
        self.listen(self.hosts[0], one, 10)
        self.listen(self.hosts[1], other, 10)
        answered, [data] = self.network.run(one.echo(("10.0.0.2", 10), b"x" * 8180))
        self.assertEqual((answered, len(data)), (True, 8180))
        self.assertEqual(self.network.counts.truncated, 0)


class ErrorTests(NetworkTestCase):
    """
    What comes out of protocols and timers.
    """

    def setUp(self):
        NetworkTestCase.setUp(self)
        collectLog(self)

    def failNow(self, error=None):
        self.note()
        raise error or ValueError("on purpose")

    def assertLogged(self, *texts):
        [failure] = self.flushLoggedErrors(ValueError)
        self.assertIn("failNow", failure.getTraceback())
        [event] = self.events
        self.assertIs(event["log_failure"], failure)
        for text in texts:
            self.assertIn(text, formatEvent(event))

    def test_timer(self):
        self.hosts[0].callLater(1, self.failNow)
        self.hosts[0].callLater(1, self.note)
        self.network.advance(2)
        self.assertEqual((self.log, self.network.seconds()), ([(1, None)] * 2, 2))
        self.assertLogged("10.0.0.1", "failNow")

    def test_protocol(self):
        failing = self.listen(self.hosts[1], Calling(lambda datagram: self.failNow()), 10)
        self.listeners[0].transport.write(b"data", ("10.0.0.2", 10))
        self.network.advance(2)
        self.assertEqual(self.network.seconds(), 2)
        self.assertLogged(repr(failing))

    def test_theNextDatagramArrives(self):
        self.listen(self.hosts[1], Calling(lambda datagram: self.failNow()), 10)
        for _ in range(3):
            self.listeners[0].transport.write(b"data", ("10.0.0.2", 10))
        self.network.advance(2)
        self.assertEqual(len(self.log), 3)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 3)

    def test_interruptOutOfATimer(self):
        self.hosts[0].callLater(1, self.failNow, KeyboardInterrupt())
        self.hosts[0].callLater(1, self.note, "after")
        self.assertRaises(KeyboardInterrupt, self.network.advance, 2)
        self.assertEqual((len(self.log), self.network.seconds()), (1, 1))
        # It can go on.
        self.network.advance(0)
        self.assertEqual(self.log[1:], [(1, "after")])
        self.assertEqual(self.events, [])

    def test_interruptThatADeferredTakesForAFailure(self):
        output = subprocess.check_output([sys.executable, "-c", INTERRUPTED], env=ENVIRONMENT)
        expected = ["taken", "interrupted", "1.0", "True", "went", "on", "True", "True"]
        self.assertEqual(output.decode("ascii").split(), expected)

    def test_otherExceptionsThatAreNoneAreLogged(self):
        # As a reactor does with whatever it is.
        self.hosts[0].callLater(1, self.failNow, SystemExit("on purpose"))
        self.listen(self.hosts[1], Calling(lambda datagram: self.failNow(SystemExit("on purpose"))), 10)
        self.listeners[0].transport.write(b"data", ("10.0.0.2", 10))
        self.network.advance(2)
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 2)

    def test_interruptOutOfAProtocol(self):
        self.listen(self.hosts[1], Calling(lambda datagram: self.failNow(KeyboardInterrupt())), 10)
        for run in (lambda: self.network.advance(2), lambda: self.network.run(defer.Deferred())):
            self.listeners[0].transport.write(b"data", ("10.0.0.2", 10))
            self.assertRaises(KeyboardInterrupt, run)
        self.assertEqual([time for time, _ in self.log], [0.05, 0.1])
        self.assertEqual(self.events, [])

    def test_interruptedReadingGoesOnWithTheNextDatagram(self):
        protocol = self.listen(self.hosts[1], Calling(self.note), 10)
        transport = protocol.transport
        transport.stopReading()
        for data in (b"one", b"two", b"three"):
            self.listeners[0].transport.write(data, ("10.0.0.2", 10))
        self.network.advance(1)
        protocol.function = lambda datagram: self.failNow(KeyboardInterrupt())
        transport.startReading()
        self.assertRaises(KeyboardInterrupt, self.network.advance, 1)
        del self.log[:]
        protocol.function = self.note
        self.listeners[0].transport.write(b"four", ("10.0.0.2", 10))
        self.network.advance(1)
        self.assertEqual([what for _, what in self.log], [b"two", b"three", b"four"])


class FakeFile(object):
    """
    Keeps what is written to it.
    """

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass


class ContextTests(SynchronousTestCase):
    def setUp(self):
        self.stderr = FakeFile()

    def within(self, error=None):
        self.patch(sys, "stderr", self.stderr)
        with SimulatedNetwork(seed=1234) as network:
            network.host("10.0.0.1")
            network.advance(2)
            if error:
                raise error
        return network

    def test_networkItself(self):
        self.assertIsInstance(self.within(), SimulatedNetwork)
        self.assertEqual(self.stderr.text, "")

    def test_exceptionHasItPrinted(self):
        for error in (ValueError("on purpose"), KeyboardInterrupt()):
            self.stderr.text = ""
            self.assertIs(self.assertRaises(type(error), self.within, error), error)
            for expected in (type(error).__name__, "seed=1234", "2.0 s", "1 hosts"):
                self.assertIn(expected, self.stderr.text)
            self.assertEqual(self.stderr.text.count("\n"), 1)
