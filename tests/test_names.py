"""
What applications import, and whom a name on the protocol belongs to.
"""

import subprocess
import sys

from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import rpcudp
import rpcudp.exceptions
import rpcudp.protocol
import storjrpcudp
import storjrpcudp.exceptions
import storjrpcudp.protocol
from tests.support import ENVIRONMENT, THERE, FakeTransport, ProtocolTestCase, request


def publicNames(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


class ImportTests(SynchronousTestCase):
    def test_versionIsTextAndTuple(self):
        for package in (rpcudp, storjrpcudp):
            self.assertGreater(package.version_info, (2, 5))
            self.assertEqual(package.version, "{}.{}.{}".format(*package.version_info))

    def test_bothPackagesRaiseTheSameException(self):
        self.assertIs(storjrpcudp.exceptions.MalformedMessage, rpcudp.exceptions.MalformedMessage)
        self.assertTrue(issubclass(rpcudp.exceptions.MalformedMessage, Exception))

    def test_importInstallsNoReactor(self):
        program = (
            "import sys, rpcudp.protocol, storjrpcudp.protocol; "
            "rpcudp.protocol.RPCProtocol(); "
            "sys.exit('twisted.internet.reactor' in sys.modules)"
        )
        self.assertEqual(subprocess.call([sys.executable, "-c", program], env=ENVIRONMENT), 0)


class NamespaceTests(SynchronousTestCase):
    def test_noPublicNameButTwisteds(self):
        for protocolClass in (rpcudp.protocol.RPCProtocol, storjrpcudp.protocol.RPCProtocol):
            self.assertEqual(publicNames(protocolClass()), publicNames(DatagramProtocol))

    def test_anyOtherPublicNameIsARemoteMethod(self):
        protocol = rpcudp.protocol.RPCProtocol()
        for name in ("ping", "store", "stun", "find_node", "call", "stop", "send", "log", "router", "queue"):
            self.assertTrue(callable(getattr(protocol, name)))

    def test_privateAndHandlerNamesAreOrdinaryAttributes(self):
        protocol = rpcudp.protocol.RPCProtocol()
        for name in ("_private", "__deepcopy__", "rpc_absent", "rpc_"):
            error = self.assertRaises(AttributeError, getattr, protocol, name)
            self.assertIn(repr(name), str(error))

    def test_subclassesMaySetWhatTheyLikeBeforeInit(self):
        class Node(rpcudp.protocol.RPCProtocol):
            def __init__(self):
                self.log = self.router = self.storage = self.queue = self
                rpcudp.protocol.RPCProtocol.__init__(self, waitTimeout=1)
                self.reactor = self.clock = self.timeout = self.kinds = None

        node = Node()
        self.assertIs(node.queue, node)
        self.assertIsNone(node.reactor)
        self.assertEqual(node._waitTimeout, 1)


class SubclassNode(rpcudp.protocol.RPCProtocol):
    """
    Overrides what subclasses of the published packages reach for, and private names that they may well choose.
    """

    _call = _send = _clock = _reactor = _handler = _forget = _note = None

    def __init__(self, **options):
        rpcudp.protocol.RPCProtocol.__init__(self, **options)
        self.seen = []

    def _acceptRequest(self, msgID, data, address):
        self.seen.append(("request", msgID, data, address))
        rpcudp.protocol.RPCProtocol._acceptRequest(self, msgID, data, address)

    def _acceptResponse(self, msgID, data, address):
        self.seen.append(("response", msgID, data, address, msgID in self._outstanding))
        rpcudp.protocol.RPCProtocol._acceptResponse(self, msgID, data, address)

    def _sendResponse(self, response, msgID, address):
        self.seen.append(("answer", response, msgID, address))
        rpcudp.protocol.RPCProtocol._sendResponse(self, response, msgID, address)

    def _timeout(self, msgID):
        self.seen.append(("timeout", msgID, msgID in self._outstanding))
        rpcudp.protocol.RPCProtocol._timeout(self, msgID)

    def rpc_add(self, sender, first, second):
        return first + second


class SubclassTests(ProtocolTestCase):
    """
    The private names that subclasses reach for keep their sense.
    """

    protocolClass = SubclassNode

    def test_acceptRequestAndSendResponse(self):
        datagram = request(u"add", 1, 2)
        self.protocol.datagramReceived(datagram, THERE)
        msgID = datagram[1:21]
        self.assertEqual(
            self.protocol.seen,
            [("request", msgID, [u"add", [1, 2]], THERE), ("answer", 3, msgID, THERE)],
        )
        self.assertEqual(self.answered(), [3])

    def test_acceptResponse(self):
        deferred = self.protocol.ping(THERE)
        [msgID] = self.protocol._outstanding
        self.protocol.datagramReceived(b"\x01" + msgID + b"\xa4pong", THERE)
        self.assertEqual(self.protocol.seen, [("response", msgID, u"pong", THERE, True)])
        self.assertEqual(self.successResultOf(deferred), (True, u"pong"))

    def test_timeout(self):
        deferred = self.protocol.ping(THERE)
        [msgID] = self.protocol._outstanding
        self.clock.advance(5)
        self.assertEqual(self.protocol.seen, [("timeout", msgID, True)])
        self.assertEqual(self.successResultOf(deferred), (False, None))

    def test_timeoutBeforeItsTimeGivesTheCallUp(self):
        deferred = self.protocol.ping(THERE)
        self.transport.written.pop()
        [msgID] = self.protocol._outstanding
        self.protocol._timeout(msgID)
        self.assertEqual(self.successResultOf(deferred), (False, None))
        self.assertNothingPending()
        self.protocol._timeout(msgID)

    def test_waitTimeoutIsReadAtEachCall(self):
        self.protocol._waitTimeout = 60
        deferred = self.protocol.ping(THERE)
        self.clock.advance(59)
        self.assertNoResult(deferred)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(deferred), (False, None))


class Ponging(object):
    def rpc_ping(self, sender):
        return u"pong"


class RPCUDPNode(Ponging, rpcudp.protocol.RPCProtocol):
    pass


class StorjNode(Ponging, storjrpcudp.protocol.RPCProtocol):
    pass


class StorjTests(SynchronousTestCase):
    """
    The other network: the same class on other kind bytes.
    """

    def listen(self, protocolClass):
        protocol = protocolClass(reactor=Clock())
        protocol.makeConnection(FakeTransport())
        return protocol

    def hand(self, caller, answerer):
        """
        @return: what C{caller} has sent, once C{answerer} has it.
        """
        [(datagram, _)] = caller.transport.written
        answerer.datagramReceived(datagram, THERE)
        return datagram

    def test_callOnTheStorjNetwork(self):
        caller, answerer = self.listen(StorjNode), self.listen(StorjNode)
        deferred = caller.ping(THERE)
        self.assertEqual(self.hand(caller, answerer)[:1], b"\x02")
        self.assertEqual(self.hand(answerer, caller)[:1], b"\x03")
        self.assertEqual(self.successResultOf(deferred), (True, u"pong"))

    def test_networksDoNotHearEachOther(self):
        for one, other in ((StorjNode, RPCUDPNode), (RPCUDPNode, StorjNode)):
            caller, answerer = self.listen(one), self.listen(other)
            caller.ping(THERE)
            self.hand(caller, answerer)
            self.assertEqual(answerer.transport.written, [])
