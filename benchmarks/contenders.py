"""
One contender in a process of its own: C{contenders.py NAME METHOD IN_FLIGHT SECONDS}.

Server and client are on one event loop and talk over loopback.  The client keeps IN_FLIGHT calls in flight for SECONDS,
and what is printed is, as JSON, how many were answered a second and how many were lost.
"""

import json
import os
import sys
import time

NAME = u"Snake Plissken"
NODE_ID = os.urandom(20)
NODES = [[os.urandom(20), u"127.0.0.1", 8468 + number] for number in range(20)]

HOST = "127.0.0.1"


def sayhi(name):
    return u"Hello " + name


class Load(object):
    """
    Calls, one for each that ends.

    @ivar call: called for each call; has to lead to L{ended}.
    @ivar stop: called with the result when it is time.
    """

    def __init__(self, inFlight, seconds, call, stop):
        self.inFlight = inFlight
        self.seconds = seconds
        self.call = call
        self.stop = stop
        self.answered = self.lost = 0

    def start(self):
        self.began = time.time()
        self.ends = self.began + self.seconds
        for _ in range(self.inFlight):
            self.call()

    def ended(self, answered=True):
        if answered:
            self.answered += 1
        else:
            self.lost += 1
        # The clock is asked every so often, as that takes time as well.
        if self.answered % 16 == 0 and time.time() > self.ends:
            self.report()
        else:
            self.call()

    def report(self):
        self.call = lambda: None
        self.ended = lambda answered=True: None
        rate = self.answered / (time.time() - self.began)
        print(json.dumps({"rate": rate, "lost": self.lost}))
        self.stop()


def rpcudp(method, inFlight, seconds):
    """
    Ours, and the published packages on Twisted.
    """
    from twisted.internet import reactor

    from rpcudp.protocol import RPCProtocol

    class Server(RPCProtocol):
        def rpc_sayhi(self, sender, name):
            return sayhi(name)

        def rpc_find_node(self, sender, nodeID, key):
            return NODES

    client = RPCProtocol()
    reactor.listenUDP(0, client, interface=HOST)
    server = (HOST, reactor.listenUDP(0, Server(), interface=HOST).getHost().port)
    load = Load(inFlight, seconds, None, reactor.stop)

    def end(outcome):
        load.ended(outcome[0])

    if method == "sayhi":
        load.call = lambda: client.sayhi(server, NAME).addCallback(end)
    else:
        load.call = lambda: client.find_node(server, NODE_ID, NODE_ID).addCallback(end)
    reactor.callWhenRunning(load.start)
    reactor.run()


def asyncio_(method, inFlight, seconds):
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
        load = Load(inFlight, seconds, None, lambda: done.set_result(None))

        def end(future):
            load.ended(future.result()[0])

        if method == "sayhi":
            load.call = lambda: client.sayhi(server, NAME).add_done_callback(end)
        else:
            load.call = lambda: client.find_node(server, NODE_ID, NODE_ID).add_done_callback(end)
        load.start()
        await done

    asyncio.run(main())


def uvloop(method, inFlight, seconds):
    import uvloop

    uvloop.install()
    asyncio_(method, inFlight, seconds)


def amp(method, inFlight, seconds):
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
        load = Load(inFlight, seconds, None, reactor.stop)

        def end(result):
            load.ended()

        if method == "sayhi":
            load.call = lambda: client.callRemote(SayHi, name=NAME).addCallback(end)
        else:
            load.call = lambda: client.callRemote(FindNode, nodeID=NODE_ID, key=NODE_ID).addCallback(end)
        load.start()

    port = reactor.listenTCP(0, protocol.Factory.forProtocol(Server), interface=HOST).getHost().port
    client = endpoints.TCP4ClientEndpoint(reactor, HOST, port)
    endpoints.connectProtocol(client, amp.AMP()).addCallback(connected)
    reactor.run()


def echo(method, inFlight, seconds):
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
    load = Load(inFlight, seconds, lambda: client.transport.write(datagram, server), reactor.stop)
    reactor.callWhenRunning(load.start)
    reactor.run()


if __name__ == "__main__":
    name, method, inFlight, seconds = sys.argv[1:]
    {"rpcudp": rpcudp, "asyncio": asyncio_, "uvloop": uvloop, "amp": amp, "echo": echo}[name](
        method, int(inFlight), float(seconds)
    )
