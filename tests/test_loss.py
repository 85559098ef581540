"""
Whatever the network does with datagrams, and whoever crashes, closes a port, cancels a call or sets a clock: a handler
runs at most once per call, that of a call that is answered exactly once, and every Deferred fires exactly once.
L{tests.lossy.simulate} says what that means where something is forgotten.
"""

import itertools
import random
import sys
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.lossy import FATES, FAULTS, HANDLERS, SIDES, STEPS, simulate

if sys.version_info >= (3,):
    from tests.properties import LossPropertyTests  # noqa: F401, trial finds it here


class LossTests(SynchronousTestCase):
    """
    Datagrams are lost, duplicated and late.
    """

    def test_networkWithoutFaults(self):
        calls = [(0.1 * number, "now") for number in range(10)]
        self.assertEqual(simulate(calls)["answered"], 10)

    def test_networkThatDuplicatesEverything(self):
        calls = [(0.1 * number, handler) for number, handler in enumerate(["now", "later", "late"])]
        happened = simulate(calls, itertools.repeat((0.01, 0.02, 0.6)))
        self.assertEqual((happened["answered"], happened["carried out again"]), (3, 0))

    def test_networkThatLosesEverything(self):
        self.assertEqual(simulate([(0, "now")] * 3, itertools.repeat(()))["answered"], 0)

    def test_eachOfTheCopiesMayBeTheOneThatArrives(self):
        for lost in range(3):
            for answersLost in range(3 - lost):
                fates = [()] * lost + [(0.01,), ()] * answersLost
                happened = simulate([(0, "now")], fates)
                self.assertEqual((happened["answered"], happened["carried out again"]), (1, 0))

    def test_oneLossTooMany(self):
        self.assertEqual(simulate([(0, "now")], [()] * 3)["answered"], 0)
        # The requests arrive, and no answer does.
        self.assertEqual(simulate([(0, "now")], [(0.01,), ()] * 3)["answered"], 0)

    def test_copyThatTheNetworkKeepsForLongerThanTheLifetime(self):
        self.assertEqual(simulate([(0, "now")], [(0.01, 59)])["carried out again"], 0)
        self.assertEqual(simulate([(0, "now")], [(0.01, 62)])["carried out again"], 1)


class FaultTests(SynchronousTestCase):
    """
    What else may go wrong, and where exactly a request is carried out again.
    """

    # The answer to the first copy is lost, so that there is a second one, 0.5 seconds later.
    ANSWER_LOST = [(0.01,), ()]

    def assertRunsAgain(self, times, *events):
        happened = simulate([(0, "now")], self.ANSWER_LOST, events)
        self.assertEqual((happened["answered"], happened["carried out again"]), (1, times))

    def test_requestIsRememberedWhileThePortIsClosed(self):
        self.assertRunsAgain(0, (0.1, "close", "answerer", 0.2))

    def test_answererThatCrashedRemembersNothing(self):
        # So it carries the second copy out, in another life, which is not the same as doing so again.
        self.assertRunsAgain(0, (0.1, "crash", "answerer", 0.2))
        self.assertEqual(simulate([(0, "fail")], (), [(0.1, "crash", "answerer", 0.2)])["answered"], 0)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_answererWhoseClockIsSet(self):
        self.assertRunsAgain(0, (0.1, "step", "answerer", -3600))
        self.assertRunsAgain(0, (0.1, "step", "answerer", 59))
        self.assertRunsAgain(1, (0.1, "step", "answerer", 60))
        # Steps forward add up, and steps back are no use, where a request has come meanwhile.
        events = [(0.1, "step", "answerer", -3600), (0.3, "step", "answerer", 3600)]
        self.assertRunsAgain(0, *events)
        happened = simulate([(0, "now"), (0.2, "now")], self.ANSWER_LOST, events)
        self.assertEqual((happened["answered"], happened["carried out again"]), (2, 1))

    def test_callerWhoseClockIsSet(self):
        # It sends the second copy that much later.
        self.assertRunsAgain(0, (0.1, "step", "caller", -59))
        self.assertRunsAgain(1, (0.1, "step", "caller", -60))
        self.assertRunsAgain(0, (0.1, "step", "caller", 0.4))

    def test_callerThatIsClosed(self):
        happened = simulate([(0, "late"), (0.1, "late")], (), [(0.2, "close", "caller", 1)])
        self.assertEqual((happened["ended by closing"], happened["caller reopened"]), (2, 1))

    def test_callerThatCrashed(self):
        happened = simulate([(0, "late"), (1, "now")], (), [(0.2, "crash", "caller", 0.3)])
        self.assertEqual((happened["forgotten"], happened["answered"]), (1, 1))

    def test_whatIsDoneAtAnOutcome(self):
        # The clock is set back in the sweep of the deadlines, and then there is another call.
        calls = [(0, "fail", None, ("step", "caller", -60)), (0, "fail", None, ("call", "late", 2, None))]
        self.assertEqual(simulate(calls)["cancelled"], 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_faultsAtRandom(self):
        happened = Counter()
        for seed in range(200):
            happened.update(simulate(**randomProgram(random.Random(seed))))
            self.flushLoggedErrors(ValueError)
        self.assertGreater(happened["answered"], 300)
        self.assertEqual([fault for fault in FAULTS if not happened[fault]], [])


def randomProgram(chance):
    """
    @return: the arguments of L{simulate}.
    """

    def deed():
        name = chance.choice(["partition", "crash", "close", "step"])
        if name == "partition":
            return name, chance.random() * 3
        return name, chance.choice(SIDES), chance.choice(STEPS) if name == "step" else chance.random() * 3

    def call():
        cancelAfter = chance.choice([None, None, chance.random() * 3])
        then = chance.choice([None, None, ("call", chance.choice(HANDLERS)), deed()])
        return chance.random() * 3, chance.choice(HANDLERS), cancelAfter, then

    return {
        "calls": [call() for _ in range(chance.randrange(1, 8))],
        "fates": [chance.choice(FATES) for _ in range(50)],
        "events": [(chance.random() * 4,) + deed() for _ in range(chance.randrange(4))],
        "lifetime": chance.choice([60, 4]),
    }
