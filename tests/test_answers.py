# -*- coding: utf-8 -*-
"""
Answering a call.
"""

import functools
import gc
import sys

from twisted.internet import defer

from rpcudp import _answering as answering
from rpcudp.exceptions import MalformedMessage
from rpcudp.protocol import RPCProtocol
from tests.support import HERE, THERE, FakeTransport, ProtocolTestCase, request

if sys.version_info >= (3,):
    from tests.coroutines import CoroutineTests, FutureTests  # noqa: F401, trial finds them here


def keepingItsName(function):
    """
    A decorator as one makes it: with the name of what it decorates.
    """

    @functools.wraps(function)
    def wrapper(self, sender, *arguments):
        return function(self, sender, *arguments)

    return wrapper


def withToken(function):
    """
    A decorator that takes an argument for itself, and so changes the signature.
    """

    @functools.wraps(function)
    def wrapper(self, sender, token, *arguments):
        return function(self, sender, *arguments) if token == u"secret" else None

    return wrapper


def inGenerator(function):
    """
    A decorator that calls what it decorates later.
    """

    @functools.wraps(function)
    @defer.inlineCallbacks
    def wrapper(self, sender, *arguments):
        yield self.permission
        result = yield function(self, sender, *arguments)
        defer.returnValue(result)

    return wrapper


def throughTwisted(function):
    """
    A decorator that has Twisted make the call.
    """

    @functools.wraps(function)
    def wrapper(*arguments):
        return defer.maybeDeferred(function, *arguments)

    return wrapper


def wrongly(function):
    """
    A decorator that fails itself.
    """

    @functools.wraps(function)
    def wrapper(self, sender, *arguments):
        return function(self, sender, *arguments[:-1] + (u"text" + arguments[-1],))

    return wrapper


class Decorator(object):
    """
    A decorator that is a class.
    """

    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.function = function

    def __get__(self, instance, owner):
        return functools.partial(self, instance)

    def __call__(self, *arguments):
        return self.function(*arguments)


class Table(object):
    """
    A handler that is no function.
    """

    def __call__(self, sender, key):
        return {u"one": 1}[key] + key


class Node(RPCProtocol):
    rpc_attribute = u"not callable"
    rpc_table = Table()

    def __init__(self, **options):
        RPCProtocol.__init__(self, **options)
        self.carriedOut = []
        self.rpc_instance = lambda sender: u"instance"
        self.permission = None

    def public(self, sender):
        self.carriedOut.append(u"public")

    def _private(self, sender):
        self.carriedOut.append(u"private")

    def rpc_echo(self, sender, *arguments):
        self.carriedOut.append(sender)
        return list(arguments)

    def rpc_greet(self, sender, name, greeting=u"Hello"):
        return u"{} {}".format(greeting, name)

    def rpc_(self, sender):
        return u"empty"

    def rpc_later(self, sender):
        self.deferred = defer.Deferred()
        return self.deferred

    @defer.inlineCallbacks
    def rpc_generator(self, sender, first, second):
        self.deferred = defer.Deferred()
        third = yield self.deferred
        defer.returnValue(first + second + third)

    @keepingItsName
    def rpc_decorated(self, sender, first, second):
        return first + second

    @withToken
    def rpc_guarded(self, sender, first):
        return first + 1

    @keepingItsName
    def helper(self, sender, first):
        return first

    @keepingItsName
    def rpc_callHelperWrongly(self, sender):
        return self.helper(sender)

    @keepingItsName
    def rpc_callItselfWrongly(self, sender, first):
        return self.rpc_callItselfWrongly(sender)

    @keepingItsName
    @withToken
    @keepingItsName
    def rpc_layered(self, sender, first):
        return first + 1

    @inGenerator
    def rpc_permitted(self, sender, first):
        return first + 1

    @inGenerator
    def helpLater(self, sender, first):
        return first

    @inGenerator
    def rpc_callHelpWrongly(self, sender):
        return self.helpLater(sender)

    @throughTwisted
    def rpc_twisted(self, sender, first):
        return first + 1

    @wrongly
    def rpc_wrongly(self, sender, first):
        return first

    @Decorator
    def rpc_object(self, sender, first):
        return first + 1

    def rpc_raise(self, sender):
        raise ValueError("on purpose")

    def rpc_exit(self, sender):
        sys.exit("on purpose")

    def rpc_typeError(self, sender):
        return u"text" + 1

    def rpc_callWrongly(self, sender):
        return self.rpc_greet()

    def rpc_unsendable(self, sender):
        return object()

    def rpc_bytes(self, sender, length):
        return b"x" * length

    def rpc_laterBytes(self, sender, length):
        return defer.succeed(b"x" * length)


