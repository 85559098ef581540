"""
The requests in hand, of which each sender has its share.
"""

import os
import subprocess
import sys

import umsgpack
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rpcudp import _answering as answering
from rpcudp import _sharing as sharing
from rpcudp.protocol import RPCProtocol
from tests.support import ENVIRONMENT, HERE, THERE, ProtocolTestCase, request

# Holds as many requests as it may, each 8 KiB of what its argument says, in so many bytes, and prints by how many bytes
# the process grew.
HOLD = r"""
from __future__ import print_function
import gc, os, sys
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from rpcudp import _answering
from rpcudp.protocol import RPCProtocol
from tests.support import FakeTransport

class Node(RPCProtocol):
    def rpc_later(self, sender, *arguments):
        held.append((arguments, Deferred()))
        return held[-1][1]

def resident():
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

_answering.MAX_HELD = int(sys.argv[2])
held = []
node = Node(reactor=Clock(), duplicateLifetime=0)
node.makeConnection(FakeTransport())
part = bytes(bytearray.fromhex(sys.argv[1]))
count = 8180 // len(part)
payload = b"\x92\xa5later\xdc" + bytes(bytearray([count >> 8, count & 255])) + part * count
before = resident()
for number in range(1500):
    node.datagramReceived(b"\x00" + os.urandom(20) + payload, ("10.0.%d.%d" % divmod(number, 250), 1))
    if len(held) == number:
        break
print(len(held), resident() - before)
"""


class SharingTestCase(ProtocolTestCase):
    class protocolClass(RPCProtocol):
        def rpc_later(self, sender, *arguments):
            self.deferreds.append(Deferred())
            return self.deferreds[-1]

        def rpc_ping(self, sender):
            return u"pong"

    def listen(self, **options):
        self.protocol = self.protocolClass(reactor=self.clock, **options)
        self.protocol.makeConnection(self.transport)
        self.protocol.deferreds = []

    def hold(self, times, sender, *arguments):
        """
        @return: how many of so many requests are being answered.
        """
        before = len(self.protocol.deferreds)
        for _ in range(times):
            self.protocol.datagramReceived(request(u"later", *arguments), sender)
        return len(self.protocol.deferreds) - before

    def isAnswered(self, sender):
        del self.transport.written[:]
        self.protocol.datagramReceived(request(u"ping"), sender)
        return len(self.transport.written) == 1


class PlacesTests(SharingTestCase):
    def setUp(self):
        SharingTestCase.setUp(self)
        self.listen(maxConcurrent=100)

    def test_oneSenderLeavesHalf(self):
        self.assertEqual(self.hold(110, THERE), 50)
        self.assertFalse(self.isAnswered(THERE))
        self.assertTrue(self.isAnswered(HERE))

    def test_twoLeaveAQuarterOrMore(self):
        self.assertEqual(self.hold(110, THERE), 50)
        self.assertEqual(self.hold(110, HERE), 25)
        self.assertTrue(self.isAnswered(("192.0.2.99", 1)))

    def test_twoThatComeTogether(self):
        for _ in range(110):
            self.hold(1, THERE)
            self.hold(1, HERE)
        self.assertLessEqual(len(self.protocol.deferreds), 75)

    def test_placesThatAreFreeAgainAreSharedAgain(self):
        self.hold(110, THERE)
        self.hold(110, HERE)
        for deferred in self.protocol.deferreds[:50]:
            deferred.callback(None)
        self.assertEqual(self.hold(110, HERE), 25)
        for deferred in self.protocol.deferreds[50:]:
            deferred.callback(None)
        answerer = self.protocol._rpcudpAnswerer
        for shares in (answerer._places, answerer._bytes):
            self.assertEqual((shares.taken, shares._held), (0, {}))

    def test_oneHostIsOneSenderWhateverItsPort(self):
        self.assertEqual(sum(self.hold(1, (THERE[0], port)) for port in range(1, 111)), 50)

    def test_ipv6AddressesCountByTheirNetwork(self):
        held = [self.hold(1, ("2001:db8::{:x}:{:x}".format(number, number), 1)) for number in range(1, 111)]
        self.assertEqual(sum(held), 50)
        self.assertFalse(self.isAnswered(("2001:db8:0:0:ffff::1", 1)))
        self.assertTrue(self.isAnswered(("2001:db8:0:1::1", 1)))

    def test_mappedAddressesCountAsThoseOfIPv4(self):
        self.assertEqual(self.hold(110, ("::ffff:192.0.2.7", 1)), 50)
        self.assertFalse(self.isAnswered(("192.0.2.7", 1)))
        self.assertTrue(self.isAnswered(("::ffff:192.0.2.8", 1)))

    def test_zonesOfAnAddress(self):
        self.assertEqual(self.hold(110, ("fe80::1%lo", 1)), 50)
        self.assertFalse(self.isAnswered(("fe80::2", 1, 0, 1)))

    def test_whatIsNoAddressIsASenderToo(self):
        self.assertEqual(self.hold(110, ("simulated:7", 1)), 50)
        self.assertTrue(self.isAnswered(("simulated:8", 1)))

    def test_fewPlaces(self):
        for limit, alone in ((1, 1), (2, 1), (3, 2), (4, 2), (5, 3)):
            self.listen(maxConcurrent=limit)
            self.assertEqual(self.hold(10, THERE), alone)


