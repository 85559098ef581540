"""
What a UDP port promises: the same tests for those of a simulated network and for the operating system's, on loopback.
"""

import errno
import functools
import socket
import sys

from twisted.internet import defer, reactor, task
from twisted.internet.error import CannotListenError, InvalidAddressError, MessageLengthError
from twisted.internet.interfaces import IListeningPort, IUDPTransport
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from rpcudp.testing import SimulatedNetwork
from tests.test_udp import withoutIPv6


class Listener(DatagramProtocol, object):
    """
    @ivar received: a L{DeferredQueue} of the datagrams that come, and their sources.
    @ivar started: how often it was told that a port has taken it.
    @ivar stopped: how often it was told that its port is closed.
    """

    noisy = False
    started = stopped = 0

    def __init__(self):
        self.received = defer.DeferredQueue()

    def startProtocol(self):
        self.started += 1

    def stopProtocol(self):
        self.stopped += 1

    def datagramReceived(self, datagram, address):
        self.received.put((datagram, address))


class FailingListener(Listener):
    def datagramReceived(self, datagram, address):
        Listener.datagramReceived(self, datagram, address)
        raise ValueError("on purpose")


def settled(test):
    """
    A decorator for tests that yield the Deferreds that they wait for.
    """
    test = defer.inlineCallbacks(test)

    @functools.wraps(test)
    def wrapper(self):
        return self.settle(test(self))

    return wrapper


class RealPorts(TestCase):
    """
    The operating system's.
    """

    # Seconds, for a datagram that never comes.
    timeout = 20
    reactor = reactor

    def settle(self, deferred):
        return deferred


class SimulatedPorts(object):
    """
    Those of a host in a network.
    """

    def setUp(self):
        self.network = SimulatedNetwork()
        self.reactor = self.network.host(self.ip)

    def settle(self, deferred):
        return self.network.run(deferred)


class IPv4(object):
    ip = "127.0.0.1"
    otherwise = "127.0.0.1"
    wildcard = "0.0.0.0"
    # Of documentation, and so of no machine.
    foreign = "192.0.2.7"
    ofOtherFamily = "::1"
    family = socket.AF_INET


class IPv6(object):
    ip = "::1"
    otherwise = "0:0:0:0:0:0:0:1"
    wildcard = "::"
    foreign = "2001:db8::7"
    ofOtherFamily = "127.0.0.1"
    family = socket.AF_INET6


