"""
The caller's half: from C{protocol.sayhi(address, name)} to the outcome.

How long a call waits is C{waitTimeout}: a number of seconds, a schedule of them, or an object that knows the peers,
with a method C{waits(address)} that returns either.  Such an object is told, by those of these methods that it has,
what came of the calls whose waits it was asked for:

  - C{answered(address, seconds)}: there was an answer after a single copy, and what time it took.  That of a call of
    several copies is nobody's round-trip time, as it cannot be known which of them was answered (Karn's rule, RFC 6298
    section 3).  Nor is one that a clock which was set back has made negative;
  - C{resent(address)}: a copy was sent;
  - C{unanswered(address)}: there was no answer in time;
  - C{ended(address, wait, copies, seconds)}, instead of all these: a call has ended, whose first wait was so long, and
    of which so many copies were sent; C{seconds} is C{None} where there was no answer.  Only this tells calls to one
    peer apart that were made before and after its waits have changed.

C{address} is a L{tuple} of what was called.  What these methods raise is logged, and changes nothing for the call.
Nothing is told of the end of a call that is cancelled, or that ends as the port is closed; nor of one of which a copy
waited for room in our own send buffer, or was refused by our own system, as that is none of the peer's doing.
"""

import functools
import sys
from builtins import str
from numbers import Real

from twisted.internet.defer import Deferred

from rpcudp import wire
from rpcudp._addresses import checkAddress
from rpcudp._deadlines import Deadlines
from rpcudp._logging import log, note, noteMalformed
from rpcudp.exceptions import MalformedMessage

# Seconds for which an answer of ours waits for room where our own calls have no schedule that could tell.
_PATIENCE = 5


class Trip(object):
    """
    A call whose waits an object that knows the peers has given, for telling that object what came of it.

    @ivar transport: of the port that the call went out from.

    @ivar copies: how often its request was sent.

    @ivar _waits: the object.

    @ivar _address: the peer.

    @ivar _wait: the first wait, in seconds.

    @ivar _clock: returns the provider of L{twisted.internet.interfaces.IReactorTime} that measures the time.

    @ivar _began: the time when the call was made.
    """

    __slots__ = ["transport", "copies", "_waits", "_address", "_wait", "_clock", "_began"]

    def __init__(self, transport, waits, address, wait, clock, began):
        self.transport = transport
        self.copies = 1
        self._waits = waits
        self._address = address
        self._wait = wait
        self._clock = clock
        self._began = began

    def resent(self):
        self._tell("resent")

    def ended(self, isAnswered):
        if not isAnswered:
            self._tell("unanswered")
            return
        seconds = self._clock().seconds() - self._began
        if seconds >= 0 or self.copies > 1:
            self._tell("answered", max(0, seconds))

    def _tell(self, name, seconds=None):
        """
        @param name: of what has happened.

        @param seconds: how long the answer took, where there is one.
        """
        try:
            ended = getattr(self._waits, "ended", None)
            if callable(ended):
                if name != "resent":
                    ended(self._address, self._wait, self.copies, seconds)
                return
            told = getattr(self._waits, name, None)
            if told is not None and seconds is None:
                told(self._address)
            elif told is not None and self.copies == 1:
                told(self._address, seconds)
        except BaseException:
            # Whatever it is, the call that this is about has yet to end.
            log.failure("{waits!r} has failed when told of a call", waits=self._waits)


