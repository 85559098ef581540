"""
The way out: a datagram goes to the operating system at once, or waits here while the send buffer is full.

UDP promises nothing, so a datagram that the operating system refuses (no route, a firewall, a network that is down) is
one lost on the way, and whoever waits for its answer copes as with any other loss.  A full send buffer is another
matter: it drains within milliseconds, and a node that has just placed a thousand calls should not lose most of them to
it.  A socket of Twisted's cannot tell when it would take a datagram again, so the queue asks, from the reactor.
"""

import errno
import socket
from collections import OrderedDict

from twisted.internet.error import MessageLengthError

# 10055 is Windows' WSAENOBUFS, for which not every Python has a name.
BUFFER_FULL = frozenset([errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, 10055])

# Seconds.  A full buffer of 200 KB takes this long on a line of 300 Mbit/s.
RETRY_INTERVAL = 0.005

# Datagrams.  Strangers can make a node answer, so what waits must have an end: 4096 times 8 KiB are 32 MiB.
MAX_WAITING = 4096


class SendQueue(object):
    """
    Datagrams in the order in which they were sent, of which only a full send buffer holds any back.

    @ivar _clock: returns the provider of L{twisted.internet.interfaces.IReactorTime} that measures the time between two
        attempts.

    @ivar _noteLoss: told of each datagram that is lost, where to, and why.

    @ivar _waiting: what the operating system has yet to take: by datagram and address, the other arguments of L{send},
        and the time.

    @ivar _retrying: the timer of the next attempt, or C{None}.
    """

    def __init__(self, clock, noteLoss):
        self._clock = clock
        self._noteLoss = noteLoss
        self._waiting = OrderedDict()
        self._retrying = None

    def send(self, transport, datagram, address, isWanted):
        """
        Send a datagram now, or as soon as its turn has come and the send buffer has room.  A copy of one that is still
        waiting becomes one with it.

        @type transport: provider of L{twisted.internet.interfaces.IUDPTransport}

        @type datagram: L{bytes}

        @type address: L{tuple} of an IP and a port

        @param isWanted: called before every later attempt with the datagram and the seconds since the first; once it
            returns C{False}, the datagram is forgotten.

        @raise Exception: what the transport raises that is not the operating system's.
        """
        if not self._waiting and self._offer(transport, datagram, address):
            return
        if len(self._waiting) == MAX_WAITING:
            self._noteLoss(datagram, address, "{} are waiting".format(MAX_WAITING))
            return
        self._waiting[datagram, address] = transport, isWanted, self._clock().seconds()
        self._retryLater()

    def clear(self):
        """
        Forget what waits, and the timer.
        """
        self._waiting.clear()
        if self._retrying is not None:
            self._retrying.cancel()
            self._retrying = None

    def _retryLater(self):
        if self._retrying is None:
            self._retrying = self._clock().callLater(RETRY_INTERVAL, self._retry)

    def _retry(self):
        self._retrying = None
        now = self._clock().seconds()
        try:
            while self._waiting:
                if self._isFullFor(next(iter(self._waiting)), now):
                    break
        finally:
            if self._waiting:
                self._retryLater()

    def _isFullFor(self, first, now):
        """
        @return: whether the datagram that waits longest has to wait on.  It is forgotten otherwise, and if it raises.
        @rtype: L{bool}
        """
        transport, isWanted, since = self._waiting[first]
        isFull = False
        try:
            isFull = isWanted(first[0], now - since) and not self._offer(transport, *first)
        finally:
            if not isFull:
                # It may be gone already, with all others, if sending it had the port closed.
                self._waiting.pop(first, None)
        return isFull

    def _offer(self, transport, datagram, address):
        """
        @return: whether the datagram is off our hands, sent or lost.
        @rtype: L{bool}
        """
        try:
            transport.write(datagram, address)
        except (socket.error, MessageLengthError) as error:
            if error.args and error.args[0] in BUFFER_FULL:
                return False
            self._noteLoss(datagram, address, error)
        return True
