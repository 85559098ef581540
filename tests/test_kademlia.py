"""
examples/kademlia.py: a Kademlia among its like, among those that lie to it, and from the command line.
"""

import gc
import itertools
import os
import random
import sys

from twisted.internet import defer
from twisted.internet.utils import getProcessOutputAndValue
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase
from umsgpack import Ext

from rpcudp.calls import call
from rpcudp.protocol import RPCProtocol
from rpcudp.roundtrip import RoundTripWaits
from rpcudp.testing import SimulatedNetwork
from tests.support import ENVIRONMENT

# Beside this folder, in a checkout as in a source distribution.
EXAMPLES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "examples")
PROGRAM = os.path.join(EXAMPLES, "kademlia.py")

sys.path.insert(0, EXAMPLES)
try:
    import kademlia  # noqa: E402, where that is was said just before
finally:
    sys.path.remove(EXAMPLES)

PORT = 8468
SOMEBODY = b"s" * 20

# What is no contact, and makes none of an answer.
NO_CONTACTS = [None, 0, -1, 2**64 - 1, 0.5, True, u"text", b"bytes", [], [[]], {}, {u"id": SOMEBODY}, Ext(7, b"x")]
NO_CONTACTS += [[SOMEBODY], [SOMEBODY, u"10.0.0.1"], [SOMEBODY, u"10.0.0.1", PORT, 1]]
NO_CONTACTS += [[wrong, u"10.0.0.1", PORT] for wrong in (b"", b"s" * 19, b"s" * 21, u"s" * 20, 5, None, [], {}, [[[]]])]

# Where no node can be.
NO_ADDRESSES = [(ip, PORT) for ip in (None, 5, [], {}, u"", u"localhost", u"host.invalid", u"1.2", u"::1%lo")]
NO_ADDRESSES += [(ip, PORT) for ip in (u"::1", u"0.0.0.0", u"255.255.255.255", u"<broadcast>", u"\xe4", u"1\x00")]
NO_ADDRESSES += [(ip, PORT) for ip in (b"\xff\xfe", b"host", u"1.2.3.4%lo", u"1" * 4000)]
NO_ADDRESSES += [(u"10.0.0.1", port) for port in (None, 0, -1, 65536, 2**64 - 1, 1.5, u"1", [], {}, True)]


def idOf(number):
    return kademlia.toBytes(number)


class Peer(RPCProtocol):
    """
    Answers what it is told to.

    @ivar answer: called for each request with the method, the sender and the arguments; returns the answer.
    """

    def __init__(self, answer=lambda *_: []):
        RPCProtocol.__init__(self, (0.3, 0.6, 1.2))
        self.answer = answer

    def rpc_ping(self, sender, *arguments):
        return self.answer("ping", sender, *arguments)

    def rpc_store(self, sender, *arguments):
        return self.answer("store", sender, *arguments)

    def rpc_find_node(self, sender, *arguments):
        return self.answer("find_node", sender, *arguments)

    def rpc_find_value(self, sender, *arguments):
        return self.answer("find_value", sender, *arguments)