class NodeTestCase(ProtocolTestCase):
    protocolClass = Node

    def receive(self, method, *arguments):
        self.protocol.datagramReceived(request(method, *arguments), THERE)

    def assertDropped(self, method, *arguments):
        self.receive(method, *arguments)
        self.assertEqual((self.answered(), self.logged()), ([], []))


class ResultTests(NodeTestCase):
    def test_valueGoesBackToTheCaller(self):
        self.receive(u"echo", u"text", b"bytes", 1, None, [1.5])
        self.assertEqual(self.answered(), [[u"text", b"bytes", 1, None, [1.5]]])

    def test_senderIsIPAndPort(self):
        self.receive(u"echo")
        self.assertEqual(self.protocol.carriedOut, [THERE])

    def test_everyRequestIsAnswered(self):
        for number in range(100):
            self.receive(u"echo", number)
        self.assertEqual(self.answered(), [[number] for number in range(100)])

    def test_optionalArgumentsMayBeLeftOut(self):
        self.receive(u"greet", u"Snake")
        self.receive(u"greet", u"Snake", u"Bye")
        self.assertEqual(self.answered(), [u"Hello Snake", u"Bye Snake"])

    def test_deferredAnswersWhenItFires(self):
        self.receive(u"later")
        self.assertEqual(self.answered(), [])
        self.protocol.deferred.callback(u"now")
        self.assertEqual(self.answered(), [u"now"])

    def test_inlineCallbacks(self):
        self.receive(u"generator", 1, 2)
        self.assertEqual(self.answered(), [])
        self.protocol.deferred.callback(3)
        self.assertEqual(self.answered(), [6])

    def test_handlerMayBeAnyCallable(self):
        self.receive(u"instance")
        self.receive(u"")
        self.receive(u"decorated", 1, 2)
        self.receive(u"guarded", u"secret", 1)
        self.assertEqual(self.answered(), [u"instance", u"empty", 3, 2])


