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

from rpcudp._addresses import connectedPeer

# The send buffer of the socket is full, whatever the destination.
SOCKET_FULL = frozenset([errno.EAGAIN, errno.EWOULDBLOCK])

# A queue beyond it is full, which may be that of one destination's network alone.  10055 is Windows' WSAENOBUFS, for
# which not every Python has a name.
QUEUE_FULL = frozenset([errno.ENOBUFS, 10055])

# Seconds.  A full buffer of 200 KB takes this long on a line of 300 Mbit/s.
RETRY_INTERVAL = 0.005

# Datagrams.  Strangers can make a node answer, so what waits must have an end: 4096 times 8 KiB are 32 MiB.
MAX_WAITING = 4096

# Destinations whose queues are full that are tried at one attempt, as each costs a system call.
MAX_TRIED = 100


class SendQueue(object):
    """
    Datagrams in the order in which they were sent, of which only a full send buffer holds any back.

    @ivar _clock: returns the provider of L{twisted.internet.interfaces.IReactorTime} that measures the time between two
        attempts.

    @ivar _counters: of the protocol.
    @type _counters: L{rpcudp.statistics.Counters}

    @ivar _noteLoss: told of each datagram that is lost, where to, and why.

    @ivar waiting: what the operating system has yet to take: the transport, datagram, address, patience and time, by
        message id for a call and else by datagram and address.

    @ivar _retrying: the timer of the next attempt, or C{None}.
    """

    def __init__(self, clock, counters, noteLoss):
        self._clock = clock
        self._counters = counters
        self._noteLoss = noteLoss
        self.waiting = OrderedDict()
        self._retrying = None

    def send(self, transport, datagram, address, msgID=None, patience=None, isHeld=False):
        """
        Send a datagram now, or as soon as its turn has come and the send buffer has room.  A copy of one that is still
        waiting becomes one with it.

        @type transport: provider of L{twisted.internet.interfaces.IUDPTransport}

        @type datagram: L{bytes}

        @type address: L{tuple} of an IP and a port

        @param msgID: of the call that the datagram is for, so that it can be forgotten with the call.

        @param patience: returns for how many seconds the datagram may wait; by default there is no end.

        @param isHeld: whether its turn has come, and it waits on where it is if there is no room.

        @return: C{None} if the datagram is off our hands, sent or lost, or waits for others; or else the number of the
            error that says what is full.

        @raise Exception: what the transport raises that is not the operating system's.
        """
        if self.waiting and not isHeld:
            self._hold(transport, datagram, address, msgID, patience)
            return None
        destination = address
        try:
            record = transport._connectedAddr
        except AttributeError:
            record = transport
        if record is not None:
            peer = connectedPeer(transport)
            if peer is not None and peer[:2] != address[:2]:
                self._lose(datagram, address, "the port is connected to {!r}".format(peer[:2]))
                return None
            if peer is not None or record is not transport:
                # Twisted compares how the address is spelt, and takes a port for connected that could not be.
                destination = None
        try:
            transport.write(datagram, destination)
        except (socket.error, MessageLengthError) as error:
            code = error.args[0] if error.args else None
            if code in SOCKET_FULL or code in QUEUE_FULL:
                if not isHeld:
                    self._hold(transport, datagram, address, msgID, patience)
                return code
            self._lose(datagram, address, error)
            return None
        counters = self._counters
        counters.datagramsSent += 1
        counters.bytesSent += len(datagram)
        return None

    def _hold(self, transport, datagram, address, msgID, patience):
        clock = self._clock()
        self._retryLater(clock)
        key = msgID or (datagram, address)
        if key in self.waiting:
            return
        if len(self.waiting) == MAX_WAITING:
            self._lose(datagram, address, "{} are waiting".format(MAX_WAITING))
            return
        self.waiting[key] = transport, datagram, address, patience and patience(), clock.seconds()

    def forget(self, msgID):
        """
        A call has ended: what it still has to send is not wanted any more.
        """
        if self.waiting.pop(msgID, None) is not None:
            self._counters.lost += 1
        self._stopWithoutWork()

    def clear(self):
        """
        Forget what waits, and the timer.
        """
        self._counters.lost += len(self.waiting)
        self.waiting.clear()
        self._stopWithoutWork()

    def _stopWithoutWork(self):
        if not self.waiting and self._retrying is not None:
            self._retrying.cancel()
            self._retrying = None

    def _retryLater(self, clock):
        if self._retrying is None:
            self._retrying = clock.callLater(RETRY_INTERVAL, self._retry)
        elif self._retrying.getTime() > clock.seconds() + RETRY_INTERVAL:
            # The clock was set back, and the port is not to be mute until it has caught up.
            self._retrying.reset(RETRY_INTERVAL)

    def _retry(self):
        self._retrying = None
        clock = self._clock()
        now = clock.seconds()
        blocked = set()
        try:
            # What is sent meanwhile waits for the next time.
            for key, entry in list(self.waiting.items()):
                address = entry[2]
                if address in blocked or self.waiting.get(key) is not entry:
                    continue
                code = self._attempt(key, entry, now)
                if code is None:
                    continue
                if code in SOCKET_FULL:
                    break
                blocked.add(address)
                if len(blocked) == MAX_TRIED:
                    self._putLast(blocked)
                    break
        finally:
            # A call that ended while it was sent may have been what a timer was for.
            self._stopWithoutWork()
            if self.waiting:
                self._retryLater(clock)

    def _putLast(self, addresses):
        """
        Have the datagrams to other addresses come first at the next attempt.
        """
        for key, entry in list(self.waiting.items()):
            if entry[2] in addresses:
                del self.waiting[key]
                self.waiting[key] = entry

    def _attempt(self, key, entry, now):
        """
        @return: C{None}, or why a datagram has to wait on, as L{send} does.  It is forgotten otherwise, and if
            sending it raises.
        """
        transport, datagram, address, patience, since = entry
        code = None
        try:
            if patience is None or now - since < patience:
                code = self.send(transport, datagram, address, isHeld=True)
            else:
                self._lose(datagram, address, "it has waited for {} seconds".format(patience))
        finally:
            # It may be gone already, with all others, if sending it had the port closed.
            if code is None and self.waiting.get(key) is entry:
                del self.waiting[key]
        return code

    def _lose(self, datagram, address, reason):
        self._counters.lost += 1
        self._noteLoss(datagram, address, reason)