class KademliaTestCase(SynchronousTestCase):
    """
    A simulated network, and that nothing is logged.

    @ivar chance: a generator of random numbers.
    @ivar count: how many hosts there are.
    """

    def setUp(self):
        self.chance = random.Random(1)
        self.count = 0
        self.events = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(self.assertNothingLogged)
        self.makeNetwork()

    def makeNetwork(self, **options):
        self.network = SimulatedNetwork(1, latency=0.02, **options)

    def observe(self, event):
        # Twisted's ports say when they start.
        if event["log_level"] > LogLevel.info or event.get("log_namespace", "").startswith("rpcudp"):
            self.events.append(event)

    def assertNothingLogged(self):
        # What a Deferred that failed has to say, it says when it goes.
        gc.collect()
        globalLogPublisher.removeObserver(self.observe)
        self.assertEqual([formatEvent(event) for event in self.events], [])

    def listen(self, protocol, port=PORT):
        """
        Have C{protocol} listen on a host of its own.
        """
        self.count += 1
        host = self.network.host("10.0.{}.{}".format(self.count >> 8, self.count & 255))
        host.listenUDP(port, protocol)
        return protocol

    def node(self, nodeID=None):
        node = kademlia.Node(self.chance)
        node.id = node.id if nodeID is None else nodeID
        return self.listen(node)

    def nodes(self, count):
        """
        @return: nodes that have joined each other.
        """
        nodes = [self.node()]
        while len(nodes) < count:
            joining = [self.node() for _ in range(min(len(nodes), count - len(nodes)))]
            known = [self.address(node) for node in nodes]
            self.wait([node.join(self.chance.sample(known, min(3, len(known)))) for node in joining])
            nodes += joining
        return nodes

    def wait(self, deferreds):
        """
        @return: what they have fired with.
        """
        return [result for _, result in self.network.run(defer.DeferredList(deferreds, fireOnOneErrback=True))]

    def close(self, node):
        self.network.run(defer.maybeDeferred(node.transport.stopListening))

    def address(self, protocol):
        return (protocol.transport.reactor.address, PORT)

    def known(self, node):
        return {contact.id for bucket in node.buckets.values() for contact in bucket}

    def call(self, caller, node, method, *arguments):
        """
        @return: the answer of C{node} to a stranger.
        """
        answered, answer = self.network.run(getattr(caller, method)(self.address(node), *arguments))
        self.assertTrue(answered)
        return answer


