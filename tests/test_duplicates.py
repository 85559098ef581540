"""
The duplicate request cache: a request that arrives twice is carried out once.
"""

import errno
import socket
import sys

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rpcudp import _duplicates as duplicates
from rpcudp import wire
from rpcudp.protocol import RPCProtocol
from tests.support import HERE, MESSAGE_ID, THERE, FakeTransport, ProtocolTestCase, request


class Node(RPCProtocol):
    def __init__(self, **options):
        RPCProtocol.__init__(self, **options)
        self.ran = []
        self.deferreds = []

    def rpc_count(self, sender, *arguments):
        self.ran.append(arguments)
        return len(self.ran)

    def rpc_later(self, sender):
        self.ran.append(())
        self.deferreds.append(Deferred())
        return self.deferreds[-1]

    def rpc_fail(self, sender):
        self.ran.append(())
        raise ValueError("on purpose")

    def rpc_unsendable(self, sender):
        self.ran.append(())
        return object()


class DuplicateTestCase(ProtocolTestCase):
    protocolClass = Node

    def listen(self, **options):
        self.protocol = Node(reactor=self.clock, **options)
        self.protocol.makeConnection(self.transport)

    def receive(self, *datagrams):
        for datagram in datagrams:
            self.protocol.datagramReceived(datagram, THERE)

    def assertRan(self, times):
        self.assertEqual(len(self.protocol.ran), times)


class CopyTests(DuplicateTestCase):
    def test_answeredRequestIsAnsweredAgainAndNotCarriedOutAgain(self):
        datagram = request(u"count", 1)
        self.receive(datagram, datagram, datagram)
        self.assertRan(1)
        self.assertEqual(len(set(answer for answer, _ in self.transport.written)), 1)
        self.assertEqual(self.answered(), [1, 1, 1])
        self.assertEqual(self.logged(), [])

    def test_answerIsTheSameDatagramWhateverBecameOfTheResult(self):
        result = [1]
        self.protocol.rpc_mutable = lambda sender: result
        datagram = request(u"mutable")
        self.receive(datagram)
        result.append(2)
        self.receive(datagram)
        self.assertEqual(self.answered(), [[1], [1]])

    def test_resultsThatAreFalseAreAnswersToo(self):
        for result in (None, False, 0, u"", [], {}):
            self.protocol.rpc_false = lambda sender: [self.protocol.ran.append(()), result][1]
            datagram = request(u"false")
            self.receive(datagram, datagram)
            self.assertEqual(self.answered(), [result, result])
        self.assertRan(6)

    def test_copyOfARequestThatIsBeingAnsweredIsDropped(self):
        datagram = request(u"later")
        self.receive(datagram, datagram)
        self.assertRan(1)
        self.assertEqual(self.answered(), [])
        self.protocol.deferreds[0].callback(7)
        self.assertEqual(self.answered(), [7])
        self.receive(datagram)
        self.assertEqual(self.answered(), [7])
        self.assertRan(1)

    def test_copyOfARequestThatFailedIsDropped(self):
        for method in (u"fail", u"unsendable"):
            datagram = request(method)
            self.receive(datagram)
            self.assertEqual(len(self.logged()), 1)
            self.receive(datagram)
            self.assertEqual((self.answered(), self.logged()), ([], []))
        self.assertRan(2)
        self.flushLoggedErrors()

    def test_copyOfARequestThatFailedLaterIsDropped(self):
        datagram = request(u"later")
        self.receive(datagram)
        self.protocol.deferreds[0].errback(ValueError("on purpose"))
        self.assertFailureLogged(ValueError)
        self.receive(datagram)
        self.assertRan(1)
        self.assertEqual((self.answered(), self.logged()), ([], []))

    def test_copyOfARequestThatWasRefusedIsDropped(self):
        for datagram in (request(u"absent"), request(u"fail", 1)):
            self.receive(datagram, datagram)
        self.protocol.rpc_absent = self.protocol.rpc_count
        self.receive(datagram)
        self.assertRan(0)
        self.assertEqual((self.answered(), self.logged()), ([], []))

    def test_copyWhileItsHandlerRuns(self):
        # As on a transport that delivers at once.
        datagram = request(u"nested")
        self.protocol.rpc_nested = lambda sender: [self.protocol.ran.append(()), self.receive(datagram)][1]
        self.receive(datagram)
        self.assertRan(1)
        self.assertEqual(self.answered(), [None])

    def test_anotherSenderIsAnotherRequest(self):
        datagram = request(u"count")
        # On Windows, Twisted's may have four parts.
        senders = [THERE, HERE, (THERE[0], THERE[1] + 1), ("fe80::1", 1, 0, 1), ("fe80::1", 1, 0, 2)]
        for sender in senders:
            self.protocol.datagramReceived(datagram, sender)
        self.assertRan(5)
        self.assertEqual([address for _, address in self.transport.written], senders)

    def test_sendersOnOtherNetworks(self):
        # Twisted has datagrams on Unix sockets too, and others may have what they like.
        senders = ["/run/peer", "/run/other", None, (b"10.0.0.1", 5), ("10.0.0.1", None), ("10.0.0.1", -1)]
        senders += [("10.0.0.1", 2 ** 40), (u"\xe4", 5), b"\0pear-a", b"\0peach-a", "/1a2", "/1b2"]
        datagram = request(u"count")
        for sender in senders * 2:
            self.protocol.datagramReceived(datagram, sender)
        self.assertRan(len(senders))
        self.assertEqual([address for _, address in self.transport.written], senders * 2)

    def test_sameIDOverAnotherPayloadIsAnotherRequest(self):
        datagrams = [request(u"count", number) for number in range(3)]
        self.receive(*datagrams * 2)
        self.assertEqual(self.protocol.ran, [(0,), (1,), (2,)])
        self.assertEqual(self.answered(), [1, 2, 3] * 2)

    def test_sameIDOnceTheFirstIsForgotten(self):
        datagrams = [request(u"count", number) for number in range(2)]
        self.receive(datagrams[0])
        self.clock.advance(50)
        self.receive(datagrams[1])
        self.clock.advance(20)
        self.receive(datagrams[1])
        self.assertRan(2)
        self.receive(datagrams[0], datagrams[1])
        self.assertRan(3)
        self.assertEqual(self.answered(), [1, 2, 2, 3, 2])

    def test_sameIDWhileBothAreBeingAnswered(self):
        datagrams = [request(u"later") for _ in range(2)]
        self.receive(*datagrams)
        first, second = self.protocol.deferreds
        second.callback(u"second")
        first.callback(u"first")
        self.assertEqual(self.answered(), [u"second", u"first"])
        self.receive(*datagrams)
        self.assertEqual(self.answered(), [u"first", u"second"])
        self.assertRan(2)

    def test_malformedDatagramsAreNotRemembered(self):
        for junk in (b"", b"\x00" * 22, b"\x00" + MESSAGE_ID + b"\xc1", b"\x01" + MESSAGE_ID + b"\x07"):
            self.receive(junk, junk)
        self.assertEqual(self.protocol._rpcudpAnswerer._duplicates._requests, {})

    def test_copyOfTheAnswerWaitsForAFullBufferOnce(self):
        datagram = request(u"count")
        self.transport.refusals = [socket.error(errno.EAGAIN, "full")]
        self.receive(datagram, datagram, datagram)
        self.clock.advance(1)
        self.assertEqual(self.answered(), [1])

    def test_portThatWasClosedMeanwhile(self):
        answered, pending = request(u"count"), request(u"later")
        self.receive(answered, pending)
        self.protocol.doStop()
        self.protocol.deferreds[0].callback(7)
        self.transport = FakeTransport()
        self.protocol.makeConnection(self.transport)
        self.receive(answered, pending)
        self.assertRan(2)
        self.assertEqual(self.answered(), [1])


