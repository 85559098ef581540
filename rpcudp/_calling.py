"""
The caller's half: from C{protocol.sayhi(address, name)} to the outcome.
"""

import functools
import sys
from numbers import Real

from twisted.internet.defer import Deferred

from rpcudp import wire
from rpcudp._addresses import checkAddress
from rpcudp._deadlines import Deadlines
from rpcudp._logging import log, note, noteMalformed
from rpcudp.exceptions import MalformedMessage


class Caller(object):
    """
    Sends requests, again where there is a schedule, until each call has its outcome.

    The calls in flight themselves are in the protocol's C{_outstanding}.

    @ivar newMessageID: returns the message id of the next call.

    @ivar _protocol: whose calls they are.

    @ivar _sendQueue: the way out.

    @ivar _deadlines: how long the calls wait.

    @ivar _schedule: of the call that was made last, or of the construction of the protocol.

    @ivar _checked: the C{_waitTimeout} that it was made of.
    """

    def __init__(self, protocol, clock, sendQueue):
        self.newMessageID = wire.newMessageID
        self._protocol = protocol
        self._sendQueue = sendQueue
        self._deadlines = Deadlines(clock, protocol)
        self._checked = protocol._waitTimeout
        self._schedule = scheduleOf(self._checked)

    def call(self, method, address, *arguments):
        """
        @param method: the name of the remote method.

        @return: a L{Deferred} of the outcome.

        @raise Exception: as L{rpcudp.protocol.RPCProtocol} says; nothing is pending then.
        """
        protocol = self._protocol
        if protocol.transport is None:
            raise RuntimeError("{} cannot be called: this protocol does not listen on a port".format(method))
        if isinstance(method, bytes):
            # An attribute's name on Python 2.
            method = method.decode("utf-8")
        address = checkAddress(address, protocol.transport)
        msgID = self.newMessageID()
        datagram = wire.encode(protocol._rpcudpKinds.request, msgID, (method, arguments))
        deferred = protocol._outstanding[msgID] = Deferred(functools.partial(self._forget, msgID))
        if protocol.noisy:
            note("calling {method} of {peer} [{msgID}]", msgID, method=method, peer=address)
        try:
            self._transmit(msgID, datagram, address, self._currentSchedule())
        except Exception:
            self._forget(msgID)
            raise
        return deferred

    def receive(self, datagram, address):
        """
        A datagram of the kind of a response came.
        """
        protocol = self._protocol
        msgID = wire.messageID(datagram)
        if msgID not in protocol._outstanding:
            # Before it is unpacked, as strangers decide how long that takes.
            if protocol.noisy:
                note("dropped a response of {peer} that nobody waits for [{msgID}]", msgID, peer=address)
            return
        try:
            result = wire.decodePayload(datagram, False)
        except MalformedMessage as error:
            if protocol.noisy:
                noteMalformed(error, address)
            return
        protocol._acceptResponse(msgID, result, address)

    def end(self, msgID, outcome):
        """
        The call with C{msgID}, which is in flight, has its outcome.
        """
        deferred = self._protocol._outstanding.pop(msgID)
        if self._sendQueue.waiting:
            self._sendQueue.forget(msgID)
        try:
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
            return sum(self._currentSchedule())
        except (TypeError, ValueError):
            # It is the next call that is told of that.
            return sum(self._schedule)

    def _currentSchedule(self):
        waitTimeout = self._protocol._waitTimeout
        # A list may have changed.
        if waitTimeout is not self._checked or isinstance(waitTimeout, list):
            self._schedule = scheduleOf(waitTimeout)
            self._checked = waitTimeout
        return self._schedule

    def _forget(self, msgID, deferred=None):
        # A subclass may have forgotten it already.
        self._protocol._outstanding.pop(msgID, None)
        if self._sendQueue.waiting:
            self._sendQueue.forget(msgID)
        self._deadlines.prune()

    def _transmit(self, msgID, datagram, address, waits):
        """
        Send a request, and again after each of C{waits} but the last, after which the call is given up.
        """
        rest = waits[1:]
        then = functools.partial(self._retransmit, msgID, datagram, address, rest) if rest else None
        self._deadlines.add(msgID, waits[0], then)
        self._sendQueue.send(self._protocol.transport, datagram, address, msgID)

    def _retransmit(self, msgID, datagram, address, waits):
        if self._protocol.noisy:
            note("calling {peer} again [{msgID}]", msgID, peer=address)
        self._transmit(msgID, datagram, address, waits)


def scheduleOf(waitTimeout):
    """
    @return: for how many seconds a call waits after each time that it is sent.
    @rtype: L{tuple}

    @raise TypeError: if C{waitTimeout} is no number nor schedule.
    @raise ValueError: if it is empty or has a wait that is zero, negative or not finite.
    """
    waits = tuple(waitTimeout) if isinstance(waitTimeout, (tuple, list)) else (waitTimeout,)
    if not waits:
        raise ValueError("waitTimeout is {!r}, and has no wait in it".format(waitTimeout))
    for wait in waits:
        if not isinstance(wait, Real):
            raise TypeError("waitTimeout is {!r}, and {!r} is not a number of seconds".format(waitTimeout, wait))
        if not 0 < wait <= sys.float_info.max:
            raise ValueError("waitTimeout is {!r}, and {!r} not positive and finite".format(waitTimeout, wait))
    return waits
