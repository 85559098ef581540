"""
Waits that know the peer: how long a call waits for its answer is learnt from how long the peer's answers took.

The rule is TCP's, RFC 6298, which RFC 8085 (section 3.1.1) gives to programs on UDP.  Of each peer there is a smoothed
round-trip time, SRTT, and how far from it the samples were, RTTVAR; the first copy of a request waits for SRTT + 4
RTTVAR, and each further one twice as long as the one before.  Only calls that were answered after a single copy are
samples (Karn's rule, section 3).

A wait that was too short is noticed by its copies, and there is no sample then.  So until there is one, the waits of
the next calls are longer.  After a call that was answered after a copy, they are twice what its own were (section 5.5):
this finds the new round-trip time of a peer that has become slow.  After one that was not answered at all, they are
twice what the estimate says, and no more: a peer that has gone is not worth it; of what they were before, half is left
at least, as it may have been bad luck.  After C{FORGET_AFTER} of such calls in a row the estimate is likely to be wrong
altogether (section 5, at its end), and is forgotten: the next calls, until one of them has ended, are made as if nobody
had ever answered, so that a peer that is farther than the waits before reach is found as well.  What comes of calls
with shorter waits than those of the present says nothing of these, and of calls with longer ones that were made at one
time, the first counts.

A peer that has not answered yet is expected to answer as others did when they were new: of each, the first sample
counts for all.  So no peer that is remembered has more than one vote in that, and none in the waits of others as long
as these answer.  Only answers to our own calls count, and peers that were never heard have a tenth of the places in the
table for themselves: whoever has us call addresses where nobody is pushes out nobody that has answered, but may push
out others that have not answered yet.
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

# How much longer the waits of the present have to be than those of a call for that to say nothing of them.  They are
# doubled, or a little longer by what was learnt meanwhile.
_SHORTER = 1.5

# Of the places in the table, the part that is kept for peers that have not answered yet.
_NEWCOMERS = 10


class _Estimate(object):
    """
    The round-trip time, from samples of it, and what has come of the calls since the last one.

    @ivar srtt, rttvar: seconds; C{None} where there is no sample.

    @ivar least: for how many seconds the first wait lasts at least, until there is a sample.

    @ivar unanswered: calls in a row, the last ones, that were not answered.

    @ivar isForgotten: whether there were so many of them that what was known is not to be trusted.

    @ivar hasVoted: whether the first sample has counted for all peers.
    """

    __slots__ = ["srtt", "rttvar", "least", "unanswered", "isForgotten", "hasVoted"]

    def __init__(self):
        self.srtt = self.rttvar = None
        self.least = self.unanswered = 0
        self.isForgotten = self.hasVoted = False

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

    @ivar _unheard: by address, those of the peers that have not answered yet, the one that was called first first.
    """

    def __init__(self, attempts=3, first=1.0, shortest=0.1, longest=8.0, peers=10000):
        """
        @param attempts: how often a request is sent, at most.
        @type attempts: L{int} from 1 to 100

        @param first: for how many seconds the first copy of a request waits where no peer has answered yet.
        @type first: a number

        @param shortest: for how many seconds it waits at least.
        @type shortest: a number

        @param longest: for how many seconds it waits at most; further copies wait twice as long as those before them,
            even so.
        @type longest: a number

        @param peers: how many peers are remembered, at least a tenth of them such as have not answered yet.  The
            least recently heard are forgotten first.
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

        @param address: the peer's.
        @type address: L{tuple} or L{list} of an IP and a port

        @return: for how many seconds the call waits after each time that it is sent.
        @rtype: L{tuple} of L{float}
        """
        wait = self._wait(self._find(address))
        return tuple([wait * multiple for multiple in self._multiples])

    def _wait(self, peer, least=None):
        """
        @type peer: L{_Estimate}

        @param least: instead of that of C{peer}.

        @return: for how many seconds the first copy of a request waits.
        """
        estimate = self._all if peer.srtt is None else peer
        if estimate.srtt is None or peer.isForgotten:
            wait = self._first
        else:
            margin = 4 * estimate.rttvar
            wait = estimate.srtt + (margin if margin > _GRANULARITY else _GRANULARITY)
            if wait < self._shortest:
                wait = self._shortest
        if least is None:
            least = peer.least
        if wait < least:
            wait = least
        return wait if wait < self._longest else self._longest

    def expected(self, address):
        """
        @param address: a peer's.
        @type address: L{tuple} or L{list} of an IP and a port

        @return: its smoothed round-trip time in seconds, or C{None} where none is known.
        @rtype: L{float} or C{None}
        """
        return self._find(address).srtt

    def ended(self, address, wait, copies, seconds):
        """
        Called by the protocol: a call has ended.

        @param address: the peer's.
        @type address: L{tuple} or L{list} of an IP and a port

        @param wait: for how many seconds its first copy has waited, or would have.
        @type wait: a number

        @param copies: how often it was sent.
        @type copies: L{int}

        @param seconds: after how many seconds the answer came, or C{None} if none came.
        @type seconds: a number or C{None}

        @raise ValueError: if they are negative or not finite, and there was one copy.
        """
        if seconds is None:
            self._missed(self._of(address), wait)
        elif copies > 1:
            peer = self._hear(address)
            peer.unanswered = 0
            peer.least = max(peer.least, min(2 * wait, self._longest))
        elif not 0 <= seconds <= sys.float_info.max:
            raise ValueError("seconds is {!r}, and negative or not finite".format(seconds))
        else:
            # There would have been a copy before, had the clock not been set forward, or the program been busy.
            if seconds > self._longest:
                seconds = self._longest
            peer = self._hear(address)
            if not peer.hasVoted:
                peer.hasVoted = True
                self._all.learn(seconds)
            peer.learn(seconds)
            peer.least = peer.unanswered = 0
            peer.isForgotten = False

    def answered(self, address, seconds):
        """
        A call was answered after a single copy, after so many seconds.  This and the following are for those who do not
        know what L{ended} takes; L{rpcudp.protocol.RPCProtocol} calls that.

        @param address: the peer's.
        @type address: L{tuple} or L{list} of an IP and a port

        @type seconds: a number

        @raise ValueError: if C{seconds} is negative or not finite.
        """
        self.ended(address, 0, 1, seconds)

    def resent(self, address):
        """
        A copy was sent: the waits are doubled, until L{answered} or L{unanswered} says what came of it.

        @param address: the peer's.
        @type address: L{tuple} or L{list} of an IP and a port
        """
        peer = self._of(address)
        peer.least = min(2 * self._wait(peer), self._longest)

    def unanswered(self, address):
        """
        A call was not answered.

        @param address: the peer's.
        @type address: L{tuple} or L{list} of an IP and a port
        """
        peer = self._of(address)
        peer.least = 0
        self._missed(peer, self._wait(peer))

    def _missed(self, peer, wait):
        """
        A call whose first wait was C{wait} was not answered.
        """
        present = self._wait(peer)
        if wait < present / (1 if peer.isForgotten else _SHORTER):
            return
        if peer.unanswered and not peer.isForgotten and wait > present * _SHORTER:
            # Another that was made at the same time has counted.
            return
        if peer.isForgotten:
            # That was no use either.
            peer.isForgotten = False
            peer.unanswered = 0
        peer.unanswered += 1
        peer.least = max(2 * self._wait(peer, 0), peer.least / 2.0)
        if peer.unanswered == FORGET_AFTER:
            peer.srtt = peer.rttvar = None
            peer.least = 0
            peer.isForgotten = True

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
        peer = self._heard.pop(address, None)
        if peer is not None:
            self._heard[address] = peer
            return peer
        peer = self._heard[address] = self._unheard.pop(address, None) or _Estimate()
        self._trim()
        return peer

    def _trim(self):
        """
        Forget peers where there are too many.
        """
        if len(self._heard) > self._peers - self._peers // _NEWCOMERS:
            self._heard.popitem(last=False)
        if len(self._heard) + len(self._unheard) > self._peers:
            self._unheard.popitem(last=False)
