"""
A peer on Twisted, of whichever package is installed: C{twisted_peer.py serve MODULE} or C{... call MODULE PORT}.

The one that serves prints its port, and answers until it is killed.  The one that calls prints as JSON what came of
each of its calls.
"""

from __future__ import print_function

import importlib
import json
import sys

from twisted.internet import defer, reactor, task

from values import VALUES, pack, unpack

RPCProtocol = importlib.import_module(sys.argv[2] + ".protocol").RPCProtocol


class Peer(RPCProtocol):
    def rpc_echo(self, sender, value):
        return value

    def rpc_deferred(self, sender, value):
        return task.deferLater(reactor, 0.01, lambda: value)

    def rpc_fail(self, sender):
        raise ValueError("on purpose")

    if sys.version_info >= (3,):
        # In quotes, as Python 2 cannot read it.
        exec("async def rpc_coroutine(self, sender, value): return await self.rpc_deferred(sender, value)")


@defer.inlineCallbacks
def call(port):
    server = ("127.0.0.1", port)
    # Long enough for what is answered, as two calls are not.
    peer = Peer(waitTimeout=1)
    reactor.listenUDP(0, peer, interface="127.0.0.1")
    outcomes = {}
    for name, payload in sorted(VALUES.items()):
        answered, value = yield peer.echo(server, unpack(payload))
        outcomes[name] = answered and pack(value) == payload
    several = yield peer.echo(server, [unpack(payload) for _, payload in sorted(VALUES.items())])
    outcomes["all of them at once"] = several[0] and len(several[1]) == len(VALUES)
    for method in ("deferred", "coroutine"):
        outcomes[method] = yield getattr(peer, method)(server, 7)
    fifty = yield defer.gatherResults([peer.deferred(server, number) for number in range(50)])
    outcomes["fifty at once"] = [list(result) for result in fifty] == [[True, number] for number in range(50)]
    for method in ("fail", "absent"):
        outcomes[method] = yield getattr(peer, method)(server)
    print(json.dumps(outcomes))
    reactor.stop()


def serve():
    port = reactor.listenUDP(0, Peer(), interface="127.0.0.1")
    print(port.getHost().port)
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        reactor.callWhenRunning(serve)
    else:
        reactor.callWhenRunning(call, int(sys.argv[3]))
    reactor.run()
