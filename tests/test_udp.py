"""
Real UDP, on loopback.
"""

import errno
import os
import socket
import sys

import umsgpack
from twisted.internet import defer, reactor, task
from twisted.internet.error import InvalidAddressError
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from rpcudp.exceptions import MalformedMessage
from rpcudp.protocol import RPCProtocol
from tests.support import ENVIRONMENT, FakeTransport, collectLog


def withoutIPv6():
    """
    @return: why tests of IPv6 have to be left out, or C{None}.
    """
    probe = None
    try:
        probe = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        probe.bind(("::1", 0))
    except socket.error as error:
        return "this machine has no IPv6: {}".format(error)
    finally:
        if probe:
            probe.close()


class Node(RPCProtocol):
    failed = 0

    def __init__(self, **options):
        RPCProtocol.__init__(self, **options)
        self.pending = []

    def rpc_echo(self, sender, *arguments):
        return [list(sender)] + list(arguments)

    def rpc_length(self, sender, data):
        return len(data)

    def rpc_bytes(self, sender, length):
        return b"x" * length

    def rpc_never(self, sender):
        self.pending.append(defer.Deferred())
        return self.pending[-1]

    def rpc_fail(self, sender):
        self.failed += 1
        raise ValueError("on purpose")


class UDPTestCase(TestCase):
    def listen(self, interface="127.0.0.1", **options):
        """
        @return: a protocol that listens until the test ends, and its address.
        """
        protocol = Node()
        port = reactor.listenUDP(0, protocol, interface=interface, **options)
        self.addCleanup(port.stopListening)
        host = port.getHost()
        return protocol, (host.host, host.port)


