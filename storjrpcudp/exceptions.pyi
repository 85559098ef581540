from rpcudp.exceptions import MalformedMessage as MalformedMessage

__all__ = ["MalformedMessage"]
