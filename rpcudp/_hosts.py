"""
The hosts of a simulated network: what Twisted code takes for a reactor, and for a socket.

Below Twisted's own UDP port there is a L{Socket} of the simulation's in place of one of the operating system's.  So
what a port checks, raises and says of itself is not imitated here: it is Twisted's, of the version that is installed.
"""

import errno
import os
import socket
import sys
from builtins import int
from collections import deque
from contextlib import contextmanager

from twisted import internet
from twisted.internet.base import DelayedCall
from twisted.internet.error import InvalidAddressError
from twisted.internet.interfaces import IReactorTime, IReactorUDP
from twisted.internet.udp import Port
from twisted.logger import Logger
from zope.interface import implementer

log = Logger("rpcudp.testing")

# By address family, as a socket spells it that is bound to no one address.
WILDCARDS = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}

BROADCAST = ("<broadcast>", "255.255.255.255")

# Bytes, of a datagram's contents: what IPv4 leaves of 65535 after its header and that of UDP.
MAX_LENGTH = 65507

# The port numbers that are given to those who do not care (RFC 6335, section 6).
_FIRST_DYNAMIC, _LAST_DYNAMIC = 49152, 65535


def canonical(address):
    """
    @return: the family of an IP address, and how it is spelt.
    @rtype: L{tuple} of L{int} and native L{str}

    @raise InvalidAddressError: if it is none.
    """
    for family in WILDCARDS:
        try:
            return family, socket.inet_ntop(family, socket.inet_pton(family, address))
        except (socket.error, TypeError, ValueError):
            # It may be of the other family.
            pass
    raise InvalidAddressError(address, "{!r} is not an IP address".format(address))


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


