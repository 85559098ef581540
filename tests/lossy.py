"""
A caller and an answerer on a simulated network, and everything that may go wrong with them, as a program in plain data
says it.  What is promised all the same is judged while it runs.
"""

import itertools
from collections import Counter

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure

from rpcudp import wire
from rpcudp._duplicates import GENERATIONS
from rpcudp.protocol import RPCProtocol
from rpcudp.statistics import statistics
from rpcudp.testing import SimulatedNetwork
from tests.support import sums

SCHEDULE = (0.5, 1, 2)

# What can become of a datagram: when each of its copies arrives, if any does.  Some come after the schedule has ended,
# or after the request was forgotten.
FATES = [(), (0.01,), (0.01,), (0.01, 0.01), (0.3,), (0.01, 0.7), (0.6, 0.02), (1.2, 1.3), (3.6,), (0.02, 40)]
FATES += [(0.02, 70)]

# What can become of a request in its handler: an answer at once, later or much later, or a failure at once or later.
HANDLERS = ["now", "now", "later", "late", "fail", "failLater"]

SIDES = ["caller", "answerer"]

# Seconds by which a clock is set.  What duplicateLifetime leaves after the schedule is among them, and a little more.
STEPS = [-3600, -60, -2, -0.3, 0.3, 2, 56, 57, 60, 3600]

# All that is to have happened in a number of runs, or they prove little.
FAULTS = [
    "lost",
    "duplicated",
    "partitioned",
    "unheard",
    "cancelled",
    "forgotten",
    "ended by closing",
    "refused",
    "carried out again",
] + [" ".join(pair) for pair in itertools.product(SIDES, ["crashed", "reopened", "set forward", "set back"])]

PORT = 1234
ADDRESSES = {"caller": "192.0.2.1", "answerer": "192.0.2.2", "outside": "192.0.2.3"}

# By what the rounding of floats may move a time; and the end, after all that a program may delay.
_ROUNDING = 1e-6
_END = 10 ** 6


def simulate(calls, fates=(), events=(), lifetime=60):
    """
    Place calls, have happen what is to happen, and wait until everything has ended.

    What may be done, after a time or at the outcome of a call, is a tuple of one of these names and what follows it:

      - C{"call"}, what its handler does, one of L{HANDLERS}; after how many seconds the call is cancelled, or C{None};
        and what is done at the outcome, or C{None};
      - C{"partition"}, for how many seconds;
      - C{"crash"}, one of L{SIDES}, and after how many seconds it listens again, with a new protocol;
      - C{"close"}, one of L{SIDES}, and after how many seconds the same protocol listens again;
      - C{"step"}, one of L{SIDES}, and by how many seconds its clock is set, forward or back.

    The promises, of which L{Answerer}, L{Caller} and L{Simulation} judge those that their methods name:

      - Within one life of the answerer, from one crash to the next, a request is carried out again only if C{lifetime}
        seconds have passed since, by a clock that is never set back: the steps forward of the answerer's count, and
        those back do not.  Closing the port and listening again with the same protocol is no other life.  So a handler
        runs at most once per life and call, where the last copy arrives within C{lifetime}.  A step back of the
        caller's clock can have it send one after that, as can a network that keeps it for so long.
      - After that, and some, it is carried out again: a step back of the answerer's clock between two requests counts
        as no time between them, and nothing else has a request remembered for longer.
      - A call that is answered was carried out, and with its own result.
      - To each copy of a request there is one answer, if its handler has come to a result while the port that took it
        listened, and otherwise none.
      - Every Deferred fires once, unless its host crashes: with C{(True, result)} as soon as an answer arrives, with
        C{(False, None)} when the schedule or the port's listening has ended, and with L{CancelledError} when it is
        cancelled, and only then.  A step of the caller's clock delays or hastens that by itself at most.
      - Where no call is in flight, C{_outstanding} is empty, and the host has no timer.
      - A handler that fails is logged, once, and nothing else is.
      - The sums of L{rpcudp.statistics} hold after each event, and so does what they say of calls and datagrams.

    @param calls: of each call when it is placed, and what follows C{"call"} above; of that, all but the first may be
        left out.

    @param fates: of each datagram, as they are sent, after how many seconds each of its copies arrives.  Those beyond
        arrive once.

    @param events: of each when it is to be done, and what.

    @param lifetime: the answerer's C{duplicateLifetime}.

    @return: how often what happened.
    @rtype: L{Counter}

    @raise AssertionError: if a promise was broken.
    """
    return Simulation(fates, lifetime).run([(call[0], "call") + tuple(call[1:]) for call in calls] + list(events))