class StuckTests(SharingTestCase):
    """
    A node whose places are taken for good says so.
    """

    def setUp(self):
        SharingTestCase.setUp(self)
        self.listen(maxConcurrent=2)
        self.hold(1, THERE)
        self.hold(1, HERE)

    def texts(self, seconds):
        self.clock.advance(seconds)
        self.isAnswered(THERE)
        self.isAnswered(HERE)
        return self.logged()

    def test_onceAMinute(self):
        self.assertEqual(self.texts(0), [])
        self.assertEqual(self.texts(59), [])
        for _ in range(3):
            [text] = self.texts(1)
            self.assertEqual(
                text,
                "requests are dropped, the last of {!r}: 2 of 2 are being answered, with {} of {} bytes, and none of"
                " them has ended for 60 seconds; does a Deferred never fire?".format(
                    THERE, self.protocol._rpcudpAnswerer._bytes.taken, answering.MAX_HELD
                ),
            )
            self.assertEqual(self.texts(59), [])

    def test_notWhileHandlersFinish(self):
        # However many are dropped meanwhile: that is what strangers can cause.
        for _ in range(10):
            self.assertEqual(self.texts(59), [])
            self.protocol.deferreds.pop(0).callback(None)
            self.hold(1, THERE)

    def test_whereOneThatEndsMakesRoomForNobody(self):
        self.listen(maxConcurrent=8)
        self.hold(5, THERE)
        self.hold(3, HERE)
        self.protocol.deferreds[0].callback(None)
        # Three places are held, and as many are free.
        self.assertEqual(self.hold(1, THERE), 0)
        self.clock.advance(59)
        self.assertEqual((self.hold(1, THERE), self.logged()), (0, []))
        self.clock.advance(1)
        self.assertEqual((self.hold(1, THERE), len(self.logged())), (0, 1))

    def test_notWhereAHandlerThatRunsTakesThePlaces(self):
        self.listen(maxConcurrent=1)
        self.protocol.rpc_nested = lambda sender: self.protocol.datagramReceived(request(u"ping"), THERE)
        for _ in range(3):
            self.protocol.datagramReceived(request(u"nested"), THERE)
            self.clock.advance(60)
        self.assertEqual(self.logged(), [])

    def test_clockThatIsSetBack(self):
        self.clock.rightNow -= 3600
        self.assertEqual(self.texts(60), [])
        self.assertEqual(len(self.texts(3600)), 1)


