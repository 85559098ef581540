"""
What applications import, and whom a name on the protocol belongs to.
"""

import os
import runpy
import shutil
import subprocess
import sys
import types
from collections import namedtuple

import umsgpack
from twisted.internet.defer import CancelledError
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import rpcudp
import rpcudp.exceptions
import rpcudp.protocol
import storjrpcudp
import storjrpcudp.exceptions
import storjrpcudp.protocol
from tests.support import ENVIRONMENT, MESSAGE_ID, THERE, FakeTransport, ProtocolTestCase, request


# Trial goes to another folder before the tests run.
STORJRPCUDP = os.path.dirname(os.path.abspath(storjrpcudp.__file__))


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


class MixedFilesTests(SynchronousTestCase):
    """
    Another distribution has replaced, or removed, the files of the import package rpcudp.
    """

    def importBesides(self, **files):
        """
        @return: what importing storjrpcudp says, where C{files} are all that there is of rpcudp.
        """
        folder = self.mktemp()
        shutil.copytree(STORJRPCUDP, os.path.join(folder, "storjrpcudp"))
        if files:
            os.mkdir(os.path.join(folder, "rpcudp"))
        for name, text in files.items():
            with open(os.path.join(folder, "rpcudp", name + ".py"), "w") as file:
                file.write(text)
        # Not from where the tests run, which has another one.
        program = "import sys\nsys.path[:] = [{!r}] + [path for path in sys.path if not path.startswith({!r})]\n"
        program = program.format(os.path.abspath(folder), os.path.dirname(STORJRPCUDP))
        attempt = "try:\n import storjrpcudp{}\nexcept ImportError as error:\n print(error)"
        texts = set()
        for module in ("", ".protocol", ".exceptions"):
            command = [sys.executable, "-S", "-c", program + attempt.format(module)]
            texts.add(subprocess.check_output(command, cwd=folder).decode("ascii"))
        [text] = texts
        return text

    def assertSaysWhatHappened(self, text):
        self.assertEqual(text.count("\n"), 1)
        for words in ("package rpcudp is not the one", "uninstall the distribution rpcudp", "--force-reinstall"):
            self.assertIn(words, text)

    def test_replacedByAnotherVersion(self):
        for text in ('__version__ = "5.0.1"\n', 'version = "2.1"\nversion_info = (2, 1)\n', ""):
            self.assertSaysWhatHappened(self.importBesides(__init__=text, protocol=""))

    def test_inThisProcess(self):
        for another in (types.ModuleType("rpcudp"), None):
            self.addCleanup(sys.modules.__setitem__, "rpcudp", rpcudp)
            sys.modules["rpcudp"] = another
            try:
                runpy.run_path(os.path.join(STORJRPCUDP, "__init__.py"))
            except ImportError as error:
                self.assertSaysWhatHappened(str(error) + "\n")
            else:
                self.fail("nothing was said")

    def test_removed(self):
        self.assertSaysWhatHappened(self.importBesides())


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


class DeferringNode(rpcudp.protocol.RPCProtocol):
    """
    Has the hooks do their work later, with message ids that are equal to those that they were given.
    """

    def __init__(self, **options):
        rpcudp.protocol.RPCProtocol.__init__(self, **options)
        self.held = []
        self.ran = 0

    def likeness(self, msgID):
        return bytes(bytearray(msgID))

    def _acceptRequest(self, msgID, data, address):
        self.held.append((rpcudp.protocol.RPCProtocol._acceptRequest, self.likeness(msgID), data, address))

    def _sendResponse(self, response, msgID, address):
        self.held.append((rpcudp.protocol.RPCProtocol._sendResponse, response, self.likeness(msgID), address))

    def work(self):
        while self.held:
            held = self.held.pop(0)
            held[0](self, *held[1:])

    def rpc_count(self, sender, *arguments):
        self.ran += 1
        return self.ran


