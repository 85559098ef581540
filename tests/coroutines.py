"""
Handlers that are coroutines: Python 2 cannot read this file.
"""

import asyncio
import functools

from twisted.internet.defer import Deferred

from rpcudp.protocol import RPCProtocol
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
