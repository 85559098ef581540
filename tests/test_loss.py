"""
Whatever the network loses, duplicates, delays and reorders: a handler runs at most once per call, that of a call that
is answered exactly once, and every Deferred fires exactly once.
"""

import itertools
import random
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.lossy import FATES, HANDLERS, simulate

if sys.version_info >= (3,):
    from tests.properties import LossPropertyTests  # noqa: F401, trial finds it here


class LossTests(SynchronousTestCase):
    def test_networkWithoutFaults(self):
        calls = [(0.1 * number, "now") for number in range(10)]
        self.assertEqual(simulate(calls, itertools.repeat((0.01,))), 10)

    def test_networkThatDuplicatesEverything(self):
        calls = [(0.1 * number, handler) for number, handler in enumerate(["now", "later", "late"])]
        self.assertEqual(simulate(calls, itertools.repeat((0.01, 0.02, 0.6))), 3)

    def test_networkThatLosesEverything(self):
        self.assertEqual(simulate([(0, "now")] * 3, itertools.repeat(())), 0)

    def test_eachOfTheCopiesMayBeTheOneThatArrives(self):
        for lost in range(3):
            for answersLost in range(3 - lost):
                fates = [()] * lost + [(0.01,), ()] * answersLost + [(0.01,)] * 9
                self.assertEqual(simulate([(0, "now")], iter(fates)), 1)

    def test_oneLossTooMany(self):
        self.assertEqual(simulate([(0, "now")], iter([()] * 3)), 0)
        # The requests arrive, and no answer does.
        self.assertEqual(simulate([(0, "now")], iter([(0.01,), ()] * 3)), 0)

    def test_faultsAtRandom(self):
        answered = 0
        for seed in range(200):
            chance = random.Random(seed)
            calls = [(chance.random() * 3, chance.choice(HANDLERS)) for _ in range(chance.randrange(1, 8))]
            answered += simulate(calls, iter(lambda: chance.choice(FATES), None))
            self.flushLoggedErrors(ValueError)
        self.assertGreater(answered, 300)