class SwarmTests(KademliaTestCase):
    def test_whatIsSetIsFoundByEveryNode(self):
        nodes = self.nodes(40)
        values = {u"text": u"\xe4\u20ac", u"bytes": b"\x00\xff", u"number": 2**64 - 1, u"half": 0.5, u"empty": b""}
        for name in sorted(values):
            self.assertGreaterEqual(self.wait([self.chance.choice(nodes).set(name, values[name])])[0], kademlia.K)
            self.assertEqual(self.wait([node.get(name) for node in nodes]), [values[name]] * 40)
        self.assertEqual(self.wait([node.get(u"nothing") for node in nodes]), [None] * 40)

    def test_storedAtTheClosest(self):
        nodes = self.nodes(60)
        for number in range(10):
            name = u"name {}".format(number)
            key = kademlia.hashOf(name)
            closest = sorted(nodes, key=lambda node: node.id ^ key)
            # Some of them are set by one of the closest itself.
            self.assertEqual(self.wait([closest[5 * number].set(name, 1)]), [kademlia.K])
            self.assertEqual([key in node.stored for node in closest], [True] * kademlia.K + [False] * 40)

    def test_newValueReplacesTheOld(self):
        nodes = self.nodes(25)
        for value in (u"old", u"new"):
            self.wait([self.chance.choice(nodes).set(u"name", value)])
        self.assertEqual(self.wait([node.get(u"name") for node in nodes]), [u"new"] * 25)

    def test_lossyNetwork(self):
        self.makeNetwork(loss=0.2, jitter=0.2)
        nodes = self.nodes(40)
        names = [u"name {}".format(number) for number in range(20)]
        self.wait([self.chance.choice(nodes).set(name, name) for name in names])
        self.assertEqual(self.wait([self.chance.choice(nodes).get(name) for name in names]), names)

    def assertLookups(self, nodes, dead, atMost):
        """
        Where C{dead} of C{nodes} have crashed, lookups of others take C{atMost} seconds, and find the closest.
        """
        for node in nodes[:dead]:
            node.transport.reactor.crash()
        living = nodes[dead:]
        for node in living:
            key, began = self.chance.getrandbits(160), self.network.seconds()
            contacts = self.network.run(kademlia.Lookup(node, key).result)
            self.assertLess(self.network.seconds() - began, atMost)
            closest = sorted([other.id for other in living if other is not node], key=lambda other: other ^ key)
            self.assertEqual([contact.id for contact in contacts], closest[: kademlia.K])
            self.network.advance(20)
        for node in living:
            # But for its refreshing.
            self.assertEqual(len(node.transport.reactor.getDelayedCalls()), 1)

    def test_lookupsDoNotWaitForTheDead(self):
        # A round trip is 0.04 seconds, and the first wait of one that is dead 0.1; three of these last for 0.7.
        self.assertLookups(self.nodes(60), 20, 2)

    def test_lookupsWaitForEachCallWhereNothingIsExpected(self):
        nodes = self.nodes(25)
        for node in nodes:
            node.waits = node._waitTimeout = 1
        self.network.host(self.address(nodes[0])[0]).crash()
        began = self.network.seconds()
        self.network.run(kademlia.Lookup(nodes[1], nodes[0].id).result)
        self.assertGreater(self.network.seconds() - began, 1)

    def meet(self, node, *others):
        """
        Have C{node} know the round-trip times of others, which are 0.04 seconds, and where they are.
        """
        for other in others:
            self.wait([node.ping(self.address(other), kademlia.toBytes(node.id))])
            node.seen(kademlia.contactOf(kademlia.toBytes(other.id), *self.address(other)))

    def assertLateAfter(self, seconds, node, contact):
        told, outcome = [], defer.Deferred()
        node.watch(contact, outcome, lambda *what: told.append(what))
        self.network.advance(seconds - 0.001)
        self.assertEqual(told, [])
        self.network.advance(0.002)
        self.assertEqual(told, [((None, None), contact)])
        outcome.callback((True, 1))
        self.assertEqual(told[1:], [((True, 1), contact)])

    def test_nodeIsLateAfterTwoRoundTrips(self):
        node, other = self.node(), self.node()
        self.meet(node, other)
        self.assertLateAfter(0.08, node, kademlia.contactOf(kademlia.toBytes(other.id), *self.address(other)))

    def test_strangerIsLateAfterItsFirstWaitAndNoLongerThanASecond(self):
        node = self.node()
        for first in (0.3, 60):
            node.waits = RoundTripWaits(first=first, longest=first)
            self.assertLateAfter(min(first, 1), node, kademlia.contactOf(SOMEBODY, u"10.9.9.9", PORT))

    def test_whatIsInTimeIsNotLate(self):
        node, told = self.node(), []
        contact, outcome = kademlia.contactOf(SOMEBODY, u"10.9.9.9", PORT), defer.succeed((True, 1))
        node.watch(contact, outcome, lambda *what: told.append(what))
        self.network.advance(10)
        self.assertEqual(told, [((True, 1), contact)])

    def test_lookupEndsWithoutLateNodesOnlyWhereThereAreOthers(self):
        # One datagram lost is no reason to give up in a network of two.
        nodes = self.nodes(2)
        for lost in range(2):
            nodes[1].keep(kademlia.hashOf(u"name"), u"value")
            lose = itertools.chain([()] * (lost + 1), itertools.repeat(None))
            undo = self.network.rule(lambda datagram: next(lose))
            self.assertEqual(self.wait([nodes[0].get(u"name")]), [u"value"])
            undo()
            undo = self.network.rule(lambda datagram, lose=itertools.chain([()], itertools.repeat(None)): next(lose))
            self.assertEqual(self.wait([nodes[0].set(u"other {}".format(lost), 1)]), [2])
            undo()

    def test_lateAnswersStillCount(self):
        self.patch(kademlia, "K", 2)
        node, late, near, far = [self.node(number << 150) for number in (0, 8, 11, 9)]
        self.meet(node, late, near)
        self.meet(near, far)
        delays = {self.address(late)[0]: 0.075, self.address(near)[0]: 0.04, self.address(far)[0]: 0.04}
        self.network.rule(lambda datagram: [delays[datagram.source[0]]] if datagram.source[0] in delays else None)
        began = self.network.seconds()
        contacts = self.network.run(kademlia.Lookup(node, late.id).result)
        # The late one answers after 0.095 seconds, and then the one that the other has told of.
        self.assertAlmostEqual(self.network.seconds() - began, 0.12)
        self.assertEqual([contact.id for contact in contacts], [late.id, far.id])

    def test_alone(self):
        node = self.node()
        self.wait([node.join([])])
        self.assertEqual(self.wait([node.get(u"name")]), [None])
        self.assertEqual(self.wait([node.set(u"name", 1)]), [1])
        self.assertEqual(self.wait([node.get(u"name")]), [1])
        self.assertEqual(self.network.counts.sent, 0)

    def test_nobodyWhereItJoins(self):
        node = self.node()
        self.wait([node.join([("10.9.9.9", PORT), self.address(node)])])
        self.assertEqual(self.known(node), set())

    def test_nodesOfIPv6(self):
        nodes = [kademlia.Node(self.chance) for _ in range(5)]
        for number, node in enumerate(nodes):
            self.network.host("2001:db8::{}".format(number)).listenUDP(PORT, node)
            self.wait([node.join([("2001:db8::0", PORT)])])
        self.assertEqual(self.wait([nodes[1].set(u"name", b"value")]), [5])
        self.assertEqual([len(self.known(node)) for node in nodes], [4] * 5)

    def test_alphaAtOneTime(self):
        nodes = self.nodes(30)
        node, most = nodes[0], []
        deferred = node.get(u"nothing")
        while not deferred.called:
            most.append(len(node._outstanding))
            self.network.advance(0.005)
        self.assertEqual(max(most), kademlia.ALPHA)

    def test_rpcsOfThePublishedKademlias(self):
        node, caller = self.node(), self.listen(Peer())
        key = kademlia.toBytes(kademlia.hashOf(u"name"))
        ip, port = self.address(caller)
        self.assertEqual(self.call(caller, node, "ping", SOMEBODY), idOf(node.id))
        self.assertEqual(self.call(caller, node, "find_node", idOf(1), key), [[SOMEBODY, u"" + ip, port]])
        self.assertEqual(self.call(caller, node, "find_value", SOMEBODY, key), [[idOf(1), u"" + ip, port]])
        self.assertIs(self.call(caller, node, "store", SOMEBODY, key, b"value"), True)
        self.assertEqual(self.call(caller, node, "find_value", SOMEBODY, key), {u"value": b"value"})

    def test_sameSeedSameRun(self):
        counts = set()
        for _ in range(2):
            self.makeNetwork(loss=0.1)
            self.chance = random.Random(1)
            self.count = 0
            self.nodes(20)
            counts.add((self.network.seconds(), self.network.counts))
        self.assertEqual(len(counts), 1)


