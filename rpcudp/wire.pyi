from typing import Any, NamedTuple

__all__ = [
    "HEADER_LENGTH",
    "ID_LENGTH",
    "MAX_DATAGRAM",
    "MAX_DEPTH",
    "MAX_PAYLOAD",
    "RPCUDP",
    "STORJ",
    "Kinds",
    "decode",
    "decodePayload",
    "encode",
    "messageID",
    "newMessageID",
]

MAX_DEPTH: int
MAX_PAYLOAD: int
ID_LENGTH: int
HEADER_LENGTH: int
MAX_DATAGRAM: int

class Kinds(NamedTuple):
    request: bytes
    response: bytes

RPCUDP: Kinds
STORJ: Kinds

def newMessageID() -> bytes: ...
def messageID(datagram: bytes) -> bytes: ...
def encode(kind: bytes, msgID: bytes, value: object) -> bytes: ...
def decode(datagram: bytes, kinds: Kinds) -> tuple[bytes, bytes, Any]: ...
def decodePayload(datagram: bytes, isRequest: bool) -> Any: ...
