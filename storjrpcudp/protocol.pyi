from rpcudp import protocol
from rpcudp.exceptions import MalformedMessage as MalformedMessage

__all__ = ["MalformedMessage", "RPCProtocol"]

class RPCProtocol(protocol.RPCProtocol): ...