class PeersMistakeTests(NodeTestCase):
    """
    Dropped, and no errors of ours.
    """

    def test_noSuchMethod(self):
        for method in (u"absent", u"_private", u"__init__", u"rpc_echo", u"echo ", u"x" * 8000, u"\u017c\u00f3\u0142w"):
            self.assertDropped(method)

    def test_onlyHandlersAreOpenToTheNetwork(self):
        for method in (u"public", u"_private", u"datagramReceived", u"doStop", u"transport"):
            self.assertDropped(method)
        self.assertEqual(self.protocol.carriedOut, [])

    def test_notCallable(self):
        self.assertDropped(u"attribute")

    def test_argumentsThatDoNotFit(self):
        for arguments in ((), (1, 2, 3)):
            self.assertDropped(u"greet", *arguments)

    def test_argumentsThatDoNotFitUnderInlineCallbacks(self):
        for arguments in ((), (1,), (1, 2, 3)):
            self.assertDropped(u"generator", *arguments)

    def test_argumentsThatDoNotFitUnderADecorator(self):
        for arguments in ((), (1,), (1, 2, 3)):
            self.assertDropped(u"decorated", *arguments)

    def test_argumentsThatDoNotFitUnderADecoratorThatTakesSome(self):
        for arguments in ((), (u"secret",), (u"secret", 1, 2)):
            self.assertDropped(u"guarded", *arguments)

    def test_argumentsThatDoNotFitUnderSeveralDecorators(self):
        for arguments in ((), (u"secret",), (u"secret", 1, 2)):
            self.assertDropped(u"layered", *arguments)

    def test_argumentsThatDoNotFitUnderADecoratorThatCallsLater(self):
        for self.protocol.permission in (None, defer.succeed(None)):
            for arguments in ((), (1, 2)):
                self.assertDropped(u"permitted", *arguments)
        self.protocol.permission = defer.Deferred()
        for arguments in ((), (1, 2)):
            self.assertDropped(u"permitted", *arguments)
        self.protocol.permission.callback(None)
        self.assertEqual((self.answered(), self.logged()), ([], []))

    def test_argumentsThatDoNotFitUnderADecoratorThatHasAnotherMakeTheCall(self):
        for arguments in ((), (1, 2)):
            self.assertDropped(u"twisted", *arguments)

    def test_argumentsThatDoNotFitUnderADecoratorThatIsAnObject(self):
        for arguments in ((), (1, 2)):
            self.assertDropped(u"object", *arguments)

    def test_argumentsThatDoNotFitAHandlerOfTheSameNameAsItsDecorator(self):
        def decorate(function):
            @functools.wraps(function)
            def inner(*arguments):
                return function(*arguments)

            return inner

        def make():
            def inner(sender, first):
                return first + 1

            return inner

        self.protocol.rpc_same = decorate(make())
        for arguments in ((), (1, 2)):
            self.assertDropped(u"same", *arguments)
        self.receive(u"same", u"text")
        self.assertFailureLogged(TypeError, "rpc_same")

    def test_argumentsThatDoNotFitWhatHasAnyAttribute(self):
        class Proxy(object):
            def __getattr__(self, name):
                return Proxy()

            def __call__(self, sender, first):
                return first + 1

        self.protocol.rpc_proxy = Proxy()
        self.assertDropped(u"proxy")
        self.receive(u"proxy", u"text")
        self.assertFailureLogged(TypeError, "rpc_proxy")

    def test_argumentsThatDoNotFitWhatRaisesForAnyAttribute(self):
        class Sloppy(object):
            def __getattr__(self, name):
                raise KeyError(name)

            def __call__(self, sender, first):
                return defer.fail(TypeError("on purpose"))

        self.protocol.rpc_sloppy = Sloppy()
        self.assertDropped(u"sloppy")
        self.receive(u"sloppy", 1)
        self.assertFailureLogged(TypeError, "rpc_sloppy")

    def test_argumentsThatDoNotFitAPartial(self):
        self.protocol.rpc_partial = functools.partial(lambda first, sender, second: first + second, 1)
        for arguments in ((), (1, 2)):
            self.assertDropped(u"partial", *arguments)
        self.receive(u"partial", 2)
        self.assertEqual(self.answered(), [3])

    def test_argumentsThatDoNotFitAHandlerWrittenInC(self):
        self.protocol.rpc_lookup = {THERE: u"yes"}.__getitem__
        self.assertDropped(u"lookup", 1, 2)
        self.receive(u"lookup")
        self.assertEqual(self.answered(), [u"yes"])

    def test_argumentsThatDoNotFitACallableObject(self):
        for arguments in ((), (1, 2)):
            self.assertDropped(u"table", *arguments)


class ClosureTests(NodeTestCase):
    """
    Handlers that were made by functions are told from decorated ones.
    """

    def setUp(self):
        NodeTestCase.setUp(self)

        def double(number):
            return 2 * number

        def times(sender, number):
            return double(number + 1) * later

        @keepingItsName
        def again(protocol, sender, number):
            # Its own decorator is in its closure.
            return again(protocol)

        self.protocol.rpc_times = times
        type(self.protocol).rpc_again = again
        self.addCleanup(delattr, type(self.protocol), "rpc_again")
        self.receive(u"times", u"text")
        self.assertFailureLogged(TypeError, "rpc_times")
        later = 3
        self.receive(u"times", 1)
        self.assertEqual(self.answered(), [12])

    def test_argumentsThatDoNotFit(self):
        self.assertDropped(u"times")
        self.assertDropped(u"again")

    def test_typeErrorInside(self):
        self.receive(u"times", u"text")
        self.assertFailureLogged(TypeError, "rpc_times")
        self.receive(u"again", 1)
        self.assertFailureLogged(TypeError, "rpc_again")


