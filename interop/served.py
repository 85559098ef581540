"""
What C{rpcudp serve} serves to published packages; C{twisted_peer.py} says what they call.
"""

from twisted.internet import reactor, task

from rpcudp import protocol
from storjrpcudp import protocol as storj


class Methods(object):
    def rpc_echo(self, sender, value):
        return value

    def rpc_deferred(self, sender, value):
        return task.deferLater(reactor, 0.01, lambda: value)

    # A handler of each kind is for the tests of peers; here, all are alike.
    rpc_coroutine = rpc_deferred

    def rpc_fail(self, sender):
        raise ValueError("on purpose")


class OnRpcudp(Methods, protocol.RPCProtocol):
    pass


class OnStorj(Methods, storj.RPCProtocol):
    pass
