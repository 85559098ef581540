"""
Waits that know the peer: how long a call waits for its answer is learnt from how long the peer's answers took.

The rule is TCP's, RFC 6298, which RFC 8085 (section 3.1.1) gives to programs on UDP.  Of each peer there is a smoothed
round-trip time, SRTT, and how far from it the samples were, RTTVAR; the first copy of a request waits for SRTT + 4
RTTVAR, and each further one twice as long as the one before.  Only calls that were answered after a single copy are
samples (Karn's rule, section 3).

A wait that was too short is noticed by its copies, and there is no sample then.  So until there is one, the waits of
the next calls are longer.  Each call that was answered after a copy doubles them (section 5.5), and those that were
made at one time do it once: this finds the new round-trip time of a peer that has become slow.  Where the last calls
were not answered at all, the waits are twice what the estimate says, and no more: a peer that has gone is not worth it.
After C{FORGET_AFTER} of such calls in a row the estimate is likely to be wrong altogether (section 5, at its end), and
is forgotten: the next call is made as if nobody had ever answered, so that a peer that is farther than the waits before
reach is found as well.

A peer that has not answered yet is expected to answer as others did when they were new: of each, the first sample
counts for all.  So no peer has more than one vote in that, and none has one in the waits of others that have answered.
Only answers to our own calls count, and a peer that was never heard has no place in the table that one which was heard
could have: whoever forges addresses changes nothing.
"""

import sys
from builtins import int
from collections import OrderedDict
from numbers import Real

__all__ = ["RoundTripWaits"]

# Shares that a sample has in SRTT and in RTTVAR: RFC 6298, section 2.3.
_ALPHA = 1 / 8.0
_BETA = 1 / 4.0

# Seconds: what 4 RTTVAR is at least, the G of section 2.  Without it the waits for a peer whose round trips are all
# alike would end as its answers come.
_GRANULARITY = 0.01

# Calls in a row.
FORGET_AFTER = 8

# Above these, the waits might not be finite.
_MOST_ATTEMPTS = 100
_MOST_SECONDS = 1000000

# Doublings; those above it change nothing, as C{longest} is reached before.
_MOST_DOUBLINGS = 64


class _Estimate(object):
    """
    The round-trip time, from samples of it, and what has come of the calls since the last one.

    @ivar srtt, rttvar: seconds; C{None} where there is no sample.

    @ivar doublings: how often the waits were doubled since then, as calls were answered after a copy.

    @ivar isAsked: whether a call was made since the last of these doublings.

    @ivar isResent: whether a copy was sent since then, of a call that has not ended.

    @ivar unanswered: calls in a row, the last ones, that were not answered.

    @ivar isDoubted: whether the waits are doubled for that.

    @ivar isForgotten: whether there were so many of them that what was known is not to be trusted.
    """

    __slots__ = ["srtt", "rttvar", "doublings", "isAsked", "isResent", "unanswered", "isDoubted", "isForgotten"]

    def __init__(self):
        self.srtt = self.rttvar = None
        self.doublings = self.unanswered = 0
        self.isAsked = True
        self.isResent = self.isDoubted = self.isForgotten = False

    def learn(self, seconds):
        """
        RFC 6298, sections 2.2 and 2.3.
        """
        srtt = self.srtt
        if srtt is None:
            self.srtt = seconds
            self.rttvar = seconds / 2.0
        else:
            difference = seconds - srtt
            self.rttvar += _BETA * (abs(difference) - self.rttvar)
            self.srtt = srtt + _ALPHA * difference


_NOTHING = _Estimate()


