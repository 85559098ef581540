"""
L{rpcudp.roundtrip.RoundTripWaits}: what it says after what it was told, and what comes of that on a network.
"""

from twisted.internet.defer import DeferredList
from twisted.trial.unittest import SynchronousTestCase

from rpcudp.protocol import RPCProtocol
from rpcudp.roundtrip import FORGET_AFTER, RoundTripWaits
from rpcudp.statistics import statistics
from tests.simulated import INFINITE, NAN, WRONG_SECONDS, NetworkTestCase, Node

PEER = ("192.0.2.1", 1234)
OTHER = ("192.0.2.2", 1234)


class WaitsTestCase(SynchronousTestCase):
    def setUp(self):
        self.waits = RoundTripWaits()

    def assertWaits(self, *schedule, **options):
        waits = self.waits.waits(options.get("peer", PEER))
        self.assertIsInstance(waits, tuple)
        self.assertEqual([round(wait, 9) for wait in waits], [round(wait, 9) for wait in schedule])


class EstimateTests(WaitsTestCase):
    """
    RFC 6298.
    """

    def test_nobodyHasAnswered(self):
        self.assertWaits(1, 2, 4)
        self.waits = RoundTripWaits(attempts=4, first=0.5)
        self.assertWaits(0.5, 1, 2, 4)
        self.assertIsNone(self.waits.expected(PEER))

    def test_firstSample(self):
        # Section 2.2: SRTT is R, and RTTVAR half of it.
        self.waits.answered(PEER, 0.2)
        self.assertWaits(0.6, 1.2, 2.4)
        self.assertEqual(self.waits.expected(PEER), 0.2)

    def test_furtherSamples(self):
        # Section 2.3: RTTVAR comes first, with the SRTT of before.
        srtt, rttvar = 0.2, 0.1
        self.waits.answered(PEER, 0.2)
        for sample in (0.3, 0.1, 0.15, 0.9, 0.2):
            self.waits.answered(PEER, sample)
            rttvar = 0.75 * rttvar + 0.25 * abs(srtt - sample)
            srtt = 0.875 * srtt + 0.125 * sample
            wait = srtt + 4 * rttvar
            self.assertWaits(wait, 2 * wait, 4 * wait)
            self.assertAlmostEqual(self.waits.expected(PEER), srtt)

    def test_notUnderTheShortest(self):
        self.waits.answered(PEER, 0.001)
        self.assertWaits(0.1, 0.2, 0.4)
        self.waits.answered(PEER, 0)
        self.assertWaits(0.1, 0.2, 0.4)

    def test_firstWaitIsNotOverTheLongest(self):
        self.waits.answered(PEER, 7)
        self.assertWaits(8, 16, 32)
        self.waits.resent(PEER)
        self.assertWaits(8, 16, 32)

    def test_longerSampleThanTheLongestWaitCountsAsThat(self):
        # There would have been a copy before: the clock was set forward, or the program was busy.
        self.waits.answered(PEER, 3600)
        self.assertEqual(self.waits.expected(PEER), 8)

    def test_roundTripsThatAreAllAlikeLeaveAMargin(self):
        for _ in range(1000):
            self.waits.answered(PEER, 0.5)
        self.assertWaits(0.51, 1.02, 2.04)

    def test_peerThatHasNotAnsweredStartsFromTheEstimateOverAll(self):
        self.waits.answered(PEER, 0.2)
        self.assertWaits(0.6, 1.2, 2.4, peer=OTHER)
        self.waits.answered(("192.0.2.3", 1), 0.2)
        self.assertWaits(0.5, 1, 2, peer=OTHER)
        self.assertWaits(0.6, 1.2, 2.4)
        self.assertIsNone(self.waits.expected(OTHER))

    def test_onePeerHasOneVoteInThat(self):
        self.waits.answered(PEER, 0.2)
        for _ in range(20):
            self.waits.answered(PEER, 7)
            for _ in range(FORGET_AFTER):
                self.waits.unanswered(PEER)
        self.assertWaits(0.6, 1.2, 2.4, peer=OTHER)

    def test_portsOfOneHostArePeersEach(self):
        self.waits.answered(PEER, 0.2)
        self.waits.answered((PEER[0], 1), 0.4)
        self.assertEqual(self.waits.expected(PEER), 0.2)

    def test_addressMayBeAList(self):
        self.waits.answered(list(PEER), 0.2)
        self.assertEqual(self.waits.expected(list(PEER)), 0.2)
        self.assertWaits(0.6, 1.2, 2.4, peer=list(PEER))


