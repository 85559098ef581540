"""
The answerer's half: from a request to the response.
"""

import types

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from rpcudp import wire
from rpcudp._duplicates import DuplicateRequestCache
from rpcudp._handlers import Refused, carryOut, isLateMisfit
from rpcudp._logging import log, logFailure, note, noteMalformed
from rpcudp._sharing import Shares, senderOf, weigh
from rpcudp.exceptions import MalformedMessage

try:
    from asyncio import Future
except ImportError:
    # Python 2 has neither these nor coroutines.
    Future = Deferred

# What a handler returns that becomes a result later.
_LATER = (Deferred, Future, getattr(types, "CoroutineType", Deferred))

# What most results are.  To look for these takes less time than to find that a result is none of L{_LATER}.
_PRESENT = frozenset([type(None), bool, int, float, bytes, type(u""), list, dict, tuple])

# Bytes that the arguments of the requests in hand may take together.
MAX_HELD = 64 << 20

# Seconds in which no place has become free, before the log says so, and between two times that it does.
_STUCK = 60


class _Failed(object):
    """
    What a handler's Deferred has for a result once its failure was logged.  Another request may have the same Deferred.
    """

    def __repr__(self):
        return "<a failure that was logged>"


_FAILED = _Failed()


class Answerer(object):
    """
    Has the protocol's handlers carry out requests, each once, as many as may be in hand, and sends their results.

    @ivar _protocol: whose handlers they are.

    @ivar _clock: returns the provider of L{twisted.internet.interfaces.IReactorTime} that measures the time.

    @ivar _patience: returns for how many seconds an answer is worth sending.

    @ivar _sendQueue: the way out.

    @ivar _counters: of the protocol.
    @type _counters: L{rpcudp.statistics.Counters}

    @ivar _kind: of a response.

    @ivar _duplicates: which requests came before, or C{None}.

    @ivar _running: how many handlers have been called and have not yet returned.

    @ivar _places: of the requests in hand, the Deferreds of whose handlers have not fired.

    @ivar _bytes: that their arguments take.

    @ivar _stuckSince: the time when a place was taken, or a request dropped, after which none has become free, or when
        the log last said so; or C{None}.
    """

    def __init__(self, protocol, clock, patience, sendQueue, counters, maxConcurrent, duplicateLifetime):
        self._protocol = protocol
        self._clock = clock
        self._patience = patience
        self._sendQueue = sendQueue
        self._counters = counters
        self._kind = protocol._rpcudpKinds.response
        self._duplicates = DuplicateRequestCache(clock, duplicateLifetime) if duplicateLifetime else None
        self._running = 0
        self._places = Shares(maxConcurrent)
        self._bytes = Shares(MAX_HELD)
        self._stuckSince = None

    @property
    def inHand(self):
        """
        How many requests are being answered.
        """
        return self._places.taken + self._running

    @property
    def remembered(self):
        """
        How many requests are in the duplicate request cache.
        """
        return 0 if self._duplicates is None else self._duplicates.count

    def receive(self, datagram, address):
        """
        A datagram of the kind of a request came.  It is handed on, if it is new, makes sense and there is room for it.
        """
        protocol = self._protocol
        duplicates = self._duplicates
        msgID = datagram[wire.MESSAGE_ID]
        if duplicates is not None:
            # Before it is unpacked, as strangers decide how long that takes.
            msgID, answer = duplicates.identify(msgID, datagram, address)
            if answer is not None:
                self._counters.requests += 1
                self._answerAgain(answer, msgID, address)
                return
        try:
            data = wire.decodePayload(datagram, True)
        except MalformedMessage as error:
            self._counters.malformed += 1
            if protocol.noisy:
                noteMalformed(error, address)
            return
        self._counters.requests += 1
        if (self._places.taken or self._running) and not self._hasRoomFor(address):
            self._drop(msgID, address)
            return
        if duplicates is not None:
            duplicates.remember(datagram)
        protocol._acceptRequest(msgID, data, address)

    def accept(self, msgID, data, address):
        """
        Have the handler carry out a request, unless it was before, and answer it.
        """
        protocol = self._protocol
        transport = protocol.transport
        if transport is None:
            # A subclass has waited for too long: there is no port to answer from.
            self._counters.failed += 1
            return
        if self._duplicates is not None:
            answer = self._duplicates.begin(msgID, address)
            if answer is not None:
                self._answerAgain(answer, msgID, address)
                return
        method, arguments = data
        self._running += 1
        try:
            handler, result = carryOut(protocol, method, address, arguments)
            if type(result) not in _PRESENT and isinstance(result, _LATER):
                self._answerLater(result, handler, transport, method, weigh(data), msgID, address)
            elif protocol.transport is transport:
                protocol._sendResponse(result, msgID, address)
                self._counters.served += 1
            else:
                self._counters.failed += 1
        except Refused as reason:
            self._refuse(method, reason, msgID, address)
        except BaseException:
            self._fail(Failure(), method, address)
        finally:
            self._running -= 1

    def respond(self, response, msgID, address):
        """
        Send the response to the request with C{msgID}, and remember it.
        """
        protocol = self._protocol
        plain = msgID if isinstance(msgID, bytes) else bytes(bytearray(msgID))
        datagram = wire.makeDatagram(self._kind, plain, response)
        if self._duplicates is not None:
            self._duplicates.answered(msgID, address, datagram)
        transport = protocol.transport
        if transport is not None:
            if protocol.noisy:
                note("answering {peer} [{msgID}]", msgID, peer=address)
            self._sendQueue.send(transport, datagram, address, patience=self._patience)

    def _answerLater(self, result, handler, transport, method, weight, msgID, address):
        protocol = self._protocol
        sender = senderOf(address)
        # First, as it raises where an asyncio Future's loop is closed.
        deferred = _deferredOf(result)

        def release():
            self._places.giveBack(sender, 1)
            self._bytes.giveBack(sender, weight)
            self._stuckSince = None

        def answer(result):
            try:
                # Only through the port that took the request: it may be closed by now.
                if result is _FAILED or protocol.transport is not transport:
                    self._counters.failed += 1
                else:
                    protocol._sendResponse(result, msgID, address)
                    self._counters.served += 1
            except BaseException:
                self._fail(Failure(), method, address)
            finally:
                release()
            return result

        def fail(failure):
            try:
                if isLateMisfit(handler, failure):
                    self._refuse(method, failure.value, msgID, address)
                else:
                    self._fail(failure, method, address)
            finally:
                release()
            return _FAILED

        self._places.take(sender, 1)
        self._bytes.take(sender, weight)
        if self._stuckSince is None:
            self._stuckSince = self._clock().seconds()
        # It has a place now, and may fire at once.
        self._running -= 1
        try:
            deferred.addCallbacks(answer, fail)
        finally:
            self._running += 1

    def _answerAgain(self, answer, msgID, address):
        self._counters.repeated += 1
        if answer and self._protocol.transport is not None:
            if self._protocol.noisy:
                note("answering {peer} again [{msgID}]", msgID, peer=address)
            self._sendQueue.send(self._protocol.transport, answer, address, patience=self._patience)
        elif self._protocol.noisy:
            note("dropped a copy of a request of {peer} that has no answer [{msgID}]", msgID, peer=address)

    def _hasRoomFor(self, address):
        return self._places.isOpenTo(address, self._running) and self._bytes.isOpenTo(address)

    def _drop(self, msgID, address):
        self._counters.dropped += 1
        count = self.inHand
        if self._protocol.noisy:
            note("dropped a request of {peer}: {count} are being answered [{msgID}]", msgID, peer=address, count=count)
        now = self._clock().seconds()
        if self._stuckSince is None:
            # Not where only handlers that are running now take the places.
            self._stuckSince = now if self._places.taken else None
        elif now - self._stuckSince >= _STUCK:
            self._stuckSince = now
            log.warn(
                "requests are dropped, the last of {peer}: {count} of {limit} are being answered, with {size} of"
                " {maxSize} bytes, and none of them has ended for {seconds} seconds; does a Deferred never fire?",
                peer=address,
                count=count,
                limit=self._places.limit,
                size=self._bytes.taken,
                maxSize=self._bytes.limit,
                seconds=_STUCK,
            )

    def _fail(self, failure, method, address):
        # Counted last, as what observes the log may ask for the figures.
        try:
            logFailure(failure, method, address)
        finally:
            self._counters.failed += 1

    def _refuse(self, method, reason, msgID, address):
        if self._protocol.noisy:
            text = "refused {method!r} to {peer}: {reason} [{msgID}]"
            note(text, msgID, method=method, peer=address, reason=reason)
        self._counters.refused += 1


def _deferredOf(result):
    """
    @param result: one of L{_LATER}.

    @rtype: L{Deferred}
    """
    if isinstance(result, Deferred):
        return result
    if not isinstance(result, Future):
        return ensureDeferred(result)
    deferred = Deferred()

    def fire(future):
        try:
            value = future.result()
        except BaseException:
            # An asyncio.CancelledError is no Exception.
            deferred.errback()
        else:
            deferred.callback(value)

    result.add_done_callback(fire)
    return deferred
