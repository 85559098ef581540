"""
Hosts of a simulated network: their timers, clocks and crashes, and how they stand in for a reactor.
"""

import random
import subprocess
import sys

from twisted import internet
from twisted.internet import task
from twisted.internet.error import AlreadyCalled, AlreadyCancelled, InvalidAddressError, ReactorAlreadyInstalledError
from twisted.internet.main import installReactor

from tests.simulated import INFINITE, NAN, Calling, Listener, NetworkTestCase, Node
from tests.support import ENVIRONMENT


class TimerTests(NetworkTestCase):
    def setUp(self):
        NetworkTestCase.setUp(self)
        self.host = self.hosts[0]

    def assertTimes(self, *times):
        self.network.advance(100)
        self.assertEqual([time for time, _ in self.log], list(times))

    def test_firesAtItsTime(self):
        timer = self.host.callLater(1.5, self.note, "done")
        self.assertEqual((timer.getTime(), timer.active(), bool(timer.called)), (1.5, True, False))
        self.network.advance(1.25)
        self.assertEqual(self.log, [])
        self.network.advance(0.25)
        self.assertEqual(self.log, [(1.5, "done")])
        self.assertFalse(timer.active())
        self.assertRaises(AlreadyCalled, timer.cancel)
        self.assertRaises(AlreadyCalled, timer.reset, 1)

    def test_arguments(self):
        called = []
        self.host.callLater(0, lambda *arguments, **keywords: called.append((arguments, keywords)), 1, two=2)
        self.network.advance(0)
        self.assertEqual(called, [((1,), {"two": 2})])

    def test_notAtOnce(self):
        self.host.callLater(0, self.note)
        self.assertEqual(self.log, [])
        self.assertTimes(0)

    def test_getDelayedCalls(self):
        timers = [self.host.callLater(delay, self.note) for delay in (3, 1, 2)]
        self.assertEqual(set(self.host.getDelayedCalls()), set(timers))
        self.assertEqual(self.hosts[1].getDelayedCalls(), [])
        timers[1].cancel()
        self.network.advance(2)
        self.assertEqual(self.host.getDelayedCalls(), [timers[0]])
        # A list of the caller's own.
        self.host.getDelayedCalls().pop()
        self.assertTimes(2, 3)

    def test_timerIsNotAmongThemWhenItFires(self):
        self.host.callLater(1, lambda: self.note(self.host.getDelayedCalls()))
        self.network.advance(1)
        self.assertEqual(self.log, [(1, [])])

    def test_resetEarlier(self):
        timer = self.host.callLater(10, self.note)
        self.network.advance(1)
        timer.reset(2)
        self.assertEqual((timer.getTime(), self.host.getDelayedCalls()), (3, [timer]))
        self.assertTimes(3)

    def test_resetLater(self):
        timer = self.host.callLater(1, self.note)
        timer.reset(5)
        self.assertEqual((timer.getTime(), self.host.getDelayedCalls()), (5, [timer]))
        self.network.advance(4)
        self.assertEqual((timer.active(), self.host.getDelayedCalls()), (True, [timer]))
        self.assertTimes(5)

    def test_resetLaterAndEarlier(self):
        timer = self.host.callLater(2, self.note)
        timer.reset(5)
        timer.reset(3)
        self.assertTimes(3)
        timer = self.host.callLater(2, self.note)
        timer.reset(5)
        timer.reset(1)
        self.assertTimes(3, 101)

    def test_resetLaterAgainAndAgain(self):
        timer = self.host.callLater(1, self.note)
        for _ in range(10):
            self.network.advance(0.75)
            timer.reset(1)
        self.assertTimes(8.5)

    def test_delay(self):
        timer = self.host.callLater(2, self.note)
        timer.delay(3)
        self.assertEqual(timer.getTime(), 5)
        timer.delay(-1)
        self.assertEqual(timer.getTime(), 4)
        self.network.advance(2)
        self.assertEqual(self.log, [])
        self.assertTimes(4)

    def test_delayBelowZero(self):
        timer = self.host.callLater(5, self.note)
        timer.delay(-2)
        self.assertTimes(3)
        timer = self.host.callLater(5, self.note)
        timer.delay(-200)
        self.network.advance(0)
        self.assertEqual([time for time, _ in self.log], [3, 100])

    def test_cancel(self):
        timer = self.host.callLater(1, self.note)
        timer.cancel()
        self.assertRaises(AlreadyCancelled, timer.cancel)
        self.assertRaises(AlreadyCancelled, timer.reset, 1)
        self.assertEqual(self.host.getDelayedCalls(), [])
        self.assertTimes()

    def test_cancelAfterReset(self):
        for seconds in (0.5, 2):
            timer = self.host.callLater(1, self.note)
            timer.reset(seconds)
            timer.cancel()
        self.assertTimes()

    def test_timerThatCancelsAnotherOfTheSameTime(self):
        def first():
            self.note()
            second.cancel()

        self.host.callLater(1, first)
        second = self.host.callLater(1, self.note)
        self.assertTimes(1)

    def test_timerThatPlacesTheNext(self):
        def again():
            self.note()
            if len(self.log) < 5:
                self.host.callLater(0.25, again)

        again()
        self.assertTimes(0, 0.25, 0.5, 0.75, 1)

    def test_wrongArguments(self):
        for wrong in (-1, -0.001, NAN):
            self.assertRaises(AssertionError, self.host.callLater, wrong, self.note)
        for wrong in (None, "function", 5):
            self.assertRaises(AssertionError, self.host.callLater, 1, wrong)
        # As it is with Twisted's, on Python 2 later.
        self.assertRaises(TypeError, self.host.callLater, "1", self.note)
        self.assertEqual(self.host.getDelayedCalls(), [])
        self.assertIn("0 events", repr(self.network))

    def test_timerThatNeverFires(self):
        timer = self.host.callLater(INFINITE, self.note)
        self.assertTimes()
        timer.cancel()
        self.assertEqual(self.host.getDelayedCalls(), [])

    def test_cancelledTimersAreForgotten(self):
        for _ in range(100000):
            self.host.callLater(60, self.note).cancel()
        self.assertIn("0 events pending", repr(self.network))
        self.assertLess(len(self.network._events._heap), 200)

    def test_cancelledTimersAmongThoseThatAreNot(self):
        for number in range(3000):
            self.host.callLater(number, self.note, number)
            for _ in range(3):
                self.host.callLater(1500, self.note).cancel()
        self.assertIn("3000 events pending", repr(self.network))
        self.assertLess(len(self.network._events._heap), 7000)
        self.network.advance(3000)
        self.assertEqual(self.log, [(number, number) for number in range(3000)])
        self.assertIn("0 events pending", repr(self.network))

    def test_resetTimersAreForgotten(self):
        timer = self.host.callLater(10000, self.note)
        for number in range(9999, 0, -1):
            timer.reset(number)
        self.assertLess(len(self.network._events._heap), 200)
        self.assertTimes(1)

    def test_timersOfCrashedHostsAreForgotten(self):
        for _ in range(1000):
            for _ in range(10):
                self.host.callLater(60, self.note)
            self.host.crash()
        self.assertIn("0 events pending", repr(self.network))
        self.assertLess(len(self.network._events._heap), 200)

    def test_timersOfClocksThatAreSetAreForgotten(self):
        for _ in range(10):
            self.host.callLater(60, self.note)
        for _ in range(1000):
            self.host.stepClock(-0.001)
        self.assertIn("10 events pending", repr(self.network))
        self.assertLess(len(self.network._events._heap), 200)

    def test_manyTimersAreFast(self):
        # With a list instead of a heap this takes minutes.
        generator = random.Random(1)
        times = [generator.random() for _ in range(20000)]
        for time in times:
            self.host.callLater(time, self.note)
        self.assertTimes(*sorted(times))