class ConcurrencyTests(DuplicateTestCase):
    def test_requestThatFoundNoRoomIsCarriedOutWhenItsCopyDoes(self):
        self.listen(maxConcurrent=1)
        first, second = request(u"later"), request(u"count")
        self.receive(first, second)
        self.assertRan(1)
        self.protocol.deferreds[0].callback(None)
        self.receive(second)
        self.assertRan(2)
        self.assertEqual(self.answered(), [None, 2])

    def test_answeredRequestIsAnsweredAgainWhenThereIsNoRoom(self):
        self.listen(maxConcurrent=1)
        first, second = request(u"count"), request(u"later")
        self.receive(first, second, first)
        self.assertEqual(self.answered(), [1, 1])


class LifetimeTests(DuplicateTestCase):
    def test_sixtySecondsByDefault(self):
        datagram = request(u"count")
        self.receive(datagram)
        for seconds in (30, 29.5):
            self.clock.advance(seconds)
            self.receive(datagram)
            self.assertRan(1)
        self.clock.advance(0.5)
        self.receive(datagram)
        self.assertRan(2)
        self.assertEqual(self.answered(), [1, 1, 1, 2])

    def test_itIsTheArgumentForEachRequestOnItsOwn(self):
        self.listen(duplicateLifetime=4)
        datagrams = [request(u"count", number) for number in range(40)]
        for datagram in datagrams:
            self.receive(datagram)
            self.clock.advance(0.5)
        self.assertRan(40)
        # The last 7 of them came less than 4 seconds ago.
        self.receive(*datagrams[-7:])
        self.assertRan(40)
        self.receive(*datagrams[:-7])
        self.assertRan(40 + 33)

    def test_requestIsRememberedWhileOthersComeAndGo(self):
        self.receive(request(u"count"))
        self.clock.advance(50)
        answered, pending = request(u"count"), request(u"later")
        self.receive(answered, pending)
        self.clock.advance(40)
        self.receive(request(u"count"))
        del self.transport.written[:]
        self.receive(answered, pending)
        self.assertEqual(self.answered(), [2])
        self.protocol.deferreds[0].callback(7)
        self.receive(pending)
        self.assertEqual(self.answered(), [7, 7])
        self.assertRan(4)

    def test_zeroTurnsItOff(self):
        self.listen(duplicateLifetime=0)
        datagram = request(u"count")
        self.receive(datagram, datagram)
        self.assertRan(2)
        self.assertEqual(self.answered(), [1, 2])
        self.assertIs(self.protocol._rpcudpAnswerer._duplicates, None)

    def test_itNeedsNoTimer(self):
        self.receive(request(u"count"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_wrongLifetimes(self):
        for wrong in (None, "5", (5,)):
            error = self.assertRaises(TypeError, RPCProtocol, duplicateLifetime=wrong)
            self.assertIn("duplicateLifetime is {!r}, and not a number of seconds".format(wrong), str(error))
        for wrong in (-1, float("inf"), float("nan")):
            error = self.assertRaises(ValueError, RPCProtocol, duplicateLifetime=wrong)
            self.assertIn("duplicateLifetime is {!r} seconds, and negative or not finite".format(wrong), str(error))


class ClockStepTests(DuplicateTestCase):
    """
    A clock that is set back does not have requests remembered for longer.
    """

    def test_setBack(self):
        for step in (3600, 0.001):
            datagram, other = request(u"count"), request(u"count")
            ran = len(self.protocol.ran)
            self.receive(datagram)
            self.clock.advance(30)
            self.receive(other)
            self.clock.rightNow -= step
            self.receive(datagram, other)
            self.assertRan(ran + 2)
            self.clock.advance(29)
            self.receive(datagram, other)
            self.assertRan(ran + 2)
            self.clock.advance(1.1)
            self.receive(datagram, other)
            self.assertRan(ran + 3)
            self.clock.advance(30)
            self.receive(other)
            self.assertRan(ran + 4)

    def test_setForward(self):
        datagram = request(u"count")
        self.receive(datagram)
        self.clock.rightNow += 3600
        self.receive(datagram, datagram)
        self.assertRan(2)


class UnpackingTests(DuplicateTestCase):
    def test_copyIsNotUnpacked(self):
        datagram = request(u"count")
        self.receive(datagram)
        self.patch(wire, "unpack", None)
        self.receive(datagram)
        self.assertEqual(self.answered(), [1, 1])


class SubclassTests(DuplicateTestCase):
    """
    Subclasses that carry out requests in their own way.
    """

    def test_requestThatIsAcceptedLater(self):
        held = []
        self.protocol._acceptRequest = lambda *arguments: held.append(arguments)
        datagrams = [request(u"count", number) for number in range(2)]
        self.receive(*datagrams * 2)
        for arguments in held[::-1]:
            RPCProtocol._acceptRequest(self.protocol, *arguments)
        # The copies were handed on too, as nobody knows what the subclass makes of a request, and are answered again.
        self.assertEqual(self.answered(), [1, 2] * 2)
        self.receive(*datagrams)
        for arguments in held[4:]:
            RPCProtocol._acceptRequest(self.protocol, *arguments)
        self.assertEqual(self.answered(), [2, 1])
        self.assertRan(2)

    def test_messageIDIsBytesLikeAnyOther(self):
        seen = []
        self.protocol._acceptRequest = lambda msgID, data, address: seen.append(msgID)
        self.receive(request(u"count"))
        [msgID] = seen
        self.assertIsInstance(msgID, bytes)
        self.assertEqual({MESSAGE_ID: 1}[msgID], 1)

    def test_answerToARequestThatNobodyRemembers(self):
        self.protocol._sendResponse(7, MESSAGE_ID, THERE)
        self.assertEqual(self.answered(), [7])


class BoundTests(SynchronousTestCase):
    """
    What strangers can make a node remember has an end, and the oldest goes first.
    """

    def setUp(self):
        self.now = 1000.0
        self.cache = duplicates.DuplicateRequestCache(lambda: self, 60)

    def seconds(self):
        return self.now

    def enter(self, number, size=50):
        """
        @return: the message id of a request of C{size} bytes that came, and the answer to it.
        """
        datagram = b"\x00%0*d" % (size - 1, number)
        msgID, answer = self.cache.identify(datagram[-20:], datagram, THERE)
        self.cache.remember(datagram)
        self.cache.begin(msgID, THERE)
        return msgID, answer

    def add(self, number, size=50, answer=0):
        """
        @return: the message id of a new request that has an answer of so many bytes.
        """
        added, known = self.enter(number, size)
        self.assertIs(known, None)
        if answer:
            self.cache.answered(added, THERE, b"a" * answer)
        return added

    def isKnown(self, msgID):
        return duplicates._keyOf(msgID, THERE) in self.cache._requests

    def assertBounded(self):
        requests, answers = self.cache._requests, self.cache._answers
        size = sum(map(len, requests)) + sum(map(len, requests.values())) + sum(map(len, answers.values()))
        size += duplicates.ENTRY_OVERHEAD * len(requests)
        self.assertLessEqual(len(answers), len(requests))
        # Those of two datagrams may be over.
        self.assertLessEqual(size, duplicates.MAX_BYTES + 2 * 8213)

    def check(self, count, fewest, size, answer):
        """
        Add C{count} requests; the last C{fewest} of them are always there.
        """
        requests = []
        for number in range(count):
            requests.append(self.add(number, size, answer))
            if number % (count // 50) == 0:
                self.assertBounded()
                self.assertEqual({self.isKnown(added) for added in requests[-fewest:]}, {True})
        known = [self.isKnown(added) for added in requests]
        self.assertEqual(known, sorted(known))
        self.assertIs(known[0], False)

    def test_inEntries(self):
        self.check(120000, 34000 if sys.version_info >= (3,) else 22000, size=50, answer=50)

    def test_inBytesOfRequests(self):
        self.check(5000, 1850, size=8213, answer=0)

    def test_inBytesOfAnswers(self):
        self.check(5000, 1830, size=50, answer=8213)

    def test_inBytesOfAnswersThatComeLater(self):
        requests = []
        for number in range(10000):
            requests.append(self.add(number))
            if number >= 1000:
                self.cache.answered(requests[number - 1000], THERE, b"a" * 8213)
            if number % 100 == 0:
                self.assertBounded()

    def test_inBytesOfAnswersWhileNoRequestComes(self):
        requests = [self.add(number) for number in range(10000)]
        for answered in requests:
            self.cache.answered(answered, THERE, b"a" * 8213)
        self.assertBounded()

    def test_answerToARequestThatIsForgottenAlready(self):
        forgotten = self.add(5000)
        for number in range(5000):
            self.add(number, size=8213)
        self.cache.answered(forgotten, THERE, b"answer")
        self.add(5000)

    def test_answerIsForgottenWithTheRequest(self):
        for _ in range(3):
            self.add(1)
            self.assertEqual(self.enter(1)[1], b"")
            self.cache.answered(self.enter(1)[0], THERE, b"answer")
            self.assertEqual(self.enter(1)[1], b"answer")
            self.now += 60

    def test_inMemory(self):
        # Of the sizes of answers that come nearest to the end.
        for size in (22, 80, 900):
            self.cache = duplicates.DuplicateRequestCache(lambda: self, 60)
            most = 0
            for number in range(60000 if size < 900 else 15000):
                self.add(number, size=60, answer=size)
                if number % 5000 == 4999:
                    most = max(most, self.measure())
            self.assertLess(most, duplicates.MAX_BYTES * 1.02)
            self.assertGreater(most, duplicates.MAX_BYTES * 0.6)

    def measure(self):
        """
        @return: the bytes of memory that the cache takes, in pieces of 16.
        """
        requests, answers = self.cache._requests, self.cache._answers
        parts = list(requests) + list(requests.values()) + [answer for answer in answers.values() if answer]
        tables = [requests, answers] + [keys for _, _, keys in self.cache._older]
        return sum((sys.getsizeof(part) | 15) + 1 for part in parts) + sum(map(sys.getsizeof, tables))

    def test_inTime(self):
        for number in range(1000):
            self.add(number)
            self.now += 1
        self.assertEqual((len(self.cache._requests), len(self.cache._answers)), (60, 60))

    def test_inTimeWhenThereAreMany(self):
        # A generation is forgotten when the next one begins, and as a whole.
        for number in range(20000):
            self.add(number)
            self.now += 0.01
        self.assertGreaterEqual(len(self.cache._requests), 6000)
        self.assertLessEqual(len(self.cache._requests), 6000 + 6000 // duplicates.GENERATIONS + 1)

    def test_bookkeepingIsBoundedToo(self):
        for number in range(20000):
            self.add(number)
            self.now += 0.07
        self.assertLessEqual(len(self.cache._older), 2 * duplicates.GENERATIONS)