class BackOffTests(WaitsTestCase):
    """
    There is no sample of what was sent again, and the next calls wait for longer until there is one.
    """

    def setUp(self):
        WaitsTestCase.setUp(self)
        self.waits.answered(PEER, 0.2)

    def test_eachCallAnsweredAfterACopyDoubles(self):
        for wait in (1.2, 2.4, 4.8, 8, 8):
            self.waits.ended(PEER, self.waits.waits(PEER)[0], 2, 3)
            self.assertWaits(wait, 2 * wait, 4 * wait)
        self.waits.answered(PEER, 0.2)

    def test_withoutKnowingWhatCallEnded(self):
        # As somebody tells it who knows these three methods alone: a copy, and what came of it.
        for wait in (1.2, 2.4):
            self.waits.resent(PEER)
            self.assertWaits(wait, 2 * wait, 4 * wait)
        for _ in range(5):
            self.waits.unanswered(PEER)
            self.assertWaits(1.2, 2.4, 4.8)
            self.waits.resent(PEER)
            self.waits.resent(PEER)
        self.waits.answered(PEER, 0.2)
        self.assertWaits(0.5, 1, 2)
        self.waits.resent(OTHER)
        self.assertIsNone(self.waits.expected(OTHER))
        self.assertEqual((len(self.waits._heard), len(self.waits._unheard)), (1, 1))

    def test_thatOfAPeerAlone(self):
        self.waits.resent(PEER)
        self.assertWaits(0.6, 1.2, 2.4, peer=OTHER)

    def test_callsMadeAtOneTimeDoubleOnce(self):
        for _ in range(10):
            self.waits.ended(PEER, 0.6, 2, 3)
        self.assertWaits(1.2, 2.4, 4.8)
        self.waits.ended(PEER, 1.2, 2, 3)
        # Those that were made before are no news.
        for _ in range(10):
            self.waits.ended(PEER, 0.6, 3, 3)
        self.assertWaits(2.4, 4.8, 9.6)

    def test_callsThatWereNotAnsweredDoubleOnceAndNoMore(self):
        for _ in range(FORGET_AFTER - 1):
            self.waits.unanswered(PEER)
            self.assertWaits(1.2, 2.4, 4.8)
        self.waits.unanswered(OTHER)
        self.waits.unanswered(OTHER)
        self.assertWaits(1.2, 2.4, 4.8, peer=OTHER)

    def test_trialsMadeAtOneTimeAreOne(self):
        self.waits = RoundTripWaits(shortest=0.01)
        for number in range(20):
            self.waits.answered((PEER[0], number), 0.05)
        for _ in range(FORGET_AFTER):
            self.waits.unanswered(PEER)
        self.assertWaits(1, 2, 4)
        for _ in range(FORGET_AFTER):
            self.waits.ended(PEER, 1, 3, None)
        self.assertLess(self.waits.waits(PEER)[0], 0.5)

    def test_ofLongerWaitsHalfIsLeft(self):
        for _ in range(4):
            self.waits.resent(PEER)
        for wait in (8, 4, 2, 1.2, 1.2):
            self.assertWaits(wait, 2 * wait, 4 * wait)
            self.waits.ended(PEER, wait, 3, None)

    def test_callsWithShorterWaitsSayNothingOfThoseOfThePresent(self):
        for _ in range(3):
            self.waits.resent(PEER)
        for _ in range(10 * FORGET_AFTER):
            self.waits.ended(PEER, 2.4, 3, None)
        self.assertWaits(4.8, 9.6, 19.2)
        self.assertEqual(self.waits.expected(PEER), 0.2)

    def test_sampleEndsBoth(self):
        self.waits.unanswered(PEER)
        self.waits.ended(PEER, 1.2, 2, 3)
        self.assertWaits(2.4, 4.8, 9.6)
        self.waits.answered(PEER, 0.2)
        self.assertWaits(0.5, 1, 2)

    def test_callsMadeAtOneTimeHaveItForgottenForTheNext(self):
        for count in (FORGET_AFTER, FORGET_AFTER + 1, 100):
            self.waits = RoundTripWaits()
            self.waits.answered(PEER, 0.2)
            for _ in range(count):
                self.waits.ended(PEER, 0.6, 3, None)
            # Only the first of them was no news.
            self.assertWaits(1.2, 2.4, 4.8)
            for _ in range(count):
                self.waits.ended(PEER, 1.2, 3, None)
            self.assertEqual(self.waits.expected(PEER), None)
            self.assertLess(self.waits.waits(PEER)[0], 1.3)

    def test_estimateIsForgottenAfterSoManyCalls(self):
        # RFC 6298, end of section 5: it is likely to be wrong altogether.
        for _ in range(FORGET_AFTER):
            self.waits.unanswered(PEER)
        self.assertWaits(1, 2, 4)
        self.assertIsNone(self.waits.expected(PEER))
        # It was as dead as before, and costs no more than one that never answered.
        self.waits.unanswered(PEER)
        self.assertWaits(1.2, 2.4, 4.8)
        for _ in range(FORGET_AFTER - 2):
            self.waits.unanswered(PEER)
            self.assertWaits(1.2, 2.4, 4.8)
        self.waits.unanswered(PEER)
        self.assertWaits(1, 2, 4)
        # Or it was far.
        self.waits.ended(PEER, 1, 2, 1.5)
        self.assertWaits(2, 4, 8)
        self.waits.answered(PEER, 1.5)
        self.assertWaits(4.5, 9, 18)

    def test_onlyCallsInARowCount(self):
        for heard in (lambda peer: self.waits.ended(peer, 1.2, 2, 3), lambda peer: self.waits.answered(peer, 0.2)):
            for _ in range(FORGET_AFTER - 1):
                self.waits.unanswered(PEER)
            self.assertIsNotNone(self.waits.expected(PEER))
            heard(PEER)

    def test_noEndOfCopiesOverflows(self):
        for _ in range(5000):
            self.waits.resent(PEER)
        self.assertWaits(8, 16, 32)