class OrderTests(NetworkTestCase):
    """
    What is at one time happens in the order in which it was asked for.
    """

    def names(self):
        return [what for _, what in self.log]

    def test_timersOfAllHosts(self):
        for number in range(30):
            self.hosts[number % 3].callLater(1, self.note, number)
        self.network.advance(1)
        self.assertEqual(self.names(), list(range(30)))

    def test_timersAndDatagrams(self):
        self.build(latency=1)
        self.listen(self.hosts[1], Calling(self.note), 10)
        for number in range(10):
            self.hosts[number % 3].callLater(1, self.note, b"timer")
            self.listeners[0].transport.write(b"datagram", ("10.0.0.2", 10))
        self.network.advance(1)
        self.assertEqual(self.names(), [b"timer", b"datagram"] * 10)

    def test_whatIsAskedForMeanwhileComesLast(self):
        self.hosts[0].callLater(1, lambda: self.hosts[0].callLater(0, self.note, "last"))
        for name in ("first", "second"):
            self.hosts[1].callLater(1, self.note, name)
        self.network.advance(1)
        self.assertEqual(self.names(), ["first", "second", "last"])

    def test_resetEarlierIsAskedForThen(self):
        timer = self.hosts[0].callLater(5, self.note, "second")
        self.hosts[0].callLater(1, self.note, "first")
        timer.reset(1)
        self.hosts[0].callLater(1, self.note, "third")
        self.network.advance(1)
        self.assertEqual(self.names(), ["first", "second", "third"])

    def test_resetLaterComesAfterTheOthers(self):
        timer = self.hosts[0].callLater(0.5, self.note, "third")
        self.hosts[0].callLater(1, self.note, "first")
        timer.reset(1)
        self.hosts[0].callLater(1, self.note, "second")
        self.network.advance(1)
        self.assertEqual(self.names(), ["first", "second", "third"])

    def test_steppedClockKeepsIt(self):
        for number in range(10):
            self.hosts[0].callLater(1, self.note, number)
        self.hosts[0].stepClock(0.5)
        self.network.advance(1)
        self.assertEqual(self.names(), list(range(10)))

    def test_sameTimeButForTheRoundingOfFloats(self):
        self.hosts[0].callLater(0.1 + 0.2, self.note, "later")
        self.hosts[0].callLater(0.3, self.note, "earlier")
        self.network.advance(1)
        self.assertEqual(self.names(), ["earlier", "later"])


