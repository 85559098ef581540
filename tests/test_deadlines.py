"""
How long calls wait.
"""

from twisted.internet.defer import CancelledError, Deferred

from rpcudp.protocol import RPCProtocol
from tests.support import THERE, ProtocolTestCase, response


class DeadlineTests(ProtocolTestCase):
    def call(self, waitTimeout):
        self.protocol._waitTimeout = waitTimeout
        return self.protocol.ping(THERE)

    def answer(self, index):
        """
        Answer the call that was placed as the one with C{index} since the test began.
        """
        self.protocol.datagramReceived(response(self.transport.written[index][0][1:21], None), THERE)

    def assertTimers(self, *times):
        self.assertEqual([timer.getTime() for timer in self.clock.getDelayedCalls()], list(times))

    def test_oneTimerForAnyNumberOfCalls(self):
        for _ in range(100):
            self.call(5)
            self.clock.advance(0.01)
        self.assertTimers(5)

    def test_eachCallEndsInItsOwnTime(self):
        calls = []
        for _ in range(10):
            calls.append(self.call(5))
            self.clock.advance(0.25)
        for number in range(10):
            self.clock.advance(5 + 0.25 * number - self.clock.seconds() - 0.125)
            self.assertNoResult(calls[number])
            self.clock.advance(0.125)
            self.assertEqual(self.successResultOf(calls[number]), (False, None))
        self.assertTimers()

    def test_shorterWaitEndsFirst(self):
        long, short, middle = self.call(10), self.call(1), self.call(5)
        self.assertTimers(1)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(short), (False, None))
        self.assertTimers(5)
        self.clock.advance(4)
        self.assertEqual(self.successResultOf(middle), (False, None))
        self.assertTimers(10)
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(long), (False, None))
        self.assertTimers()

    def test_callsThatEndAtOnceEndInTheirOrder(self):
        order = []
        for number in range(50):
            self.call(5).addCallback(lambda _, number=number: order.append(number))
        self.clock.advance(5)
        self.assertEqual(order, list(range(50)))

    def test_timerOfAnAnsweredCallFindsTheNext(self):
        self.call(5)
        self.clock.advance(3)
        other = self.call(5)
        self.answer(0)
        self.clock.advance(2)
        self.assertNoResult(other)
        self.assertTimers(8)
        self.clock.advance(3)
        self.assertEqual(self.successResultOf(other), (False, None))

    def test_lastAnswerEndsTheTimer(self):
        for _ in range(10):
            self.call(5)
        for index in range(10):
            self.assertTimers(5)
            self.answer(index)
        self.assertTimers()

    def test_callAfterTheLastAnswerWaitsAsTheFirst(self):
        self.call(5)
        self.answer(0)
        self.clock.advance(3)
        self.call(5)
        self.assertTimers(8)

    def test_callAfterATimeoutLeavesTheTimerToThoseBefore(self):
        self.call(1), self.call(100)
        middle = self.call(3)
        self.clock.advance(1)
        last = self.call(5)
        self.assertTimers(3)
        self.clock.advance(2)
        self.assertEqual(self.successResultOf(middle), (False, None))
        self.assertTimers(6)
        self.clock.advance(3)
        self.assertEqual(self.successResultOf(last), (False, None))
        self.assertTimers(100)

    def test_noCopyOfACallThatHasEndedIsSent(self):
        calls = [self.call((wait, 600)) for wait in (1, 2, 3)]
        self.clock.advance(1)
        calls[1].cancel()
        self.failureResultOf(calls[1], CancelledError)
        self.clock.advance(1)
        self.assertEqual(len(self.transport.written), 4)
        self.clock.advance(1)
        self.assertEqual(len(self.transport.written), 5)

    def test_callMadeByACallbackKeepsTheTimer(self):
        self.call(5).addCallback(lambda _: self.call(5))
        [timer] = self.clock.getDelayedCalls()
        self.clock.advance(1)
        self.answer(0)
        self.assertEqual(self.clock.getDelayedCalls(), [timer])
        self.clock.advance(4)
        self.assertTimers(6)
        self.answer(1)
        self.assertTimers()

    def test_callMadeAtATimeoutWaitsInFull(self):
        again = []
        self.call(5).addCallback(lambda _: again.append(self.call(1)))
        self.clock.advance(5)
        self.assertTimers(6)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(again[0]), (False, None))
        self.assertTimers()

    def test_callMadeAtATimeoutEndsBeforeThoseThatWaitLonger(self):
        again = []
        self.call(100)
        self.call(1).addCallback(lambda _: again.append(self.call(1)))
        self.clock.advance(1)
        self.assertTimers(2)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(again[0]), (False, None))
        self.assertTimers(100)

    def test_sweepThatRunsLongDelaysLaterOnesByItselfAlone(self):
        # As a callback that takes two seconds.
        self.call(1).addCallback(lambda _: setattr(self.clock, "rightNow", self.clock.rightNow + 2))
        late, later = self.call(1.5), self.call(3.5)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(late), (False, None))
        self.assertTimers(3.5)
        self.clock.advance(0.5)
        self.assertEqual(self.successResultOf(later), (False, None))

    def test_clockThatIsSetBackInASweepEndsNoCallThatBeginsThen(self):
        placed = []

        def callAgain(_):
            self.clock.rightNow -= 3600
            placed.append(self.call(5).addCallback(callAgain))

        self.call(5).addCallback(callAgain)
        self.clock.advance(5)
        self.assertEqual(len(placed), 1)
        self.clock.advance(5)
        self.assertEqual(len(placed), 2)

    def test_clockThatIsSetBackInASweepThatForgetsWaitsEndsNoCallThatBeginsThen(self):
        placed = []

        def callAgain(_):
            self.clock.rightNow -= 3600
            placed.append(self.call(5))
            for deferred in others:
                deferred.cancel()
                self.failureResultOf(deferred, CancelledError)

        self.call(5).addCallback(callAgain)
        others = [self.call(600) for _ in range(500)]
        self.clock.advance(5)
        [deferred] = placed
        self.assertNoResult(deferred)

    def test_clockThatIsSetBackDelaysByTheStepAtMost(self):
        before = self.call(5)
        self.clock.rightNow -= 100
        after = self.call(5)
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(after), (False, None))
        self.assertNoResult(before)
        self.clock.advance(100)
        self.assertEqual(self.successResultOf(before), (False, None))
        self.assertTimers()

    def kept(self):
        """
        @return: how many waits are kept.
        """
        deadlines = self.protocol._rpcudpCaller._deadlines
        return len(deadlines._new) + len(deadlines._heap)

    def endAllButOne(self, calls):
        for deferred in calls[1:]:
            deferred.cancel()
            self.failureResultOf(deferred, CancelledError)

    def test_answeredCallsAreForgotten(self):
        self.call(5)
        for index in range(1, 5000):
            self.call(5)
            self.answer(index)
        self.assertLess(self.kept(), 200)

    def test_datagramsOfCallsThatHaveEndedAreNotKept(self):
        self.endAllButOne([self.call((600, 600)) for _ in range(5000)])
        self.assertLess(self.kept(), 200)

    def test_waitsOfCallsThatEndAfterATimeoutAreNotKept(self):
        calls = [self.call(600) for _ in range(5000)]
        self.call(1)
        self.clock.advance(1)
        self.endAllButOne(calls)
        self.assertLess(self.kept(), 200)
        self.clock.advance(599)
        self.assertEqual(self.successResultOf(calls[0]), (False, None))

    def test_callsThatAreLeftEndInTheirOwnTime(self):
        ended = {}
        calls = {}
        for number in range(500):
            wait = 100 + number * 7 % 500
            calls[wait] = self.call(wait)
        self.call(1)
        self.clock.advance(1)
        for wait, deferred in calls.items():
            if wait % 25:
                deferred.cancel()
                self.failureResultOf(deferred, CancelledError)
            else:
                deferred.addCallback(lambda _, wait=wait: ended.update({wait: self.clock.seconds()}))
        self.assertLess(self.kept(), 200)
        for _ in range(600):
            self.clock.advance(1)
        self.assertEqual(ended, {wait: wait for wait in range(100, 600, 25)})

    def test_theLastAnswerForgetsAllWaits(self):
        self.call(1)
        calls = [self.call(600) for _ in range(9)]
        self.clock.advance(1)
        calls.append(self.call(600))
        self.endAllButOne(calls)
        self.assertEqual(self.kept(), 10)
        calls[0].cancel()
        self.failureResultOf(calls[0], CancelledError)
        self.assertEqual(self.kept(), 0)

    def test_whateverASubclassHasInFlightIsGivenUpOnceInTime(self):
        class Anything(object):
            def __getattr__(self, name):
                return self

        self.protocol._outstanding[b"i" * 20] = Anything()
        self.call(5)
        [msgID] = set(self.protocol._outstanding) - {b"i" * 20}
        own = self.protocol._outstanding[msgID] = Deferred()
        self.call(1)
        self.clock.advance(1)
        self.assertNoResult(own)
        self.clock.advance(4)
        self.assertEqual(self.successResultOf(own), (False, None))
        self.assertTimers()

    def test_aSubclassThatDoesNotGiveUpIsAskedOnce(self):
        asked = []
        self.protocol._timeout = asked.append
        self.call(5)
        [msgID] = self.protocol._outstanding
        for _ in range(20):
            self.call(1)
            self.clock.advance(1)
        self.assertEqual(asked.count(msgID), 1)

    def test_clockThatRefusesATimerAfterASweepIsAskedAgainByTheNextCall(self):
        for wait in (1, 2, 5):
            self.call(wait)
        self.clock.advance(1)
        callLater = self.clock.callLater

        def refuse(*arguments):
            self.clock.callLater = callLater
            raise RuntimeError("not now")

        self.clock.callLater = refuse
        self.assertRaises(RuntimeError, self.clock.advance, 1)
        late = self.call(5)
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(late), (False, None))
        self.assertTimers()

    def test_noTimerIsForThePast(self):
        delays = []
        callLater = self.clock.callLater
        self.clock.callLater = lambda delay, *rest: delays.append(delay) or callLater(delay, *rest)
        self.call(1).addCallback(lambda _: setattr(self.clock, "rightNow", self.clock.rightNow + 2))
        self.call(2)
        self.clock.advance(1)
        self.assertEqual(delays, [1, 0])

    def test_stoppingInACallback(self):
        self.call(5)
        self.call(5).addCallback(lambda _: self.protocol.doStop())
        self.answer(1)
        self.assertTimers()


