"""
The log: what only the network did is a note, made where the protocol is noisy; what the application did wrong is a
failure or a warning.  All of it is of one namespace, so that an application can set its level.
"""

import binascii

from twisted.logger import Logger

log = Logger("rpcudp.protocol")


def note(text, msgID=b"", **fields):
    """
    @param text: of what happened, with the names of C{fields} in it; C{{msgID}} stands for the message id.
    """
    log.info(text, msgID=binascii.hexlify(msgID).decode("ascii"), **fields)


def noteMalformed(reason, peer):
    note("dropped a datagram of {peer}: {reason}", peer=peer, reason=reason)


def logFailure(failure, method, peer):
    """
    @type failure: L{twisted.python.failure.Failure}

    @param method: the text that the handler is called after.

    @param peer: the C{(ip, port)} pair that called it.
    """
    log.failure("rpc_{method}, called by {peer}, has no answer", failure, method=method, peer=peer)
