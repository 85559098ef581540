"""
One contender in a process of its own: C{contenders.py NAME METHOD IN_FLIGHT SECONDS CALLS}.

Server and client are on one event loop and talk over loopback.  The client keeps IN_FLIGHT calls in flight, until
SECONDS have passed and CALLS were answered.  What is printed is, as JSON, how many were answered a second, and how many
were lost.
"""

import json
import os
import sys
import time

NAME = u"Snake Plissken"
NODE_ID = os.urandom(20)
NODES = [[os.urandom(20), u"127.0.0.1", 8468 + number] for number in range(20)]

ARGUMENTS = {"sayhi": (NAME,), "find_node": (NODE_ID, NODE_ID)}

HOST = "127.0.0.1"


def sayhi(name):
    return u"Hello " + name


class Load(object):
    """
    Calls, a new one for each that ends.

    @ivar call: called for each call; has to lead to L{ended}.
    @ivar callLater: of the event loop.
    @ivar stop: called when it is over, what was lost included.
    """

    # Seconds, and longer than any of the contenders waits for an answer.
    PATIENCE = 6

    def __init__(self, inFlight, seconds, calls):
        self.free = self.inFlight = inFlight
        self.seconds = seconds
        self.calls = calls
        self.answered = self.lost = 0
        self.rate = None

    def start(self, call, callLater, stop):
        self.call = call
        self.callLater = callLater
        self.stop = stop
        self.began = time.time()
        for _ in range(self.inFlight):
            self.free -= 1
            self.call()

    def ended(self, answered=True):
        if answered:
            self.answered += 1
        else:
            self.lost += 1
        # The clock is asked every so often, as that takes time as well.
        if self.rate is None and self.answered % 16 == 0 and self.answered >= self.calls:
            taken = time.time() - self.began
            if taken > self.seconds:
                self.rate = self.answered / taken
                self.giveUp = self.callLater(self.PATIENCE, self.report)
        if self.rate is None:
            self.call()
        else:
            self.free += 1
            if self.free == self.inFlight:
                self.giveUp.cancel()
                self.report()

    def report(self):
        print(json.dumps({"rate": self.rate, "lost": self.lost + self.inFlight - self.free}))
        self.stop()


def caller(reactor, method, load, waitTimeout=5, **options):
    """
    @param reactor: what the server and a client are to listen on.

    @param waitTimeout: of the client.

    @param options: of the server.

    @return: a function that makes a call.
    """
    from rpcudp.protocol import RPCProtocol

    class Server(RPCProtocol):
        def rpc_sayhi(self, sender, name):
            return sayhi(name)

        def rpc_find_node(self, sender, nodeID, key):
            return NODES

    client = RPCProtocol(waitTimeout)
    reactor.listenUDP(0, client, interface=HOST)
    server = (HOST, reactor.listenUDP(0, Server(**options), interface=HOST).getHost().port)

    def end(outcome):
        load.ended(outcome[0])

    def call():
        getattr(client, method)(server, *ARGUMENTS[method]).addCallback(end)

    return call


def rpcudp(method, load, **options):
    """
    Ours, and the published packages on Twisted.
    """
    from twisted.internet import reactor

    call = caller(reactor, method, load, **options)
    reactor.callWhenRunning(load.start, call, reactor.callLater, reactor.stop)
    reactor.run()


def simulated(method, load):
    """
    Ours, on a simulated network.
    """
    from twisted.internet.defer import Deferred

    from rpcudp.testing import SimulatedNetwork

    network = SimulatedNetwork(latency=0.001)
    host = network.host(HOST)
    over = Deferred()
    load.start(caller(host, method, load), host.callLater, lambda: over.callback(None))
    network.run(over, limit=1e9)


def forgetful(method, load):
    """
    Ours, without the duplicate request cache.
    """
    rpcudp(method, load, duplicateLifetime=0)