class TableTests(SynchronousTestCase):
    """
    What is remembered has an end, and strangers have no part in it.
    """

    def peers(self, waits):
        return len(waits._heard) + len(waits._unheard)

    def test_noMorePeersThanThat(self):
        waits = RoundTripWaits(peers=10)
        for number in range(100):
            getattr(waits, ["unanswered", "resent"][number % 2])(("192.0.2.1", number))
            waits.answered(("192.0.2.2", number), 0.1)
            self.assertLessEqual(self.peers(waits), 10)
        self.assertEqual(self.peers(waits), 10)

    def test_askingRemembersNothing(self):
        waits = RoundTripWaits()
        for number in range(100):
            waits.waits(("192.0.2.1", number))
            waits.expected(("192.0.2.1", number))
        self.assertEqual(self.peers(waits), 0)

    def test_leastRecentlyHeardIsForgotten(self):
        waits = RoundTripWaits(peers=3)
        for number in (1, 2, 3, 1):
            waits.answered((PEER[0], number), number)
        waits.answered((PEER[0], 4), 4)
        self.assertEqual([waits.expected((PEER[0], number)) for number in (1, 2, 3, 4)], [1, None, 3, 4])

    def test_newcomersHaveATenthOfThePlaces(self):
        waits = RoundTripWaits(peers=20)
        for number in range(100):
            waits.answered((PEER[0], number), 0.5)
        for number in range(100):
            waits.unanswered((OTHER[0], number))
        self.assertEqual((len(waits._heard), len(waits._unheard)), (18, 2))
        for _ in range(FORGET_AFTER - 1):
            waits.unanswered((OTHER[0], 99))
        self.assertEqual(waits.waits((OTHER[0], 99)), (1, 2, 4))

    def test_forgedAddressesPushNobodyOut(self):
        waits = RoundTripWaits(peers=3)
        for number in (1, 2, 3):
            waits.answered((PEER[0], number), 0.5)
        before = waits.waits((PEER[0], 1)), waits.waits(OTHER)
        for number in range(1000):
            address = ("198.51.100.1", number + 1)
            waits.waits(address)
            waits.unanswered(address)
        self.assertEqual((waits.waits((PEER[0], 1)), waits.waits(OTHER)), before)
        self.assertEqual([waits.expected((PEER[0], number)) for number in (1, 2, 3)], [0.5] * 3)

    def test_peersThatAnsweredPushOutThoseThatNeverDid(self):
        waits = RoundTripWaits(peers=3)
        waits.answered(PEER, 0.5)
        for number in range(5):
            waits.unanswered(("198.51.100.1", number + 1))
        waits.answered(OTHER, 0.5)
        waits.answered((OTHER[0], 2), 0.5)
        self.assertEqual((len(waits._heard), len(waits._unheard)), (3, 0))