class CallTests(UDPTestCase):
    @defer.inlineCallbacks
    def test_thereAndBack(self):
        caller, here = self.listen()
        _, there = self.listen()
        result = yield caller.echo(there, u"text", b"bytes", 1)
        self.assertEqual(result, (True, [list(here), u"text", b"bytes", 1]))

    @defer.inlineCallbacks
    def test_bothWaysAndManyAtOnce(self):
        one, here = self.listen()
        other, there = self.listen()
        calls = [one.echo(there, number) for number in range(50)] + [other.echo(here, number) for number in range(50)]
        results = yield defer.gatherResults(calls)
        self.assertEqual(
            results,
            [(True, [list(here), number]) for number in range(50)]
            + [(True, [list(there), number]) for number in range(50)],
        )

    @defer.inlineCallbacks
    def test_itselfToo(self):
        node, here = self.listen()
        result = yield node.echo(here)
        self.assertEqual(result, (True, [list(here)]))

    @defer.inlineCallbacks
    def test_IPv6(self):
        caller, here = self.listen("::1")
        _, there = self.listen("::1")
        result = yield caller.echo(there, u"text")
        self.assertEqual(result, (True, [list(here), u"text"]))

    test_IPv6.skip = withoutIPv6()

    def test_otherIPVersionRaisesAtTheCall(self):
        four, addressOfFour = self.listen()
        six, addressOfSix = self.listen("::1")
        for node, address in ((four, addressOfSix), (six, addressOfFour)):
            self.assertRaises(ValueError, node.echo, address)
            self.assertEqual(node._outstanding, {})

    test_otherIPVersionRaisesAtTheCall.skip = withoutIPv6()

    @defer.inlineCallbacks
    def test_answerFromAnotherAddressThanTheOneThatWasCalled(self):
        class TwoHomed(DatagramProtocol):
            def datagramReceived(self, datagram, address):
                elsewhere.transport.write(b"\x01" + datagram[1:21] + b"\x2a", address)

        caller, _ = self.listen()
        elsewhere, _ = self.listen()
        port = reactor.listenUDP(0, TwoHomed(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        result = yield caller.anything(("127.0.0.1", port.getHost().port))
        self.assertEqual(result, (True, 42))

    @defer.inlineCallbacks
    def test_whatTheOperatingSystemRefusesIsALoss(self):
        # A socket on loopback does not reach beyond.
        caller, _ = self.listen()
        deferred = caller.echo(("192.0.2.7", 9))
        self.assertNoResult(deferred)
        yield caller.transport.stopListening()
        self.assertEqual(self.successResultOf(deferred), (False, None))


class ConnectedTestCase(UDPTestCase):
    """
    A port that is connected to one peer speaks to nobody else.
    """

    interface = "127.0.0.1"
    # Of the same address.
    otherwise = "127.0.0.1"

    def setUp(self):
        self.node, self.here = self.listen(self.interface)
        self.peer, self.there = self.listen(self.interface)
        self.stranger, self.elsewhere = self.listen(self.interface)
        collectLog(self)

    def assertRefused(self, address):
        error = self.assertRaises(InvalidAddressError, self.node.echo, address)
        self.assertIn("the port is connected to {!r}".format(self.there), str(error))
        self.assertEqual(self.node._outstanding, {})


class ConnectedMixin(object):
    @defer.inlineCallbacks
    def test_callsToThePeerWork(self):
        self.connect()
        for address in (self.there, list(self.there), (self.otherwise, self.there[1])):
            result = yield self.node.echo(address, 1)
            self.assertEqual(result, (True, [list(self.here), 1]))

    @defer.inlineCallbacks
    def test_callsOfThePeerAreAnswered(self):
        self.connect()
        for _ in range(2):
            result = yield self.peer.echo(self.here)
            self.assertEqual(result, (True, [list(self.there)]))

    def test_anyOtherAddressIsRefused(self):
        self.connect()
        self.assertRefused(self.elsewhere)
        self.assertRefused((self.there[0], self.there[1] % 65535 + 1))

    def test_whatStrangersSentBeforeIsNeitherAnsweredNorLogged(self):
        self.connect()
        request = b"\x00" + b"\x00" * 20 + umsgpack.packb([u"fail", []])
        call = self.node.never(self.there)
        [msgID] = self.node._outstanding
        for datagram in (request, request, b"junk", b"\x01" + msgID + b"\x01"):
            self.node.datagramReceived(datagram, self.elsewhere)
        self.assertEqual((self.node.failed, self.events), (0, []))
        self.assertNoResult(call)


class ConnectedTests(ConnectedMixin, ConnectedTestCase):
    def connect(self):
        self.node.transport.connect(self.otherwise, self.there[1])

    @defer.inlineCallbacks
    def test_requestsInHandBeforeAreNotAnswered(self):
        self.node.datagramReceived(b"\x00" + b"\x00" * 20 + umsgpack.packb([u"never", []]), self.elsewhere)
        self.connect()
        received = []
        self.peer._acceptResponse = self.peer._acceptRequest = lambda *arguments: received.append(arguments)
        self.peer._outstanding[b"\x00" * 20] = defer.Deferred()
        self.node.pending[0].callback(7)
        # Nor does the peer get the answer: what it gets next is this.
        self.node.never(self.there).addErrback(lambda _: None)
        while not received:
            yield task.deferLater(reactor, 0, lambda: None)
        self.assertEqual([data for _, data, _ in received], [[u"never", []]])
        self.assertEqual(self.events, [])

    def test_portThatCouldNotBeConnected(self):
        # Twisted takes it for connected all the same.
        self.node.transport._connectedAddr = self.there
        for _ in range(2):
            self.node.datagramReceived(b"\x00" + b"\x00" * 20 + umsgpack.packb([u"echo", []]), self.elsewhere)
        self.assertEqual(self.events, [])
        self.assertNoResult(self.node.echo(self.there))

    def test_callsInFlightBeforeEndInTime(self):
        clock = task.Clock()
        node = RPCProtocol(waitTimeout=(1, 1), reactor=clock)
        port = reactor.listenUDP(0, node, interface=self.interface)
        self.addCleanup(port.stopListening)
        call = node.never(self.elsewhere)
        node.transport.connect(*self.there)
        clock.pump([1, 1])
        self.assertEqual(self.successResultOf(call), (False, None))


class ConnectedIPv6Tests(ConnectedTests):
    interface = "::1"
    otherwise = "0:0:0:0:0:0:0:1"
    skip = withoutIPv6()


class AdoptedTests(ConnectedMixin, ConnectedTestCase):
    """
    The socket was connected before Twisted had it.
    """

    def connect(self):
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(opened.close)
        opened.bind((self.interface, 0))
        opened.connect(self.there)
        opened.setblocking(False)
        self.node = Node()
        port = reactor.adoptDatagramPort(opened.fileno(), socket.AF_INET, self.node)
        self.addCleanup(port.stopListening)
        self.here = opened.getsockname()


class OptimisedTests(TestCase):
    """
    Nothing depends on assertions, Twisted's included.
    """

    def test_connectedPort(self):
        command = [sys.executable, "-O", "-m", "twisted.trial", "--temp-directory", os.path.abspath(self.mktemp())]
        command += ["tests.test_udp.ConnectedTests", "tests.test_udp.AdoptedTests"]
        ended = getProcessOutputAndValue(command[0], command[1:], env=ENVIRONMENT)
        return ended.addCallback(lambda result: self.assertEqual(result[2], 0, result[0]))


class PayloadTests(UDPTestCase):
    """
    Exactly 8192 bytes get through on a plain C{reactor.listenUDP(port, protocol)}.
    """

    def test_receiveBufferHoldsTheLongestDatagram(self):
        node, _ = self.listen()
        self.assertEqual(node.transport.maxPacketSize, 8213)

    def test_largerReceiveBufferIsKept(self):
        node, _ = self.listen(maxPacketSize=60000)
        self.assertEqual(node.transport.maxPacketSize, 60000)

    @defer.inlineCallbacks
    def test_asACall(self):
        caller, _ = self.listen()
        _, there = self.listen()
        self.assertEqual(len(umsgpack.packb([u"length", [b"x" * 8180]])), 8192)
        result = yield caller.length(there, b"x" * 8180)
        self.assertEqual(result, (True, 8180))
        self.assertRaises(MalformedMessage, caller.length, there, b"x" * 8181)

    @defer.inlineCallbacks
    def test_asAnAnswer(self):
        caller, _ = self.listen()
        _, there = self.listen()
        self.assertEqual(len(umsgpack.packb(b"x" * 8189)), 8192)
        result = yield caller.bytes(there, 8189)
        self.assertEqual(result, (True, b"x" * 8189))


class FakeSocket(object):
    def __init__(self, size, refusal=None):
        self.size = size
        self.refusal = refusal

    def getsockopt(self, level, option):
        return {(socket.SOL_SOCKET, socket.SO_RCVBUF): self.size}[level, option]

    def setsockopt(self, level, option, size):
        if self.refusal:
            raise self.refusal
        self.size = size


class ReceiveBufferTests(UDPTestCase):
    """
    A hundred answers may arrive at once.
    """

    def sizeAfterStart(self, fakeSocket):
        transport = FakeTransport()
        transport.socket = fakeSocket
        Node().makeConnection(transport)
        return fakeSocket.size

    def test_largerThanTheSystems(self):
        node, _ = self.listen()
        plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(plain.close)
        default = plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.assertGreater(node.transport.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), default)

    def test_oneMebibyteIsAskedFor(self):
        self.assertEqual(self.sizeAfterStart(FakeSocket(212992)), 1048576)

    def test_largerOneIsKept(self):
        self.assertEqual(self.sizeAfterStart(FakeSocket(4000000)), 4000000)

    def test_refusalIsOfNoConsequence(self):
        refusal = socket.error(errno.ENOBUFS, "no buffer space")
        self.assertEqual(self.sizeAfterStart(FakeSocket(212992, refusal)), 212992)


class TinyBufferTests(UDPTestCase):
    """
    A socket whose send buffer is too small for the fragments of a long datagram, which Linux then refuses.
    """

    # Not in every Python's socket.
    IPV6_MTU = 24

    if not sys.platform.startswith("linux"):
        skip = "how to make a send buffer overflow on loopback is known of Linux only"
    else:
        skip = withoutIPv6()

    def shrink(self, node):
        node.transport.socket.setsockopt(socket.IPPROTO_IPV6, self.IPV6_MTU, 1280)
        node.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        refused = self.assertRaises(socket.error, node.transport.socket.sendto, b"x" * 8000, ("::1", 9))
        self.assertEqual(refused.errno, errno.ENOBUFS)

    def grow(self, node):
        node.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100000)

    @defer.inlineCallbacks
    def checkWaiting(self, tiny, caller, method, *arguments):
        """
        A call is answered once the buffer of C{tiny} has room, and not before.
        """
        self.shrink(tiny)
        call = getattr(caller, method)(*arguments)
        yield task.deferLater(reactor, 0.05, lambda: None)
        self.assertNoResult(call)
        self.grow(tiny)
        result = yield call
        defer.returnValue(result)

    @defer.inlineCallbacks
    def test_callWaits(self):
        caller, _ = self.listen("::1")
        _, there = self.listen("::1")
        result = yield self.checkWaiting(caller, caller, "length", there, b"x" * 8000)
        self.assertEqual(result, (True, 8000))

    @defer.inlineCallbacks
    def test_answerWaits(self):
        caller, _ = self.listen("::1")
        answerer, there = self.listen("::1")
        result = yield self.checkWaiting(answerer, caller, "bytes", there, 8000)
        self.assertEqual(result, (True, b"x" * 8000))

    @defer.inlineCallbacks
    def test_bufferThatNeverHasRoom(self):
        caller, here = self.listen("::1")
        caller._waitTimeout = 0.05
        self.shrink(caller)
        result = yield caller.length(here, b"x" * 8000)
        self.assertEqual(result, (False, None))
        self.grow(caller)
        result = yield caller.length(here, b"x" * 8000)
        self.assertEqual(result, (True, 8000))


class StoppingTests(TestCase):
    """
    Trial itself sees to it that no timer is left in the reactor.
    """

    @defer.inlineCallbacks
    def test_stoppingFiresThousandsOfCallsAndThePortMayBeTakenAgain(self):
        node = Node()
        port = reactor.listenUDP(0, node, interface="127.0.0.1")
        address = ("127.0.0.1", port.getHost().port)
        calls = [node.never(address) for _ in range(3000)]
        yield port.stopListening()
        results = yield defer.gatherResults(calls)
        self.assertEqual(set(results), {(False, None)})
        again = reactor.listenUDP(address[1], node, interface="127.0.0.1")
        result = yield node.echo(address, 1)
        self.assertEqual(result, (True, [list(address), 1]))
        yield again.stopListening()
