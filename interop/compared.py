"""
What a package does, watched from outside: C{compared.py NAME [call]}.

NAME is C{rpcudp}, C{storjrpcudp}, C{asyncio} for the rpcudp on that, or C{txmsgpackrpc}.  What is printed is, as JSON,
the text of each cell of its column in the comparison, by the name of the row.  With C{call} it makes no more than a
call, and prints the event loop.

What the package sends is caught on plain sockets, and these send to it what no peer would.  Everything runs under
Twisted; the package on asyncio runs on Twisted's asyncio reactor, and its Futures become Deferreds.
"""

from __future__ import print_function

import gc
import importlib
import json
import logging
import os
import pkgutil
import random
import sys

from twisted.internet import defer, protocol, task
from twisted.logger import LogLevel, globalLogPublisher

if sys.argv[1] == "asyncio":
    import asyncio

    from twisted.internet import asyncioreactor

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    asyncioreactor.install(loop)

# After that, as it installs a reactor.
from twisted.internet import reactor  # noqa: E402

PACKAGE = "rpcudp" if sys.argv[1] == "asyncio" else sys.argv[1]

HOST = "127.0.0.1"

# Seconds that a call waits, and within which what was sent has had its effect.
WAIT = 0.5
PAUSE = 0.1

# Requests whose handlers wait, and how many of them are sent at one time, so that a socket's buffer has room for them.
HELD, BURST = 1500, 50


# The methods of a node.  Before the argument, some packages tell them who calls.


def length(self, *arguments):
    self.told = arguments[:-1]
    return len(arguments[-1])


def count(self, *arguments):
    self.begun += 1


def fail(self, *arguments):
    raise ValueError("on purpose")


def hold(self, *arguments):
    self.begun += 1
    return defer.Deferred()


if sys.argv[1] == "asyncio":
    # In quotes, as Python 2 cannot read it.
    exec("async def hold(self, *arguments): self.begun += 1; await asyncio.Future()")


def answering(base, prefix):
    """
    @return: a subclass of C{base} that has these methods, their names behind C{prefix}.
    """
    members = {prefix + method.__name__: method for method in (length, count, fail, hold)}
    return type("Answering", (base, object), dict(members, begun=0, told=()))


class Node(object):
    """
    @ivar answerer: the object that has the methods.
    @ivar address: where it listens.
    @ivar call: makes a call, from an address, a method and an argument.
    """

    def __init__(self, answerer, address, call):
        self.answerer = answerer
        self.address = address
        self.call = call

    @defer.inlineCallbacks
    def outcome(self, *arguments):
        """
        @return: a L{Deferred} that fires with whether the call was answered, and the result, or else the outcome as
            text.
        """
        try:
            result = yield deferred(self.call(*arguments))
        except Exception as error:
            defer.returnValue((False, type(error).__name__))
        if sys.argv[1] == "txmsgpackrpc":
            defer.returnValue((True, result))
        answered, value = result
        defer.returnValue((answered, value if answered else repr(tuple(result))))


def deferred(awaitable):
    if isinstance(awaitable, defer.Deferred):
        return awaitable
    return defer.Deferred.fromFuture(asyncio.ensure_future(awaitable))


def bound(port):
    return HOST, port.getHost().port


@defer.inlineCallbacks
def listen(waitTimeout=WAIT):
    """
    @return: a L{Deferred} that fires with a L{Node}.
    """
    if sys.argv[1] == "txmsgpackrpc":
        from txmsgpackrpc.client import connect_UDP
        from txmsgpackrpc.server import MsgpackRPCServer

        connected = {}

        @defer.inlineCallbacks
        def call(address, method, argument):
            if address not in connected:
                connected[address] = yield connect_UDP(*address, waitTimeout=waitTimeout)
            result = yield connected[address].createRequest(method, argument)
            defer.returnValue(result)

        server = answering(MsgpackRPCServer, "remote_")()
        port = reactor.listenUDP(0, server.getDatagramProtocol(), interface=HOST)
        defer.returnValue(Node(server, bound(port), call))

    node = answering(importlib.import_module(PACKAGE + ".protocol").RPCProtocol, "rpc_")(waitTimeout)

    def call(address, method, argument):
        return getattr(node, method)(address, argument)

    if sys.argv[1] == "asyncio":
        endpoint = asyncio.get_running_loop().create_datagram_endpoint(lambda: node, local_addr=(HOST, 0))
        transport, _ = yield deferred(endpoint)
        address = transport.get_extra_info("sockname")
    else:
        address = bound(reactor.listenUDP(0, node, interface=HOST))
    defer.returnValue(Node(node, address, call))


class Socket(protocol.DatagramProtocol):
    """
    A socket that keeps what it receives.

    @ivar received: pairs of a datagram and whose it is.
    """

    def __init__(self):
        self.received = []
        self.address = bound(reactor.listenUDP(0, self, interface=HOST))

    def datagramReceived(self, datagram, address):
        self.received.append((datagram, address))

    def send(self, address, *datagrams):
        for datagram in datagrams:
            self.transport.write(datagram, address)
        return pause()


