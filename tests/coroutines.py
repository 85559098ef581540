"""
Handlers that are coroutines, and coroutines in a simulated network: Python 2 cannot read this file.
"""

import asyncio
import functools

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from rpcudp.protocol import RPCProtocol
from rpcudp.testing import LimitReached, NothingLeft, SimulatedNetwork
from tests.support import THERE, ProtocolTestCase, request


def asynchronous(function):
    """
    A decorator that is a coroutine.
    """

    @functools.wraps(function)
    async def wrapper(self, sender, *arguments):
        if self.permission is not None:
            await self.permission
        return await function(self, sender, *arguments)

    return wrapper


class CoroutineNode(RPCProtocol):
    permission = None

    @asynchronous
    async def rpc_decorated(self, sender, first):
        return first + 1

    @asynchronous
    async def helper(self, sender, first):
        return first

    @asynchronous
    async def rpc_callHelperWrongly(self, sender):
        return await self.helper(sender)

    def rpc_future(self, sender):
        return self.future

    async def rpc_now(self, sender, name):
        return [name, list(sender)]

    async def rpc_later(self, sender):
        self.deferred = Deferred()
        return (await self.deferred) + 1

    async def rpc_fail(self, sender):
        raise TypeError("inside")


class CoroutineTests(ProtocolTestCase):
    protocolClass = CoroutineNode

    def test_resultOfACoroutineIsTheAnswer(self):
        self.protocol.datagramReceived(request(u"now", u"Snake"), THERE)
        self.assertEqual(self.answered(), [[u"Snake", list(THERE)]])

    def test_coroutineMayAwaitADeferred(self):
        self.protocol.datagramReceived(request(u"later"), THERE)
        self.assertEqual(self.answered(), [])
        self.protocol.deferred.callback(6)
        self.assertEqual(self.answered(), [7])

    def test_failureOfACoroutineIsLogged(self):
        self.protocol.datagramReceived(request(u"fail"), THERE)
        self.assertFailureLogged(TypeError, "rpc_fail", repr(THERE))
        self.assertEqual(self.answered(), [])

    def test_argumentsThatDoNotFitACoroutineAreDropped(self):
        self.protocol.datagramReceived(request(u"now"), THERE)
        self.assertEqual((self.answered(), self.logged()), ([], []))

    def test_argumentsThatDoNotFitUnderADecoratorThatIsACoroutine(self):
        for self.protocol.permission in (None, Deferred()):
            for arguments in ((), (1, 2)):
                self.protocol.datagramReceived(request(u"decorated", *arguments), THERE)
        self.protocol.permission.callback(None)
        self.assertEqual((self.answered(), self.logged()), ([], []))
        self.protocol.permission = None
        self.protocol.datagramReceived(request(u"decorated", 1), THERE)
        self.assertEqual(self.answered(), [2])

    def test_argumentsThatDoNotFitUnderACache(self):
        def handler(sender, first):
            return first

        def traced(function):
            return functools.wraps(function)(lambda *arguments: function(*arguments))

        cached = functools.lru_cache()
        for self.protocol.rpc_cached in (cached(handler), traced(cached(handler)), cached(traced(handler))):
            for arguments in ((), (1, 2)):
                self.protocol.datagramReceived(request(u"cached", *arguments), THERE)
            self.protocol.datagramReceived(request(u"cached", 1), THERE)
        self.assertEqual((self.answered(), self.logged()), ([1] * 3, []))

    def test_typeErrorUnderADecoratorThatIsACoroutine(self):
        for method, arguments in ((u"decorated", [u"text"]), (u"callHelperWrongly", [])):
            self.protocol.datagramReceived(request(method, *arguments), THERE)
            self.assertFailureLogged(TypeError, "rpc_" + method)
        self.assertEqual(self.answered(), [])