class Caller(object):
    """
    Sends requests, again where there is a schedule, until each call has its outcome.

    The calls in flight themselves are in the protocol's C{_outstanding}.

    @ivar newMessageID: returns the message id of the next call.

    @ivar _protocol: whose calls they are.

    @ivar _clock: returns the provider of L{twisted.internet.interfaces.IReactorTime} that measures the time.

    @ivar _sendQueue: the way out.

    @ivar _counters: of the protocol.
    @type _counters: L{rpcudp.statistics.Counters}

    @ivar _deadlines: how long the calls wait.

    @ivar _hasTrips: whether there has been a L{Trip}.

    @ivar _kind: of a request.

    @ivar _schedule: what L{scheduleOf} says of the C{_waitTimeout} that was looked at last.

    @ivar _checked: that C{_waitTimeout}, or something else where it has to be looked at again.
    """

    def __init__(self, protocol, clock, sendQueue, counters):
        self.newMessageID = wire.newMessageID
        self._protocol = protocol
        self._clock = clock
        self._sendQueue = sendQueue
        self._counters = counters
        self._deadlines = Deadlines(clock, protocol)
        self._hasTrips = False
        self._kind = protocol._rpcudpKinds.request
        self._adopt(protocol._waitTimeout)

    def call(self, waitTimeout, method, address, *arguments):
        """
        @param waitTimeout: for how long this call waits, or C{None}: as C{_waitTimeout} says.

        @param method: the name of the remote method.

        @return: a L{Deferred} of the outcome.

        @raise Exception: as L{rpcudp.protocol.RPCProtocol} says; nothing is pending then.
        """
        protocol = self._protocol
        transport = protocol.transport
        if transport is None:
            raise RuntimeError("{} cannot be called: this protocol does not listen on a port".format(method))
        if not isinstance(method, str):
            # An attribute's name on Python 2.
            method = method.decode("utf-8")
        peer = checkAddress(address, transport)
        if waitTimeout is None:
            waitTimeout = protocol._waitTimeout
            schedule = self._schedule if waitTimeout is self._checked else self._adopt(waitTimeout)
        else:
            schedule = scheduleOf(waitTimeout)
        called = None
        if schedule is None:
            called = tuple(address)
            schedule = _ask(waitTimeout, called)
        msgID = self.newMessageID()
        datagram = wire.makeDatagram(self._kind, msgID, arguments, method)
        deferred = protocol._outstanding[msgID] = Deferred(self._cancel)
        deferred._rpcudpID = msgID
        if protocol.noisy:
            note("calling {method} of {peer} [{msgID}]", msgID, method=method, peer=peer)
            if msgID not in protocol._outstanding and protocol.transport is not None:
                # What observes the log has cancelled it.
                return deferred
        try:
            transport = protocol.transport
            if transport is None:
                # By the object that knows the peers, a type of the application's own, or what observes the log.
                raise RuntimeError("{} cannot be called: the port was closed meanwhile".format(method))
            then = None if len(schedule) == 1 else self._retransmission(msgID, datagram, peer, schedule)
            now = self._deadlines.add(msgID, schedule[0], then)
            if called is None:
                self._sendQueue.send(transport, datagram, peer, msgID)
            else:
                trip = Trip(transport, waitTimeout, called, schedule[0], self._clock, now)
                self._sendWatched(deferred, trip, datagram, peer, msgID)
        except Exception:
            self._forget(msgID)
            raise
        return deferred

    def receive(self, datagram, address):
        """
        A datagram of the kind of a response came.
        """
        protocol = self._protocol
        msgID = datagram[wire.MESSAGE_ID]
        if msgID not in protocol._outstanding:
            # Before it is unpacked, as strangers decide how long that takes.
            self._counters.unexpected += 1
            if protocol.noisy:
                note("dropped a response of {peer} that nobody waits for [{msgID}]", msgID, peer=address)
            return
        try:
            result = wire.decodePayload(datagram, False)
        except MalformedMessage as error:
            self._counters.malformed += 1
            if protocol.noisy:
                noteMalformed(error, address)
            return
        protocol._acceptResponse(msgID, result, address)

    def end(self, msgID, outcome):
        """
        The call with C{msgID} has its outcome.
        """
        deferred = self._protocol._outstanding.pop(msgID, None)
        if deferred is None:
            # What observes the log has cancelled it just now, or a subclass knows of an answer that nobody waits for.
            self._counters.unexpected += outcome[0]
            return
        if outcome[0]:
            self._counters.answered += 1
        else:
            self._counters.unanswered += 1
        if self._sendQueue.waiting:
            self._sendQueue.forget(msgID)
        try:
            trip = getattr(deferred, "_rpcudpTrip", None) if self._hasTrips else None
            if trip is not None and trip.transport is self._protocol.transport:
                trip.ended(outcome[0])
                if deferred.called:
                    # It has cancelled the call that was ending.
                    return
            deferred.callback(outcome)
        finally:
            # Last, so that a call that is made by the callback finds the timer running, and needs no new one.
            self._deadlines.prune()

    def stop(self):
        """
        The port is being closed: no timer stays behind.

        @return: the message ids of the calls that are to be given up then.
        @rtype: L{list}
        """
        self._sendQueue.clear()
        self._deadlines.clear()
        return list(self._protocol._outstanding)

    def giveUp(self, calls):
        """
        The port was closed.

        @param calls: what L{stop} returned.
        """
        for msgID in calls:
            try:
                self._protocol._timeout(msgID)
            except Exception:
                # A subclass's own, and all calls are to end.
                log.failure("_timeout has failed")
                if msgID in self._protocol._outstanding:
                    self.end(msgID, (False, None))

    def patience(self):
        """
        @return: for how many seconds a caller waits.  It is not ours to know; peers of one network are likely to agree.
        """
        try:
            self._adopt(self._protocol._waitTimeout)
        except Exception:
            # It is the next call that is told of that.
            pass
        return _PATIENCE if self._schedule is None else sum(self._schedule)

    def _adopt(self, waitTimeout):
        self._schedule = scheduleOf(waitTimeout)
        # A list may change.
        self._checked = self if isinstance(waitTimeout, list) else waitTimeout
        return self._schedule

    def _cancel(self, deferred):
        msgID = deferred._rpcudpID
        if msgID in self._protocol._outstanding:
            self._counters.cancelled += 1
        self._forget(msgID)

    def _forget(self, msgID):
        # A subclass may have forgotten it already.
        self._protocol._outstanding.pop(msgID, None)
        if self._sendQueue.waiting:
            self._sendQueue.forget(msgID)
        self._deadlines.prune()

    def _retransmission(self, msgID, datagram, address, waits):
        """
        @return: what to do after the first of C{waits}, which is not the only one.
        """
        return functools.partial(self._retransmit, msgID, datagram, address, waits[1:])

    def _retransmit(self, msgID, datagram, address, waits):
        protocol = self._protocol
        deferred = protocol._outstanding[msgID]
        trip = getattr(deferred, "_rpcudpTrip", None)
        then = None if len(waits) == 1 else self._retransmission(msgID, datagram, address, waits)
        self._deadlines.add(msgID, waits[0], then)
        if msgID in self._sendQueue.waiting:
            # Two of them would be one too many.
            return
        if protocol.noisy:
            note("calling {peer} again [{msgID}]", msgID, peer=address)
            if msgID not in protocol._outstanding:
                return
        self._counters.resent += 1
        if trip is None:
            self._sendQueue.send(protocol.transport, datagram, address, msgID)
        else:
            trip.copies += 1
            if self._sendWatched(deferred, trip, datagram, address, msgID):
                trip.resent()

    def _sendWatched(self, deferred, trip, datagram, address, msgID):
        """
        Send a datagram of a call whose waits are an object's.

        @return: whether it has gone out.  What our own system holds up or refuses is not held against the peer, and
            nothing is told of the call's end.
        """
        lost = self._counters.lost
        # Before it is sent, as the answer may come at once.
        deferred._rpcudpTrip = trip
        self._hasTrips = True
        self._sendQueue.send(self._protocol.transport, datagram, address, msgID)
        if self._counters.lost == lost and msgID not in self._sendQueue.waiting:
            return True
        deferred._rpcudpTrip = None
        return False