class Answerer(RPCProtocol):
    """
    @ivar _begun: of each number whose handler ran, the time, by a clock that is never set back, and the age.

    @ivar _answered: the numbers of those to whose copies there is an answer.

    @ivar received: how many datagrams came.

    @ivar _age, _read: the seconds that have passed from request to request, and the clock at the last one.
    """

    def __init__(self, simulation, machine):
        RPCProtocol.__init__(self, duplicateLifetime=simulation.lifetime)
        self._simulation = simulation
        self._machine = machine
        self._begun = {}
        self._answered = set()
        self._age = 0
        self._read = machine.host.seconds()
        self.received = 0

    def datagramReceived(self, datagram, address):
        now = self._machine.host.seconds()
        self._age += max(0, now - self._read)
        self._read = now
        _, _, [_, [number, _]] = wire.decode(datagram, wire.RPCUDP)
        before = self._begun.get(number)
        answers = self._simulation.network.counts.sent
        self.received += 1
        RPCProtocol.datagramReceived(self, datagram, address)
        self._simulation.judgeFigures()
        answers = self._simulation.network.counts.sent - answers
        self._simulation.judge(answers == (number in self._answered), number, "was answered", answers, "times")
        # Requests are forgotten together with those of the same generation, the last of which may be so much younger.
        longest = self._simulation.lifetime * (1 + 1.0 / GENERATIONS) + _ROUNDING
        expired = before is None or self._age - before[1] > longest
        self._simulation.judge(not expired or self._begun[number] is not before, "was not carried out", number, before)

    def rpc_run(self, sender, number, handler):
        now = self._simulation.network.seconds() + self._machine.forward
        if number in self._begun:
            passed = now - self._begun[number][0]
            self._simulation.judge(passed > self._simulation.lifetime - _ROUNDING, "carried out again", number, passed)
            self._simulation.happened["carried out again"] += 1
        self._begun[number] = now, self._age
        self._simulation.ran.add(number)
        self._answered.discard(number)
        if handler == u"now":
            self._answered.add(number)
            return number
        if handler == u"fail":
            self._simulation.failures += 1
            raise ValueError("on purpose")
        deferred = Deferred()
        # With the time of another, so that a crash takes it along, and a step of the clock moves it.
        seconds = 3 if handler == u"late" else 0.4
        self._machine.host.callLater(seconds, self._fire, deferred, number, handler, self.transport)
        return deferred

    def _fire(self, deferred, number, handler, transport):
        answers = self._simulation.network.counts.sent
        if handler == u"failLater":
            self._simulation.failures += 1
            deferred.errback(ValueError("on purpose"))
        else:
            deferred.callback(number)
            if self.transport is transport:
                self._answered.add(number)
                answers += 1
        # Through the port that took the request, or not at all.
        self._simulation.judge(answers == self._simulation.network.counts.sent, number, "was answered, or was not")


class Caller(RPCProtocol):
    """
    @ivar stops: how often its port was closed.
    @ivar placed: by message id, the L{Call}.
    @ivar received: how many datagrams came.
    """

    def __init__(self, simulation, machine):
        RPCProtocol.__init__(self, waitTimeout=SCHEDULE)
        self._simulation = simulation
        self.stops = self.received = 0
        self.placed = {}

    def stopProtocol(self):
        self.stops += 1

    def datagramReceived(self, datagram, address):
        self.received += 1
        RPCProtocol.datagramReceived(self, datagram, address)
        self._simulation.judgeFigures()
        call = self.placed.get(wire.messageID(datagram))
        self._simulation.judge(call is None or call.outcomes, "an answer has not ended its call", call)


class Call(object):
    """
    A call that has been placed.

    @ivar outcomes: what its Deferred fired with.
    """

    def __init__(self, number, protocol, deferred, then):
        self.number = number
        self.protocol = protocol
        self.deferred = deferred
        self.then = then
        self.outcomes = []
        self.isCancelled = False

    def __repr__(self):
        return "<call {}: {}>".format(self.number, self.outcomes)