class CrashTests(NetworkTestCase):
    def setUp(self):
        NetworkTestCase.setUp(self)
        self.host, self.zombie = self.hosts[0], self.listeners[0]

    def test_timersAreGone(self):
        timer = self.host.callLater(1, self.note, "its own")
        self.hosts[1].callLater(1, self.note, "another's")
        self.host.crash()
        self.assertEqual(self.host.getDelayedCalls(), [])
        self.network.advance(10)
        self.assertEqual((self.log, timer.called), ([(1, "another's")], 0))

    def test_timersMayBeCancelledOrResetAllTheSame(self):
        timers = [self.host.callLater(5, self.note) for _ in range(4)]
        self.host.crash()
        timers[0].cancel()
        timers[1].reset(1)
        timers[2].reset(10)
        timers[3].delay(-2)
        self.assertEqual(self.host.getDelayedCalls(), [])
        self.network.advance(100)
        self.assertEqual(self.log, [])
        self.assertIn("0 events pending", repr(self.network))

    def test_nobodyHearsOfIt(self):
        called = []

        class Told(Listener):
            def stopProtocol(self):
                called.append("stopProtocol")

            def connectionRefused(self):
                called.append("connectionRefused")

        told = self.listen(self.host, Told(), 10)
        peer = self.listen(self.hosts[1], Told(), 10)
        peer.transport.connect("10.0.0.1", 10)
        call = Node()
        self.listen(self.host, call, 11)
        deferred = call.never(("10.0.0.2", 9))
        self.host.crash()
        peer.transport.write(b"data")
        self.network.advance(100)
        self.assertEqual((called, told.received), ([], []))
        self.assertNoResult(deferred)
        self.assertIsNot(told.transport, None)

    def test_unheard(self):
        self.send(1, 0, b"in flight")
        self.host.crash()
        self.send(1, 0, b"later")
        self.network.advance(1)
        self.assertSilent(0)
        self.assertEqual(self.counts(), {"sent": 2, "unheard": 2})
        self.assertEqual(self.fates(), [["unheard"], ["unheard"]])

    def test_whatItSentBeforeArrives(self):
        self.send(0, 1)
        self.host.crash()
        self.network.advance(1)
        self.assertEqual(self.listeners[1].data(), [b"data"])

    def test_whatItsPortsAreToldToWriteGoesNowhere(self):
        connected = self.listen(self.host, number=10)
        connected.transport.connect("10.0.0.2", 9)
        self.host.crash()
        self.send(0, 1)
        connected.transport.write(b"data")
        self.network.advance(1)
        self.assertSilent(1)
        self.assertEqual((self.counts(), self.network.trace), ({}, []))

    def test_itsPortsStillCheckWhatTheyAreToldToWrite(self):
        self.host.crash()
        self.assertRaises(InvalidAddressError, self.zombie.transport.write, b"data", ("localhost", 9))
        self.assertRaises(OverflowError, self.zombie.transport.write, b"data", ("10.0.0.2", 70000))
        self.assertRaises(TypeError, self.zombie.transport.write, None, ("10.0.0.2", 9))

    def test_listeningAgain(self):
        self.send(1, 0, b"in flight")
        self.host.crash()
        again = self.listen(self.host)
        self.send(1, 0, b"later")
        self.host.callLater(1, self.note)
        self.network.advance(1)
        self.assertSilent(0)
        self.assertEqual((again.data(), self.log), ([b"in flight", b"later"], [(1, None)]))
        again.transport.write(b"answer", ("10.0.0.2", 9))
        self.network.advance(1)
        self.assertEqual(self.listeners[1].data(), [b"answer"])

    def test_closingACrashedPortLeavesTheNewOneAlone(self):
        self.host.crash()
        again = self.listen(self.host)
        self.network.run(self.zombie.transport.stopListening())
        self.send(1, 0)
        self.network.advance(1)
        self.assertEqual(again.data(), [b"data"])

    def test_inATimerOfItsOwn(self):
        def crash():
            self.note()
            self.host.crash()

        self.host.callLater(1, crash)
        self.host.callLater(1, self.note)
        self.host.callLater(2, self.note)
        self.network.advance(10)
        self.assertEqual(self.log, [(1, None)])

    def test_inAProtocolOfItsOwn(self):
        self.listen(self.host, Calling(lambda datagram: (self.note(datagram), self.host.crash())), 10)
        for data in (b"one", b"two"):
            self.listeners[1].transport.write(data, ("10.0.0.1", 10))
        self.network.advance(10)
        self.assertEqual([what for _, what in self.log], [b"one"])

    def test_datagramsThatWaitToBeReadAreGone(self):
        protocol = self.listen(self.host, Calling(lambda datagram: (self.note(datagram), self.host.crash())), 10)
        protocol.transport.stopReading()
        for data in (b"one", b"two", b"three"):
            self.listeners[1].transport.write(data, ("10.0.0.1", 10))
        self.network.advance(10)
        protocol.transport.startReading()
        self.network.advance(10)
        self.assertEqual([what for _, what in self.log], [b"one"])

    def test_startReadingOfACrashedPort(self):
        self.zombie.transport.stopReading()
        self.send(1, 0)
        self.network.advance(1)
        self.host.crash()
        self.zombie.transport.startReading()
        self.network.advance(1)
        self.assertSilent(0)

    def test_twice(self):
        self.host.crash()
        self.host.crash()
        self.assertEqual(repr(self.host), "<Host 10.0.0.1: 0 ports, 0 timers>")

    def test_clockAndAddressStay(self):
        self.host.stepClock(5)
        self.host.crash()
        self.assertEqual((self.host.seconds(), self.host.address), (5, "10.0.0.1"))
        self.assertIs(self.network.host("10.0.0.1"), self.host)