class ArgumentTests(SynchronousTestCase):
    def test_wrongOnes(self):
        for name in ("first", "shortest", "longest"):
            for wrong, error in WRONG_SECONDS + [(0, ValueError), (1e300, ValueError)]:
                self.assertIn(name, str(self.assertRaises(error, RoundTripWaits, **{name: wrong})))
        for name in ("attempts", "peers"):
            for wrong, error in [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("1", TypeError)]:
                self.assertIn(name, str(self.assertRaises(error, RoundTripWaits, **{name: wrong})))
        self.assertIn("100", str(self.assertRaises(ValueError, RoundTripWaits, attempts=101)))

    def test_firstIsBetweenShortestAndLongest(self):
        for wrong in ({"first": 0.05}, {"first": 9}, {"shortest": 2}, {"longest": 0.5}, {"shortest": 3, "longest": 2}):
            self.assertIn("between", str(self.assertRaises(ValueError, RoundTripWaits, **wrong)))
        RoundTripWaits(first=1, shortest=1, longest=1)

    def test_extremesAreSchedules(self):
        for options in ({"attempts": 100, "longest": 1000000}, {"attempts": 1}, {"shortest": 1e-300, "first": 1e-300}):
            waits = RoundTripWaits(**options)
            for _ in range(100):
                waits.resent(PEER)
            protocol = RPCProtocol(waitTimeout=waits)
            schedule = waits.waits(PEER)
            protocol._waitTimeout = schedule
            self.assertEqual(len(schedule), options.get("attempts", 3))
            self.assertTrue(all(0 < wait < INFINITE for wait in schedule))

    def test_wrongSamplesChangeNothing(self):
        waits = RoundTripWaits()
        for wrong in (-0.1, NAN, INFINITE, -INFINITE):
            self.assertRaises(ValueError, waits.answered, PEER, wrong)
        self.assertEqual((waits.waits(PEER), waits.expected(PEER)), ((1, 2, 4), None))

    def test_textSaysWhatItKnows(self):
        waits = RoundTripWaits(peers=5)
        self.assertEqual(repr(waits), "<RoundTripWaits: 0 of 5 peers heard, SRTT None seconds over all>")
        waits.answered(PEER, 0.25)
        self.assertEqual(repr(waits), "<RoundTripWaits: 1 of 5 peers heard, SRTT 0.25 seconds over all>")


