"""
When calls in flight are sent again, or given up: by one timer of the reactor, however many they are.

A timer for each would cost more than the rest of a call together, and nearly all of them would be cancelled.
"""

from heapq import heapify, heappop, heappush
from itertools import count

# Waits of calls that have ended, as many as are not worth clearing away.
_SLACK = 100


class Deadlines(object):
    """
    The times at which calls have waited long enough.

    Of each wait there is the time when it ends, its number, for those that end at one time, the message id, and what to
    do then.  What is of a call that has ended stays until its time has come, or until there is more such than other.

    @ivar _clock: returns the provider of L{twisted.internet.interfaces.IReactorTime} that measures the time.

    @ivar _protocol: the one whose C{_outstanding} has the calls in flight, by message id, and whose C{_timeout} is
        called with the message id of each whose time has come, where there is nothing else to do then.  Both are looked
        up each time, as they are a subclass's to replace.

    @ivar _numbers: of the waits, as they began.

    @ivar _new: the waits that have begun since the timer was due the last time, in no order.  Most are of calls that
        are answered before it is due again, and are not worth a place in a heap.

    @ivar _heap: the waits from before that, the next first.

    @ivar _timer: the timer of the next deadline, or of one before it, or C{None} where no call is in flight.

    @ivar _next: the time of that timer.
    """

    def __init__(self, clock, protocol):
        self._clock = clock
        self._protocol = protocol
        self._numbers = count()
        self._new = []
        self._heap = []
        self._timer = None
        self._next = None

    def add(self, msgID, wait, then=None):
        """
        A call begins to wait.

        @param wait: for how many seconds.

        @param then: called after that, if the call is still in flight then.  By default it is given up.

        @return: the time.
        """
        clock = self._clock()
        now = clock.seconds()
        time = now + wait
        if self._timer is None or time < self._next:
            self._schedule(clock, wait, time)
        self._new.append((time, next(self._numbers), msgID, then))
        return now

    def prune(self):
        """
        Some call has ended: forget the waits that nobody needs, and the timer with the last of them.
        """
        calls = self._protocol._outstanding
        if not calls:
            self.clear()
        elif len(self._new) + len(self._heap) > 2 * len(calls) + _SLACK:
            self._new = [entry for entry in self._new if entry[2] in calls]
            self._heap = [entry for entry in self._heap if entry[2] in calls]
            heapify(self._heap)

    def clear(self):
        """
        Forget all waits, and the timer.
        """
        del self._new[:]
        del self._heap[:]
        self._unschedule()

    def _schedule(self, clock, wait, time):
        # First, as the clock may refuse it, and the timer is that of other calls too.
        timer = clock.callLater(wait, self._sweep)
        self._unschedule()
        self._timer = timer
        self._next = time

    def _unschedule(self):
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self):
        self._timer = None
        clock = self._clock()
        now = clock.seconds()
        for entry in self._new:
            heappush(self._heap, entry)
        del self._new[:]
        try:
            while self._heap and self._heap[0][0] <= now:
                _, _, msgID, then = heappop(self._heap)
                if msgID not in self._protocol._outstanding:
                    continue
                if then is None:
                    self._protocol._timeout(msgID)
                else:
                    then()
        finally:
            if self._heap:
                time = self._heap[0][0]
                if self._timer is None or time < self._next:
                    # The clock is asked again, as what was called may have taken its time.
                    self._schedule(clock, max(0, time - clock.seconds()), time)
