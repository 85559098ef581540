"""
What becomes of datagrams on a simulated network, and how it is told.
"""

import errno
import socket
import struct

from twisted.internet import defer
from twisted.internet.error import InvalidAddressError

from rpcudp.testing import Counts, Datagram, Fate, SimulatedNetwork, Traced
from tests.simulated import NAN, WRONG_SECONDS, NetworkTestCase, Node


class FaultTests(NetworkTestCase):
    """
    Latency, jitter, loss and duplication.
    """

    def sendMany(self, count=1000):
        for _ in range(count):
            self.send(0, 1)
        self.network.advance(10)
        return self.listeners[1].times()

    def test_defaults(self):
        self.assertEqual(self.sendMany(), [0.05] * 1000)
        self.assertEqual(self.counts(), {"sent": 1000, "delivered": 1000})

    def test_latency(self):
        self.build(latency=2)
        self.assertEqual(self.sendMany(), [2.0] * 1000)

    def test_noLatency(self):
        self.build(latency=0)
        self.send(0, 1)
        self.assertSilent(1)
        self.network.advance(0)
        self.assertEqual(self.listeners[1].times(), [0.0])

    def test_toItselfItTakesAsLong(self):
        self.send(0, 0)
        self.network.advance(1)
        self.assertEqual(self.listeners[0].times(), [0.05])

    def test_jitter(self):
        self.build(latency=1, jitter=2)
        times = self.sendMany()
        self.assertTrue(1 <= min(times) < 1.1 and 2.9 < max(times) <= 3, times)
        self.assertEqual(times, sorted(times))

    def test_jitterHasDatagramsOvertake(self):
        self.build(jitter=1)
        for number in range(100):
            self.send(0, 1, str(number).encode("ascii"))
        self.network.advance(10)
        numbers = [int(datagram) for datagram in self.listeners[1].data()]
        self.assertNotEqual(numbers, list(range(100)))
        self.assertEqual(sorted(numbers), list(range(100)))

    def test_loss(self):
        self.build(loss=0.3)
        arrived = len(self.sendMany())
        self.assertTrue(600 < arrived < 800, arrived)
        self.assertEqual(self.counts(), {"sent": 1000, "delivered": arrived, "lost": 1000 - arrived})

    def test_lossOfAll(self):
        self.build(loss=1, duplication=1)
        self.assertEqual(self.sendMany(), [])
        self.assertEqual(self.counts(), {"sent": 1000, "lost": 1000})

    def test_duplication(self):
        self.build(duplication=0.3)
        arrived = len(self.sendMany())
        self.assertTrue(1200 < arrived < 1400, arrived)
        self.assertEqual(self.counts(), {"sent": 1000, "delivered": arrived, "duplicated": arrived - 1000})

    def test_duplicationOfAll(self):
        self.build(duplication=1)
        self.assertEqual(len(self.sendMany()), 2000)

    def test_eachCopyHasItsOwnJitter(self):
        self.build(jitter=1, duplication=1)
        self.send(0, 1)
        self.network.advance(10)
        self.assertEqual(len(set(self.listeners[1].times())), 2)

    def test_functionsOfTwoAddresses(self):
        asked = []

        def latency(source, destination):
            asked.append((source, destination))
            return 1 if destination == "10.0.0.2" else 2

        self.build(latency=latency)
        self.send(0, 1)
        self.send(1, 2)
        self.network.advance(10)
        self.assertEqual(asked, [("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.3")])
        self.assertEqual([listener.times() for listener in self.listeners], [[], [1.0], [2.0]])

    def test_functionsForEach(self):
        def ofLast(figure):
            return lambda source, destination: figure if destination == "10.0.0.3" else 0

        self.build(latency=ofLast(1), jitter=ofLast(1), duplication=ofLast(1))
        self.send(0, 1)
        self.send(0, 2)
        self.network.advance(10)
        self.assertEqual(self.listeners[1].times(), [0.0])
        self.assertEqual(len(self.listeners[2].received), 2)
        self.assertTrue(all(1 < time < 2 for time in self.listeners[2].times()))
        self.build(loss=ofLast(1))
        self.send(0, 1)
        self.send(0, 2)
        self.network.advance(10)
        self.assertEqual(self.fates(), [["delivered"], ["lost"]])

    def test_functionsGetAddressesAsTheyAreSpelt(self):
        asked = []
        network = SimulatedNetwork(loss=lambda *addresses: asked.append(addresses) or 0)
        sender = self.listen(network.host("fd00::1"))
        receiver = self.listen(network.host("fd00::2"))
        sender.transport.write(b"data", ("FD00:0:0::2", 9))
        network.advance(1)
        self.assertEqual(asked, [("fd00::1", "fd00::2")])
        self.assertEqual(receiver.received, [(0.05, b"data", ("fd00::1", 9))])

    def test_wrongParameters(self):
        probabilities = [(-0.1, ValueError), (1.1, ValueError), (NAN, ValueError), ("1", TypeError), (None, TypeError)]
        for name in ("latency", "jitter"):
            for wrong, error in WRONG_SECONDS:
                self.assertIn(name, str(self.assertRaises(error, SimulatedNetwork, **{name: wrong})))
        for name in ("loss", "duplication"):
            for wrong, error in probabilities:
                self.assertIn(name, str(self.assertRaises(error, SimulatedNetwork, **{name: wrong})))

    def test_functionsThatReturnWhatIsWrong(self):
        for name in ("latency", "jitter", "loss", "duplication"):
            for wrong, error in ((-1, ValueError), (NAN, ValueError), (None, TypeError)):
                figures = [wrong]
                self.build(**{name: lambda *addresses: figures[0]})
                # In the face of the one who writes, outside of advance and run.
                self.assertIn(name, str(self.assertRaises(error, self.send, 0, 1)))
                # And out of these within them.
                self.hosts[0].callLater(1, self.send, 0, 1)
                self.assertRaises(error, self.network.advance, 10)
                self.assertEqual(self.network.seconds(), 1)
                figures[0] = 0
                self.send(0, 1)
                self.network.advance(10)
                self.assertEqual(len(self.listeners[1].received), 1)