class RefreshTests(KademliaTestCase):
    def setUp(self):
        KademliaTestCase.setUp(self)
        # For the time that the tests take.
        self.patch(kademlia, "K", 8)

    def test_boundedTraffic(self):
        nodes = self.nodes(100)
        names = [u"name {}".format(number) for number in range(20)]
        self.wait([self.chance.choice(nodes).set(name, name) for name in names])
        before = self.network.counts.sent
        self.network.advance(4000)
        # A lookup for each bucket, of some 12 nodes; for each value one, the stores, and those that ask for it.
        buckets = sum(len(node.buckets) for node in nodes)
        self.assertLess(self.network.counts.sent - before, 2 * (buckets * 16 + 20 * 50))
        self.assertEqual([node._outstanding for node in nodes], [{}] * 100)
        before = self.network.counts.sent
        self.network.advance(3000)
        self.assertEqual(self.network.counts.sent, before)

    def test_valuesOutliveTheNodesThatStoreThem(self):
        nodes = self.nodes(24)
        names = [u"name {}".format(number) for number in range(20)]
        self.wait([self.chance.choice(nodes).set(name, name) for name in names])
        for _ in range(3):
            self.chance.shuffle(nodes)
            for node in nodes[:12]:
                node.transport.reactor.crash()
            nodes = nodes[12:]
            joining = [self.node() for _ in range(12)]
            self.wait([node.join([self.address(other) for other in nodes[:3]]) for node in joining])
            nodes += joining
            self.network.advance(4000)
        self.assertEqual(self.wait([self.chance.choice(nodes).get(name) for name in names]), names)

    def test_endsWithThePort(self):
        node = self.node()
        for _ in range(2):
            self.close(node)
            self.assertEqual(node.refreshing.running, False)
            node.transport = None
            self.network.host("10.0.0.1").listenUDP(PORT, node)
        self.assertEqual(len(self.network.host("10.0.0.1").getDelayedCalls()), 1)

    def test_portClosedMeanwhile(self):
        # At any time, and with values to store again.
        nodes = self.nodes(8)
        self.wait([nodes[0].set(u"name {}".format(number), number) for number in range(40)])
        before = self.network.seconds()
        self.network.advance(3600 - before)
        for number in range(len(nodes)):
            self.network.advance(0.05)
            self.close(nodes[number])
            self.assertEqual(nodes[number].transport, None)
            self.assertFalse(nodes[number].refreshing.running)
            self.network.host(self.hostOf(number)).listenUDP(PORT, nodes[number])
        self.network.advance(4000)
        self.assertEqual([node.refreshing.running for node in nodes], [True] * 8)

    def hostOf(self, number):
        return "10.0.0.{}".format(number + 1)