class Machine(object):
    """
    The caller or the answerer: it listens, or it does not, or it has crashed.

    @ivar protocol: the one that listens or is to listen again; C{None} after a crash.
    @ivar isOpen: whether it listens.
    @ivar isClosing: whether Twisted is closing the port.
    @ivar forward, back: by how many seconds its clock was set so far, by all steps in that direction.
    """

    def __init__(self, simulation, side, protocolClass):
        self.simulation = simulation
        self.side = side
        self.protocolClass = protocolClass
        self.host = simulation.network.host(ADDRESSES[side])
        self.forward = self.back = 0
        self.protocol = None
        self.isOpen = self.isClosing = False
        self.start()

    def start(self):
        self.protocol = self.protocolClass(self.simulation, self)
        self.simulation.protocols.append(self.protocol)
        self.listen(self.protocol)

    def listen(self, protocol):
        # It may have crashed meanwhile.
        if protocol is self.protocol:
            self.port = self.host.listenUDP(PORT, protocol)
            self.isOpen = True

    def crash(self, duration):
        if self.protocol is not None:
            self.host.crash()
            self.protocol = None
            self.isOpen = self.isClosing = False
            self.simulation.happened[self.side + " crashed"] += 1
            self.simulation.outside.callLater(duration, self.start)

    def close(self, duration):
        if self.isOpen:
            self.isOpen = False
            self.isClosing = True
            self.port.stopListening().addCallback(self._closed, self.protocol, duration)

    def _closed(self, _, protocol, duration):
        self.isClosing = False
        self.simulation.happened[self.side + " reopened"] += 1
        self.simulation.judge(not protocol._outstanding, "calls are left in a port that was closed")
        self.simulation.judgeRest()
        self.simulation.outside.callLater(duration, self.listen, protocol)

    def step(self, seconds):
        self.host.stepClock(seconds)
        if seconds > 0:
            self.forward += seconds
            self.simulation.happened[self.side + " set forward"] += 1
        elif seconds < 0:
            self.back -= seconds
            self.simulation.happened[self.side + " set back"] += 1