class PartitionTests(NetworkTestCase):
    addresses = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "fd00::1", "fd00::2")

    def heard(self):
        """
        @return: the pairs of hosts of which the second hears the first.
        """
        pairs = set()
        for source in range(len(self.hosts)):
            for destination in range(len(self.hosts)):
                if self.hosts[source].addressFamily == self.hosts[destination].addressFamily:
                    self.send(source, destination, str(source).encode("ascii"))
        self.network.advance(1)
        for destination, listener in enumerate(self.listeners):
            pairs.update((int(data), destination) for data in listener.data())
            del listener.received[:]
        return pairs

    def assertHeard(self, *groups):
        expected = {(one, other) for group in groups for one in group for other in group}
        self.assertEqual(self.heard(), expected)

    def test_oneGroup(self):
        with self.network.partition(["10.0.0.1", "10.0.0.2"]):
            self.assertHeard([0, 1], [2, 3], [4, 5])
        self.assertHeard([0, 1, 2, 3], [4, 5])

    def test_severalGroups(self):
        with self.network.partition(["10.0.0.1"], ["10.0.0.2", "fd00::2"]):
            self.assertHeard([0], [1], [2, 3], [4], [5])
        self.assertHeard([0, 1, 2, 3], [4, 5])

    def test_allInOneGroup(self):
        with self.network.partition(self.addresses):
            self.assertHeard([0, 1, 2, 3], [4, 5])

    def test_groupOfNobody(self):
        with self.network.partition([], ["10.0.0.1"]):
            self.assertHeard([0], [1, 2, 3], [4, 5])

    def test_hostsThemselves(self):
        with self.network.partition(self.hosts[:2], (host for host in [self.hosts[2], "10.0.0.4"])):
            self.assertHeard([0, 1], [2, 3], [4, 5])

    def test_otherSpelling(self):
        with self.network.partition([u"FD00:0::1"]):
            self.assertHeard([0, 1, 2, 3], [4], [5])

    def test_oneAddressTwiceInAGroup(self):
        with self.network.partition(["10.0.0.1", self.hosts[0]]):
            self.assertHeard([0], [1, 2, 3], [4, 5])

    def test_hostsThatComeLaterAreInNone(self):
        with self.network.partition(["10.0.0.1"]):
            late = self.listen(self.network.host("10.0.0.9"))
            for listener in self.listeners[:2]:
                listener.transport.write(b"data", ("10.0.0.9", 9))
            self.network.advance(1)
        self.assertEqual([source for _, _, source in late.received], [("10.0.0.2", 9)])

    def test_onlyWithinTheStatement(self):
        partition = self.network.partition(["10.0.0.1"])
        self.assertHeard([0, 1, 2, 3], [4, 5])
        for _ in range(2):
            with partition:
                self.assertHeard([0], [1, 2, 3], [4, 5])
            self.assertHeard([0, 1, 2, 3], [4, 5])

    def test_exceptionEndsIt(self):
        def fail():
            with self.network.partition(["10.0.0.1"]):
                raise ValueError("on purpose")

        self.assertRaises(ValueError, fail)
        self.assertHeard([0, 1, 2, 3], [4, 5])

    def test_nested(self):
        with self.network.partition(["10.0.0.1", "10.0.0.2"]):
            with self.network.partition(["10.0.0.2", "10.0.0.3"]):
                self.assertHeard([0], [1], [2], [3], [4, 5])
            self.assertHeard([0, 1], [2, 3], [4, 5])

    def test_nestedInNoOrder(self):
        one, other = self.network.partition(["10.0.0.1"]), self.network.partition(["10.0.0.2"])
        one.__enter__()
        other.__enter__()
        one.__exit__(None, None, None)
        self.assertHeard([0, 2, 3], [1], [4, 5])
        other.__exit__(None, None, None)
        self.assertHeard([0, 1, 2, 3], [4, 5])

    def test_nestedInItself(self):
        partition = self.network.partition(["10.0.0.1"])
        with partition:
            with partition:
                self.assertHeard([0], [1, 2, 3], [4, 5])
            self.assertHeard([0], [1, 2, 3], [4, 5])
        self.assertHeard([0, 1, 2, 3], [4, 5])

    def test_inFlightWhenItBegins(self):
        self.send(0, 1)
        self.send(2, 1)
        with self.network.partition(["10.0.0.1"]):
            self.network.advance(1)
        self.assertEqual(self.fates()[-2:], [["partitioned"], ["delivered"]])
        self.assertEqual(self.network.trace[-2].fates, [Fate(0.05, "partitioned")])
        self.assertEqual(self.counts(), {"sent": 2, "partitioned": 1, "delivered": 1})

    def test_inFlightAllTheWhile(self):
        self.send(0, 1)
        with self.network.partition(["10.0.0.1"]):
            self.network.advance(0.025)
        self.network.advance(1)
        self.assertEqual(self.fates(), [["delivered"]])

    def test_whatIsSentMeanwhileIsGone(self):
        with self.network.partition(["10.0.0.1"]):
            self.send(0, 1)
        self.network.advance(1)
        self.assertSilent(1)
        self.assertEqual(self.network.trace[-1].fates, [Fate(0, "partitioned")])
        self.assertEqual(self.counts(), {"sent": 1, "partitioned": 1})

    def test_callsEndInTime(self):
        one, other = Node(), Node()
        self.listen(self.hosts[0], one, 10)
        self.listen(self.hosts[1], other, 10)
        with self.network.partition(["10.0.0.1"]):
            self.assertEqual(self.network.run(one.echo(("10.0.0.2", 10))), (False, None))
        self.assertEqual(self.network.run(one.echo(("10.0.0.2", 10))), (True, []))

    def test_wrongGroups(self):
        for groups, error in (
            ([], ValueError),
            ([["10.0.0.1"], ["10.0.0.9"]], ValueError),
            ([["10.0.0.1", "10.0.0.2"], ["10.0.0.1"]], ValueError),
            ([["fd00::1"], [self.hosts[4]]], ValueError),
            ([["fd00::1"], ["FD00::1"]], ValueError),
            ([["localhost"]], InvalidAddressError),
            ([["10.0.0.1"], [None]], InvalidAddressError),
            (["10.0.0.1"], TypeError),
            ([b"10.0.0.1"], TypeError),
            ([u"10.0.0.1"], TypeError),
        ):
            self.assertRaises(error, self.network.partition, *groups)
        self.assertHeard([0, 1, 2, 3], [4, 5])
        # Nor is there a host more.
        self.assertIn("6 hosts", repr(self.network))

    def test_textsNameTheAddress(self):
        error = self.assertRaises(ValueError, self.network.partition, ["10.0.0.9"])
        self.assertIn("10.0.0.9", str(error))
        error = self.assertRaises(ValueError, self.network.partition, ["10.0.0.1"], ["10.0.0.1"])
        self.assertIn("10.0.0.1", str(error))


