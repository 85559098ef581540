from typing import NamedTuple

from rpcudp.protocol import RPCProtocol

__all__ = ["Statistics", "statistics"]

class Statistics(NamedTuple):
    answered: int
    unanswered: int
    cancelled: int
    resent: int
    requests: int
    served: int
    failed: int
    repeated: int
    refused: int
    dropped: int
    bytesReceived: int
    malformed: int
    unexpected: int
    datagramsSent: int
    bytesSent: int
    lost: int
    inFlight: int
    beingAnswered: int
    remembered: int
    waiting: int
    called: int
    datagramsReceived: int

def statistics(protocol: RPCProtocol) -> Statistics: ...