class OurMistakeTests(NodeTestCase):
    """
    Logged once with the traceback, naming the method and the sender; no answer.
    """

    def assertFails(self, error, method, *arguments):
        self.receive(method, *arguments)
        failure = self.assertFailureLogged(error, u"rpc_{}".format(method), repr(THERE))
        self.assertEqual(self.answered(), [])
        return failure

    def test_handlerThatRaises(self):
        failure = self.assertFails(ValueError, u"raise")
        self.assertIn("in rpc_raise", failure.getTraceback())

    def test_handlerThatExits(self):
        self.assertFails(SystemExit, u"exit")

    def test_typeErrorInsideTheHandler(self):
        failure = self.assertFails(TypeError, u"typeError")
        self.assertIn("in rpc_typeError", failure.getTraceback())

    def test_handlerThatCallsWrongly(self):
        self.assertFails(TypeError, u"callWrongly")

    def test_typeErrorInsideADecoratedHandler(self):
        self.assertFails(TypeError, u"decorated", 1, u"text")
        self.assertFails(TypeError, u"guarded", u"secret", u"text")

    def test_typeErrorThatSaysWhatAStrangerSent(self):
        def fail(sender, value):
            raise TypeError(repr(value) if isinstance(value, bytes) else u"no number: {}".format(value))

        self.protocol.rpc_fail = fail
        self.protocol.rpc_failLater = lambda sender, value: defer.execute(fail, sender, value)
        for method in (u"fail", u"failLater"):
            # To search this for a name took seconds.
            for value in (u"\xe9", b"\x00" * 8000, b"a." * 4000, b"x() " * 2000):
                self.assertFails(TypeError, method, value)

    def test_typeErrorThatCannotSayWhatIsWrong(self):
        class Speechless(TypeError):
            def __str__(self):
                raise ValueError("on purpose")

        def fail(sender):
            raise Speechless()

        self.protocol.rpc_fail = fail
        self.receive(u"fail")
        self.assertEqual(len(self.flushLoggedErrors(Speechless)), 1)

    def test_handlerThatWronglyCallsWhatHasTheSameDecorator(self):
        self.assertFails(TypeError, u"callHelperWrongly")
        self.assertFails(TypeError, u"callItselfWrongly", 1)
        self.assertFails(TypeError, u"callHelpWrongly")

    def test_handlerThatWronglyCallsItselfLater(self):
        def again(sender, first):
            return defer.succeed(sender).addCallback(again)

        self.protocol.rpc_again = again
        self.assertFails(TypeError, u"again", 1)

    def test_typeErrorInsideAHandlerThatIsCalledLater(self):
        self.assertFails(TypeError, u"permitted", u"text")
        self.assertFails(TypeError, u"twisted", u"text")
        self.assertFails(TypeError, u"object", u"text")
        self.assertFails(TypeError, u"layered", u"secret", u"text")

    def test_typeErrorOfADecorator(self):
        self.assertFails(TypeError, u"wrongly", 1)

    def test_handlerThatCannotBeLookedUp(self):
        type(self.protocol).rpc_property = property(lambda protocol: 1 / 0)
        self.addCleanup(delattr, type(self.protocol), "rpc_property")
        self.assertFails(ZeroDivisionError, u"property")

    def test_handlerWrittenInC(self):
        self.protocol.rpc_lookup = {}.__getitem__
        self.assertFails(KeyError, u"lookup")

    def test_typeErrorInsideACallableObject(self):
        self.assertFails(TypeError, u"table", u"one")

    def test_typeErrorInsideInlineCallbacks(self):
        self.receive(u"generator", 1, 2)
        self.protocol.deferred.callback(u"text")
        self.assertFailureLogged(TypeError, "rpc_generator", repr(THERE))

    def test_deferredThatFails(self):
        self.receive(u"later")
        self.assertEqual(self.logged(), [])
        self.protocol.deferred.errback(ValueError("on purpose"))
        self.assertFailureLogged(ValueError, "rpc_later", repr(THERE))
        self.assertEqual(self.answered(), [])

    def test_resultThatCannotBeSerialised(self):
        failure = self.assertFails(MalformedMessage, u"unsendable")
        self.assertIn("cannot be serialised", failure.getErrorMessage())

    def test_resultThatDoesNotFit(self):
        self.receive(u"bytes", 8189)
        self.assertEqual(self.answered(), [b"x" * 8189])
        for method in (u"bytes", u"laterBytes"):
            failure = self.assertFails(MalformedMessage, method, 8190)
            self.assertIn("payload is 8193 bytes, 1 over the limit of 8192", failure.getErrorMessage())

    def test_handlerThatReturnsAPlainGenerator(self):
        self.protocol.rpc_forgotDecorator = lambda sender: (yield)
        self.assertFails(MalformedMessage, u"forgotDecorator")


