"""
L{rpcudp.protocol}, on the Storj network.
"""

from rpcudp import protocol, wire
from rpcudp.exceptions import MalformedMessage

__all__ = ["MalformedMessage", "RPCProtocol"]


class RPCProtocol(protocol.RPCProtocol):
    """
    An L{rpcudp.protocol.RPCProtocol} that hears, and is heard by, the Storj network only.
    """

    _rpcudpKinds = wire.STORJ