class WrongWaitsTests(ProtocolTestCase):
    """
    Waits that are wrong raise at the call, and other calls end in time.
    """

    def test_replacedByWhatIsWrong(self):
        other = self.protocol.ping(THERE)
        nan = float("nan")
        for wrong, error in (
            (-1, ValueError),
            (0, ValueError),
            (nan, ValueError),
            ((0.2, nan), ValueError),
            ((), ValueError),
            ((0.2, None), TypeError),
            (None, TypeError),
            ("5", TypeError),
        ):
            self.protocol._waitTimeout = wrong
            self.assertRaises(error, self.protocol.ping, THERE)
        self.assertEqual(len(self.protocol._outstanding), 1)
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(other), (False, None))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_listThatChanges(self):
        self.protocol._waitTimeout = waits = [1]
        self.protocol.ping(THERE)
        waits[0] = 3
        other = self.protocol.ping(THERE)
        self.clock.advance(2)
        self.assertNoResult(other)
        waits[0] = -1
        self.assertRaises(ValueError, self.protocol.ping, THERE)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(other), (False, None))

    def test_clockThatRefusesATimer(self):
        other = self.protocol.ping(THERE)
        self.protocol._waitTimeout = 1
        self.patch(self.clock, "callLater", None)
        self.assertRaises(TypeError, self.protocol.ping, THERE)
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(other), (False, None))


class RaisingNode(RPCProtocol):
    """
    A subclass that gets it wrong, once.
    """

    raised = False

    def _timeout(self, msgID):
        if not self.raised:
            self.raised = True
            raise ValueError("on purpose")
        RPCProtocol._timeout(self, msgID)


class RaisingNodeTests(ProtocolTestCase):
    protocolClass = RaisingNode

    def test_errorOfASubclassIsLoggedWhenThePortIsClosed(self):
        calls = [self.protocol.ping(THERE) for _ in range(3)]
        self.protocol.doStop()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual([self.successResultOf(call) for call in calls], [(False, None)] * 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_errorOfASubclassHoldsNothingUp(self):
        self.protocol.ping(THERE)
        others = [self.protocol.ping(THERE) for _ in range(2)]
        self.assertRaises(ValueError, self.clock.advance, 5)
        self.clock.advance(0)
        self.assertEqual([self.successResultOf(other) for other in others], [(False, None)] * 2)
