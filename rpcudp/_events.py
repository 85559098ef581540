"""
What is to happen on a simulated network, the next first.

It is one heap, so that an event costs the logarithm of how many there are.  That of a timer that was cancelled stays
until it comes to the top, or until there are more such than others.
"""

from heapq import heapify, heappop, heappush

# Events that are of no effect any more, as many as are not worth clearing away.
_SLACK = 100


class Events(object):
    """
    Events, each a L{tuple} of its time, its number, the L{rpcudp._hosts.Host} whose timer it is, or else C{None}, and
    the datagram that arrives, and its fates.  Their number is the order in which they were asked for.

    @ivar _heap: of those that are to happen, and of timers that their hosts do not have any more.

    @ivar _posted: how many were asked for.

    @ivar _stale: how many are of such timers.
    """

    def __init__(self):
        self._heap = []
        self._posted = 0
        self._stale = 0

    def __len__(self):
        return len(self._heap) - self._stale

    def post(self, time, host, datagram=None, fates=None):
        """
        @return: the number of the event.
        """
        self._posted += 1
        heappush(self._heap, (time, self._posted, host, datagram, fates))
        return self._posted

    def discard(self, count=1):
        """
        Some timers are no more.
        """
        self._stale += count
        if 2 * self._stale > len(self._heap) + _SLACK:
            self._heap = [event for event in self._heap if _isLive(event)]
            heapify(self._heap)
            self._stale = 0

    def next(self):
        """
        @return: the next event, or C{None}.
        """
        while self._heap and not _isLive(self._heap[0]):
            heappop(self._heap)
            self._stale -= 1
        return self._heap[0] if self._heap else None

    def pop(self):
        """
        The event that L{next} has returned happens.
        """
        heappop(self._heap)

    def first(self, count):
        """
        @return: the next events, at most so many.
        @rtype: L{list}
        """
        # No two compare equal in time and number.
        return sorted(filter(_isLive, self._heap))[:count]


def _isLive(event):
    host = event[2]
    return host is None or event[1] in host._timers