class BucketTests(KademliaTestCase):
    """
    Buckets of two, and a node whose one bucket is that of the others.
    """

    def setUp(self):
        KademliaTestCase.setUp(self)
        self.patch(kademlia, "K", 2)
        self.node_ = self.node(0)
        self.pings = []
        self.peers = []

    def peer(self, nodeID, address=None):
        """
        @return: a peer with this id that C{self.node_} has heard from.
        """

        def answer(method, sender, *arguments):
            self.pings.append((method, nodeID))
            return idOf(nodeID)

        peer = self.listen(Peer(answer))
        self.peers.append(peer)
        self.hear(peer, nodeID)
        return peer

    def hear(self, peer, nodeID, method="find_node"):
        self.call(peer, self.node_, method, *[idOf(nodeID), idOf(0)][: 1 + (method != "ping")])

    def bucket(self):
        return [contact.id & 255 for contact in self.node_.buckets[160]]

    FAR = 1 << 159

    def test_leastRecentlySeenFirst(self):
        first = self.peer(self.FAR + 1)
        self.peer(self.FAR + 2)
        self.assertEqual(self.bucket(), [1, 2])
        self.hear(first, self.FAR + 1)
        self.assertEqual(self.bucket(), [2, 1])
        self.network.advance(5)
        self.assertEqual(self.pings, [])

    def test_oldestThatAnswersIsKept(self):
        for number in (1, 2, 3):
            self.peer(self.FAR + number)
        self.network.advance(5)
        self.assertEqual(self.pings, [("ping", self.FAR + 1)])
        self.assertEqual(self.bucket(), [2, 1])

    def test_oldestThatDoesNotAnswerIsReplaced(self):
        for number in (1, 2):
            self.peer(self.FAR + number)
        self.peers[0].transport.reactor.crash()
        self.peer(self.FAR + 3)
        self.assertEqual(self.bucket(), [1, 2])
        self.network.advance(10)
        self.assertEqual(self.bucket(), [2, 3])

    def test_pingLeadsToNoPing(self):
        for number in (1, 2):
            self.peer(self.FAR + number)
        stranger = self.listen(Peer())
        self.hear(stranger, self.FAR + 3, "ping")
        self.network.advance(5)
        self.assertEqual(self.pings, [])

    def test_noStampedeOfPings(self):
        for number in (1, 2):
            self.peer(self.FAR + number)
        stranger = self.listen(Peer())
        for number in range(200):
            stranger.find_node(self.address(self.node_), idOf(self.FAR + 3 + number), idOf(0))
        self.network.advance(5)
        self.assertEqual(self.pings, [("ping", self.FAR + 1)])

    def test_oneAddressForAnId(self):
        first = self.peer(self.FAR + 1)
        stranger = self.listen(Peer())
        for _ in range(3):
            self.hear(stranger, self.FAR + 1)
            self.network.advance(5)
        self.assertEqual([contact.triple[1] for contact in self.node_.buckets[160]], [self.address(first)[0]])
        first.transport.reactor.crash()
        self.hear(stranger, self.FAR + 1)
        self.network.advance(5)
        self.assertEqual([contact.triple[1] for contact in self.node_.buckets[160]], [self.address(stranger)[0]])

    def test_boundedWhoeverComes(self):
        stranger = self.listen(Peer())
        for _ in range(3000):
            nodeID = self.chance.getrandbits(160) >> self.chance.randrange(160)
            stranger.find_node(self.address(self.node_), idOf(nodeID), idOf(0))
        self.network.advance(20)
        self.assertLessEqual(max(len(bucket) for bucket in self.node_.buckets.values()), 2)
        self.assertLessEqual(set(self.node_.buckets), set(range(1, 161)))
        self.assertEqual((self.node_.checked, self.node_._outstanding), (set(), {}))