class RuleTests(NetworkTestCase):
    def rule(self, name, delays=None):
        """
        @return: the function that takes away a rule that returns C{delays}.
        """

        def function(datagram):
            self.note(name)
            return delays

        return self.network.rule(function)

    def asked(self):
        """
        @return: the names of the rules that a datagram is given to.
        """
        del self.log[:]
        self.send(0, 1)
        return [name for _, name in self.log]

    def test_datagram(self):
        datagrams = []
        self.network.rule(datagrams.append)
        self.network.advance(2)
        self.send(0, 1)
        expected = Datagram(2.0, ("10.0.0.1", 9), ("10.0.0.2", 9), b"data")
        self.assertEqual((datagrams, type(datagrams[0])), ([expected], Datagram))
        self.assertEqual(datagrams[0]._fields, ("time", "source", "destination", "data"))

    def test_destinationAsItIsSpelt(self):
        datagrams = []
        self.network.rule(datagrams.append)
        sender = self.listen(self.network.host("fd00::1"))
        sender.transport.write(b"data", ("FD00:0::7", 9))
        self.assertEqual(datagrams[0].destination, ("fd00::7", 9))

    def test_noneLeavesItToTheNextAndToChance(self):
        self.build(loss=1)
        self.rule("rule")
        self.assertEqual(self.asked(), ["rule"])
        self.network.advance(1)
        self.assertEqual(self.counts(), {"sent": 1, "lost": 1})

    def test_theLatestIsAskedFirst(self):
        for name in ("one", "two", "three"):
            self.rule(name)
        self.assertEqual(self.asked(), ["three", "two", "one"])

    def test_whatOneDecidesIsDecided(self):
        self.rule("one")
        self.rule("two", [1])
        self.rule("three")
        self.assertEqual(self.asked(), ["three", "two"])

    def test_takingAway(self):
        remove = [self.rule(name) for name in ("one", "two", "three")]
        remove[1]()
        self.assertEqual(self.asked(), ["three", "one"])
        remove[1]()
        self.assertEqual(self.asked(), ["three", "one"])
        remove[0]()
        remove[2]()
        self.assertEqual(self.asked(), [])

    def test_oneFunctionTwice(self):
        def function(datagram):
            self.note("rule")

        remove = [self.network.rule(function) for _ in range(2)]
        self.assertEqual(self.asked(), ["rule", "rule"])
        remove[0]()
        self.assertEqual(self.asked(), ["rule"])
        remove[0]()
        self.assertEqual(self.asked(), ["rule"])

    def test_ruleThatTakesItselfAwayLeavesItToTheNext(self):
        def once(datagram):
            self.note("once")
            remove()

        self.rule("other")
        remove = self.network.rule(once)
        self.assertEqual(self.asked(), ["once", "other"])
        self.assertEqual(self.asked(), ["other"])

    def test_ruleThatAddsOneDoesSoForTheNextDatagram(self):
        def adding(datagram):
            self.note("adding")
            if len(self.log) < 5:
                self.rule("added")

        self.network.rule(adding)
        self.assertEqual(self.asked(), ["adding"])
        self.assertEqual(self.asked(), ["added", "adding"])

    def test_noCopies(self):
        self.rule("rule", ())
        self.send(0, 1)
        self.network.advance(1)
        self.assertSilent(1)
        self.assertEqual(self.counts(), {"sent": 1, "ruled": 1})
        self.assertEqual(self.network.trace[0].fates, [Fate(0, "ruled")])

    def test_severalCopies(self):
        self.rule("rule", iter([3, 1, 0, 1.5]))
        self.send(0, 1)
        self.network.advance(10)
        self.assertEqual(self.listeners[1].times(), [0, 1, 1.5, 3])
        self.assertEqual(self.counts(), {"sent": 1, "ruled": 1, "duplicated": 3, "delivered": 4})

    def test_oneCopy(self):
        self.build(loss=1, duplication=1, jitter=1)
        self.rule("rule", [0.25])
        self.send(0, 1)
        self.network.advance(10)
        self.assertEqual(self.listeners[1].times(), [0.25])
        self.assertEqual(self.counts(), {"sent": 1, "ruled": 1, "delivered": 1})

    def test_wrongResultSaysWhoseItIs(self):
        def losesAll(datagram):
            return False

        self.network.rule(losesAll)
        error = self.assertRaises(TypeError, self.send, 0, 1)
        self.assertIn("losesAll", str(error))
        self.assertIn("returned False", str(error))

    def test_notAskedAboutWhatAPartitionStops(self):
        self.rule("rule", [0])
        with self.network.partition(["10.0.0.1"]):
            self.assertEqual(self.asked(), [])
            self.network.advance(1)
        self.assertSilent(1)

    def test_raisingInTheFaceOfTheOneWhoWrites(self):
        error = KeyError("on purpose")

        def function(datagram):
            raise error

        remove = self.network.rule(function)
        self.assertIs(self.assertRaises(KeyError, self.send, 0, 1), error)
        remove()
        self.send(0, 1)
        self.network.advance(1)
        self.assertEqual(self.listeners[1].times(), [0.05])

    def test_whatATransportWouldTakeForItsOwnComesOutOfTheNextRun(self):
        error = EnvironmentError(errno.EAGAIN, "on purpose")

        def function(datagram):
            raise error

        remove = self.network.rule(function)
        for run in (lambda: self.network.advance(10), lambda: self.network.run(defer.Deferred())):
            self.send(0, 1)
            self.assertIs(self.assertRaises(EnvironmentError, run), error)
        remove()
        # Once is enough.
        self.network.advance(10)
        self.assertEqual(self.network.counts.sent, 0)

    def test_raisingInsideComesOutOfAdvanceAndRun(self):
        errors = []

        def function(datagram):
            errors.append(KeyError("on purpose"))
            raise errors[-1]

        def write():
            # A protocol that takes it for something else.
            try:
                self.send(0, 1)
                self.note("written")
            except KeyError:
                self.note("raised")

        self.network.rule(function)
        for run in (lambda: self.network.advance(10), lambda: self.network.run(defer.Deferred())):
            self.hosts[0].callLater(1, write)
            self.assertIs(self.assertRaises(KeyError, run), errors[-1])
        self.assertEqual(self.log, [(1, "written"), (2, "written")])
        self.assertEqual(self.flushLoggedErrors(), [])
        # Once is enough.
        self.network.advance(10)

    def test_raisingTwiceInOneEventTheFirstComesOut(self):
        errors = []

        def function(datagram):
            errors.append(KeyError("on purpose"))
            raise errors[-1]

        def write():
            self.send(0, 1)
            self.send(0, 1)

        self.network.rule(function)
        self.hosts[0].callLater(1, write)
        self.assertIs(self.assertRaises(KeyError, self.network.advance, 10), errors[0])

    def test_whateverIsRaisedComesOut(self):
        class Failed(BaseException):
            pass

        def function(datagram):
            raise Failed()

        self.network.rule(function)
        self.hosts[0].callLater(1, self.send, 0, 1)
        self.assertRaises(Failed, self.network.advance, 10)

    def test_assertionOfATestComesOut(self):
        # Which trial's are, and what a rule is often for.
        self.network.rule(lambda datagram: self.assertEqual(datagram.data, b"other"))
        self.hosts[0].callLater(1, self.send, 0, 1)
        self.assertRaises(self.failureException, self.network.advance, 10)

    def test_wrongDelays(self):
        for wrong, error in WRONG_SECONDS:
            remove = self.rule("rule", [1, wrong])
            self.assertRaises(error, self.send, 0, 1)
            self.hosts[0].callLater(0, self.send, 0, 1)
            self.assertRaises(error, self.network.advance, 1)
            remove()
        for wrong in (1, False, object()):
            remove = self.rule("rule", wrong)
            self.assertRaises(TypeError, self.send, 0, 1)
            remove()
        self.network.advance(10)
        self.assertSilent(1)

    def test_whatIsNoFunction(self):
        for wrong in (None, 5, [1]):
            self.assertRaises(TypeError, self.network.rule, wrong)
        self.send(0, 1)
        self.network.advance(1)
        self.assertEqual(self.counts(), {"sent": 1, "delivered": 1})

    def test_datagramsThatAreInFlightKeepTheirFate(self):
        self.send(0, 1)
        self.rule("rule", ())
        self.network.advance(1)
        self.assertEqual(self.listeners[1].times(), [0.05])