class ClockTests(NetworkTestCase):
    """
    A host's clock that is set.
    """

    def setUp(self):
        NetworkTestCase.setUp(self)
        self.host = self.hosts[0]

    def test_seconds(self):
        self.network.advance(10)
        self.host.stepClock(5)
        self.assertEqual([host.seconds() for host in self.hosts], [15, 10, 10])
        self.host.stepClock(-3600)
        self.network.advance(1)
        self.assertEqual([host.seconds() for host in self.hosts], [-3584, 11, 11])
        self.assertEqual(self.network.seconds(), 11)

    def test_forward(self):
        timer = self.host.callLater(10, self.note)
        self.hosts[1].callLater(10, self.note, "another's")
        self.host.stepClock(4)
        self.assertEqual((timer.getTime(), self.host.getDelayedCalls()), (10, [timer]))
        self.network.advance(100)
        self.assertEqual(self.log, [(6, None), (10, "another's")])

    def test_back(self):
        timer = self.host.callLater(10, self.note)
        self.network.advance(1)
        self.host.stepClock(-5)
        self.assertEqual((timer.getTime(), self.host.getDelayedCalls()), (10, [timer]))
        self.network.advance(100)
        self.assertEqual(self.log, [(15, None)])

    def test_beyondTimers(self):
        self.host.callLater(10, self.note, "first")
        self.network.advance(1)
        self.host.stepClock(3600)
        self.host.callLater(0, self.note, "second")
        self.assertEqual(self.log, [])
        self.network.advance(0)
        self.assertEqual(self.log, [(1, "first"), (1, "second")])

    def test_timersThatArePlacedThen(self):
        for step in (100, -300):
            self.host.stepClock(step)
            timer = self.host.callLater(5, self.note)
            self.assertEqual(timer.getTime(), self.host.seconds() + 5)
            self.network.advance(5)
        self.assertEqual(self.log, [(5, None), (10, None)])

    def test_timersThatWereReset(self):
        earlier, later = self.host.callLater(10, self.note), self.host.callLater(10, self.note)
        earlier.reset(8)
        later.reset(12)
        self.host.stepClock(4)
        earlier.reset(3)
        self.network.advance(100)
        self.assertEqual([time for time, _ in self.log], [3, 8])

    def test_inATimer(self):
        self.host.callLater(1, self.host.stepClock, 2)
        self.host.callLater(5, self.note)
        self.network.advance(10)
        self.assertEqual(self.log, [(3, None)])

    def test_noTimerIsEarlyByTheClockOfItsHost(self):
        # Whatever floats are rounded to: otherwise code that waits for a time would wait forever, in no time.
        generator = random.Random(2)
        fired = []

        def fire(due):
            fired.append(self.host.seconds() >= due)

        for _ in range(300):
            self.network.advance(generator.uniform(0, 10))
            self.host.stepClock(generator.uniform(-5, 5) * generator.choice([1, 1000]))
            for _ in range(10):
                delay = generator.uniform(0, 10)
                timer = self.host.callLater(delay, fire, self.host.seconds() + delay)
                self.assertEqual(timer.getTime(), timer.args[0])
        self.network.advance(100000)
        self.assertEqual((len(fired), fired.count(False)), (3000, 0))

    def test_wrongSteps(self):
        timer = self.host.callLater(10, self.note)
        for wrong, error in ((NAN, ValueError), (INFINITE, ValueError), (-INFINITE, ValueError), ("1", TypeError)):
            self.assertRaises(error, self.host.stepClock, wrong)
        for wrong in (None, 1j):
            self.assertRaises(TypeError, self.host.stepClock, wrong)
        self.host.stepClock(1.5e308)
        self.assertRaises(ValueError, self.host.stepClock, 1.5e308)
        self.host.stepClock(-1.5e308)
        self.assertEqual((self.host.seconds(), self.host.getDelayedCalls()), (0, [timer]))
        self.network.advance(10)
        self.assertEqual(self.log, [(10, None)])

    def test_protocolSurvives(self):
        one, other = Node(), Node()
        self.listen(self.host, one, 10)
        self.listen(self.hosts[1], other, 10)
        address = ("10.0.0.2", 10)
        for step in (3600, -7200, 0.5, -0.5):
            before = one.never(address)
            self.network.advance(1)
            self.host.stepClock(step)
            self.assertEqual(self.network.run(one.echo(address, 1)), (True, [1]))
            now = self.network.seconds()
            self.assertEqual(self.network.run(one.never(address)), (False, None))
            self.assertAlmostEqual(self.network.seconds(), now + 5)
            # By the step at most.
            self.network.advance(max(0, -step))
            self.assertEqual(self.successResultOf(before), (False, None))
        self.assertEqual((one._outstanding, self.host.getDelayedCalls()), ({}, []))

    def test_protocolAnswersAcrossAStep(self):
        one, other = Node(), Node()
        self.listen(self.host, one, 10)
        self.listen(self.hosts[1], other, 10)
        for step in (3600, -7200):
            call = other.echo(("10.0.0.1", 10), 1)
            self.network.advance(0.01)
            self.host.stepClock(step)
            self.assertEqual(self.network.run(call), (True, [1]))