def pause(seconds=PAUSE):
    return task.deferLater(reactor, seconds, lambda: None)


@defer.inlineCallbacks
def request(method):
    """
    @return: a L{Deferred} that fires with the datagram of a call.
    """
    caller, caught = (yield listen()), Socket()
    yield caller.outcome(caught.address, method, b"argument")
    defer.returnValue(caught.received[0][0])


class Log(logging.Handler):
    """
    Counts the warnings and errors in the logs of Twisted and of Python.
    """

    def __init__(self):
        logging.Handler.__init__(self, logging.WARNING)
        self.entries = 0
        logging.getLogger().addHandler(self)
        globalLogPublisher.addObserver(self.observe)

    def emit(self, record):
        self.entries += 1

    def observe(self, event):
        self.entries += event["log_level"] >= LogLevel.warn

    def since(self):
        """
        @return: how many there were since this was called.
        """
        # Twisted and asyncio log failures that nobody handled when these are freed.
        gc.collect()
        entries, self.entries = self.entries, 0
        return entries


log = Log()


@defer.inlineCallbacks
def eventLoop():
    answerer, caller = (yield listen()), (yield listen())
    pending = caller.call(answerer.address, "length", b"argument")
    result = yield deferred(pending)
    assert result in (8, (True, 8)), result
    defer.returnValue("Twisted" if isinstance(pending, defer.Deferred) else "asyncio")


@defer.inlineCallbacks
def connections():
    """
    @return: a L{Deferred} that fires with a server of txmsgpackrpc, and a dictionary of clients that are connected to
        it other than by UDP.
    """
    from twisted.internet import ssl
    from txmsgpackrpc import client
    from txmsgpackrpc.server import MsgpackRPCServer

    server = answering(MsgpackRPCServer, "remote_")()
    factory = server.getStreamFactory()
    tcp = bound(reactor.listenTCP(0, factory, interface=HOST))
    certificate = ssl.KeyPair.generate(size=2048).selfSignedCert(1, CN=HOST)
    tls = bound(reactor.listenSSL(0, factory, certificate.options(), interface=HOST))
    clients = {}
    clients["TCP"] = yield client.connect(*tcp)
    clients["TLS"] = yield client.connect(*tls, ssl=True)
    clients["connection pools"] = yield client.connect_pool(*tcp)
    for connected in clients.values():
        yield connected.createRequest("count", 1)
    assert server.begun == len(clients)
    defer.returnValue((server, clients))


def publicNames():
    """
    @return: the names of the public modules of the package, and of what is public in these and in their classes.
    """
    names = []
    package = importlib.import_module(PACKAGE)
    modules = [name for _, name, _ in pkgutil.iter_modules(package.__path__) if not name.startswith("_")]
    for module in [importlib.import_module(PACKAGE + "." + name) for name in modules]:
        members = vars(module)
        names += list(members)
        for member in members.values():
            if isinstance(member, type) and member.__module__ == module.__name__:
                names += list(vars(member))
    return modules + [name for name in names if not name.startswith("_")]


def assertUnnamed(*words):
    """
    Where a package is not tried with something, nothing of it may be named like that.
    """
    found = [name for name in publicNames() if any(word in name.lower() for word in words)]
    assert not found, found


# From here on, each returns a Deferred that fires with the text of a cell.


@defer.inlineCallbacks
def transports():
    # A UDP socket catches it.
    yield request("count")
    found = ["UDP"]
    if sys.argv[1] == "txmsgpackrpc":
        _, clients = yield connections()
        found += [name for name in ("TCP", "TLS") if name in clients]
    else:
        assertUnnamed("tcp", "stream", "ssl", "tls", "unix", "connect_")
    defer.returnValue(", ".join(found))


@defer.inlineCallbacks
def onePort():
    node, peers = (yield listen()), [Socket(), Socket()]
    for peer in peers:
        yield node.outcome(peer.address, "count", 1)
    defer.returnValue("yes" if {peer.received[0][1] for peer in peers} == {node.address} else "no")


@defer.inlineCallbacks
def toldWhoCalls():
    answerer, caller = (yield listen()), (yield listen())
    yield caller.outcome(answerer.address, "length", b"argument")
    defer.returnValue("yes" if caller.address in answerer.answerer.told else "no")


@defer.inlineCallbacks
def longestArgument():
    arrives, tooLong = 0, 1 << 16
    while tooLong - arrives > 1:
        middle = (arrives + tooLong) // 2
        answerer, caller = (yield listen()), (yield listen())
        outcome = yield caller.outcome(answerer.address, "length", b"x" * middle)
        if outcome == (True, middle):
            arrives = middle
        else:
            tooLong = middle
    found = "{:,}".format(arrives)
    if sys.argv[1] == "txmsgpackrpc":
        _, clients = yield connections()
        result = yield clients["TCP"].createRequest("length", b"x" * 10000000)
        assert result == 10000000
        found += "; over TCP 10,000,000"
    defer.returnValue(found)