class CountTests(NetworkTestCase):
    def test_noneYet(self):
        self.assertEqual(self.network.counts, Counts(0, 0, 0, 0, 0, 0, 0, 0))

    def test_names(self):
        expected = ("sent", "delivered", "lost", "duplicated", "partitioned", "ruled", "unheard", "truncated")
        self.assertEqual(Counts._fields, expected)

    def test_sentAtOnceAndDeliveredLater(self):
        self.send(0, 1)
        self.assertEqual(self.counts(), {"sent": 1})
        self.network.advance(1)
        self.assertEqual(self.counts(), {"sent": 1, "delivered": 1})

    def test_theyAreOfTheirTime(self):
        before = self.network.counts
        self.send(0, 1)
        self.assertEqual((before.sent, self.network.counts.sent), (0, 1))
        self.assertRaises(AttributeError, setattr, self.network, "counts", before)

    def test_unheard(self):
        transport = self.listeners[0].transport
        transport.write(b"no such port", ("10.0.0.2", 10))
        transport.write(b"no such host", ("10.0.0.77", 9))
        self.listeners[1].transport.connect("10.0.0.3", 9)
        self.send(0, 1, b"not to this sender")
        self.assertEqual(self.counts(), {"sent": 3})
        self.network.advance(1)
        self.assertEqual(self.counts(), {"sent": 3, "unheard": 3})
        self.assertSilent(1)

    def test_noHostIsMadeByWritingToIt(self):
        self.listeners[0].transport.write(b"data", ("10.0.0.77", 9))
        self.network.advance(1)
        self.assertIn("3 hosts", repr(self.network))

    def test_whoeverListensByThenHearsIt(self):
        self.listeners[0].transport.write(b"data", ("10.0.0.77", 9))
        late = self.listen(self.network.host("10.0.0.77"))
        self.network.advance(1)
        self.assertEqual(late.data(), [b"data"])

    def test_truncatedAreDelivered(self):
        self.listeners[1].transport.maxPacketSize = 3
        self.send(0, 1, b"123")
        self.send(0, 1, b"1234")
        self.network.advance(1)
        self.assertEqual(self.counts(), {"sent": 2, "delivered": 2, "truncated": 1})
        self.assertEqual(self.listeners[1].data(), [b"123", b"123"])
        self.assertEqual(self.fates(), [["delivered"], ["truncated"]])

    def test_copies(self):
        self.build(duplication=1)
        self.listeners[1].transport.maxPacketSize = 3
        self.send(0, 1)
        self.listeners[0].transport.write(b"data", ("10.0.0.2", 10))
        self.network.advance(1)
        expected = {"sent": 2, "duplicated": 2, "delivered": 2, "truncated": 2, "unheard": 2}
        self.assertEqual(self.counts(), expected)

    def test_copiesThatWouldHaveArrivedAcrossAPartition(self):
        self.build(duplication=1)
        self.send(0, 1)
        with self.network.partition(["10.0.0.1"]):
            self.network.advance(1)
            self.send(0, 1)
        self.assertEqual(self.counts(), {"sent": 2, "duplicated": 1, "partitioned": 3})