def scheduleOf(waitTimeout):
    """
    @return: for how many seconds a call waits after each time that it is sent, or C{None} where C{waitTimeout} is an
        object that knows the peers.
    @rtype: L{tuple}

    @raise TypeError: if C{waitTimeout} is no number, schedule, or such an object.
    @raise ValueError: if it is empty or has a wait that is zero, negative or not finite.
    """
    if callable(getattr(waitTimeout, "waits", None)) and not isinstance(waitTimeout, type):
        return None
    return _check(waitTimeout, "waitTimeout is {!r}", waitTimeout)


def _ask(waits, address):
    """
    @return: for how many seconds a call to C{address} waits after each time that it is sent, by the object C{waits}.
    @rtype: L{tuple}

    @raise TypeError: if it says what is no number nor schedule.
    @raise ValueError: if it says an empty one, or a wait that is zero, negative or not finite.
    @raise Exception: what else it raises.
    """
    schedule = waits.waits(address)
    return _check(schedule, "waits({!r}) of {!r} returned {!r}", address, waits, schedule)


def _check(schedule, text, *about):
    """
    @param text: with C{about}, how an exception's message begins.
    """
    waits = tuple(schedule) if isinstance(schedule, (tuple, list)) else (schedule,)
    if not waits:
        raise ValueError("{}, and has no wait in it".format(text.format(*about)))
    for wait in waits:
        # The first of these alone would do, and takes longer.
        if type(wait) is not float and not isinstance(wait, Real):
            raise TypeError("{}, and {!r} is not a number of seconds".format(text.format(*about), wait))
        if not 0 < wait <= sys.float_info.max:
            raise ValueError("{}, and {!r} not positive and finite".format(text.format(*about), wait))
    return waits