def roundtrip(method, load):
    """
    Ours, with waits that know the peer.
    """
    from rpcudp.roundtrip import RoundTripWaits

    rpcudp(method, load, waitTimeout=RoundTripWaits())


def asyncio_(method, load):
    """
    The published package on asyncio, or on uvloop.
    """
    import asyncio

    from rpcudp.protocol import RPCProtocol

    class Server(RPCProtocol):
        def rpc_sayhi(self, sender, name):
            return sayhi(name)

        def rpc_find_node(self, sender, nodeID, key):
            return NODES

    async def main():
        loop = asyncio.get_running_loop()
        _, client = await loop.create_datagram_endpoint(RPCProtocol, local_addr=(HOST, 0))
        transport, _ = await loop.create_datagram_endpoint(Server, local_addr=(HOST, 0))
        server = transport.get_extra_info("sockname")
        done = loop.create_future()

        def end(future):
            load.ended(future.result()[0])

        def call():
            getattr(client, method)(server, *ARGUMENTS[method]).add_done_callback(end)

        load.start(call, loop.call_later, lambda: done.set_result(None))
        await done

    asyncio.run(main())


def uvloop(method, load):
    import uvloop

    uvloop.install()
    asyncio_(method, load)


def amp(method, load):
    """
    Twisted's own RPC, over TCP.
    """
    from twisted.internet import endpoints, protocol, reactor
    from twisted.protocols import amp

    class SayHi(amp.Command):
        arguments = [(b"name", amp.Unicode())]
        response = [(b"greeting", amp.Unicode())]

    class FindNode(amp.Command):
        arguments = [(b"nodeID", amp.String()), (b"key", amp.String())]
        response = [(b"nodes", amp.AmpList([(b"id", amp.String()), (b"ip", amp.Unicode()), (b"port", amp.Integer())]))]

    class Server(amp.AMP):
        @SayHi.responder
        def sayhi(self, name):
            return {"greeting": sayhi(name)}

        @FindNode.responder
        def findNode(self, nodeID, key):
            return {"nodes": [{"id": node[0], "ip": node[1], "port": node[2]} for node in NODES]}

    def connected(client):
        def end(result):
            load.ended()

        commands = {"sayhi": (SayHi, {"name": NAME}), "find_node": (FindNode, {"nodeID": NODE_ID, "key": NODE_ID})}
        command, arguments = commands[method]

        def call():
            client.callRemote(command, **arguments).addCallback(end)

        load.start(call, reactor.callLater, reactor.stop)

    port = reactor.listenTCP(0, protocol.Factory.forProtocol(Server), interface=HOST).getHost().port
    client = endpoints.TCP4ClientEndpoint(reactor, HOST, port)
    endpoints.connectProtocol(client, amp.AMP()).addCallback(connected)
    reactor.run()


def echo(method, load):
    """
    No RPC at all: the size of a request to sayhi, there and back.
    """
    from twisted.internet import protocol, reactor

    class Server(protocol.DatagramProtocol):
        def datagramReceived(self, datagram, address):
            self.transport.write(datagram, address)

    class Client(protocol.DatagramProtocol):
        def datagramReceived(self, datagram, address):
            load.ended()

    client = Client()
    reactor.listenUDP(0, client, interface=HOST)
    server = (HOST, reactor.listenUDP(0, Server(), interface=HOST).getHost().port)
    datagram = os.urandom(44)

    def call():
        client.transport.write(datagram, server)

    reactor.callWhenRunning(load.start, call, reactor.callLater, reactor.stop)
    reactor.run()


if __name__ == "__main__":
    name, method, inFlight, seconds, calls = sys.argv[1:]
    contenders = {
        "rpcudp": rpcudp,
        "forgetful": forgetful,
        "simulated": simulated,
        "roundtrip": roundtrip,
        "asyncio": asyncio_,
        "uvloop": uvloop,
        "amp": amp,
        "echo": echo,
    }
    contenders[name](method, Load(int(inFlight), float(seconds), int(calls)))
