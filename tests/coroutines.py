"""
Handlers that are coroutines: Python 2 cannot read this file.
"""

from twisted.internet.defer import Deferred

from rpcudp.protocol import RPCProtocol
from tests.support import THERE, ProtocolTestCase, request


class CoroutineNode(RPCProtocol):
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