class AtMostOnceTests(ProtocolTestCase):
    """
    A request is carried out once, whatever a subclass's hooks do.
    """

    protocolClass = DeferringNode

    def receive(self, *datagrams):
        for datagram in datagrams:
            self.protocol.datagramReceived(datagram, THERE)

    def test_equalIDsOfOtherTypesLater(self):
        for likeness in (self.protocol.likeness, bytearray, memoryview):
            self.protocol.likeness = likeness
            self.protocol.ran = 0
            datagram = b"\x00" + os.urandom(20) + request(u"count")[21:]
            self.receive(datagram, datagram)
            self.protocol.work()
            self.receive(datagram)
            self.protocol.work()
            self.assertEqual(self.protocol.ran, 1)
            answers = [answer for answer, _ in self.transport.written]
            self.assertEqual(answers, [b"\x01" + datagram[1:21] + b"\x01"] * len(answers))
            self.assertEqual(len(answers), 2)
            del self.transport.written[:]

    def test_equalAddressesOfOtherTypesLater(self):
        Peer = namedtuple("Peer", "ip port")
        Port = type(2 ** 64)
        for likeness in (list, Peer._make, lambda address: (u"" + address[0], Port(address[1]))):
            self.protocol.ran = 0
            datagram = b"\x00" + os.urandom(20) + request(u"count")[21:]
            self.receive(datagram, datagram)
            for _ in range(2):
                accept, msgID, data, address = self.protocol.held.pop(0)
                accept(self.protocol, msgID, data, likeness(address))
                # It is no copy, but known.
                self.receive(datagram)
            self.assertEqual(self.protocol.ran, 1)
            del self.protocol.held[:], self.transport.written[:]

    def test_requestThatIsDroppedWhileNotReadyIsCarriedOutWhenItsCopyComes(self):
        datagram = request(u"count")
        self.protocol._acceptRequest = lambda *request: None
        self.receive(datagram, datagram)
        del self.protocol._acceptRequest
        self.receive(datagram)
        self.protocol.work()
        self.assertEqual((self.protocol.ran, self.answered()), (1, [1]))
        self.receive(datagram)
        self.protocol.work()
        self.assertEqual((self.protocol.ran, self.answered()), (1, [1]))

    def test_responsesThatTheSubclassSendsItself(self):
        def sendResponse(response, msgID, address):
            self.protocol.transport.write(b"\x01" + msgID + umsgpack.packb(response), address)

        self.protocol._sendResponse = sendResponse
        datagram = request(u"count")
        for answers in ([1], [], []):
            self.receive(datagram)
            self.protocol.work()
            self.assertEqual(self.answered(), answers)
        self.assertEqual(self.protocol.ran, 1)

    def test_portThatIsClosedMeanwhile(self):
        datagram, other = [b"\x00" + os.urandom(20) + request(u"count")[21:] for _ in range(2)]
        self.receive(datagram)
        accept = self.protocol.held.pop()
        self.receive(other)
        accepted = self.protocol.held.pop()
        accepted[0](self.protocol, *accepted[1:])
        self.protocol.doStop()
        # The one is not carried out, and the response to the other is not sent.
        accept[0](self.protocol, *accept[1:])
        self.protocol.work()
        self.assertEqual((self.protocol.ran, self.transport.written, self.logged()), (1, [], []))
        # Nor is a copy that comes now answered.
        self.receive(other)
        self.protocol.work()
        self.assertEqual((self.protocol.ran, self.transport.written, self.logged()), (1, [], []))

    def test_requestsThatASubclassMakesUp(self):
        for _ in range(2):
            rpcudp.protocol.RPCProtocol._acceptRequest(self.protocol, MESSAGE_ID, [u"count", []], THERE)
        self.protocol.work()
        self.assertEqual(self.answered(), [1, 2])


class OtherStateNode(rpcudp.protocol.RPCProtocol):
    """
    Sets what it takes for its own, after C{__init__} as well.
    """

    def __init__(self, **options):
        rpcudp.protocol.RPCProtocol.__init__(self, **options)
        self._outstanding = {}
        self._kinds = {u"request": 1}
        self._calls = self._deadlines = self._duplicates = self._caller = self._answerer = None

    def rpc_ping(self, sender):
        return u"pong"


class OtherStateTests(ProtocolTestCase):
    protocolClass = OtherStateNode

    def test_callsEndAndRequestsAreAnswered(self):
        deferred = self.protocol.ping(THERE)
        self.assertEqual(list(self.protocol._outstanding), [self.sent()[0]])
        self.protocol.datagramReceived(request(u"ping"), THERE)
        self.assertEqual(self.answered(), [u"pong"])
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(deferred), (False, None))
        self.assertNothingPending()

    def test_stoppingLeavesNoTimerOfCallsThatASubclassForgot(self):
        self.protocol.ping(THERE)
        self.protocol._outstanding = {}
        self.protocol.doStop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_callThatASubclassForgot(self):
        self.protocol.ping(THERE)
        self.sent()
        self.protocol._outstanding.clear()
        self.protocol.ping(THERE).addErrback(lambda _: None).cancel()
        self.sent()
        self.clock.advance(5)
        self.assertNothingPending()
        forgotten = self.protocol.ping(THERE)
        self.sent()
        self.protocol._outstanding = {}
        forgotten.cancel()
        self.failureResultOf(forgotten, CancelledError)
        self.assertNothingPending()


class SameNameTests(ProtocolTestCase):
    """
    A subclass that is called RPCProtocol has all of C{_RPCProtocol__NAME} for itself.
    """

    class protocolClass(rpcudp.protocol.RPCProtocol):
        pass

    def test_itsMangledNamesAreItsOwn(self):
        for name in ("call", "clock", "deadlines", "duplicates", "forget", "fire", "sendQueue", "waits", "reactor"):
            setattr(self.protocol, "_RPCProtocol__" + name, None)
        self.protocol.rpc_ping = lambda sender: u"pong"
        self.protocol.datagramReceived(request(u"ping"), THERE)
        self.assertEqual(self.answered(), [u"pong"])
        deferred = self.protocol.ping(THERE)
        self.sent()
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(deferred), (False, None))

    def test_theLibraryHasNone(self):
        names = set(dir(rpcudp.protocol.RPCProtocol())) | set(vars(rpcudp.protocol.RPCProtocol()))
        self.assertEqual([name for name in names if name.startswith("_RPCProtocol__")], [])


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
