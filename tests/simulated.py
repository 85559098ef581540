"""
What more than one test of the simulated network needs.
"""

from twisted.internet import defer
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

from rpcudp.protocol import RPCProtocol
from rpcudp.testing import SimulatedNetwork

NAN = float("nan")
INFINITE = float("inf")

# That no finite time is.
WRONG_SECONDS = [(-1, ValueError), (NAN, ValueError), (INFINITE, ValueError), (10**400, ValueError)]
WRONG_SECONDS += [("1", TypeError), (None, TypeError), ([], TypeError), (1j, TypeError)]


class Listener(DatagramProtocol, object):
    """
    Keeps what it hears in C{received}: when that was, the datagram and its source.
    """

    noisy = False

    def __init__(self):
        self.received = []

    def datagramReceived(self, datagram, address):
        self.received.append((self.transport.reactor.seconds(), datagram, address))

    def times(self):
        return [time for time, _, _ in self.received]

    def data(self):
        return [datagram for _, datagram, _ in self.received]


class Calling(DatagramProtocol, object):
    """
    Calls a function with each datagram.
    """

    noisy = False

    def __init__(self, function):
        self.function = function

    def datagramReceived(self, datagram, address):
        self.function(datagram)


class Node(RPCProtocol):
    def rpc_echo(self, sender, *arguments):
        return list(arguments)

    def rpc_never(self, sender):
        return defer.Deferred()


class NetworkTestCase(SynchronousTestCase):
    """
    A network with three hosts, each with a listener on port 9.

    @ivar log: what C{note} was called with.
    """

    addresses = ("10.0.0.1", "10.0.0.2", "10.0.0.3")

    def setUp(self):
        self.log = []
        self.build()

    def build(self, **options):
        self.network = SimulatedNetwork(trace=True, **options)
        self.hosts = [self.network.host(address) for address in self.addresses]
        self.listeners = [self.listen(host) for host in self.hosts]

    def listen(self, host, protocol=None, number=9):
        protocol = protocol or Listener()
        host.listenUDP(number, protocol)
        return protocol

    def send(self, source, destination, data=b"data"):
        """
        @param source: the index of a host.
        @param destination: the index of a host.
        """
        self.listeners[source].transport.write(data, (self.addresses[destination], 9))

    def note(self, what=None):
        self.log.append((self.network.seconds(), what))

    def counts(self):
        """
        @return: those that are not zero.
        """
        return {name: count for name, count in self.network.counts._asdict().items() if count}

    def fates(self):
        return [[what for _, what in traced.fates] for traced in self.network.trace]

    def assertSilent(self, *indices):
        for index in indices:
            self.assertEqual(self.listeners[index].received, [])