class Simulation(object):
    """
    What L{simulate} runs.

    @ivar outside: a host with the timers of what is done, which no crash and no step of a clock moves.
    @ivar happened: how often what did.
    @ivar calls: each L{Call}; the number of each is its place.
    @ivar ran: the numbers of those that were carried out.
    @ivar failures: how many handlers have failed.
    @ivar protocols: of all lives of both.
    @ivar _broken: of each promise that was broken, when, and how.
    @ivar _logged: what was logged that is more than information.
    """

    def __init__(self, fates, lifetime):
        self.lifetime = lifetime
        self.network = SimulatedNetwork(trace=True)
        self.outside = self.network.host(ADDRESSES["outside"])
        self.happened = Counter()
        self.calls = []
        self.ran = set()
        self.failures = 0
        self.protocols = []
        self._broken = []
        self._logged = []
        self._fates = itertools.chain(fates, itertools.repeat((0.01,)))
        self.network.rule(self._decide)
        self.caller = Machine(self, "caller", Caller)
        self.answerer = Machine(self, "answerer", Answerer)

    def run(self, events):
        globalLogPublisher.addObserver(self._observe)
        try:
            for event in events:
                self.outside.callLater(event[0], self.do, *event[1:])
            self.network.advance(_END)
            self.judgeEnd()
        finally:
            globalLogPublisher.removeObserver(self._observe)
        return self.happened

    def judge(self, kept, *how):
        """
        Do not raise, as whoever has called would take that for something of its own.
        """
        if not kept:
            self._broken.append((self.network.seconds(), " ".join(map(str, how))))

    def do(self, name, *arguments):
        if name == "call":
            self.call(*arguments)
        elif name == "partition":
            self.partition(*arguments)
        else:
            side, seconds = arguments
            getattr(getattr(self, side), name)(seconds)
        self.judgeFigures()

    def partition(self, duration):
        partition = self.network.partition([self.caller.host])
        partition.__enter__()
        self.outside.callLater(duration, partition.__exit__, None, None, None)

    def call(self, handler, cancelAfter=None, then=None):
        machine = self.caller
        protocol = machine.protocol
        if protocol is None:
            # Who would call has crashed.
            return
        number = len(self.calls)
        try:
            deferred = protocol.run((ADDRESSES["answerer"], PORT), number, handler)
        except RuntimeError:
            self.happened["refused"] += 1
            self.judge(not machine.isOpen, "a port that is open refuses a call")
            return
        call = Call(number, protocol, deferred, then)
        call.time, call.stops = self.network.seconds(), protocol.stops
        call.forward, call.back = machine.forward, machine.back
        self.calls.append(call)
        [msgID] = [msgID for msgID, other in protocol._outstanding.items() if other is deferred]
        protocol.placed[msgID] = call
        deferred.addBoth(self._end, call)
        if cancelAfter is not None:
            self.outside.callLater(cancelAfter, self._cancel, call)

    def _cancel(self, call):
        if call.protocol is self.caller.protocol and not call.outcomes:
            call.isCancelled = True
            call.deferred.cancel()
            self.judge(call.outcomes, "was cancelled, and has not ended", call)

    def _end(self, outcome, call):
        """
        A call has its outcome.  A second one would raise AlreadyCalledError, and that be logged.
        """
        call.outcomes.append(outcome.type if isinstance(outcome, Failure) else outcome)
        machine = self.caller
        self.judge(call.protocol is machine.protocol, "ended after a crash", call)
        self.judge(call.isCancelled == (call.outcomes == [CancelledError]), "was cancelled, or was not", call)
        passed = self.network.seconds() - call.time
        latest = sum(SCHEDULE) + machine.back - call.back + _ROUNDING
        self.judge(passed < latest, "ended late", call, passed)
        if outcome == (False, None):
            if call.protocol.stops > call.stops:
                self.happened["ended by closing"] += 1
            else:
                earliest = sum(SCHEDULE) - (machine.forward - call.forward) - _ROUNDING
                self.judge(passed > earliest, "ended early", call, passed)
        self.outside.callLater(0, self.judgeRest)
        self.judgeFigures()
        if call.then is not None:
            if call.then[0] == "crash":
                # Nothing that runs now would run on.
                self.outside.callLater(0, self.do, *call.then)
            else:
                self.do(*call.then)

    def judgeRest(self):
        """
        Nothing is left of calls that have ended.
        """
        machine = self.caller
        if machine.protocol is not None:
            inFlight = [call for call in self.calls if call.protocol is machine.protocol and not call.outcomes]
            left = len(machine.protocol._outstanding)
            self.judge(left == len(inFlight), left, "calls are in _outstanding, and in flight are", inFlight)
            if not inFlight and not machine.isClosing:
                timers = machine.host.getDelayedCalls()
                self.judge(not timers, "timers are left, and no call is in flight", timers)

    def judgeFigures(self):
        """
        The figures of both add up, and to what has happened.
        """
        for machine in (self.caller, self.answerer):
            if machine.protocol is not None:
                figures = statistics(machine.protocol)
                self.judge(not sums(figures), "does not add up", sums(figures), figures)
                self.judge(figures.datagramsReceived == machine.protocol.received, "datagrams came", figures)
        if self.caller.protocol is not None:
            figures = statistics(self.caller.protocol)
            outcomes = Counter(repr(call.outcomes[:1]) for call in self.calls if call.protocol is self.caller.protocol)
            ends = [outcomes[repr(end)] for end in ([], [(False, None)], [CancelledError])]
            told = [figures.inFlight, figures.unanswered, figures.cancelled]
            self.judge(told == ends and figures.called == sum(outcomes.values()), "ends", figures, outcomes)

    def judgeEnd(self):
        self.judgeRest()
        self.judgeFigures()
        figures = [statistics(protocol) for protocol in self.protocols]
        sent = sum(one.datagramsSent for one in figures), sum(one.bytesSent for one in figures)
        traced = [len(datagram.data) for datagram, _ in self.network.trace]
        self.judge(sent == (len(traced), sum(traced)), sent, "datagrams and bytes were sent, and under way", traced)
        self.judge(sum(one.lost + one.waiting for one in figures) == 0, "the send buffers have room", figures)
        for machine in (self.caller, self.answerer):
            self.judge(not machine.host.getDelayedCalls(), "timers are left", machine.host.getDelayedCalls())
            self.judge(machine.isOpen, "does not listen", machine.side)
        for call in self.calls:
            if call.protocol is not self.caller.protocol and not call.outcomes:
                self.happened["forgotten"] += 1
                continue
            self.judge(
                call.outcomes in ([(True, call.number)], [(False, None)], [CancelledError]), "its outcomes are", call
            )
            if call.outcomes[:1] == [CancelledError]:
                self.happened["cancelled"] += 1
            elif call.outcomes[:1] == [(True, call.number)]:
                self.happened["answered"] += 1
                self.judge(call.number in self.ran, "was answered, and not carried out", call)
        for name in ("duplicated", "partitioned", "unheard"):
            self.happened[name] += getattr(self.network.counts, name)
        failures = [event.get("log_failure") for event in self._logged]
        others = [failure for failure in failures if failure is None or str(failure.value) != "on purpose"]
        self.judge(not others, "was logged:", *[failure and failure.getTraceback() for failure in others])
        self.judge(len(failures) - len(others) == self.failures, "handlers have failed, and it was logged", failures)
        if self._broken:
            raise AssertionError("".join("\nat {} s: {}".format(*broken) for broken in self._broken))

    def _decide(self, datagram):
        delays = next(self._fates)
        self.happened["lost"] += not delays
        return delays

    def _observe(self, event):
        if event.get("log_level", LogLevel.info) > LogLevel.info:
            self._logged.append(event)
