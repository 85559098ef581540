"""
A node on every core: processes that listen on one UDP port, among which the kernel shares the senders.

    cores.py [PORT [WORKERS]]   port 1234, and as many workers as there are cores, until it is stopped

This needs SO_REUSEPORT as Linux has it, since 3.9.
"""

from __future__ import print_function

import hashlib
import multiprocessing
import os
import signal
import socket
import sys

from twisted.internet.task import LoopingCall

from rpcudp.protocol import RPCProtocol


class Worker(RPCProtocol):
    """
    @ivar caller: a protocol on a port of this process alone, which makes its calls.  The answers to calls from the
        shared port would go to whichever worker the kernel has chosen for that peer.
    """

    def __init__(self):
        RPCProtocol.__init__(self)
        self.caller = RPCProtocol(waitTimeout=(0.5, 1, 2))

    def rpc_who(self, sender):
        return u"process {}".format(os.getpid())

    def rpc_work(self, sender, rounds):
        digest = b""
        for _ in range(min(rounds, 100000)):
            digest = hashlib.sha256(digest).digest()
        return digest

    def rpc_ask(self, sender, ip, port):
        return self.caller.who((ip, port)).addCallback(lambda outcome: outcome[1])


def bind(port, count):
    """
    @return: so many sockets that share a port.
    """
    sockets = []
    try:
        for _ in range(count):
            shared = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            # The first without the option, so that nobody shares the port with whoever has it already.
            if sockets:
                shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            shared.setblocking(False)
            shared.bind(("", port))
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sockets.append(shared)
    except socket.error as error:
        raise SystemExit("Port {} cannot be listened on: {}".format(port, error))
    return sockets


def work(reactor, shared, parent):
    worker = Worker()
    reactor.adoptDatagramPort(shared.fileno(), socket.AF_INET, worker)
    shared.close()  # Twisted has a descriptor of its own.
    reactor.listenUDP(0, worker.caller)
    # However the parent has ended, it has no other way to tell.
    reactor.callWhenRunning(LoopingCall(lambda: os.getppid() == parent or reactor.stop()).start, 0.1)
    reactor.run(installSignalHandlers=False)


def main(port, count):
    # All at once, before anybody calls: with each socket that comes or goes, senders move to other workers.
    sockets = bind(port, count)
    # Ctrl-C is for the whole group of processes, and so is what stops a service.  The workers leave it to their parent.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    parent = os.getpid()
    for shared in sockets:
        if os.fork() == 0:
            for other in sockets:
                if other is not shared:
                    other.close()
            # Here, so that each process has a reactor of its own.
            from twisted.internet import reactor

            return work(reactor, shared, parent)
    for shared in sockets:
        shared.close()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit())
    print("Workers on port {}: {}; stop with Ctrl-C.".format(port, count))
    sys.stdout.flush()
    os.wait()
    raise SystemExit("A worker has ended, and so the others are stopped.")


if __name__ == "__main__":
    try:
        port, count = map(int, sys.argv[1:] + ["1234", str(multiprocessing.cpu_count())][len(sys.argv) - 1 :])
    except ValueError:
        raise SystemExit(__doc__)
    if not 0 < port < 65536 or count < 1:
        raise SystemExit("PORT is a number from 1 to 65535, and WORKERS at least 1")
    main(port, count)