class StrangerTests(KademliaTestCase):
    """
    What a stranger sends has no effect that lasts, and is not logged.
    """

    def hostile(self, node, answer):
        """
        @return: a peer that C{node} knows, and whose answer to each request C{answer} returns.
        """
        peer = self.listen(Peer(lambda method, *_: answer(method)))
        self.network.run(peer.ping(self.address(node), idOf(self.chance.getrandbits(160))))
        return peer

    def useAll(self, node):
        """
        Have C{node} ask its contacts for everything.
        """
        self.wait([node.set(u"name", b"value"), node.get(u"other"), kademlia.Lookup(node, node.id).result])
        self.wait([node.refresh()])

    def test_requestsOfAnyShape(self):
        node, stranger = self.node(), self.listen(Peer())
        things = NO_CONTACTS + [idOf(node.id), SOMEBODY, [1, [2, {u"3": []}]], {1: {2: 3}}, u"\x00", -(2**63), 1e308]
        for method in ("ping", "store", "find_node", "find_value"):
            for count in range(5):
                for thing in things:
                    getattr(stranger, method)(self.address(node), *[thing] * count)
                    getattr(stranger, method)(self.address(node), *([SOMEBODY] * count + [thing]))
                    getattr(stranger, method)(self.address(node), *([thing] + [SOMEBODY] * count))
        for method in (u"", u"refresh", u"seen", u"ask", u"rpc_ping", u"\xe4", u"__init__"):
            call(stranger, self.address(node), method, [1])
        self.network.advance(10)
        self.assertEqual(self.known(node), {kademlia.fromBytes(SOMEBODY)})
        self.assertEqual(set(node.stored), {kademlia.fromBytes(SOMEBODY), node.id})

    def test_valuesThatGrow(self):
        # Numbers of 4 bytes are sent back as such of 8, and no answer would hold them.
        node, stranger = self.node(), self.listen(Peer())
        key = kademlia.toBytes(kademlia.hashOf(u"name"))
        floats = b"\xdc\x05\xdc" + b"\xca\x3f\x80\x00\x00" * 1500
        request = b"\x00" + b"m" * 20 + b"\x92\xa5store\x93\xc4\x14" + SOMEBODY + b"\xc4\x14" + key + floats
        stranger.transport.write(request, self.address(node))
        self.network.advance(1)
        self.assertEqual(self.call(stranger, node, "find_value", idOf(1), key), [[SOMEBODY, u"10.0.0.2", PORT]])
        self.wait([node.refresh()])

    def test_valueThatIsTooLongToBeSentAgainWithAnID(self):
        node, stranger = self.node(), self.listen(Peer())
        for wrong in (b"", None, 1, []):
            self.assertIs(self.call(stranger, node, "store", wrong, idOf(1), b"x" * 8150), False)
        self.assertEqual(node.stored, {})

    def test_whoeverAsksIsNotToldOfThemselves(self):
        node, stranger = self.node(), self.listen(Peer())
        for method in ("find_node", "find_value"):
            self.assertEqual(self.call(stranger, node, method, SOMEBODY, idOf(1)), [])
        self.assertEqual(
            self.call(stranger, node, "find_node", idOf(1), SOMEBODY), [[SOMEBODY, u"10.0.0.2", PORT]]
        )

    def test_noListsNorMapsAreStored(self):
        node, stranger = self.node(), self.listen(Peer())
        for value in ([], {}, [[]] * 100, {u"a": 1}):
            self.assertIs(self.call(stranger, node, "store", SOMEBODY, SOMEBODY, value), False)
        self.assertEqual(node.stored, {})

    def test_storeIsBounded(self):
        self.patch(kademlia, "MAX_STORED", 5)
        node, stranger = self.node(), self.listen(Peer())
        stored = [self.call(stranger, node, "store", SOMEBODY, idOf(number), b"old") for number in range(8)]
        self.assertEqual(stored, [True] * 5 + [False] * 3)
        self.assertTrue(self.call(stranger, node, "store", SOMEBODY, idOf(4), b"new"))
        self.assertEqual((len(node.stored), node.stored[4]), (5, b"new"))

    def test_answersOfAnyShape(self):
        answers = NO_CONTACTS + [{u"value": 1}, {u"value": [[]]}, {b"value": 1}, [NO_CONTACTS] * 3]
        answers += [NO_CONTACTS[start : start + kademlia.K] for start in range(0, len(NO_CONTACTS), 7)]
        node = self.node()
        for answer in answers:
            peer = self.hostile(node, lambda _: answer)
            self.useAll(node)
            self.close(peer)
            self.wait([node.refresh()])
        self.assertEqual(self.known(node), set())

    def test_addressesThatAreNone(self):
        node = self.node()
        contacts = [[idOf(number + 1), ip, port] for number, (ip, port) in enumerate(NO_ADDRESSES)]
        for start in range(0, len(contacts), 10):
            peer = self.hostile(node, lambda _: contacts[start : start + 10])
            self.useAll(node)
            self.assertEqual(len(self.known(node)), 1)
            self.close(peer)
            self.wait([node.refresh()])

    def test_duplicatesAndItself(self):
        node, other = self.nodes(2)
        ip, port = self.address(other)
        own = [idOf(node.id)] + list(self.address(node))
        answer = [own, [idOf(other.id), ip, port], [idOf(other.id), ip, port], [idOf(other.id), ip, 1], own, own]
        self.hostile(node, lambda _: answer * 3)
        self.useAll(node)
        self.assertEqual(len(self.known(node)), 2)
        self.assertNotIn(node.id, self.known(node))

    def test_answersThatDifferEachTime(self):
        nodes = self.nodes(10)

        def answer(_):
            things = NO_CONTACTS + [[idOf(self.chance.getrandbits(160)), u"10.0.0.1", PORT], {u"value": [1]}]
            thing = self.chance.choice(things)
            return [thing, self.chance.choice(things)] if self.chance.random() < 0.5 else thing

        for node in nodes:
            self.hostile(node, answer)
        for node in nodes:
            self.useAll(node)

    def test_everCloserNodesThatAreInvented(self):
        node = self.node()
        key = kademlia.hashOf(u"name")
        invented = itertools.count()

        def answer(method, sender, *arguments):
            return [[idOf(key ^ ((1 << 60) - next(invented))), u"10.0.0.2", PORT] for _ in range(kademlia.K)]

        peer = self.listen(Peer(answer))
        self.network.run(peer.ping(self.address(node), SOMEBODY))
        lookups = [kademlia.Lookup(node, key), kademlia.Lookup(node, key, "find_value")]
        self.network.advance(60)
        results = [self.successResultOf(lookup.result) for lookup in lookups]
        self.assertEqual([contacts and len(contacts) for contacts in results], [kademlia.K, None])
        self.assertEqual([len(lookup.hasAsked) for lookup in lookups], [kademlia.MAX_ASKED] * 2)

    def test_valueIsNoAnswerToFindNode(self):
        nodes = self.nodes(30)
        self.wait([nodes[0].set(u"before", 1)])
        key = kademlia.hashOf(u"name")
        liar = self.listen(Peer(lambda method, *_: {u"value": b"lie"} if method == "find_node" else True))
        for node in nodes:
            # The first to be asked.
            self.network.run(liar.ping(self.address(node), idOf(key)))
        node = nodes[0]
        contacts = self.network.run(kademlia.Lookup(node, key).result)
        ids = [other.id for other in nodes if other is not node]
        self.assertEqual([contact.id for contact in contacts], sorted(ids + [key], key=lambda one: one ^ key)[:20])

    def test_valueOfAnyShape(self):
        node = self.node()
        self.hostile(node, lambda _: {u"value": [{}], u"more": 1})
        self.assertEqual(self.wait([node.get(u"name")]), [[{}]])