class RoundTripWaits(object):
    """
    What to pass as C{waitTimeout} to L{rpcudp.protocol.RPCProtocol}, so that each call waits as long as its peer's
    round-trip time says.  One such object may serve several protocols, and then knows what each has learnt.

    @ivar _shortest, _longest, _first, _peers: as passed.

    @ivar _multiples: of the first wait, the others.

    @ivar _all: the estimate over all peers.

    @ivar _heard: by address, the estimates of the peers that have answered, the least recently heard first.

    @ivar _unheard: by address, those of the peers that have not answered yet, the first of them first.
    """

    def __init__(self, attempts=3, first=1.0, shortest=0.1, longest=8.0, peers=10000):
        """
        @param attempts: how often a request is sent, at most.
        @type attempts: L{int} from 1 to 100

        @param first: for how many seconds the first copy of a request waits where no peer has answered yet.

        @param shortest: for how many seconds it waits at least.

        @param longest: for how many seconds it waits at most; further copies wait twice as long as those before them,
            even so.

        @param peers: how many peers are remembered.  Those that have never answered are forgotten first, and then the
            least recently heard.
        @type peers: positive L{int}

        @raise TypeError: if C{attempts} or C{peers} is no integer, or one of the others no number.
        @raise ValueError: if C{attempts} or C{peers} is out of range, or not 0 < C{shortest} <= C{first} <= C{longest}
            <= 1,000,000.
        """
        for name, value, limit in [("attempts", attempts, _MOST_ATTEMPTS), ("peers", peers, sys.maxsize)]:
            if not isinstance(value, int):
                raise TypeError("{} is {!r}, and not an integer".format(name, value))
            if not 1 <= value <= limit:
                raise ValueError("{} is {!r}, and not from 1 to {}".format(name, value, limit))
        for name, value in [("shortest", shortest), ("first", first), ("longest", longest)]:
            if not isinstance(value, Real):
                raise TypeError("{} is {!r}, and not a number of seconds".format(name, value))
            if not 0 < value <= _MOST_SECONDS:
                text = "{} is {!r} seconds, and not above 0 and at most {}"
                raise ValueError(text.format(name, value, _MOST_SECONDS))
        if not shortest <= first <= longest:
            text = "first is {!r} seconds, and not between shortest, which is {!r}, and longest, which is {!r}"
            raise ValueError(text.format(first, shortest, longest))
        self._shortest = shortest
        self._first = first
        self._longest = longest
        self._peers = peers
        self._multiples = [2.0 ** number for number in range(attempts)]
        self._all = _Estimate()
        self._heard = OrderedDict()
        self._unheard = OrderedDict()

    def __repr__(self):
        text = "<RoundTripWaits: {} of {} peers heard, SRTT {} seconds over all>"
        return text.format(len(self._heard), self._peers, self._all.srtt)

    def waits(self, address):
        """
        Called by the protocol for each call.

        @param address: the C{(ip, port)} pair of the peer.

        @return: for how many seconds the call waits after each time that it is sent.
        @rtype: L{tuple}
        """
        peer = self._find(address)
        estimate = self._all if peer.srtt is None else peer
        if estimate.srtt is None or peer.isForgotten:
            wait = self._first
        else:
            margin = 4 * estimate.rttvar
            wait = estimate.srtt + (margin if margin > _GRANULARITY else _GRANULARITY)
            if wait < self._shortest:
                wait = self._shortest
        peer.isAsked = True
        if peer.doublings or peer.isResent or peer.isDoubted:
            wait *= 2 ** (peer.doublings + (peer.isResent or peer.isDoubted))
        if wait > self._longest:
            wait = self._longest
        return tuple([wait * multiple for multiple in self._multiples])

    def expected(self, address):
        """
        @param address: the C{(ip, port)} pair of a peer.

        @return: its smoothed round-trip time in seconds, or C{None} where none is known.
        """
        return self._find(address).srtt

    def answered(self, address, seconds):
        """
        Called by the protocol: a call was answered after a single copy.

        @param seconds: after how many seconds.

        @raise ValueError: if they are negative or not finite.
        """
        if not 0 <= seconds <= sys.float_info.max:
            raise ValueError("seconds is {!r}, and negative or not finite".format(seconds))
        # There would have been a copy before, had the clock not been set forward, or the program been busy.
        if seconds > self._longest:
            seconds = self._longest
        peer = self._hear(address)
        if peer.srtt is None:
            # One for each peer, so that no one peer decides for all others.
            self._all.learn(seconds)
        peer.learn(seconds)
        peer.doublings = 0
        peer.isForgotten = False

    def resent(self, address):
        """
        Called by the protocol: a copy of a request was sent.
        """
        peer = self._of(address)
        peer.isResent = not peer.isForgotten

    def recovered(self, address):
        """
        Called by the protocol: a call was answered after more than one copy.
        """
        peer = self._hear(address)
        if peer.isAsked:
            # Calls that were made at one time double the waits once.
            peer.isAsked = False
            peer.doublings = min(peer.doublings + 1, _MOST_DOUBLINGS)

    def unanswered(self, address):
        """
        Called by the protocol: a call was not answered.
        """
        peer = self._of(address)
        peer.doublings = 0
        peer.isResent = False
        if peer.isForgotten and peer.isAsked:
            # A call was made as if nobody had answered, and that was no use either.
            peer.isForgotten = False
            peer.unanswered = 0
        peer.unanswered += 1
        if peer.unanswered == FORGET_AFTER:
            peer.srtt = peer.rttvar = None
            peer.isForgotten = True
            peer.isAsked = False
        peer.isDoubted = not peer.isForgotten

    def _find(self, address):
        """
        @return: the estimate of a peer, or one that knows nothing.
        """
        address = tuple(address)
        return self._heard.get(address) or self._unheard.get(address, _NOTHING)

    def _of(self, address):
        """
        @return: the estimate of a peer that has not answered now.
        """
        address = tuple(address)
        peer = self._heard.get(address) or self._unheard.get(address)
        if peer is None:
            peer = self._unheard[address] = _Estimate()
            self._trim()
        return peer

    def _hear(self, address):
        """
        @return: the estimate of a peer that has answered now.
        """
        address = tuple(address)
        peer = self._heard.pop(address, None) or self._unheard.pop(address, None)
        if peer is not None:
            self._heard[address] = peer
            if peer.isDoubted:
                # Doubled for good, until there is a sample.
                peer.doublings += 1
            peer.unanswered = 0
            peer.isResent = peer.isDoubted = False
            return peer
        peer = self._heard[address] = _Estimate()
        self._trim()
        return peer

    def _trim(self):
        """
        A peer was added: forget one where there are too many.
        """
        if len(self._heard) + len(self._unheard) > self._peers:
            (self._unheard or self._heard).popitem(last=False)