class PortMixin(object):
    """
    The tests.
    """

    def listen(self, protocol=None, number=0, interface=None, **options):
        """
        @return: a protocol, its port, and the address of that; it listens until the test ends.
        """
        if protocol is None:
            protocol = Listener()
        interface = self.ip if interface is None else interface
        port = self.reactor.listenUDP(number, protocol, interface=interface, **options)
        self.addCleanup(port.stopListening)
        return protocol, port, (self.ip, port.getHost().port)

    def assertSocketError(self, code, function, *arguments):
        self.assertEqual(self.assertRaises(socket.error, function, *arguments).args[0], code)

    @defer.inlineCallbacks
    def assertReceived(self, protocol, *expected):
        """
        What has come is, in its order, C{expected}, and nothing else: what comes last is waited for.
        """
        found = []
        for _ in expected:
            received = yield protocol.received.get()
            found.append(received)
        # The protocol is still in the middle of it.
        yield task.deferLater(self.reactor, 0, lambda: None)
        self.assertEqual(found, list(expected))
        self.assertEqual(protocol.received.pending, [])

    # What a port is.

    def test_interfaces(self):
        _, port, _ = self.listen()
        verifyObject(IListeningPort, port)
        verifyObject(IUDPTransport, port)

    def test_portIsTheTransport(self):
        protocol, port, _ = self.listen()
        self.assertIs(protocol.transport, port)
        self.assertIs(port.reactor, self.reactor)
        self.assertEqual(port.addressFamily, self.family)
        self.assertEqual(protocol.started, 1)

    def test_address(self):
        _, port, (_, number) = self.listen()
        found = port.getHost()
        self.assertEqual((found.type, found.host, found.port), ("UDP", self.ip, number))
        self.assertEqual(port.getHandle().getsockname()[:2], (self.ip, number))

    def test_wildcard(self):
        _, port, _ = self.listen(interface=self.wildcard)
        self.assertEqual(port.getHost().host, self.wildcard)

    def test_portZeroIsOneThatIsFree(self):
        numbers = [self.listen()[2][1] for _ in range(20)]
        self.assertEqual(len(set(numbers)), 20)
        for number in numbers:
            self.assertGreater(number, 1023)

    def test_maxPacketSize(self):
        self.assertEqual(self.listen()[1].maxPacketSize, 8192)
        self.assertEqual(self.listen(maxPacketSize=7)[1].maxPacketSize, 7)

    # What cannot be listened on.

    def test_takenPort(self):
        first, _, (_, number) = self.listen()
        for interface in (self.ip, self.wildcard):
            second = Listener()
            error = self.assertRaises(CannotListenError, self.listen, second, number, interface)
            self.assertEqual((error.interface, error.port), (interface, number))
            self.assertEqual(error.socketError.args[0], errno.EADDRINUSE)
            self.assertEqual((second.started, second.transport), (0, None))
        self.assertIsNot(first.transport, None)

    def test_portThatIsTakenOnAllInterfaces(self):
        _, _, (_, number) = self.listen(interface=self.wildcard)
        self.assertRaises(CannotListenError, self.listen, None, number)

    def test_addressOfAnotherHost(self):
        error = self.assertRaises(CannotListenError, self.listen, interface=self.foreign)
        self.assertEqual(error.socketError.args[0], errno.EADDRNOTAVAIL)

    def test_interfaceThatIsNoAddress(self):
        for wrong in ("localhost", "127.0.0", "1::2::3"):
            self.assertRaises(InvalidAddressError, self.listen, interface=wrong)

    def test_numbersThatAreNoPorts(self):
        for wrong in (-1, 65536, 70000):
            self.assertRaises(OverflowError, self.listen, None, wrong)
        for wrong in ("5", 5.5):
            self.assertRaises(TypeError, self.listen, None, wrong)

    # Datagrams.

    @settled
    def test_thereAndBack(self):
        one, _, here = self.listen()
        other, _, there = self.listen()
        one.transport.write(b"ping", there)
        yield self.assertReceived(other, (b"ping", here))
        other.transport.write(b"pong", here)
        yield self.assertReceived(one, (b"pong", there))

    @settled
    def test_itselfToo(self):
        protocol, _, here = self.listen()
        protocol.transport.write(b"echo", here)
        yield self.assertReceived(protocol, (b"echo", here))

    @settled
    def test_portOnAllInterfacesHearsAndIsHeard(self):
        one, _, here = self.listen(interface=self.wildcard)
        other, _, there = self.listen(interface=self.wildcard)
        one.transport.write(b"ping", there)
        yield self.assertReceived(other, (b"ping", here))

    @settled
    def test_anotherSpellingOfTheAddress(self):
        one, _, here = self.listen()
        other, _, (_, number) = self.listen()
        one.transport.write(b"ping", (self.otherwise, number))
        yield self.assertReceived(other, (b"ping", here))

    @settled
    def test_order(self):
        one, _, here = self.listen()
        other, _, there = self.listen()
        datagrams = [str(number).encode("ascii") for number in range(50)]
        for datagram in datagrams:
            one.transport.write(datagram, there)
        yield self.assertReceived(other, *[(datagram, here) for datagram in datagrams])

    @settled
    def test_emptyDatagram(self):
        one, _, here = self.listen()
        other, _, there = self.listen()
        one.transport.write(b"", there)
        yield self.assertReceived(other, (b"", here))

    @settled
    def test_addressIsOfTwoParts(self):
        one, _, _ = self.listen()
        other, _, there = self.listen()
        one.transport.write(b"ping", there)
        _, address = yield other.received.get()
        self.assertEqual((type(address), len(address)), (tuple, 2))
        self.assertEqual([type(part) for part in address], [str, int])

    @settled
    def test_dataIsCopied(self):
        one, _, here = self.listen()
        other, _, there = self.listen()
        data = bytearray(b"before")
        one.transport.write(data, there)
        one.transport.write(memoryview(data), there)
        data[:] = b"after!"
        for _ in range(2):
            datagram, _ = yield other.received.get()
            self.assertEqual((type(datagram), datagram), (bytes, b"before"))

    @settled
    def test_whatArrivesIsBytesAndOfNoSubclass(self):
        class Special(bytes):
            def __getitem__(self, index):
                return Special(bytes.__getitem__(self, index))

            # What Python 2 has for slices.
            def __getslice__(self, start, end):
                return Special(bytes(self)[start:end])

        one, _, here = self.listen()
        other, _, there = self.listen()
        one.transport.write(Special(b"data"), there)
        datagram, _ = yield other.received.get()
        self.assertEqual((type(datagram), datagram), (bytes, b"data"))

    @settled
    def test_writeSequence(self):
        one, _, here = self.listen()
        other, _, there = self.listen()
        one.transport.writeSequence([b"one ", b"datagram"], there)
        yield self.assertReceived(other, (b"one datagram", here))

    def test_dataThatIsNotBytes(self):
        protocol, _, here = self.listen()
        for wrong in (None, 5, [b"data"]):
            self.assertRaises(TypeError, protocol.transport.write, wrong, here)

    def test_text(self):
        protocol, _, here = self.listen()
        self.assertRaises(TypeError, protocol.transport.write, u"text", here)

    if sys.version_info < (3,):
        test_text.skip = "Python 2 has a socket send text"

    @settled
    def test_cutToMaxPacketSize(self):
        one, _, here = self.listen()
        other, _, there = self.listen(maxPacketSize=10)
        for length in (9, 10, 11, 1000):
            one.transport.write(b"x" * length, there)
        yield self.assertReceived(other, *[(b"x" * length, here) for length in (9, 10, 10, 10)])

    @settled
    def test_longestDatagram(self):
        one, _, here = self.listen()
        other, _, there = self.listen(maxPacketSize=65507)
        self.assertRaises(MessageLengthError, one.transport.write, b"x" * 65528, there)
        one.transport.write(b"x" * 65507, there)
        yield self.assertReceived(other, (b"x" * 65507, here))

    if sys.platform == "darwin":
        test_longestDatagram.skip = "this system sends no more than 9216 bytes, unless it is told to"

    # Where they cannot go.

    def test_names(self):
        protocol, port, _ = self.listen()
        self.assertRaises(InvalidAddressError, protocol.transport.write, b"data", ("localhost", 9))
        self.assertRaises(InvalidAddressError, port.connect, "localhost", 9)

    def test_portMayBeConnectedAfterAName(self):
        protocol, port, here = self.listen()
        self.assertRaises(InvalidAddressError, port.connect, "localhost", 9)
        port.connect(*here)

    def test_addressesOfTheOtherIPVersion(self):
        protocol, _, _ = self.listen()
        self.assertRaises(InvalidAddressError, protocol.transport.write, b"data", (self.ofOtherFamily, 9))

    def test_portsThatAreNone(self):
        protocol, _, _ = self.listen()
        self.assertSocketError(errno.EINVAL, protocol.transport.write, b"data", (self.ip, 0))
        for wrong in (-1, 65536, 70000):
            self.assertRaises(OverflowError, protocol.transport.write, b"data", (self.ip, wrong))
        for wrong in ("9", 9.5, None):
            self.assertRaises(TypeError, protocol.transport.write, b"data", (self.ip, wrong))

    def test_addressThatIsNoTuple(self):
        protocol, _, here = self.listen()
        self.assertRaises(TypeError, protocol.transport.write, b"data", list(here))

    def test_addressOfMorePartsThanTheFamilyHas(self):
        protocol, _, here = self.listen()
        zeros = (0, 0, 0) if self.family == socket.AF_INET6 else (0,)
        self.assertRaises(TypeError, protocol.transport.write, b"data", here + zeros)

    # A port that is connected.

    @settled
    def test_connectedPortHearsNobodyElse(self):
        protocol, port, here = self.listen()
        peer, _, there = self.listen()
        stranger, _, _ = self.listen()
        port.connect(*there)
        stranger.transport.write(b"no", here)
        peer.transport.write(b"yes", here)
        yield self.assertReceived(protocol, (b"yes", there))

    @settled
    def test_connectedPortWritesWithoutAnAddress(self):
        protocol, port, here = self.listen()
        peer, _, there = self.listen()
        port.connect(self.otherwise, there[1])
        self.assertEqual(port.getHandle().getpeername()[:2], there)
        port.write(b"one")
        port.write(b"two", None)
        port.write(b"three", (self.otherwise, there[1]))
        yield self.assertReceived(peer, (b"one", here), (b"two", here), (b"three", here))

    def test_connectedPortChecksTheData(self):
        _, port, here = self.listen()
        port.connect(*here)
        self.assertRaises(MessageLengthError, port.write, b"x" * 65528)
        self.assertRaises(TypeError, port.write, None)

    def test_secondConnect(self):
        _, port, here = self.listen()
        port.connect(*here)
        for address in (here, (self.ip, 9), ("localhost", 9)):
            self.assertRaises(RuntimeError, port.connect, *address)
        self.assertEqual(port.getHandle().getpeername()[:2], here)

    def test_portThatCouldNotBeConnected(self):
        _, port, _ = self.listen()
        self.assertRaises(OverflowError, port.connect, self.ip, 70000)
        self.assertSocketError(errno.ENOTCONN, port.getHandle().getpeername)
        self.assertSocketError(errno.EDESTADDRREQ, port.write, b"data")

    def test_numbersThatAreNoPortsOfPeers(self):
        for wrong, error in ((-1, OverflowError), (65536, OverflowError), ("9", TypeError)):
            self.assertRaises(error, self.listen()[1].connect, self.ip, wrong)

    def test_portThatIsNotConnectedHasNoPeer(self):
        _, port, _ = self.listen()
        self.assertSocketError(errno.ENOTCONN, port.getHandle().getpeername)

    # Reading.

    @settled
    def test_stopReadingHoldsDatagramsAndStartReadingReleasesThem(self):
        protocol, port, here = self.listen()
        other, _, there = self.listen()
        port.stopReading()
        for datagram in (b"one", b"two"):
            other.transport.write(datagram, here)
        # What was sent later arrives, so that these could have.
        other.transport.write(b"marker", there)
        yield self.assertReceived(other, (b"marker", there))
        self.assertEqual(protocol.received.pending, [])
        port.startReading()
        other.transport.write(b"three", here)
        yield self.assertReceived(protocol, *[(datagram, there) for datagram in (b"one", b"two", b"three")])

    @settled
    def test_startReadingCallsTheProtocolLater(self):
        protocol, port, here = self.listen()
        port.stopReading()
        other, _, there = self.listen()
        other.transport.write(b"data", here)
        other.transport.write(b"marker", there)
        yield self.assertReceived(other, (b"marker", there))
        port.startReading()
        self.assertEqual(protocol.received.pending, [])
        yield self.assertReceived(protocol, (b"data", there))

    @settled
    def test_whatIsHeldWhenThePortIsClosedIsGone(self):
        protocol, port, here = self.listen()
        other, _, there = self.listen()
        port.stopReading()
        other.transport.write(b"data", here)
        other.transport.write(b"marker", there)
        yield self.assertReceived(other, (b"marker", there))
        yield port.stopListening()
        again, _, _ = self.listen(number=here[1])
        other.transport.write(b"marker", here)
        yield self.assertReceived(again, (b"marker", there))
        self.assertEqual(protocol.received.pending, [])

    @settled
    def test_exceptionOfAProtocolIsLoggedAndTheNextDatagramArrives(self):
        protocol, _, here = self.listen(FailingListener())
        for datagram in (b"one", b"two"):
            protocol.transport.write(datagram, here)
        yield self.assertReceived(protocol, (b"one", here), (b"two", here))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    @settled
    def test_exceptionOfAProtocolHoldsUpNothingThatWaits(self):
        protocol, port, here = self.listen(FailingListener())
        other, _, there = self.listen()
        port.stopReading()
        for datagram in (b"one", b"two"):
            other.transport.write(datagram, here)
        other.transport.write(b"marker", there)
        yield self.assertReceived(other, (b"marker", there))
        port.startReading()
        yield self.assertReceived(protocol, (b"one", there), (b"two", there))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    # Closing.

    @settled
    def test_closing(self):
        protocol, port, _ = self.listen()
        closed = port.stopListening()
        self.assertEqual((closed.called, protocol.stopped), (False, 0))
        result = yield closed
        self.assertIs(result, None)
        self.assertEqual((protocol.started, protocol.stopped, protocol.transport), (1, 1, None))

    @settled
    def test_closingAPortThatIsClosed(self):
        protocol, port, _ = self.listen()
        yield port.stopListening()
        yield port.stopListening()
        self.assertEqual(protocol.stopped, 1)

    @settled
    def test_closedPortIsFreeAtOnce(self):
        protocol, port, here = self.listen()
        other, _, there = self.listen()
        yield port.stopListening()
        # By the same protocol, too.
        self.listen(protocol, number=here[1])
        other.transport.write(b"data", here)
        yield self.assertReceived(protocol, (b"data", there))
        self.assertEqual((protocol.started, protocol.stopped), (2, 1))

    @settled
    def test_portThatIsBeingClosedStillWrites(self):
        protocol, port, here = self.listen()
        other, _, there = self.listen()
        closed = port.stopListening()
        port.write(b"last words", there)
        yield closed
        yield self.assertReceived(other, (b"last words", here))

    @settled
    def test_writingAfterwards(self):
        _, port, here = self.listen()
        yield port.stopListening()
        # As Twisted's port has no socket any more.
        self.assertRaises(AttributeError, port.write, b"data", here)
        self.assertRaises(AttributeError, port.getHost)

    @settled
    def test_sendingToAClosedPortIsALoss(self):
        protocol, port, here = self.listen()
        other, _, there = self.listen()
        yield port.stopListening()
        other.transport.write(b"data", here)
        other.transport.write(b"marker", there)
        yield self.assertReceived(other, (b"marker", there))

    @settled
    def test_protocolThatClosesItsPortHearsNoMore(self):
        class Closing(Listener):
            def datagramReceived(self, datagram, address):
                self.closed = self.transport.stopListening()
                Listener.datagramReceived(self, datagram, address)

        protocol, _, here = self.listen(Closing())
        other, _, there = self.listen()
        other.transport.write(b"data", here)
        yield self.assertReceived(protocol, (b"data", there))
        yield protocol.closed
        other.transport.write(b"data", here)
        other.transport.write(b"marker", there)
        yield self.assertReceived(other, (b"marker", there))
        self.assertEqual((protocol.received.pending, protocol.stopped), ([], 1))


