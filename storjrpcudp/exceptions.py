"""
L{rpcudp.exceptions}, under this package's name.
"""

from rpcudp.exceptions import MalformedMessage

__all__ = ["MalformedMessage"]