class TraceTests(NetworkTestCase):
    def test_noneByDefault(self):
        network = SimulatedNetwork()
        sender = self.listen(network.host("10.0.0.1"))
        sender.transport.write(b"data", ("10.0.0.1", 9))
        network.advance(1)
        self.assertIs(network.trace, None)
        self.assertEqual(sender.data(), [b"data"])

    def test_emptyAtFirst(self):
        self.assertEqual(self.network.trace, [])

    def test_datagramsAndFates(self):
        self.send(0, 1, b"one")
        self.network.advance(0.025)
        self.send(1, 2, b"two")
        one = Datagram(0.0, ("10.0.0.1", 9), ("10.0.0.2", 9), b"one")
        two = Datagram(0.025, ("10.0.0.2", 9), ("10.0.0.3", 9), b"two")
        self.assertEqual(self.network.trace, [(one, []), (two, [])])
        self.network.advance(0.025)
        self.assertEqual(self.network.trace, [(one, [(0.05, "delivered")]), (two, [])])
        [traced, _] = self.network.trace
        self.assertEqual((type(traced), type(traced.fates[0])), (Traced, Fate))
        self.assertEqual((traced.datagram, traced.fates[0].time, traced.fates[0].what), (one, 0.05, "delivered"))

    def test_fateOfEachCopy(self):
        self.network.rule(lambda datagram: [1, 3])
        self.send(0, 1)
        self.network.advance(2)
        with self.network.partition(["10.0.0.1"]):
            self.network.advance(2)
        self.assertEqual(self.network.trace[0].fates, [(1, "delivered"), (3, "partitioned")])

    def test_everyFate(self):
        self.build(loss=lambda source, destination: destination == "10.0.0.3")
        self.send(0, 1)
        self.send(0, 2)
        self.listeners[0].transport.write(b"data", ("10.0.0.2", 10))
        with self.network.partition(["10.0.0.1"]):
            self.send(0, 1)
        remove = self.network.rule(lambda datagram: ())
        self.send(0, 1)
        remove()
        self.send(0, 1, b"x" * 8193)
        self.network.advance(1)
        expected = [["delivered"], ["lost"], ["unheard"], ["partitioned"], ["ruled"], ["truncated"]]
        self.assertEqual(self.fates(), expected)
        self.assertEqual(len(self.network.trace[-1].datagram.data), 8193)