class BytesTests(SharingTestCase):
    def setUp(self):
        SharingTestCase.setUp(self)
        self.patch(answering, "MAX_HELD", 1 << 20)
        self.listen()

    def test_endAndShares(self):
        argument = b"x" * 8000
        alone = self.hold(200, THERE, argument)
        # Half a mebibyte, of some eleven kilobytes each.
        self.assertGreater(alone, 40)
        self.assertLess(alone, 60)
        self.assertFalse(self.isAnswered(THERE))
        self.assertTrue(self.isAnswered(HERE))
        for number in range(100):
            self.hold(100, ("192.0.2.{}".format(number), 1), argument)
        # One more than fits may be taken.
        self.assertLess(self.protocol._rpcudpAnswerer._bytes.taken, (1 << 20) + 20000)
        for deferred in self.protocol.deferreds:
            deferred.callback(None)
        self.assertEqual(self.protocol._rpcudpAnswerer._bytes.taken, 0)

    def test_whatIsSmallIsLimitedByPlacesAlone(self):
        self.listen(maxConcurrent=100)
        self.assertEqual(self.hold(110, THERE, u"Snake Plissken", 7), 50)

    def test_weight(self):
        def weigh(value):
            return sharing.weigh(value) - sharing.REQUEST_OVERHEAD

        for value in (u"text", b"x" * 8000, 2 ** 60, 1.5, None):
            self.assertGreater(weigh(value), sys.getsizeof(value))
            self.assertLessEqual(weigh(value), sys.getsizeof(value) + 16)
        inner = {u"key": [1.5, b"bytes"], u"other": (2,)}
        parts = [inner, u"key", [0, 0], 1.5, b"bytes", u"other", (2,), 2]
        self.assertEqual(weigh(inner), sum((sys.getsizeof(part) | 15) + 1 for part in parts))
        self.assertGreater(weigh(umsgpack.Ext(5, b"x" * 100)), 600)

    def test_weightOfWhatAHandlerMadeEndless(self):
        value = [1]
        value.append(value)
        self.assertLess(sharing.weigh(value), 3 << 20)

    def test_weightOfWhatAHandlerLinkedToSomethingLarge(self):
        self.linkTo([u"entry {}".format(number) for number in range(10 ** 5)])

    def test_weightOfWhatAHandlerLinkedToOneLargeThing(self):
        self.linkTo(b"x" * (8 << 20))

    def linkTo(self, table):
        self.listen()
        self.protocol.rpc_join = lambda sender, node: [node.update(table=table), Deferred()][1]
        self.patch(self.protocol._rpcudpAnswerer._bytes, "limit", 4 << 20)
        self.protocol.datagramReceived(request(u"join", {}), THERE)
        self.assertTrue(self.isAnswered(HERE))


class MemoryTests(SynchronousTestCase):
    """
    What requests in hand hold in memory has an end, as SECURITY.md says, whatever they are made of.
    """

    def hold(self, part, limit=8 << 20):
        """
        @return: how many requests were held.
        """
        if not os.path.exists("/proc/self/statm"):
            raise SkipTest("only Linux can be asked what is resident")
        command = [sys.executable, "-c", HOLD, part, str(limit)]
        count, grown = map(int, subprocess.check_output(command, env=ENVIRONMENT).split())
        # One more may be taken than fits, and the memory of one that was refused may not have been given back.
        self.assertLess(grown, limit + (5 << 20))
        return count

    def test_emptyMaps(self):
        self.assertLess(self.hold("80", answering.MAX_HELD), 200)

    def test_mapsOfOne(self):
        self.hold("810102")

    def test_emptyArrays(self):
        self.hold("90")

    def test_extensions(self):
        self.hold("d40578")

    def test_shortTexts(self):
        self.hold("a2c3a9")

    def test_shortBytes(self):
        self.hold("c402ffff")

    def test_floats(self):
        self.hold("ca00000001")

    def test_timestamps(self):
        self.hold("d6ff00000001")

    def test_nothingButPlaces(self):
        self.assertEqual(self.hold("c5" + "%04x" % 8170 + "ff" * 8170, answering.MAX_HELD), 1000)
