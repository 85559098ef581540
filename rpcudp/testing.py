"""
A network in one process, for tests of programs that talk over UDP: in virtual time, with the faults that are asked for,
and the same every time.

What is simulated is the network and the clock, and never a protocol: any C{DatagramProtocol} runs on it as it is, and
hears of nothing that could not happen on a real port.

How a datagram travels::

    protocol                                  protocol
      transport.write                           datagramReceived
    Twisted's UDP port                        Twisted's UDP port
      _ports.Socket                             _ports.Socket
    SimulatedNetwork                          SimulatedNetwork
      _faults: partitions, rules, chance        _faults: partitions
        `--------------> _events: until its time has come ---'

What each file owns: C{testing} the network and its time; C{_events} what is to happen, timers and arrivals of
datagrams, which time goes from one to the next of; C{_faults} what becomes of datagrams; C{_hosts} the machines, with
their timers, and C{_ports} their ports; C{_capture} the form of a pcap file.

What is at one time happens in the order in which it was asked for.  Setting a clock asks anew for its timers.  So does
resetting a timer: at once if it is to fire earlier, and when its former time has come if later.  All chance, message
ids included, comes from one generator, seeded with C{seed}.

Not simulated: loopback (127.0.0.1 is an address like any other), multicast, zones of IPv6 addresses, names, ICMP
(nobody is told that nobody listens), fragments, bandwidth, buffers that overflow, threads and processes.  Code that
asks C{time.time()} or C{random} asks the real ones.
"""

from __future__ import print_function

import binascii
import inspect
import random
import signal
import sys
from builtins import int
from collections import OrderedDict, namedtuple
from socket import AF_INET

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import InvalidAddressError
from twisted.python.failure import Failure

from rpcudp._capture import writeCapture
from rpcudp._events import Events
from rpcudp._faults import Faults, checkSeconds
from rpcudp._hosts import Host
from rpcudp._ports import BROADCAST, WILDCARDS, canonical
from rpcudp.wire import ID_LENGTH

__all__ = ["Counts", "Datagram", "Fate", "Host", "LimitReached", "NothingLeft", "SimulatedNetwork", "Traced"]

# Python 2 has none.
_isCoroutine = getattr(inspect, "iscoroutine", lambda value: False)

# Of what is pending, how much an exception tells.
_TOLD = 10

# Events at one time, without an end in sight.
_MOST_AT_ONCE = 1000000


class NothingLeft(Exception):
    """
    What was waited for has no result, and nothing is to happen that could give it one.
    """


class LimitReached(Exception):
    """
    What was waited for has no result after as many virtual seconds as it was given; or the time does not go on, as a
    million events were at one time.
    """


class Datagram(namedtuple("Datagram", ["time", "source", "destination", "data"])):
    """
    A datagram as it was sent.

    @ivar time: when it was sent, in virtual seconds.
    @ivar source: the IP address and port that it comes from.
    @ivar destination: the IP address and port that it is for.
    @ivar data: the L{bytes}.
    """

    __slots__ = ()


class Fate(namedtuple("Fate", ["time", "what"])):
    """
    What became of a copy of a datagram.

    @ivar time: when that was, in virtual seconds.
    @ivar what: one of the names of L{Counts}: C{"delivered"}, C{"truncated"}, C{"lost"}, C{"partitioned"}, C{"ruled"},
        C{"unheard"}.
    """

    __slots__ = ()


class Traced(namedtuple("Traced", ["datagram", "fates"])):
    """
    A datagram, and what became of it.

    @type datagram: L{Datagram}
    @ivar fates: a L{list} of the L{Fate} of each copy; of one that is on its way there is none yet.
    """

    __slots__ = ()


_COUNTED = ["sent", "delivered", "lost", "duplicated", "partitioned", "ruled", "unheard", "truncated"]