@implementer(IReactorTime, IReactorUDP)
class Host(object):
    """
    One machine, with its address, clock, timers and UDP ports.  L{rpcudp.testing.SimulatedNetwork.host} makes it.

    It is passed to Twisted code as its reactor.

    @ivar address: its IP address, as C{inet_ntop} spells it.
    @type address: native L{str}

    @ivar addressFamily: of its address: C{socket.AF_INET} or C{socket.AF_INET6}.

    @ivar _network: the L{rpcudp.testing.SimulatedNetwork}.

    @ivar _timers: those that are to fire, by the number of their event; an event without one is of no effect.

    @ivar _sockets: those that are bound, by the number of the port.

    @ivar _ahead: by how many seconds its clock is ahead of the network's.

    @ivar _dynamic: the port number that was given last to somebody who did not care.
    """

    __slots__ = ("address", "addressFamily", "_network", "_timers", "_sockets", "_ahead", "_dynamic", "__weakref__")

    def __init__(self, network, family, address):
        self.address = address
        self.addressFamily = family
        self._network = network
        self._timers = {}
        self._sockets = {}
        self._ahead = 0.0
        self._dynamic = _LAST_DYNAMIC

    def __repr__(self):
        return "<Host {}: {} ports, {} timers>".format(self.address, len(self._sockets), len(self._timers))

    def seconds(self):
        """
        @return: the time on this host's clock: that of the network, unless L{stepClock} was called.
        @rtype: L{float}, in seconds
        """
        return self._network.seconds() + self._ahead

    def callLater(self, delay, callable, *args, **kw):
        """
        Call a function when C{delay} seconds have passed.

        @type delay: a number, not negative

        @rtype: provider of L{twisted.internet.interfaces.IDelayedCall}

        @raise AssertionError: as Twisted's reactors do, if C{delay} is negative or no number, or C{callable} cannot be
            called.
        """
        if not hasattr(callable, "__call__"):
            raise AssertionError("{!r} is not callable".format(callable))
        if not delay >= 0:
            raise AssertionError("{!r} is not greater than or equal to 0 seconds".format(delay))
        timer = DelayedCall(self.seconds() + delay, callable, args, kw, self._cancel, self._reset, self.seconds)
        self._place(timer)
        return timer

    def getDelayedCalls(self):
        """
        @return: the timers that are to fire.
        @rtype: L{list} of providers of L{twisted.internet.interfaces.IDelayedCall}
        """
        return list(self._timers.values())

    def listenUDP(self, port, protocol, interface="", maxPacketSize=8192):
        """
        Have a protocol listen, as on a real reactor.

        @param port: the number; 0 is for one that is free.
        @type port: L{int}

        @type protocol: L{twisted.internet.protocol.DatagramProtocol}

        @param interface: C{""} or a wildcard, or the address of the host, which are one.

        @param maxPacketSize: the bytes beyond which a datagram is cut.
        @type maxPacketSize: L{int}

        @rtype: provider of L{twisted.internet.interfaces.IListeningPort} and
            L{twisted.internet.interfaces.IUDPTransport}

        @raise CannotListenError: if the port is taken, or C{interface} is another host's.
        @raise InvalidAddressError: if C{interface} is no IP address, or one of the other IP version.
        @raise OverflowError: if C{port} is less than 0 or more than 65535.
        """
        listening = SimulatedPort(port, protocol, interface, maxPacketSize, self)
        listening.startListening()
        return listening

    @contextmanager
    def asReactor(self):
        """
        Have C{twisted.internet.reactor} be this host within a C{with} statement.

        A module that imports the reactor when it is itself imported keeps what it found; so import it inside.
        """
        name = "twisted.internet.reactor"
        missing = object()
        before = sys.modules.get(name, missing), getattr(internet, "reactor", missing)
        sys.modules[name] = internet.reactor = self
        try:
            yield self
        finally:
            module, attribute = before
            if module is missing:
                del sys.modules[name]
            else:
                sys.modules[name] = module
            if attribute is missing:
                del internet.reactor
            else:
                internet.reactor = attribute

    def crash(self):
        """
        The power fails: its ports and timers are gone, without a word to anyone.  What is sent to it is unheard, and
        what its former protocols write goes nowhere.  It may listen again at once, with new protocols.
        """
        self._network._stale += len(self._timers)
        self._timers.clear()
        for bound in self._sockets.values():
            bound.host = None
        self._sockets.clear()

    def stepClock(self, seconds):
        """
        Set this host's clock, as its operating system does when it learns the time.  Its timers keep the time that they
        are to fire at, and so wait longer, or less.

        @param seconds: forward, or where negative back.
        @type seconds: a finite number

        @raise ValueError: if C{seconds} is not finite.
        """
        if not abs(seconds) <= sys.float_info.max:
            raise ValueError("a step of {!r} seconds is not finite".format(seconds))
        self._ahead += seconds
        timers = [timer for _, timer in sorted(self._timers.items())]
        self._network._stale += len(timers)
        self._timers.clear()
        for timer in timers:
            self._place(timer)

    def _place(self, timer):
        number = timer.number = self._network._post(max(self._network.seconds(), timer.time - self._ahead), self)
        self._timers[number] = timer

    def _cancel(self, timer):
        if self._timers.pop(timer.number, None) is not None:
            self._network._discard()

    def _reset(self, timer):
        """
        Called by a timer that is to fire earlier.
        """
        # After a crash there is none to reset.
        if self._timers.pop(timer.number, None) is not None:
            self._network._discard()
            self._place(timer)

    def _fire(self, number):
        """
        The time of an event has come.
        """
        timer = self._timers.pop(number)
        if timer.delayed_time:
            # Reset to a later time than that of the event.
            timer.activate_delay()
            self._place(timer)
            return
        timer.called = 1
        try:
            timer.func(*timer.args, **timer.kw)
        except Exception:
            log.failure("Unhandled error in {timer}, a timer of {host}", timer=timer, host=self.address)


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
        if self.interface and self.interface not in WILDCARDS.values():
            family, _ = canonical(self.interface)
            if family != host.addressFamily:
                raise InvalidAddressError(self.interface, "{} has an address of the other family".format(host))

    def createInternetSocket(self):
        return Socket(self, self.reactor)

    def connect(self, host, port):
        if canonical(host)[0] != self.addressFamily:
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
        # Twisted's own would catch KeyboardInterrupt, with which a simulation is stopped.
        received = self.socket.received if self.connected else ()
        while self._reading and received:
            datagram, address = received.popleft()
            try:
                self.protocol.datagramReceived(datagram, address)
            except Exception:
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
        self.received = deque()
        self._options = {}

    def bind(self, address):
        interface, number = address
        host = self.host
        wildcard = WILDCARDS[host.addressFamily]
        if interface and interface not in WILDCARDS.values():
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
        for _ in range(_FIRST_DYNAMIC, _LAST_DYNAMIC + 1):
            host._dynamic = host._dynamic + 1 if host._dynamic < _LAST_DYNAMIC else _FIRST_DYNAMIC
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
        ip, number = address
        checkPort(number)
        self.peer = canonical(ip)[1], number

    def setsockopt(self, level, name, value):
        self._options[level, name] = value

    def getsockopt(self, level, name):
        return self._options.get((level, name), 0)

    def send(self, datagram):
        return self._send(datagram, self.peer)

    def sendto(self, datagram, address):
        ip, number = address[:2]
        checkPort(number)
        if number == 0:
            raise refusal(errno.EINVAL)
        if ip in BROADCAST and not self.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST):
            raise refusal(errno.EACCES)
        return self._send(datagram, (ip, number))

    def _send(self, datagram, destination):
        if not isinstance(datagram, bytes):
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