def onesComplement(data):
    """
    @return: the sum of RFC 1071 of words of two bytes, which is 0xFFFF where the checksum in them is right.
    """
    data = bytearray(data) + bytearray(len(data) % 2)
    total = 0
    for index in range(0, len(data), 2):
        total += data[index] * 256 + data[index + 1]
        total = total % 65536 + total // 65536
    return total


class CaptureTests(NetworkTestCase):
    def capture(self):
        """
        @return: of each packet in the file when it was sent, in microseconds, its two addresses, and its data, if all
            else in it is right.
        """
        path = self.mktemp()
        self.network.capture(path)
        with open(path, "rb") as file:
            data = file.read()
        magic, major, minor, zone, accuracy, longest, link = struct.unpack("<IHHiIII", data[:24])
        self.assertEqual((magic, major, minor, zone, accuracy, link), (0xA1B2C3D4, 2, 4, 0, 0, 101))
        data = data[24:]
        packets = []
        while data:
            seconds, microseconds, included, length = struct.unpack("<IIII", data[:16])
            self.assertLess(microseconds, 1000000)
            self.assertEqual(included, length)
            self.assertLessEqual(length, longest)
            packet, data = data[16 : 16 + length], data[16 + length :]
            self.assertEqual(len(packet), length)
            packets.append((seconds * 1000000 + microseconds,) + self.parse(packet))
        return packets

    def parse(self, packet):
        version = bytearray(packet)[0] >> 4
        family, ip = {4: (socket.AF_INET, self.parseIPv4), 6: (socket.AF_INET6, self.parseIPv6)}[version]
        source, destination, udp = ip(packet)
        sourcePort, destinationPort, length, checksum = struct.unpack(">HHHH", udp[:8])
        self.assertEqual(length, len(udp))
        self.assertNotEqual(checksum, 0)
        pseudoHeader = source + destination + struct.pack(">II", length, 17)
        self.assertEqual(onesComplement(pseudoHeader + udp), 0xFFFF)
        source = socket.inet_ntop(family, source), sourcePort
        destination = socket.inet_ntop(family, destination), destinationPort
        return source, destination, udp[8:]

    def parseIPv4(self, packet):
        first, service, length, identification, fragment, hops, protocol, _ = struct.unpack(">BBHHHBBH", packet[:12])
        self.assertEqual((first, length, fragment, protocol), (0x45, len(packet), 0, 17))
        self.assertGreater(hops, 0)
        self.assertEqual(onesComplement(packet[:20]), 0xFFFF)
        return packet[12:16], packet[16:20], packet[20:]

    def parseIPv6(self, packet):
        first, length, protocol, hops = struct.unpack(">IHBB", packet[:8])
        self.assertEqual((first, length, protocol), (6 << 28, len(packet) - 40, 17))
        self.assertGreater(hops, 0)
        return packet[8:24], packet[24:40], packet[40:]

    def test_IPv4(self):
        self.send(0, 1, b"even")
        self.send(1, 2, b"odd")
        one, two, three = [(address, 9) for address in self.addresses]
        self.assertEqual(self.capture(), [(0, one, two, b"even"), (0, two, three, b"odd")])

    def test_IPv6(self):
        sender = self.listen(self.network.host("fd00::1"), number=50000)
        for data in (b"even", b"odd"):
            sender.transport.write(data, ("2001:DB8:0::7", 65535))
        one, two = ("fd00::1", 50000), ("2001:db8::7", 65535)
        self.assertEqual(self.capture(), [(0, one, two, b"even"), (0, one, two, b"odd")])

    def test_both(self):
        sender = self.listen(self.network.host("fd00::1"))
        sender.transport.write(b"six", ("fd00::2", 9))
        self.send(0, 1, b"four")
        self.assertEqual([data for _, _, _, data in self.capture()], [b"six", b"four"])

    def test_lengths(self):
        sender = self.listen(self.network.host("fd00::1"))
        for length in (0, 1, 65507):
            sender.transport.write(b"\xff" * length, ("fd00::2", 9))
            self.send(0, 1, b"\xff" * length)
        lengths = [len(data) for _, _, _, data in self.capture()]
        self.assertEqual(lengths, [0, 0, 1, 1, 65507, 65507])

    def test_checksumThatWouldBeZero(self):
        # Of two bytes there are as many as of checksums, so that one of them has it.
        for number in range(65536):
            data = struct.pack(">H", number)
            header = b"\x0a\0\0\x01\x0a\0\0\x02" + struct.pack(">HHHHHH", 17, 10, 9, 9, 10, 0)
            if onesComplement(header + data) == 0xFFFF:
                break
        self.send(0, 1, data)
        self.assertEqual(self.capture(), [(0, ("10.0.0.1", 9), ("10.0.0.2", 9), data)])

    def test_timeStamps(self):
        for seconds in (0.0000014, 1, 0.9999986, 0.9999996, 1000000):
            self.network.advance(seconds)
            self.send(0, 1)
        expected = [1, 1000001, 2000000, 3000000, 1000003000000]
        self.assertEqual([time for time, _, _, _ in self.capture()], expected)

    def test_oncePerDatagramWhateverItsFate(self):
        self.build(duplication=1, loss=lambda source, destination: destination == "10.0.0.3")
        self.send(0, 1, b"twice")
        self.send(0, 2, b"lost")
        self.network.advance(1)
        self.assertEqual([data for _, _, _, data in self.capture()], [b"twice", b"lost"])

    def test_fileIsReplaced(self):
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"x" * 1000)
        self.network.capture(path)
        with open(path, "rb") as file:
            self.assertEqual(len(file.read()), 24)

    def test_noTrace(self):
        path = self.mktemp()
        network = SimulatedNetwork()
        self.assertIn("trace=True", str(self.assertRaises(ValueError, network.capture, path)))
        error = self.assertRaises(IOError, open, path)
        self.assertEqual(error.errno, errno.ENOENT)
