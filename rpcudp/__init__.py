"""
Remote procedure calls over UDP, for Twisted.

Subclass L{rpcudp.protocol.RPCProtocol}, pass an instance to C{reactor.listenUDP}, and call your peers.
"""

version_info = (2, 6, 0)
version = ".".join(str(part) for part in version_info)

# Other distributions install a package of this name too; storjrpcudp looks whether this is its own.
_distribution = "storjrpcudp"