class SharedResultTests(NodeTestCase):
    """
    Handlers may return one and the same Deferred to several callers.
    """

    def setUp(self):
        NodeTestCase.setUp(self)
        self.shared = defer.Deferred()
        self.protocol.rpc_lookup = lambda sender: self.shared

    def test_eachGetsItsResult(self):
        for _ in range(3):
            self.receive(u"lookup")
        self.shared.callback(u"found")
        self.assertEqual(self.answered(), [u"found"] * 3)
        self.receive(u"lookup")
        self.assertEqual(self.answered(), [u"found"])
        self.assertEqual(self.successResultOf(self.shared), u"found")

    def test_noneGetsAnAnswerWhereItFailed(self):
        for _ in range(3):
            self.receive(u"lookup")
        self.shared.errback(ValueError("on purpose"))
        self.assertFailureLogged(ValueError, "rpc_lookup")
        self.receive(u"lookup")
        self.assertEqual((self.answered(), self.logged()), ([], []))

    def test_nothingIsLoggedTwiceWhenItIsForgotten(self):
        self.receive(u"lookup")
        self.shared.errback(ValueError("on purpose"))
        self.assertFailureLogged(ValueError)
        self.shared = None
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_resultThatCannotBeSent(self):
        for _ in range(2):
            self.receive(u"lookup")
        self.shared.callback(object())
        self.assertEqual(len(self.logged()), 2)
        self.assertEqual(len(self.flushLoggedErrors(MalformedMessage)), 2)
        self.assertEqual(self.answered(), [])


class LikeAFuture(object):
    """
    As much of an asyncio Future as is asked for, on Python 2 as well.
    """

    def __init__(self, result):
        self.result = result
        self.add_done_callback = lambda callback: callback(self)


class FutureLikeTests(NodeTestCase):
    def setUp(self):
        NodeTestCase.setUp(self)
        self.patch(answering, "Future", LikeAFuture)
        self.patch(answering, "_LATER", answering._LATER + (LikeAFuture,))

    def test_result(self):
        self.protocol.rpc_future = lambda sender: LikeAFuture(lambda: u"now")
        self.receive(u"future")
        self.assertEqual(self.answered(), [u"now"])

    def test_failure(self):
        self.protocol.rpc_future = lambda sender: LikeAFuture(lambda: 1 / 0)
        self.receive(u"future")
        self.assertFailureLogged(ZeroDivisionError, "rpc_future")
        self.assertEqual(self.answered(), [])


class DepthTests(NodeTestCase):
    def test_resultThatNestsDeeperThanAPeerReadsIsLogged(self):
        for levels in (128, 129):
            result = None
            for _ in range(levels):
                result = [result]
            self.protocol.rpc_nested = lambda sender: result
            self.receive(u"nested")
        self.assertEqual(len(self.answered()), 1)
        failure = self.assertFailureLogged(MalformedMessage, "rpc_nested")
        self.assertIn("nested deeper than 128 levels", failure.getErrorMessage())


