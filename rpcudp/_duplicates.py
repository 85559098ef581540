"""
The duplicate request cache: what keeps a request that arrives twice from being carried out twice.

Callers send a request again while no answer comes, and networks duplicate datagrams by themselves.  A copy is byte for
byte the same and comes from the same sender; it gets the same answer, if there is one yet, and nothing else.  A request
with the same message id and another payload is another request.

Strangers decide how much there is to remember, so it has an end, in seconds and in bytes, and so in entries.  Requests
that came one after another are a generation, and are forgotten together, the oldest generation first.
"""

import struct
import sys

# Bytes that a request takes besides its key, its datagram and its answer, measured and rounded up.  Python 2 has larger
# objects, and tables of up to eight times what is in them.
ENTRY_OVERHEAD = 320 if sys.version_info >= (3,) else 560

# Of all generations, all in.
MAX_BYTES = 16 << 20

# How many generations there are where each is full, or lasts for its part of the lifetime.
GENERATIONS = 64
GENERATION_BYTES = MAX_BYTES // GENERATIONS

# What makes bytes of an address, for keys: of its port and its last part, which is the zone where it has four, and of
# its IP, a native string.  The flow label, which is the third of four, does not tell who sends.
_pack = struct.Struct(">II").pack
_encode = bytes if str is bytes else str.encode


class SecondID(bytes):
    """
    The message id of a request whose sender gave the same one to another request before.

    @ivar key: the key of the request in the cache.
    @type key: L{bytes}
    """


class DuplicateRequestCache(object):
    """
    The requests of late, and their answers.

    A request is remembered from when it is handed on, so that its copies are known by their bytes; that it is carried
    out is noted when that begins.  Nothing in here is an object that the garbage collector would look at, again and
    again, as there may be tens of thousands.

    @ivar _clock: returns the provider of L{twisted.internet.interfaces.IReactorTime} that measures the time.

    @ivar _lifetime: for how many seconds a request is remembered; together with others, a little longer.

    @ivar _now, _msgID, _key: of the request that was identified last, the time, the message id and the key.

    @ivar _hasSeconds: whether there has been a L{SecondID}, as there is none where senders draw their ids at random.

    @ivar _requests: by key, the datagrams.  A key is made of the message id and the sender, so that it can be made
        again of what is handed through a subclass's code; only that of a L{SecondID} is not.

    @ivar _answers: by key, of those that are carried out, the datagrams that answered them; empty where there is no
        answer, or none yet.

    @ivar _older: of each generation before the current one, the oldest first: when its last request expires, its bytes,
        and its keys.

    @ivar _olderSize: the bytes of them all.

    @ivar _size, _keys: the same of the current generation.

    @ivar _ends: when it ends, unless it is full before: after its part of the lifetime, or as soon as the oldest one
        expires.
    """

    def __init__(self, clock, lifetime):
        self._clock = clock
        self._lifetime = lifetime
        self._requests = {}
        self._answers = {}
        self._older = []
        self._olderSize = 0
        self._now = self._ends = float("-inf")
        self._size = 0
        self._keys = []
        self._msgID = self._key = None
        self._hasSeconds = False

    @property
    def count(self):
        """
        How many requests are remembered.
        """
        return len(self._requests)

    def identify(self, msgID, datagram, sender):
        """
        A request came.

        @return: its message id, and its answer: C{None} if it was not carried out yet, and empty if it has no answer,
            or none yet.
        @rtype: L{tuple}
        """
        now = self._clock().seconds()
        if now < self._now:
            self._setBack(self._now - now)
        if now >= self._ends or self._size > GENERATION_BYTES:
            self._beginGeneration(now)
        self._now = now
        try:
            key = msgID + _pack(sender[1], sender[-1]) + _encode(sender[0])
        except Exception:
            key = _keyOf(msgID, sender)
        known = self._requests.get(key)
        if known != datagram and (known is not None or self._hasSeconds and key + datagram in self._requests):
            self._hasSeconds = True
            msgID = SecondID(msgID)
            msgID.key = key = key + datagram
        self._msgID = msgID
        self._key = key
        return msgID, self._answers.get(key)

    def remember(self, datagram):
        """
        Remember the request that was identified last.
        """
        key = self._key
        if key not in self._requests:
            self._requests[key] = datagram
            self._keys.append(key)
            self._size += ENTRY_OVERHEAD + len(key) + len(datagram)

    def begin(self, msgID, sender):
        """
        A request is to be carried out.

        @return: C{None}, or, if it was carried out before, its answer; that is empty if it has none, or none yet.
        """
        key = self._key if msgID is self._msgID else _keyOf(msgID, sender)
        answer = self._answers.get(key)
        if answer is None and key in self._requests:
            self._answers[key] = b""
        return answer

    def answered(self, msgID, sender, answer):
        """
        Remember the answer to a request, unless that is forgotten.

        @param answer: the datagram.
        """
        key = self._key if msgID is self._msgID else _keyOf(msgID, sender)
        if key in self._requests:
            self._answers[key] = answer
            self._size += len(answer)
            if self._size > GENERATION_BYTES:
                # Not for the next request to do: there may be many answers before it.
                self._beginGeneration(self._now)

    def _beginGeneration(self, now):
        """
        Begin another generation, and forget those that are too old or too many.
        """
        self._older.append((self._now + self._lifetime, self._size, self._keys))
        self._olderSize += self._size
        self._size = 0
        self._keys = []
        self._ends = now + self._lifetime / float(GENERATIONS)
        while self._older:
            expires, size, keys = self._older[0]
            if now < expires and self._olderSize <= MAX_BYTES - GENERATION_BYTES:
                self._ends = min(expires, self._ends)
                break
            self._older.pop(0)
            self._olderSize -= size
            for key in keys:
                del self._requests[key]
                self._answers.pop(key, None)

    def _setBack(self, step):
        """
        The clock was set back, and nothing is to be remembered for longer by it.
        """
        self._now -= step
        self._ends -= step
        self._older = [(expires - step, size, keys) for expires, size, keys in self._older]


def _keyOf(msgID, sender):
    """
    @param msgID: equal to the message id of a request, of whatever type; likewise C{sender}.
    """
    if isinstance(msgID, SecondID):
        return msgID.key
    msgID = bytes(bytearray(msgID))
    if isinstance(sender, (tuple, list)):
        sender = tuple(sender)
        try:
            return msgID + _pack(int(sender[1]), int(sender[-1])) + _encode(sender[0])
        except Exception:
            pass
    # It sends over something else than UDP, such as a Unix socket.
    return msgID + repr(sender).encode("utf-8")