class Counts(namedtuple("Counts", _COUNTED)):
    """
    What became of all datagrams so far.

    @ivar sent: datagrams that protocols have sent; a broadcast is one to each host.
    @ivar delivered: copies that have arrived at a port, those that were cut included.
    @ivar lost: datagrams that were lost by chance.
    @ivar duplicated: copies more than one of a datagram, by chance or by a rule.
    @ivar partitioned: datagrams that were sent to the other side of a partition, and copies that would have arrived
        there.
    @ivar ruled: datagrams that a rule has decided on, whatever it has decided.
    @ivar unheard: copies that arrived where nobody listens, or not to this sender.
    @ivar truncated: copies that were cut to the port's C{maxPacketSize}.
    """

    __slots__ = ()


def _takeInterrupts(handler):
    """
    Have C{handler} called for Ctrl-C, where that would raise KeyboardInterrupt otherwise.

    @return: C{handler}, or C{None} where it is not called.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return None
    try:
        signal.signal(signal.SIGINT, handler)
    except ValueError:
        # That can be done in the main thread alone.
        return None
    return handler


class SimulatedNetwork(object):
    """
    Hosts, what they send each other, and the time.

    In a C{with} statement, C{with SimulatedNetwork(seed=1) as network:}, an exception that leaves it has the network,
    and so its seed, printed to standard error.

    @ivar trace: C{None}, or a L{list} of a L{Traced} for each datagram that was sent, in that order.
    """

    def __init__(self, seed=0, latency=0.05, jitter=0.0, loss=0.0, duplication=0.0, trace=False):
        """
        Each of C{latency}, C{jitter}, C{loss} and C{duplication} may also be a function, which is called for each
        datagram with the IP addresses of its source and destination, and returns the figure.

        @param seed: of the one generator that all chance comes from.
        @type seed: L{int}

        @param latency: for how many seconds a datagram is on its way.
        @type latency: a finite number, not negative

        @param jitter: the most seconds that each copy may take longer; how many it takes is left to chance.
        @type jitter: a finite number, not negative

        @param loss: the probability with which a datagram is lost.
        @type loss: a number from 0 to 1

        @param duplication: the probability with which one that is not lost arrives twice.
        @type duplication: a number from 0 to 1

        @param trace: whether C{trace} is kept.
        @type trace: L{bool}

        @raise TypeError: if C{seed} is no integer, or another one neither a number nor a function.
        @raise ValueError: if a probability is not from 0 to 1, or a number of seconds negative or not finite.
        """
        if not isinstance(seed, int):
            raise TypeError("seed is {!r}, and not an integer".format(seed))
        self._seed = seed
        self._random = random.Random(seed)
        self._faults = Faults(self._random, latency, jitter, loss, duplication)
        self.trace = [] if trace else None
        self._counts = dict.fromkeys(Counts._fields, 0)
        # In an order that no hash decides.
        self._hosts = OrderedDict()
        self._events = Events()
        self._now = 0.0
        self._running = False
        self._failure = None

    def __repr__(self):
        return "<SimulatedNetwork(seed={}): {} s, {} hosts, {} events pending>".format(
            self._seed, self._now, len(self._hosts), len(self._events)
        )

    def __enter__(self):
        return self

    def __exit__(self, exceptionType, exception, traceback):
        if exceptionType is not None:
            print("{} in {!r}".format(exceptionType.__name__, self), file=sys.stderr)

    @property
    def counts(self):
        """
        What became of all datagrams so far, as L{Counts}.
        """
        return Counts(**self._counts)

    def seconds(self):
        """
        @return: the time, in virtual seconds since the network was made.
        @rtype: L{float}
        """
        return self._now

    def host(self, address):
        """
        @param address: an IP address, IPv4 or IPv6.
        @type address: text

        @return: the host that has it, always the same one; it is made at the first time.
        @rtype: L{rpcudp._hosts.Host}

        @raise InvalidAddressError: if C{address} is no IP address, or a wildcard, or that of broadcasts.
        """
        family, spelt = canonical(address)
        if spelt in WILDCARDS.values() or spelt in BROADCAST:
            raise InvalidAddressError(address, "{} is not the address of one host".format(address))
        if spelt not in self._hosts:
            self._hosts[spelt] = Host(self, family, spelt)
        return self._hosts[spelt]

    def advance(self, seconds):
        """
        Have everything happen that is to happen within a time, in its order and each at its time.

        @param seconds: how long that is.
        @type seconds: a finite number, not negative

        @raise RuntimeError: if it is called by what happens on the network.
        @raise TypeError: if C{seconds} is no number.
        @raise ValueError: if it is negative or not finite, or the time after that is not.
        @raise LimitReached: if the time does not go on.
        @raise Exception: what a rule raises, or a function that was passed to the constructor, since the last time.
        """
        end = self._endAfter("seconds", seconds)
        self._go(end, ())
        self._now = end

    def run(self, awaitable, limit=3600):
        """
        Have happen what is to happen, until there is a result.

        @param awaitable: what is to have a result.
        @type awaitable: L{Deferred} or coroutine

        @param limit: the most virtual seconds that it may take.
        @type limit: a finite number, not negative

        @return: the result of C{awaitable}; C{None} for a failure that was raised here before.

        @raise RuntimeError: if it is called by what happens on the network.
        @raise Exception: that of C{awaitable}, if it fails; or what a rule raises, or a function that was passed to the
            constructor, since the last time.
        @raise NothingLeft: if nothing is to happen, and there is no result.
        @raise LimitReached: if there is no result after C{limit} virtual seconds, or the time does not go on.
        @raise TypeError: if C{awaitable} or C{limit} is something else.
        @raise ValueError: if C{limit} is negative or not finite.
        """
        end = self._endAfter("limit", limit)
        # Not every version of ensureDeferred looks itself.
        if not isinstance(awaitable, Deferred) and not _isCoroutine(awaitable):
            raise TypeError("{!r} is neither a Deferred nor a coroutine".format(awaitable))
        results = []

        def begin():
            deferred = awaitable if isinstance(awaitable, Deferred) else ensureDeferred(awaitable)
            # It keeps its result, for whoever may wait for that too.
            return deferred.addBoth(lambda result: results.append(result) or result)

        deferred = self._go(end, results, begin)
        if not results and self._events.next() is None:
            raise NothingLeft("{!r} has no result, and nothing is to happen; {!r}".format(awaitable, self))
        if not results:
            self._now = end
            text = "{!r} has no result after {!r} seconds; {!r}:{}"
            raise LimitReached(text.format(awaitable, limit, self, self._pending()))
        if isinstance(results[0], Failure):
            # So that it is not logged as unhandled too; what others made of it is.
            deferred.addErrback(lambda failure: None if failure is results[0] else failure)
            results[0].raiseException()
        return results[0]

    def partition(self, *groups):
        """
        Cut the network into parts that do not hear each other, within a C{with} statement.

        @param groups: those of the hosts that hear each other.  Hosts that are in none of them are one more group.
        @type groups: iterables of IP addresses or hosts

        @return: a context manager.

        @raise TypeError: if a group is a text.
        @raise InvalidAddressError: if there is something in a group that is no IP address.
        @raise ValueError: if there is no group, no host has such an address, or it is in two groups.
        """
        return self._faults.partition(groups, self._hosts)

    def rule(self, function):
        """
        Have a function decide what becomes of datagrams, before all rules that there are.

        @param function: called with each L{Datagram} that is sent and that no partition stops.  It returns C{None} to
            leave it to the next rule, and in the end to chance, or else the seconds after which each copy arrives, of
            which there may be none.
        @type function: function of a L{Datagram}, which returns C{None} or an iterable of numbers

        @return: a function without arguments that takes the rule away.

        @raise TypeError: if C{function} cannot be called.
        """
        return self._faults.rule(function)

    def capture(self, path):
        """
        Write the trace as a pcap file: each datagram once, as it left its host, at the time when it did, lost ones
        included.

        @param path: of the file, which is overwritten where there is one.
        @type path: text

        @raise ValueError: if no trace is kept.
        @raise EnvironmentError: if the file cannot be written.
        """
        if self.trace is None:
            raise ValueError("there is no trace to write: pass trace=True to SimulatedNetwork")
        writeCapture(path, [datagram for datagram, _ in self.trace])

    def _newMessageID(self):
        return binascii.unhexlify("{:0{}x}".format(self._random.getrandbits(8 * ID_LENGTH), 2 * ID_LENGTH).encode())

    def _endAfter(self, name, seconds):
        """
        @return: the time after so many seconds.
        """
        if self._running:
            raise RuntimeError("the network is running already")
        checkSeconds(name, seconds)
        end = self._now + seconds
        checkSeconds("the time after {!r} seconds".format(seconds), end)
        return end

    def _go(self, end, results, begin=lambda: None):
        """
        Call C{begin}, and have happen what is to happen until the time C{end}, or until there is something in
        C{results}.

        @return: what C{begin} returns.
        """
        interrupt = None
        try:
            self._running = True
            interrupt = _takeInterrupts(self._interrupt)
            # What has failed since the last time.
            self._raiseFailure()
            begun = begin()
            self._raiseFailure()
            atOnce = 0
            while not results:
                event = self._events.next()
                if event is None or event[0] > end:
                    break
                atOnce = atOnce + 1 if event[0] == self._now else 0
                if atOnce > _MOST_AT_ONCE:
                    text = "the time does not go on, after {} events; {!r}:{}"
                    raise LimitReached(text.format(_MOST_AT_ONCE, self, self._pending()))
                self._events.pop()
                self._now, number, host, datagram, fates = event
                if host is None:
                    self._arrive(datagram, fates)
                else:
                    host._fire(number)
                self._raiseFailure()
            return begun
        finally:
            self._failure = None
            self._running = False
            # Unless it was set to something else meanwhile.
            if interrupt is not None and signal.getsignal(signal.SIGINT) is interrupt:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def _interrupt(self, *arguments):
        # Deferreds take a KeyboardInterrupt for a failure like any other; so it is raised once more, by the network.
        self._failure = Failure(KeyboardInterrupt())
        raise KeyboardInterrupt()

    def _raiseFailure(self):
        if self._failure is not None:
            self._failure.raiseException()

    def _send(self, source, destination, data):
        """
        Called by a socket for each datagram.
        """
        ip, port = destination
        if ip in BROADCAST:
            # To each of them, as if they were all on one link.
            for host in list(self._hosts.values()):
                if host.addressFamily == AF_INET:
                    self._send(source, (host.address, port), data)
            return
        destination = self._hosts[ip].address if ip in self._hosts else canonical(ip)[1], port
        datagram = Datagram(self._now, source, destination, data)
        try:
            what, delays = self._faults.decide(datagram)
        except BaseException as error:
            # Test frameworks have exceptions of their own that are no Exception.
            if isinstance(error, KeyboardInterrupt) or not self._running and not isinstance(error, EnvironmentError):
                raise
            # Not in the face of a protocol, which could take it for something else, as one of the operating system's.
            self._failure = self._failure or Failure()
            return
        self._counts["sent"] += 1
        fates = None
        if self.trace is not None:
            fates = []
            self.trace.append(Traced(datagram, fates))
        if what is not None:
            self._counts[what] += 1
        if not delays:
            self._tell(fates, what)
        elif len(delays) > 1:
            self._counts["duplicated"] += len(delays) - 1
        for delay in delays:
            self._events.post(self._now + delay, None, datagram, fates)

    def _arrive(self, datagram, fates):
        _, source, (ip, port), data = datagram
        host = self._hosts.get(ip)
        bound = host and host._sockets.get(port)
        if self._faults.isCut(source[0], ip):
            what = "partitioned"
        elif bound is None or not bound.hears(source):
            what = "unheard"
        else:
            what = "delivered" if len(data) <= bound.port.maxPacketSize else "truncated"
        self._counts[what] += 1
        self._tell(fates, what)
        if what == "truncated":
            self._counts["delivered"] += 1
        if what in ("delivered", "truncated"):
            bound.receive(data, source)

    def _tell(self, fates, what):
        if fates is not None:
            fates.append(Fate(self._now, what))

    def _pending(self):
        """
        @return: of what is pending the first, in words.
        """
        lines = []
        for time, number, host, datagram, _ in self._events.first(_TOLD):
            if host is None:
                text = "{} bytes from {} to {}".format(len(datagram.data), datagram.source, datagram.destination)
            else:
                function = host._timers[number].func
                text = "timer of {}: {}".format(host.address, getattr(function, "__name__", None) or repr(function))
            lines.append("\n  at {} s: {}".format(time, text))
        return "".join(lines)