class ConcurrencyTests(NodeTestCase):
    """
    At most C{maxConcurrent} requests are being answered at one time.
    """

    def setUp(self):
        NodeTestCase.setUp(self)
        self.pending = []

    def receiveLater(self, times, *senders):
        for sender in senders or [THERE]:
            for _ in range(times):
                self.protocol.deferred = None
                self.protocol.datagramReceived(request(u"later"), sender)
                if self.protocol.deferred is not None:
                    self.pending.append(self.protocol.deferred)

    def listen(self, **options):
        self.protocol = Node(reactor=self.clock, **options)
        self.protocol.makeConnection(self.transport)

    def test_oneThousandByDefaultAndHalfOfThemForOneSender(self):
        self.receiveLater(1005)
        self.assertEqual(len(self.pending), 500)
        self.receiveLater(100, *[("192.0.2.{}".format(number), 1) for number in range(100)])
        self.assertEqual(len(self.pending), 1000)
        self.assertEqual(self.logged(), [])

    def test_requestAboveIsDroppedWhateverItsHandler(self):
        self.listen(maxConcurrent=2)
        self.receiveLater(1, THERE, HERE)
        self.assertEqual(len(self.pending), 2)
        self.assertDropped(u"echo")
        self.assertEqual(self.protocol.carriedOut, [])

    def test_eachThatEndsMakesRoomForAnother(self):
        self.listen(maxConcurrent=2)
        self.receiveLater(2)
        [first] = self.pending
        first.callback(1)
        self.assertEqual(self.answered(), [1])
        self.receiveLater(2)
        self.assertEqual(len(self.pending), 2)
        self.pending[1].errback(ValueError("on purpose"))
        self.assertFailureLogged(ValueError)
        self.receiveLater(2)
        self.assertEqual(len(self.pending), 3)

    def test_portThatIsClosedMeanwhileChangesNothing(self):
        self.listen(maxConcurrent=1)
        self.receiveLater(1)
        self.protocol.doStop()
        self.transport = FakeTransport()
        self.protocol.makeConnection(self.transport)
        self.assertDropped(u"echo")
        self.pending[0].callback(None)
        self.receive(u"echo")
        self.assertEqual(self.answered(), [[]])

    def test_handlersThatAnswerAtOnceTakeNoRoom(self):
        self.listen(maxConcurrent=1)
        for _ in range(3):
            self.receive(u"echo")
            self.receive(u"laterBytes", 0)
        self.assertEqual(len(self.answered()), 6)

    def test_requestsWithinARequestAreCounted(self):
        # As on a transport that delivers at once.
        self.listen(maxConcurrent=1)
        self.protocol.rpc_nested = lambda sender: [self.receive(u"later"), self.protocol.rpc_later(sender)][1]
        self.receive(u"nested")
        self.assertDropped(u"echo")

    def test_responsesAreTakenAllTheSame(self):
        self.listen(maxConcurrent=1)
        self.receiveLater(1)
        deferred = self.protocol.ping(THERE)
        self.protocol.datagramReceived(b"\x01" + self.sent()[0] + b"\x07", THERE)
        self.assertEqual(self.successResultOf(deferred), (True, 7))


class ClosedPortTests(NodeTestCase):
    def test_handlerThatFinishesAfterwardsIsDroppedSilently(self):
        for result in (u"late", object()):
            self.receive(u"later")
            self.protocol.doStop()
            self.protocol.deferred.callback(result)
            self.assertEqual((self.answered(), self.logged()), ([], []))
            self.protocol.makeConnection(self.transport)

    def test_itDoesNotAnswerThroughAnotherPort(self):
        self.receive(u"later")
        self.protocol.doStop()
        another = FakeTransport()
        self.protocol.makeConnection(another)
        self.protocol.deferred.callback(u"late")
        self.assertEqual((self.transport.written, another.written, self.logged()), ([], [], []))

    def test_handlerThatClosesThePortItself(self):
        self.protocol.rpc_close = lambda sender: self.protocol.doStop()
        self.assertDropped(u"close")

    def test_handlerThatFailsAfterwardsIsLogged(self):
        self.receive(u"later")
        self.protocol.doStop()
        self.protocol.deferred.errback(ValueError("on purpose"))
        self.assertFailureLogged(ValueError, "rpc_later", repr(THERE))


class NestedCallTests(NodeTestCase):
    def test_handlerMayCallItsSender(self):
        def ask(sender):
            return self.protocol.question(sender).addCallback(lambda answer: list(answer))

        self.protocol.rpc_ask = ask
        self.receive(u"ask")
        msgID, method, _, address = self.sent()
        self.assertEqual((method, address), (u"question", THERE))
        self.protocol.datagramReceived(b"\x01" + msgID + b"\x2a", THERE)
        self.assertEqual(self.answered(), [[True, 42]])
