"""
The same library on the Storj network, whose kind bytes are others.
"""

from rpcudp import version, version_info

__all__ = ["version", "version_info"]