class BroadcastMixin(object):
    """
    IPv6 has none.  Nothing is sent here: it would leave the machine.
    """

    def test_broadcastIsNotAllowedByDefault(self):
        _, port, _ = self.listen()
        self.assertFalse(port.getBroadcastAllowed())
        for address in ("255.255.255.255", "<broadcast>"):
            self.assertSocketError(errno.EACCES, port.write, b"data", (address, 9))

    def test_allowingBroadcast(self):
        _, port, _ = self.listen()
        for allowed in (True, False):
            port.setBroadcastAllowed(allowed)
            self.assertEqual(port.getBroadcastAllowed(), allowed)
        self.assertSocketError(errno.EACCES, port.write, b"data", ("255.255.255.255", 9))

    def test_connectingToIt(self):
        _, port, _ = self.listen()
        self.assertSocketError(errno.EACCES, port.connect, "255.255.255.255", 9)


class SimulatedMixin(object):
    """
    Where a host of a network is stricter than an operating system, as section 11 of SPEC.md has it.
    """

    def test_wrongMaxPacketSize(self):
        for wrong, error in (("x", TypeError), (None, TypeError), (1.5, TypeError), (-1, ValueError)):
            self.assertRaises(error, self.reactor.listenUDP, 9, Listener(), maxPacketSize=wrong)
        self.reactor.listenUDP(9, Listener(), maxPacketSize=0)

    def test_protocolThatFailsToStartLeavesThePortFree(self):
        class Failing(Listener):
            def startProtocol(self):
                raise ValueError("on purpose")

        self.assertRaises(ValueError, self.reactor.listenUDP, 9, Failing())
        self.reactor.listenUDP(9, Listener())

    def test_peerOfTheOtherIPVersion(self):
        _, port, here = self.listen()
        self.assertRaises(InvalidAddressError, port.connect, self.ofOtherFamily, 9)
        # It is not connected.
        port.connect(*here)

    def test_interfaceOfTheOtherIPVersion(self):
        for interface in (self.ofOtherFamily, "2001:db8::7" if self.family == socket.AF_INET else "192.0.2.7"):
            self.assertRaises(InvalidAddressError, self.listen, interface=interface)

    def test_longestDatagramIsThatOfIPv4(self):
        protocol, _, here = self.listen()
        protocol.transport.write(b"x" * 65507, here)
        self.assertRaises(MessageLengthError, protocol.transport.write, b"x" * 65508, here)

    def test_whatIsNotSentIsNotCounted(self):
        protocol, _, here = self.listen()
        self.assertRaises(MessageLengthError, protocol.transport.write, b"x" * 65508, here)
        self.assertRaises(InvalidAddressError, protocol.transport.write, b"data", ("localhost", 9))
        self.assertRaises(OverflowError, protocol.transport.write, b"data", (self.ip, 70000))
        self.assertEqual(self.network.counts.sent, 0)

    def test_noInterfaceIsAll(self):
        _, port, _ = self.listen(interface="")
        self.assertEqual(port.getHost().host, self.wildcard)

    def test_anotherSpellingOfTheInterface(self):
        _, port, _ = self.listen(interface=self.otherwise)
        self.assertEqual(port.getHost().host, self.ip)

    def test_noFileOfTheOperatingSystem(self):
        self.assertEqual(self.listen()[1].fileno(), -1)

    def test_numbersThatAreGivenToThoseWhoDoNotCare(self):
        self.assertEqual([self.listen()[2][1] for _ in range(3)], [49152, 49153, 49154])

    def test_oneThatWasFreedIsNotGivenAwayAgainAtOnce(self):
        _, port, (_, number) = self.listen()
        self.settle(port.stopListening())
        self.assertEqual(self.listen()[2][1], number + 1)

    def test_afterTheLastNumberTheFirstThatIsFree(self):
        self.listen(number=49153)
        self.reactor._dynamic = 65534
        self.assertEqual([self.listen()[2][1] for _ in range(3)], [65535, 49152, 49154])

    def test_noNumberIsFree(self):
        self.reactor._sockets.update(dict.fromkeys(range(49152, 65536)))
        error = self.assertRaises(CannotListenError, self.listen)
        self.assertEqual(error.socketError.args[0], errno.EADDRINUSE)
        del self.reactor._sockets[50000]
        self.assertEqual(self.listen()[2][1], 50000)

    def test_portThatIsClosedLeavesNothing(self):
        _, port, _ = self.listen()
        self.settle(port.stopListening())
        self.assertEqual((self.reactor.getDelayedCalls(), self.reactor._sockets), ([], {}))
        self.assertIn("0 events pending", repr(self.network))