class PortTests(KademliaTestCase):
    def test_closedDuringLookups(self):
        # At any time of them.
        for delay in range(8):
            nodes = self.nodes(25)
            node = nodes[0]
            before = self.known(node)
            deferreds = [node.get(u"name"), node.set(u"name", 1), node.join([self.address(nodes[1])])]
            self.network.advance(delay * 0.013)
            self.close(node)
            self.assertTrue(all(deferred.called for deferred in deferreds))
            self.wait(deferreds)
            self.assertEqual(node._outstanding, {})
            self.assertGreaterEqual(self.known(node), before, "those that were being asked are not dead")

    def test_closedDuringACheck(self):
        self.patch(kademlia, "K", 1)
        node, stranger = self.node(0), self.listen(Peer())
        for number in (1, 2):
            stranger.find_node(self.address(node), idOf((1 << 159) + number), idOf(0))
        self.network.advance(0.03)
        self.assertEqual(len(node.checked), 1)
        self.close(node)
        self.assertEqual((node.checked, self.known(node)), (set(), {(1 << 159) + 1}))

    def test_callsOnAClosedPort(self):
        nodes = self.nodes(3)
        self.close(nodes[0])
        self.assertEqual(self.wait([nodes[0].get(u"name"), nodes[0].set(u"name", 1)]), [None, 1])

    def test_reopened(self):
        nodes = self.nodes(25)
        self.wait([nodes[0].set(u"name", 1)])
        node = nodes[3]
        self.close(node)
        self.network.advance(10)
        self.network.host("10.0.0.4").listenUDP(PORT + 1, node)
        self.assertEqual(self.wait([node.get(u"name"), node.set(u"other", 2)])[0], 1)
        self.network.advance(10)
        for other in nodes:
            if other is not node and node.id in self.known(other):
                ports = [c.triple[2] for bucket in other.buckets.values() for c in bucket if c.id == node.id]
                self.assertEqual(len(ports), 1)
        self.assertEqual(self.wait([other.get(u"other") for other in nodes]), [2] * 25)

    def test_cancelled(self):
        nodes = self.nodes(25)
        deferred = nodes[0].get(u"nothing")
        self.network.advance(0.01)
        deferred.cancel()
        self.failureResultOf(deferred, defer.CancelledError)
        self.network.advance(10)
        self.assertEqual(nodes[0]._outstanding, {})

    def test_valueThatCannotBeSent(self):
        # It is not kept either, and no contact suffers for it.
        nodes = self.nodes(3)
        before = [self.known(node) for node in nodes]
        for value in (b"v" * 8192, object()):
            deferred = nodes[0].set(u"name", value)
            self.network.advance(10)
            self.assertEqual(self.failureResultOf(deferred).type.__name__, "MalformedMessage")
        self.assertEqual([self.known(node) for node in nodes], before)
        self.assertEqual([node.stored for node in nodes], [{}] * 3)


