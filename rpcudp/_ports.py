"""
The UDP ports of a simulated network.

Below Twisted's own port there is a L{Socket} of the simulation's in place of one of the operating system's.  So what a
port checks, raises and says of itself is not imitated here: it is Twisted's, of the version that is installed.
"""

import errno
import os
import socket
from builtins import int

from twisted.internet.error import InvalidAddressError
from twisted.internet.udp import Port
from twisted.logger import Logger

log = Logger("rpcudp.testing")

# By address family, as a socket spells it that is bound to no one address.
WILDCARDS = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}

BROADCAST = ("<broadcast>", "255.255.255.255")

# Bytes, of a datagram's contents: what IPv4 leaves of 65535 after its header and that of UDP.
MAX_LENGTH = 65507

# The port numbers that are given to those who do not care (RFC 6335, section 6).
FIRST_DYNAMIC, LAST_DYNAMIC = 49152, 65535


def canonical(address):
    """
    @return: the family of an IP address, and how it is spelt.
    @rtype: L{tuple} of L{int} and native L{str}

    @raise InvalidAddressError: if it is none.
    """
    for family in WILDCARDS:
        try:
            if isinstance(address, bytes):
                # As real ports take it.
                address = address.decode("ascii")
            return family, socket.inet_ntop(family, socket.inet_pton(family, address))
        except (socket.error, TypeError, ValueError):
            # It may be of the other family.
            pass
    raise InvalidAddressError(address, "{!r} is not an IP address".format(address))


def _isWildcard(interface):
    return not interface or interface in WILDCARDS.values()


def refusal(code):
    """
    @return: the exception with which a socket refuses something.
    """
    return socket.error(code, os.strerror(code))


def checkPort(number):
    """
    @raise OverflowError: as a socket does, if it is no port's number.
    """
    if not isinstance(number, int):
        raise TypeError("port is {!r}, and not an integer".format(number))
    if not 0 <= number < 65536:
        raise OverflowError("port is {}, and not from 0 to 65535".format(number))


class SimulatedPort(Port):
    """
    Twisted's UDP port on a L{Socket}.

    @ivar _reading: whether datagrams are handed to the protocol as they come.
    """

    _reading = False

    def _setAddressFamily(self):
        # Called by Twisted when it makes a port.  Here that of an interface is its host's.
        host = self.reactor
        self.addressFamily = host.addressFamily
        if not _isWildcard(self.interface) and canonical(self.interface)[0] != host.addressFamily:
            raise InvalidAddressError(self.interface, "{} has an address of the other family".format(host))

    def createInternetSocket(self):
        return Socket(self, self.reactor)

    def connect(self, host, port):
        # Twisted looks first whether it is connected already.
        if self._connectedAddr is None and canonical(host)[0] != self.addressFamily:
            raise InvalidAddressError(host, "{} has an address of the other family".format(self.reactor))
        Port.connect(self, host, port)

    def startReading(self):
        self._reading = True
        if self.socket.received:
            self.reactor.callLater(0, self.doRead)

    def stopReading(self):
        self._reading = False

    def stopWriting(self):
        # Called by Twisted when the port is closed, and nothing here waits to be written.
        pass

    def doRead(self):
        # Twisted's own would catch KeyboardInterrupt too, with which a simulation is stopped.
        received = self.socket.received if self.connected else ()
        while self._reading and received:
            datagram, address = received.pop(0)
            try:
                self.protocol.datagramReceived(datagram, address)
            except KeyboardInterrupt:
                raise
            except:  # noqa: E722, as Twisted's port does
                log.failure("Unhandled error in {protocol}", protocol=self.protocol)

    def _rpcudpNewMessageID(self):
        return self.reactor._network._newMessageID()


class Socket(object):
    """
    What Twisted's port asks of a socket.

    @ivar port: the port whose socket this is.

    @ivar host: the L{Host}, or C{None} after it has crashed.

    @ivar address: what it is bound to: IP address and port.

    @ivar peer: the address that it is connected to, or C{None}.

    @ivar received: datagrams and their sources, which wait for the port to read them.

    @ivar _options: by level and name.
    """

    __slots__ = ("port", "host", "address", "peer", "received", "_options")

    def __init__(self, port, host):
        self.port = port
        self.host = host
        self.address = self.peer = None
        self.received = []
        self._options = {}

    def bind(self, address):
        interface, number = address
        host = self.host
        wildcard = WILDCARDS[host.addressFamily]
        if not _isWildcard(interface):
            wildcard = canonical(interface)[1]
            if wildcard != host.address:
                raise refusal(errno.EADDRNOTAVAIL)
        checkPort(number)
        if number == 0:
            number = self._freeNumber()
        if number in host._sockets:
            raise refusal(errno.EADDRINUSE)
        host._sockets[number] = self
        self.address = wildcard, number

    def _freeNumber(self):
        host = self.host
        for _ in range(FIRST_DYNAMIC, LAST_DYNAMIC + 1):
            host._dynamic = host._dynamic + 1 if host._dynamic < LAST_DYNAMIC else FIRST_DYNAMIC
            if host._dynamic not in host._sockets:
                break
        return host._dynamic

    def close(self):
        if self.host is not None:
            del self.host._sockets[self.address[1]]
            self.host = None

    def fileno(self):
        return -1

    def getsockname(self):
        return self._spelt(self.address)

    def getpeername(self):
        if self.peer is None:
            raise refusal(errno.ENOTCONN)
        return self._spelt(self.peer)

    def _spelt(self, address):
        return address + (0, 0) if ":" in address[0] else address

    def connect(self, address):
        self._check(address)
        self.peer = canonical(address[0])[1], address[1]

    def setsockopt(self, level, name, value):
        self._options[level, name] = value

    def getsockopt(self, level, name):
        return self._options.get((level, name), 0)

    def send(self, datagram):
        if self.peer is None:
            # Twisted takes a port for connected that could not be.
            raise refusal(errno.EDESTADDRREQ)
        return self._send(datagram, self.peer)

    def sendto(self, datagram, address):
        self._check(address)
        if address[1] == 0:
            raise refusal(errno.EINVAL)
        return self._send(datagram, address[:2])

    def _check(self, address):
        # An IPv6 address may come with its flow and scope.
        most = 4 if self.port.addressFamily == socket.AF_INET6 else 2
        if not isinstance(address, tuple) or not 2 <= len(address) <= most:
            raise TypeError("address is {!r}, and not an (ip, port) pair".format(address))
        ip, number = address[:2]
        checkPort(number)
        if ip in BROADCAST and not self.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST):
            raise refusal(errno.EACCES)

    def _send(self, datagram, destination):
        # Nor is it one of a subclass, as a real socket hands over none.
        if type(datagram) is not bytes:
            datagram = memoryview(datagram).tobytes()
        if len(datagram) > MAX_LENGTH:
            raise refusal(errno.EMSGSIZE)
        host = self.host
        if host is not None:
            host._network._send((host.address, self.address[1]), destination, datagram)
        return len(datagram)

    def hears(self, source):
        """
        @return: whether a datagram of C{source} is taken.
        """
        return self.peer is None or self.peer == source

    def receive(self, datagram, source):
        """
        A datagram has arrived.
        """
        port = self.port
        self.received.append((datagram[: port.maxPacketSize], source))
        if port._reading:
            port.doRead()