class RealIPv4Tests(PortMixin, BroadcastMixin, IPv4, RealPorts):
    pass


class RealIPv6Tests(PortMixin, IPv6, RealPorts):
    skip = withoutIPv6()


class SimulatedIPv4Tests(PortMixin, BroadcastMixin, SimulatedMixin, IPv4, SimulatedPorts, SynchronousTestCase):
    pass


class SimulatedIPv6Tests(PortMixin, SimulatedMixin, IPv6, SimulatedPorts, SynchronousTestCase):
    pass


class SimulatedBroadcastTests(SynchronousTestCase):
    """
    A broadcast goes to each host of IPv4, also to the one that it comes from.
    """

    def setUp(self):
        self.network = SimulatedNetwork(trace=True)
        self.protocols = []
        for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"):
            self.protocols.append(Listener())
            self.network.host(address).listenUDP(9, self.protocols[-1])

    def test_everyPortOfThatNumberHearsIt(self):
        sender = self.protocols[0].transport
        sender.setBroadcastAllowed(True)
        sender.write(b"one", ("<broadcast>", 9))
        sender.write(b"two", ("255.255.255.255", 9))
        self.network.advance(1)
        expected = [(b"one", ("10.0.0.1", 9)), (b"two", ("10.0.0.1", 9))]
        self.assertEqual([protocol.received.pending for protocol in self.protocols], [expected] * 3 + [[]])

    def test_traceHasOneForEachHost(self):
        sender = self.protocols[0].transport
        sender.setBroadcastAllowed(True)
        sender.write(b"one", ("<broadcast>", 9))
        destinations = [traced.datagram.destination[0] for traced in self.network.trace]
        self.assertEqual(sorted(destinations), ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
        self.assertEqual(self.network.counts.sent, 3)