class CommandLineTests(TestCase):
    timeout = 120

    def runProgram(self, *arguments):
        """
        @return: a Deferred of what it prints and writes to standard error, in lines, and of its exit code.
        """

        def inLines(outcome):
            out, err, code = outcome
            return out.decode("ascii").splitlines(), err.decode("ascii").splitlines(), code

        command = [PROGRAM] + list(arguments)
        return getProcessOutputAndValue(sys.executable, command, ENVIRONMENT).addCallback(inLines)

    @defer.inlineCallbacks
    def test_overLoopback(self):
        out, err, code = yield self.runProgram()
        self.assertEqual((out[0], err, code), (u"50 of 50 nodes have joined.", [], 0))
        # How many, depends on how fast the machine is just now.
        self.assertTrue(out[1].startswith(u"20 of 20 values were found; each is stored by "), out)

    @defer.inlineCallbacks
    def test_inVirtualTime(self):
        arguments = ["--simulated", "30", "--loss", "0.05", "--seed", "1"]
        outcomes = yield defer.gatherResults([self.runProgram(*arguments) for _ in range(2)])
        out, err, code = outcomes[0]
        self.assertEqual((err, code), ([], 0))
        self.assertEqual(out[0], u"30 of 30 nodes have joined.")
        self.assertTrue(out[1].startswith(u"20 of 20 values were found; "), out)
        self.assertTrue(out[2].startswith(u"It took "), out)
        self.assertEqual(outcomes[0], outcomes[1])

    @defer.inlineCallbacks
    def test_wrongArguments(self):
        for arguments in (
            ["--simulated", "0"],
            ["--simulated", "-1"],
            ["--simulated", "16777216"],
            ["--simulated", "many"],
            ["--loss", "2"],
            ["--simulated", "5", "--loss", "-0.1"],
            ["--simulated", "5", "--loss", "nan"],
            ["--seed", "x"],
        ):
            out, err, code = yield self.runProgram(*arguments)
            self.assertEqual((out, code), ([], 2))
            self.assertTrue(err[0].startswith(u"usage: kademlia.py "), err)
            self.assertTrue(err[-1].startswith(u"kademlia.py: error: "), err)
            self.assertNotIn(u"Traceback", u"".join(err))
