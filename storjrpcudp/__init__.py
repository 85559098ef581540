"""
The same library on the Storj network, whose kind bytes are others.
"""

try:
    from rpcudp import _distribution, version, version_info
except ImportError:
    # Published packages own an import package rpcudp too, and nothing in the metadata keeps pip from mixing the files.
    _distribution = None

if _distribution != "storjrpcudp":
    raise ImportError(
        "the import package rpcudp is not the one that came with storjrpcudp, as installing or removing the"
        " distribution rpcudp (which kademlia requires, for one) has replaced or removed its files: uninstall the"
        " distribution rpcudp, install storjrpcudp again with pip's --force-reinstall, and keep the two in separate"
        " environments"
    )

__all__ = ["version", "version_info"]
