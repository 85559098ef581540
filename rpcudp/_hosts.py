"""
The hosts of a simulated network: what Twisted code takes for a reactor.
"""

import sys
from builtins import int
from contextlib import contextmanager
from numbers import Real

from twisted import internet
from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IReactorTime, IReactorUDP
from twisted.logger import Logger
from zope.interface import implementer

from rpcudp._ports import LAST_DYNAMIC, SimulatedPort

log = Logger("rpcudp.testing")


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
        self._dynamic = LAST_DYNAMIC

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
        Call a function later, with the arguments that follow it.

        @param delay: in how many seconds.
        @type delay: a number, not negative

        @type callable: function

        @rtype: provider of L{twisted.internet.interfaces.IDelayedCall}

        @raise AssertionError: as Twisted's reactors do, if C{delay} is negative or not a number (NaN), or C{callable}
            cannot be called.
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

        @param protocol: who hears what comes.
        @type protocol: L{twisted.internet.protocol.DatagramProtocol}

        @param interface: C{""} or a wildcard, or the address of the host, which are one.
        @type interface: text

        @param maxPacketSize: the bytes beyond which a datagram is cut.
        @type maxPacketSize: L{int}

        @rtype: provider of L{twisted.internet.interfaces.IListeningPort} and
            L{twisted.internet.interfaces.IUDPTransport}

        @raise CannotListenError: if the port is taken, or C{interface} is another host's.
        @raise InvalidAddressError: if C{interface} is no IP address, or one of the other IP version.
        @raise OverflowError: if C{port} is less than 0 or more than 65535.
        @raise TypeError: if C{port} or C{maxPacketSize} is no integer.
        @raise ValueError: if C{maxPacketSize} is negative.
        """
        if not isinstance(maxPacketSize, int):
            raise TypeError("maxPacketSize is {!r}, and not an integer".format(maxPacketSize))
        if maxPacketSize < 0:
            raise ValueError("maxPacketSize is {!r} bytes, and 0 is the least".format(maxPacketSize))
        listening = SimulatedPort(port, protocol, interface, maxPacketSize, self)
        try:
            listening.startListening()
        except Exception:
            if hasattr(listening, "socket"):
                # The protocol failed; a real socket would be closed by the garbage collector.
                listening.socket.close()
            raise
        return listening

    @contextmanager
    def asReactor(self):
        """
        Have C{twisted.internet.reactor} be this host within a C{with} statement.

        A module that imports the reactor when it is itself imported keeps what it found; so import it inside.

        @return: a context manager, which has the host for its value.
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
        what its former protocols write goes nowhere.  It may listen again at once, with new protocols.  Code of its own
        that calls this runs on until it returns; C{callLater(0, host.crash)} has nothing run on.
        """
        self._dropTimers()
        for bound in self._sockets.values():
            bound.host = None
            del bound.received[:]
        self._sockets.clear()

    def stepClock(self, seconds):
        """
        Set this host's clock, as its operating system does when it learns the time.  Its timers keep the time that they
        are to fire at, and so wait longer, or less.  Floats that are round on one clock need not be round on the other:
        C{callLater(0.1, ...)} may then be a little more than C{network.advance(0.1)}.

        @param seconds: forward, or where negative back.
        @type seconds: a finite number

        @raise TypeError: if C{seconds} is no number.
        @raise ValueError: if C{seconds} is not finite, or the clock would not be.
        """
        if not isinstance(seconds, Real):
            raise TypeError("a step of {!r} is not one of a number of seconds".format(seconds))
        if not abs(seconds) <= sys.float_info.max or not abs(self._ahead + seconds) <= sys.float_info.max:
            raise ValueError("a step of {!r} seconds is not finite, or the clock would not be".format(seconds))
        self._ahead += seconds
        timers = [timer for _, timer in sorted(self._timers.items())]
        self._dropTimers()
        for timer in timers:
            self._place(timer)

    def _place(self, timer):
        time = max(self._network.seconds(), timer.time - self._ahead)
        while time + self._ahead < timer.time:
            # By rounding; and whoever finds that it is not time yet would wait again, and again be too early.
            time += sys.float_info.epsilon * max(abs(time), abs(timer.time))
        timer.number = self._network._events.post(time, self)
        self._timers[timer.number] = timer

    def _dropTimers(self):
        count = len(self._timers)
        self._timers.clear()
        self._network._events.discard(count)

    def _cancel(self, timer):
        """
        Called by a timer that was cancelled.

        @return: whether it was to fire; after a crash it was not.
        """
        if self._timers.pop(timer.number, None) is None:
            return False
        self._network._events.discard()
        return True

    def _reset(self, timer):
        """
        Called by a timer that is to fire earlier.
        """
        if self._cancel(timer):
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
        except KeyboardInterrupt:
            raise
        except:  # noqa: E722, as a reactor does
            log.failure("Unhandled error in {timer}, a timer of {host}", timer=timer, host=self.address)
