"""
When calls in flight are sent again, or given up: by one timer of the reactor, however many they are.

A timer for each would cost more than the rest of a call together, and nearly all would be cancelled.  A place in a heap
for each would mostly be for nothing as well, as most calls are answered long before any has waited long enough.  So
each call keeps its wait itself, and a heap is made of the waits of those that are in flight when that time has come.
"""

from heapq import heapify, heappop
from itertools import count

# Waits of calls that have ended, as many as are not worth clearing away.
_SLACK = 100

_NEVER = float("inf")


class Deadlines(object):
    """
    The times at which calls have waited long enough.

    The wait of a call is C{_rpcudpWait} of its Deferred: the time when it ends, its number, for those that end at one
    time, the message id, and what to do then.

    @ivar _clock: returns the provider of L{twisted.internet.interfaces.IReactorTime} that measures the time.

    @ivar _protocol: the one whose C{_outstanding} has the calls in flight, by message id, and whose C{_timeout} is
        called with the message id of each whose time has come, where there is nothing else to do then.  Both are looked
        up each time, as they are a subclass's to replace.

    @ivar _numbers: of the waits, as they began.

    @ivar _heap: the waits of the calls that were in flight when they were gathered, the next first.  That of a call
        that has ended since stays until it comes to the top, or until there is more such than other.

    @ivar _ungathered: when the first of the waits ends that have begun since then.

    @ivar _timer: the timer of the next deadline, or of one before it, or C{None} where no call is in flight.

    @ivar _next: the time of that timer.
    """

    def __init__(self, clock, protocol):
        self._clock = clock
        self._protocol = protocol
        self._numbers = count()
        self._heap = []
        self._ungathered = _NEVER
        self._timer = None
        self._next = _NEVER

    def add(self, deferred, msgID, wait, then=None):
        """
        A call begins to wait.

        @param deferred: of the call.

        @param wait: for how many seconds.

        @param then: called after that, if the call is still in flight then.  By default it is given up.

        @return: the time.
        """
        clock = self._clock()
        now = clock.seconds()
        time = now + wait
        deferred._rpcudpWait = time, next(self._numbers), msgID, then
        if time < self._ungathered:
            if time < self._next:
                self._schedule(clock, wait, time)
            self._ungathered = time
        return now

    def prune(self):
        """
        Some call has ended: forget the waits that nobody needs, and the timer with the last of them.
        """
        calls = self._protocol._outstanding
        if not calls:
            self.clear()
        elif len(self._heap) > _SLACK and len(self._heap) > 2 * len(calls):
            self._gather()

    def clear(self):
        """
        Forget all waits, and the timer.
        """
        del self._heap[:]
        self._ungathered = _NEVER
        self._unschedule()

    def _gather(self):
        waits = [getattr(deferred, "_rpcudpWait", None) for deferred in self._protocol._outstanding.values()]
        self._heap = [wait for wait in waits if wait is not None]
        heapify(self._heap)
        self._ungathered = _NEVER

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
            self._next = _NEVER

    def _sweep(self):
        self._timer = None
        self._next = _NEVER
        clock = self._clock()
        now = clock.seconds()
        # Waits that begin meanwhile are not over, even if the clock was set back below the time when this began.
        begun = next(self._numbers)
        try:
            if now >= self._ungathered:
                self._gather()
            while self._heap and self._heap[0][0] <= now and self._heap[0][1] < begun:
                _, _, msgID, then = heappop(self._heap)
                if msgID not in self._protocol._outstanding:
                    continue
                if then is None:
                    self._protocol._timeout(msgID)
                else:
                    then()
        finally:
            time = min(self._heap[0][0] if self._heap else _NEVER, self._ungathered)
            if time < self._next:
                # The clock is asked again, as what was called may have taken its time.
                self._schedule(clock, max(0, time - clock.seconds()), time)
