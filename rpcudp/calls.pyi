from typing import Any

from twisted.internet.defer import Deferred

from rpcudp.protocol import RPCProtocol, _Peer, _WaitTimeout

__all__ = ["call"]

def call(
    protocol: RPCProtocol,
    address: _Peer,
    method: str,
    arguments: tuple[object, ...] | list[Any] = (),
    waitTimeout: _WaitTimeout | None = None,
) -> Deferred[tuple[bool, Any]]: ...
