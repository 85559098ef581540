"""
The duplicate request cache: what keeps a request that arrives twice from being carried out twice.

Callers send a request again while no answer comes, and networks duplicate datagrams by themselves.  A copy is byte for
byte the same and comes from the same sender; it gets the same answer, if there is one yet, and nothing else.  A request
with the same message id and another payload is another request.

Strangers decide how much there is to remember, so it has an end, in seconds and in bytes, and so in entries.  Requests
that came one after another are a generation, and are forgotten together, the oldest generation first.
"""

from collections import deque

# Bytes that a request takes besides its key and its answer, measured and rounded up.
ENTRY_OVERHEAD = 192

# Of all generations, all in.
MAX_BYTES = 16 << 20

# How many generations there are where each is full, or lasts for its part of the lifetime.
GENERATIONS = 64
GENERATION_BYTES = MAX_BYTES // GENERATIONS


class RequestID(bytes):
    """
    A message id that leads to its request, however it is handed around.

    @ivar key: the key of the request in the cache.
    @type key: L{bytes}
    """


class DuplicateRequestCache(object):
    """
    The requests of late, and their answers.

    A key is the bytes of the datagram and its sender.  Nothing in here is an object that the garbage collector would
    look at, again and again, as there may be tens of thousands.

    @ivar _clock: returns the provider of L{twisted.internet.interfaces.IReactorTime} that measures the time.

    @ivar _lifetime: for how many seconds a request is remembered; together with others, a little longer.

    @ivar _answers: by key, the datagrams that answered the requests; empty where there is no answer, or none yet.

    @ivar _older: of each generation before the current one, the oldest first: when its last request expires, its bytes,
        and its keys.

    @ivar _olderSize: the bytes of them all.

    @ivar _expires, _size, _keys: the same of the current generation.

    @ivar _ends: when it ends, unless it is full before: after its part of the lifetime, or as soon as the oldest one
        expires.
    """

    def __init__(self, clock, lifetime):
        self._clock = clock
        self._lifetime = lifetime
        self._answers = {}
        self._older = deque()
        self._olderSize = 0
        self._expires = self._ends = float("-inf")
        self._size = 0
        self._keys = []

    def enter(self, msgID, datagram, sender):
        """
        A request came.  If it is new, it is remembered from now on.

        @return: its message id, for the other methods; and C{None} if it is new, else the answer to it, which is empty
            where there is no answer, or none yet.
        @rtype: L{tuple} of L{RequestID} and L{bytes}
        """
        now = self._clock().seconds()
        if now >= self._ends or self._size > GENERATION_BYTES:
            self._beginGeneration(now)
        request = RequestID(msgID)
        request.key = key = datagram + repr(sender).encode("utf-8")
        answer = self._answers.get(key)
        if answer is None:
            self._answers[key] = b""
            self._keys.append(key)
            self._size += ENTRY_OVERHEAD + len(key)
            self._expires = now + self._lifetime
        return request, answer

    def leave(self, request):
        """
        Forget a request, the last that was entered.
        """
        self._keys.pop()
        del self._answers[request.key]
        self._size -= ENTRY_OVERHEAD + len(request.key)

    def answered(self, request, answer):
        """
        Remember the answer to a request, unless that is forgotten.

        @param answer: the datagram.
        """
        if request.key in self._answers:
            self._answers[request.key] = answer
            self._size += len(answer)
            if self._size > GENERATION_BYTES:
                # Not for the next request to do: there may be many answers before it.
                self._beginGeneration(self._clock().seconds())

    def _beginGeneration(self, now):
        """
        Begin another generation, and forget those that are too old or too many.
        """
        self._older.append((self._expires, self._size, self._keys))
        self._olderSize += self._size
        self._size = 0
        self._keys = []
        self._ends = now + self._lifetime / float(GENERATIONS)
        while self._older:
            expires, size, keys = self._older[0]
            if now < expires and self._olderSize <= MAX_BYTES - GENERATION_BYTES:
                self._ends = min(expires, self._ends)
                break
            self._older.popleft()
            self._olderSize -= size
            for key in keys:
                del self._answers[key]