class ReactorTests(NetworkTestCase):
    """
    A host in place of C{twisted.internet.reactor}.
    """

    name = "twisted.internet.reactor"

    def test_within(self):
        before = internet.reactor
        with self.hosts[0].asReactor() as host:
            self.assertIs(host, self.hosts[0])
            from twisted.internet import reactor

            self.assertIs(reactor, host)
            self.assertIs(sys.modules[self.name], host)
        self.assertIs(internet.reactor, before)
        self.assertIs(sys.modules[self.name], before)

    def test_restoredAfterAnException(self):
        before = internet.reactor

        def fail():
            with self.hosts[0].asReactor():
                raise ValueError("on purpose")

        self.assertRaises(ValueError, fail)
        self.assertIs(internet.reactor, before)
        self.assertIs(sys.modules[self.name], before)

    def test_nested(self):
        before = internet.reactor
        with self.hosts[0].asReactor():
            with self.hosts[1].asReactor():
                self.assertIs(internet.reactor, self.hosts[1])
            self.assertIs(internet.reactor, self.hosts[0])
            self.assertIs(sys.modules[self.name], self.hosts[0])
        self.assertIs(internet.reactor, before)

    def test_whatIsMissingIsMissingAfterwards(self):
        before = internet.reactor

        def install():
            sys.modules[self.name] = internet.reactor = before

        self.addCleanup(install)
        for module, attribute in ((False, False), (True, False), (False, True)):
            install()
            if not module:
                del sys.modules[self.name]
            if not attribute:
                del internet.reactor
            with self.hosts[0].asReactor():
                self.assertIs(internet.reactor, self.hosts[0])
                self.assertIs(sys.modules[self.name], self.hosts[0])
            self.assertEqual((self.name in sys.modules, hasattr(internet, "reactor")), (module, attribute))

    def test_noOtherIsInstalledMeanwhile(self):
        with self.hosts[0].asReactor():
            self.assertRaises(ReactorAlreadyInstalledError, installReactor, object())

    def test_loopingCall(self):
        with self.hosts[0].asReactor():
            looping = task.LoopingCall(self.note)
            looping.start(2)
        self.network.advance(5)
        self.assertEqual([time for time, _ in self.log], [0, 2, 4])
        looping.stop()
        self.assertEqual(self.hosts[0].getDelayedCalls(), [])

    def test_codeThatReachesForIt(self):
        def program():
            from twisted.internet import reactor

            listener = Listener()
            reactor.listenUDP(10, listener).write(b"data", ("10.0.0.1", 10))
            return listener

        with self.hosts[0].asReactor():
            listener = program()
            self.network.advance(1)
        self.assertEqual(listener.received, [(0.05, b"data", ("10.0.0.1", 10))])

    def printedBy(self, program):
        return subprocess.check_output([sys.executable, "-c", program], env=ENVIRONMENT).decode("ascii").split()

    def test_whereNoReactorIsInstalled(self):
        program = """if True:
            import sys
            from rpcudp.testing import SimulatedNetwork
            from twisted import internet

            def state():
                return "twisted.internet.reactor" in sys.modules, hasattr(internet, "reactor")

            print(state())
            host = SimulatedNetwork().host("10.0.0.1")
            with host.asReactor():
                from twisted.internet import reactor
                print(reactor is host)
            print(state())
            from twisted.internet import reactor
            print(reactor is host)
        """
        self.assertEqual(self.printedBy(program), ["(False,", "False)", "True", "(False,", "False)", "False"])

    def test_importingInstallsNone(self):
        program = "import sys, rpcudp.testing; print('twisted.internet.reactor' in sys.modules)"
        self.assertEqual(self.printedBy(program), ["False"])

    def test_aWholeRunInstallsNone(self):
        program = """if True:
            import sys
            from rpcudp.protocol import RPCProtocol
            from rpcudp.testing import SimulatedNetwork

            class Node(RPCProtocol):
                def rpc_echo(self, sender, value):
                    return value

            network = SimulatedNetwork()
            one, other = Node(), Node()
            ports = [network.host("10.0.0.1").listenUDP(9, one), network.host("10.0.0.2").listenUDP(9, other)]
            print(network.run(one.echo(("10.0.0.2", 9), 1))[0])
            for port in ports:
                network.run(port.stopListening())
            print("twisted.internet.reactor" in sys.modules)
        """
        self.assertEqual(self.printedBy(program), ["True", "False"])