class FutureTests(ProtocolTestCase):
    """
    Handlers that return what asyncio has for a Deferred.
    """

    protocolClass = CoroutineNode

    def setUp(self):
        ProtocolTestCase.setUp(self)
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)
        self.protocol.future = self.loop.create_future()
        for _ in range(2):
            self.protocol.datagramReceived(request(u"future"), THERE)
        self.assertEqual(self.answered(), [])

    def settle(self):
        self.loop.run_until_complete(asyncio.sleep(0))

    def test_resultIsTheAnswer(self):
        self.protocol.future.set_result(u"now")
        self.settle()
        self.assertEqual(self.answered(), [u"now"] * 2)
        self.protocol.datagramReceived(request(u"future"), THERE)
        self.settle()
        self.assertEqual(self.answered(), [u"now"])

    def test_futureOfALoopThatIsClosedKeepsNoPlace(self):
        self.protocol.future.set_result(u"now")
        self.settle()
        self.answered()
        self.loop.close()
        self.protocol.datagramReceived(request(u"future"), THERE)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.protocol._rpcudpAnswerer._places.taken, 0)

    def test_failureIsLogged(self):
        self.protocol.future.set_exception(ValueError("on purpose"))
        self.settle()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)
        self.assertEqual(self.answered(), [])

    def test_cancelling(self):
        self.protocol.future.cancel()
        self.settle()
        self.assertEqual(len(self.flushLoggedErrors(asyncio.CancelledError)), 2)
        self.assertEqual(self.answered(), [])


class SimulatedCoroutineTests(SynchronousTestCase):
    """
    What L{SimulatedNetwork.run} makes of coroutines.
    """

    def setUp(self):
        self.network = SimulatedNetwork()
        self.host = self.network.host("10.0.0.1")

    async def add(self, delay):
        total = 0
        for number in range(3):
            total += await deferLater(self.host, delay, lambda: number)
        return total

    async def failing(self):
        await deferLater(self.host, 1, lambda: None)
        raise KeyError("on purpose")

    def test_result(self):
        self.assertEqual(self.network.run(self.add(1)), 3)
        self.assertEqual(self.network.seconds(), 3)

    def test_failure(self):
        self.assertRaises(KeyError, self.network.run, self.failing())
        self.assertEqual(self.network.seconds(), 1)

    def test_oneThatWaitsForNothing(self):
        async def now():
            return 5

        self.assertEqual(self.network.run(now()), 5)
        self.assertEqual(self.network.seconds(), 0)

    def test_nothingIsLeft(self):
        async def wait():
            await Deferred()

        self.assertRaises(NothingLeft, self.network.run, wait())

    def test_limit(self):
        self.assertRaises(LimitReached, self.network.run, self.add(1), limit=2)
        self.assertEqual(self.network.seconds(), 2)

    def test_functionThatWasNotCalled(self):
        self.assertRaises(TypeError, self.network.run, self.add)

    def test_wrongLimitStartsNothing(self):
        coroutine = self.add(0)
        self.assertRaises(ValueError, self.network.run, coroutine, limit=-1)
        self.assertEqual(self.host.getDelayedCalls(), [])
        self.assertEqual(self.network.run(coroutine), 3)

    def test_withinItself(self):
        inner = self.add(1)

        async def outer():
            await deferLater(self.host, 1, lambda: None)
            self.network.run(inner)

        self.assertRaises(RuntimeError, self.network.run, outer())
        # It was not even begun.
        self.assertEqual(self.host.getDelayedCalls(), [])
        self.assertEqual(self.network.run(inner), 3)

    def test_calls(self):
        node, peer = RPCProtocol(), CoroutineNode()
        self.host.listenUDP(9, node)
        self.network.host("10.0.0.2").listenUDP(9, peer)

        async def call():
            return [await node.now(("10.0.0.2", 9), name) for name in ("a", "b")]

        expected = [(True, [name, ["10.0.0.1", 9]]) for name in ("a", "b")]
        self.assertEqual(self.network.run(call()), expected)
