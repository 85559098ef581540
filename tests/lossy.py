"""
Two nodes in virtual time, on a network that loses, duplicates, delays and so reorders what they send.
"""

from collections import Counter

from twisted.internet import defer
from twisted.internet.task import Clock

from rpcudp.protocol import RPCProtocol
from tests.support import HERE, THERE

SCHEDULE = (0.5, 1, 2)

# What can become of a datagram: when each of its copies arrives, if any does.  Some come after the schedule has ended.
FATES = [(), (0.01,), (0.01,), (0.01, 0.01), (0.3,), (0.01, 0.7), (0.6, 0.02), (1.2, 1.3), (3.6,), (0.02, 40)]

# What can become of a request in its handler: an answer at once, later or much later, or a failure at once or later.
HANDLERS = ["now", "now", "later", "late", "fail", "failLater"]


class Answerer(RPCProtocol):
    """
    @ivar ran: how many times the handler ran for each number.
    """

    def __init__(self, **options):
        RPCProtocol.__init__(self, **options)
        self.clock = options["reactor"]
        self.ran = Counter()

    def rpc_run(self, sender, number, handler):
        self.ran[number] += 1
        if handler == u"now":
            return number
        if handler == u"fail":
            raise ValueError("on purpose")
        deferred = defer.Deferred()
        result = ValueError("on purpose") if handler == u"failLater" else number
        self.clock.callLater(3 if handler == u"late" else 0.4, fire, deferred, result)
        return deferred


def fire(deferred, result):
    if isinstance(result, Exception):
        deferred.errback(result)
    else:
        deferred.callback(result)


class Link(object):
    """
    A transport to the other node.

    @ivar fates: gives the fate of each datagram.
    """

    def __init__(self, clock, address, fates):
        self.clock = clock
        self.address = address
        self.fates = fates

    def write(self, datagram, address):
        for delay in next(self.fates):
            self.clock.callLater(delay, self.peer.datagramReceived, datagram, self.address)


def simulate(calls, fates):
    """
    Place calls, and wait until the last datagram has arrived and everything has ended.

    @param calls: of each call, when it is placed and what its handler does.

    @param fates: an iterator of the fates of datagrams, as many as there may be.

    @return: how many calls were answered.

    @raise AssertionError: if a handler ran more than once for a call, or not once for one that was answered; a Deferred
        did not fire, or fired with something else than it should; or a timer is left.
    """
    clock = Clock()
    caller, answerer = RPCProtocol(waitTimeout=SCHEDULE, reactor=clock), Answerer(reactor=clock)
    links = Link(clock, HERE, fates), Link(clock, THERE, fates)
    links[0].peer, links[1].peer = answerer, caller
    caller.makeConnection(links[0])
    answerer.makeConnection(links[1])
    outcomes = [[] for _ in calls]

    def place(number, handler):
        # A second firing raises AlreadyCalledError.
        caller.run(THERE, number, handler).addBoth(outcomes[number].append)

    for number, (time, handler) in enumerate(calls):
        clock.callLater(time, place, number, handler)
    while clock.getDelayedCalls():
        clock.advance(max(0, clock.getDelayedCalls()[0].getTime() - clock.seconds()))

    answered = 0
    for number, (_, handler) in enumerate(calls):
        assert outcomes[number] in ([(True, number)], [(False, None)]), (number, outcomes[number])
        assert answerer.ran[number] <= 1, (number, answerer.ran)
        if outcomes[number][0][0]:
            answered += 1
            assert answerer.ran[number] == 1, (number, answerer.ran)
    assert caller._outstanding == {}
    return answered
