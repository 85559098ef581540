"""
The duplicate request cache: what keeps a request that arrives twice from being carried out twice.

Callers send a request again while no answer comes, and networks duplicate datagrams by themselves.  A copy is byte for
byte the same and comes from the same sender; it gets the same answer, if there is one yet, and nothing else.  A request
with the same message id and another payload is another request.

Strangers decide how much there is to remember, so it has an end, in seconds and in bytes, and so in entries.  There are
two generations of them, the current one and the one before.  When the current one is full or old, it becomes the one
before, and that is forgotten as a whole: the oldest go first, and none is looked at for it.
"""

# Bytes that a request takes besides its key and its answer, measured and rounded up.
ENTRY_OVERHEAD = 192

# Of both generations, all in.
MAX_BYTES = 16 << 20


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

    @ivar _lifetime: for how many seconds a request is remembered.

    @ivar _times: by key, when the requests of this generation came.

    @ivar _answers: by key, the datagrams that answered requests since it began.

    @ivar _timesBefore, _answersBefore: the same, of the generation before.

    @ivar _size: how many bytes this generation takes.

    @ivar _ends: when it ends, unless it is full before.
    """

    def __init__(self, clock, lifetime):
        self._clock = clock
        self._lifetime = lifetime
        self._times = {}
        self._answers = {}
        self._beginGeneration(float("-inf"))

    def identify(self, msgID, datagram, sender):
        """
        @return: the message id of a request, for the other methods.
        @rtype: L{RequestID}
        """
        request = RequestID(msgID)
        request.key = datagram + repr(sender).encode("utf-8")
        return request

    def enter(self, request):
        """
        A request came.  If it is new, it is remembered from now on.

        @return: C{None} for a new one; else the answer to it, empty if there is none or none yet.
        @rtype: L{bytes}
        """
        key = request.key
        now = self._clock().seconds()
        time = self._times.get(key, self._timesBefore.get(key))
        if time is not None:
            if now - time < self._lifetime:
                return self._answers.get(key) or self._answersBefore.get(key, b"")
            self.leave(request)
        if now >= self._ends:
            self._beginGeneration(now)
        self._times[key] = now
        self._grow(ENTRY_OVERHEAD + len(key))
        return None

    def leave(self, request):
        """
        Forget a request.
        """
        for entries in (self._times, self._answers, self._timesBefore, self._answersBefore):
            entries.pop(request.key, None)

    def answered(self, request, answer):
        """
        Remember the answer to a request.

        @param answer: the datagram.
        """
        self._answers[request.key] = answer
        self._grow(len(answer))

    def _grow(self, size):
        self._size += size
        if self._size > MAX_BYTES // 2:
            self._beginGeneration(self._clock().seconds())

    def _beginGeneration(self, now):
        self._timesBefore = self._times
        self._answersBefore = self._answers
        self._times = {}
        self._answers = {}
        self._size = 0
        self._ends = now + self._lifetime