@defer.inlineCallbacks
def howOftenSent():
    sent = []
    for waitTimeout in (WAIT, (WAIT / 3, WAIT / 3, WAIT / 3)):
        caller, caught = (yield listen(waitTimeout)), Socket()
        yield caller.outcome(caught.address, "count", 1)
        yield pause(WAIT)
        sent.append(len(caught.received))
    assert sent[0] == 1, sent
    defer.returnValue("once, or on a schedule" if sent[1] == 3 else "once")


@defer.inlineCallbacks
def twice():
    datagram = yield request("count")
    node = yield listen()
    yield Socket().send(node.address, datagram, datagram)
    defer.returnValue({1: "once", 2: "twice"}[node.answerer.begun])


@defer.inlineCallbacks
def unanswered():
    caller, caught = (yield listen()), Socket()
    log.since()
    answered, outcome = yield caller.outcome(caught.address, "count", 1)
    assert not answered
    defer.returnValue("`{}`{}".format(outcome, ", logged" if log.since() else ""))


@defer.inlineCallbacks
def failing():
    node, caller = (yield listen()), (yield listen())
    _, outcome = yield caller.outcome(node.address, "fail", 1)
    datagram = yield request("fail")
    log.since()
    caller = Socket()
    yield caller.send(node.address, datagram)
    answer = "`{}`".format(outcome) if caller.received else "no answer"
    defer.returnValue("{}, {}".format(answer, "logged" if log.since() else "not logged"))


@defer.inlineCallbacks
def junk():
    datagram = yield request("count")
    node, caller, stranger = (yield listen()), (yield listen()), Socket()
    generator = random.Random(1)
    noise = [bytes(bytearray(generator.randrange(256) for _ in range(length))) for length in range(100)]
    log.since()
    yield stranger.send(node.address, *[datagram[:length] for length in range(len(datagram))])
    yield stranger.send(node.address, *[datagram[:21] + tail for tail in noise])
    found = ["logged" if log.since() else "dropped"]
    outcomes = yield defer.gatherResults([caller.outcome(node.address, "length", b"argument") for _ in range(10)])
    if not any(answered for answered, _ in outcomes):
        found.append("and then no answers")
    defer.returnValue(", ".join(found))


@defer.inlineCallbacks
def inHand():
    node, caller = (yield listen()), (yield listen())
    for _ in range(HELD // BURST):
        for number in range(BURST):
            caller.outcome(node.address, "hold", number)
        yield pause(PAUSE / 10)
    yield pause(WAIT + PAUSE)
    defer.returnValue("{:,}".format(node.answerer.begun))


@defer.inlineCallbacks
def besides():
    from importlib.metadata import entry_points

    found = []
    if sys.argv[1] == "txmsgpackrpc":
        server, clients = yield connections()
        before = server.begun
        yield clients["TCP"].createNotification("count", (1,))
        yield pause()
        assert server.begun == before + 1
        found += ["notifications", "connection pools"]
    else:
        assertUnnamed("notif", "pool")
    package = importlib.import_module(PACKAGE)
    try:
        testing = importlib.import_module(PACKAGE + ".testing")
    except ImportError:
        pass
    else:
        found.append(simulated(testing))
    scripts = entry_points(group="console_scripts")
    if any(script.value.startswith(PACKAGE + ".") for script in scripts):
        found.append("a command")
    if os.path.exists(os.path.join(os.path.dirname(package.__file__), "py.typed")):
        found.append("types")
    defer.returnValue(", ".join(found) or "none")


def simulated(testing):
    """
    Make a call on a simulated network.
    """
    protocolClass = importlib.import_module(PACKAGE + ".protocol").RPCProtocol
    network = testing.SimulatedNetwork()
    network.host("10.0.0.2").listenUDP(1, answering(protocolClass, "rpc_")())
    caller = protocolClass()
    network.host("10.0.0.1").listenUDP(1, caller)
    assert network.run(caller.length(("10.0.0.2", 1), b"argument")) == (True, 8)
    return "a simulated network"


ROWS = [
    ("Transports", transports),
    ("One port calls and answers all peers", onePort),
    ("Handlers are told who calls", toldWhoCalls),
    ("Longest argument that arrives, in bytes", longestArgument),
    ("A request is sent", howOftenSent),
    ("A request that arrives twice is carried out", twice),
    ("A call that is not answered ends with", unanswered),
    ("A handler that fails", failing),
    ("Junk is", junk),
    ("Requests begun, of {:,} by one sender whose handlers wait".format(HELD), inHand),
    ("Has, of what is named below", besides),
]


@defer.inlineCallbacks
def watch():
    cells = {"Runs on": (yield eventLoop())}
    if sys.argv[2:] != ["call"]:
        for title, row in ROWS:
            cells[title] = yield row()
    print(json.dumps(cells))


if __name__ == "__main__":
    # Later, as an event loop of asyncio has to run by then.
    task.react(lambda _: task.deferLater(reactor, 0, watch))