class SimulatedTests(NetworkTestCase):
    """
    A caller with such waits, and peers whose latency is C{self.latency}, in seconds one way by address.
    """

    def setUp(self):
        NetworkTestCase.setUp(self)
        self.latency = {}
        self.waits = RoundTripWaits()
        self.caller = self.listenAt("10.1.0.1", RPCProtocol(waitTimeout=self.waits))
        self.peers = []

    def build(self, **options):
        NetworkTestCase.build(self, latency=self.latencyOf, **options)

    def latencyOf(self, source, destination):
        return self.latency.get(destination, self.latency.get(source, 0.05))

    def listenAt(self, address, protocol):
        self.network.host(address).listenUDP(1234, protocol)
        return protocol

    def peer(self, address="10.1.0.2", latency=0.05):
        self.latency[address] = latency
        self.listenAt(address, Node())
        return (address, 1234)

    def call(self, address, times=1):
        """
        @return: how many calls were answered, and how long all of them took.
        """
        began = self.network.seconds()
        answered = sum(self.network.run(self.caller.echo(address))[0] for _ in range(times))
        return answered, self.network.seconds() - began

    def test_noJitterNoCopies(self):
        address = self.peer()
        self.assertEqual(self.call(address, 200)[0], 200)
        self.assertEqual(statistics(self.caller).resent, 0)
        self.assertAlmostEqual(self.waits.expected(address), 0.1)

    def test_jitterUpToTheLatencyHasAFewCallsResent(self):
        for seed in range(3):
            self.waits = RoundTripWaits()
            self.build(seed=seed, jitter=0.05)
            self.caller = self.listenAt("10.1.0.1", RPCProtocol(waitTimeout=self.waits))
            addresses = [self.peer("10.1.0.{}".format(number)) for number in range(2, 7)]
            for _ in range(200):
                self.network.run(DeferredList([self.caller.echo(address) for address in addresses]))
            figures = statistics(self.caller)
            self.assertEqual(figures.answered, 1000)
            self.assertLessEqual(figures.resent, 30)

    def test_latencyThatRisesTenfoldIsFollowedWithinTenCalls(self):
        address = self.peer()
        self.call(address, 50)
        self.latency[address[0]] = 0.5
        sent = self.network.counts.sent
        for calls in range(1, 11):
            self.call(address)
            self.assertLessEqual(statistics(self.caller).resent, 2 * calls)
        self.assertGreaterEqual(self.waits.waits(address)[0], 1)
        resent = statistics(self.caller).resent
        self.assertEqual(self.call(address, 50)[0], 50)
        self.assertEqual(statistics(self.caller).resent, resent)
        self.assertGreater(self.network.counts.sent, sent)

    def test_peerThatIsFarAwayNowIsFoundAgainHoweverFar(self):
        # Also where it is the only one, and where no wait that it had before would do.
        for latency in (0.2, 0.5, 1, 2, 3):
            address = self.peer("10.1.1.{}".format(int(10 * latency)))
            self.call(address, 50)
            self.latency[address[0]] = latency
            self.call(address, 2 * FORGET_AFTER)
            self.assertEqual(self.call(address, 50)[0], 50)
            self.assertAlmostEqual(self.waits.expected(address), 2 * latency, places=2)

    def test_itIsFoundAgainWhileCallsOverlap(self):
        for latency, period in [(1.25, 0.1), (1.5, 0.3), (2, 1), (2.5, 0.5), (2.5, 1)]:
            address = self.peer("10.1.3.{}".format(int(100 * latency * period)), latency=0.025)
            self.call(address, 20)
            self.latency[address[0]] = latency
            answered = []
            for _ in range(200):
                self.caller.echo(address).addCallback(lambda outcome: answered.append(outcome[0]))
                self.network.advance(period)
            self.network.advance(60)
            self.assertEqual((len(answered), all(answered[-100:])), (200, True))
            self.assertAlmostEqual(self.waits.expected(address), 2 * latency, places=1)

    def test_itIsFoundAgainWhereTheWaitsBeforeWereNotMuchShorter(self):
        for number, (near, far) in enumerate([(0.12, 6.0), (0.14, 6.9), (0.16, 6.5)]):
            address = self.peer("10.1.4.{}".format(number), latency=near / 2)
            self.call(address)
            self.latency[address[0]] = far / 2
            answered = []
            for _ in range(200):
                for _ in range(2):
                    self.caller.echo(address).addCallback(lambda outcome: answered.append(outcome[0]))
                self.network.advance(1)
            self.network.advance(60)
            self.assertTrue(all(answered[-200:]))

    def test_peerThatWasFarAwayAlwaysIsFoundAmongNearOnes(self):
        near, far = self.peer(latency=0.001), self.peer("10.1.0.3", latency=2)
        self.call(near, 50)
        self.call(far, 2 * FORGET_AFTER)
        self.assertEqual(self.call(far, 20)[0], 20)
        self.assertAlmostEqual(self.waits.expected(far), 4)

    def test_soIsItWhereManyCallsAreMadeAtOneTime(self):
        for count in (3, 7, 9):
            address = self.peer("10.1.2.{}".format(count))
            self.call(address, 50)
            self.latency[address[0]] = 3
            calls = 0
            while not self.network.run(DeferredList([self.caller.echo(address) for _ in range(count)]))[0][1][0]:
                calls += count
            self.assertLess(calls, FORGET_AFTER + 2 * count)

    def test_hiccupIsNotHeldAgainstAPeerForLong(self):
        address = self.peer(latency=0.01)
        self.call(address)
        self.latency[address[0]] = 0.06
        self.network.run(DeferredList([self.caller.echo(address) for _ in range(10)]))
        self.assertLess(self.waits.waits(address)[0], 0.5)
        self.network.host(address[0]).crash()
        self.assertLess(self.call(address, 5)[1], 10)

    def test_deadOneStaysCheap(self):
        dead = ("10.1.0.99", 1234)
        for number in range(2, 12):
            address = self.peer("10.1.0.{}".format(number))
            self.call(address, 10)
        _, lost = self.call(dead, 100)
        # A single wait of 5 seconds is 500, and waits that double each time 2,400.
        self.assertLess(lost, 250)
        # One that was alive, and many calls at once.
        self.network.host(address[0]).crash()
        began = self.network.seconds()
        self.network.run(DeferredList([self.caller.echo(address) for _ in range(100)]))
        for _ in range(3):
            self.network.run(DeferredList([self.caller.echo(address) for _ in range(100)]))
        self.assertLess(self.network.seconds() - began, 4 * 7.1)
        self.assertLessEqual(max(self.waits.waits(address)), 4)

    def test_deadOneStaysCheapWhileCallsOverlap(self):
        address = self.peer()
        self.call(address, 50)
        self.network.host(address[0]).crash()
        longest = 0
        for _ in range(300):
            self.caller.echo(address)
            longest = max(longest, sum(self.waits.waits(address)))
            self.network.advance(0.05)
        self.assertLessEqual(longest, 7)

    def test_halfIsLostAndThereAreNoMoreCopiesThanAttempts(self):
        self.build(loss=0.5)
        self.caller = self.listenAt("10.1.0.1", RPCProtocol(waitTimeout=self.waits))
        address = self.peer()
        for calls in range(1, 201):
            self.call(address)
            figures = statistics(self.caller)
            self.assertLessEqual(figures.resent, 2 * calls)
        self.assertEqual(figures.datagramsSent, figures.called + figures.resent)
        # Three copies there, each answered: 1 - (3/4)^3.
        self.assertGreater(figures.answered, 80)
        self.assertLess(sum(self.waits.waits(address)), 60)

    def test_oneServesSeveralProtocols(self):
        other = self.listenAt("10.1.0.8", RPCProtocol(waitTimeout=self.waits))
        address = self.peer()
        self.call(address)
        self.assertAlmostEqual(self.waits.waits(address)[0], 0.1 + 4 * 0.05)
        self.network.run(other.echo(address))
        self.assertAlmostEqual(self.waits.waits(address)[0], 0.1 + 4 * 0.0375)

    def test_lossAloneDoesNotMakeAPeerFar(self):
        self.build(loss=0.2)
        self.caller = self.listenAt("10.1.0.1", RPCProtocol(waitTimeout=self.waits))
        address = self.peer()
        self.call(address, 100)
        self.assertAlmostEqual(self.waits.expected(address), 0.1)
