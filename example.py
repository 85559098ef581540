"""
RPC over UDP in one file: a server, a client, and a call.

    example.py                      both in this process, on ports 1234 and 5678
    example.py server [PORT]        the server alone, on port 1234 or another, until it is stopped
    example.py client [HOST:PORT]   the client alone, which calls 127.0.0.1:1234 or another server
"""

from __future__ import print_function

import sys

from twisted.internet import defer, error, task

from rpcudp.protocol import RPCProtocol

SERVER_PORT = 1234
CLIENT_PORT = 5678
WAIT = 5


class Server(RPCProtocol):
    def rpc_sayhi(self, sender, name):
        # A handler could as well return a Deferred or, on Python 3, be a coroutine.
        return u"Hello {} you live at {}:{}".format(name, *sender)


def listen(reactor, port, protocol):
    try:
        reactor.listenUDP(port, protocol)
    except error.CannotListenError as problem:
        raise SystemExit("Port {} cannot be listened on: {}".format(port, problem.socketError))


@defer.inlineCallbacks
def greet(reactor, host, port):
    client = RPCProtocol(waitTimeout=WAIT)
    listen(reactor, CLIENT_PORT, client)
    answered, greeting = yield client.sayhi((host, port), u"Snake Plissken")
    if not answered:
        raise SystemExit("No answer came from {}:{} within {} seconds.".format(host, port, WAIT))
    print(greeting)


def parsePort(text):
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise SystemExit("A port is a number from 1 to 65535, and {!r} is not.".format(text))
    return int(text)


def runServer(reactor, port=str(SERVER_PORT)):
    listen(reactor, parsePort(port), Server())
    print("Listening on port {}; stop with Ctrl-C.".format(port))
    sys.stdout.flush()
    return defer.Deferred()


@defer.inlineCallbacks
def runClient(reactor, server="127.0.0.1:{}".format(SERVER_PORT)):
    host, _, port = server.rpartition(":")
    port = parsePort(port)
    try:
        # A call takes an IP, not a name.
        ip = yield reactor.resolve(host)
    except error.DNSLookupError:
        raise SystemExit("There is no host called {}.".format(host))
    yield greet(reactor, ip, port)


def runBoth(reactor):
    listen(reactor, SERVER_PORT, Server())
    return greet(reactor, "127.0.0.1", SERVER_PORT)


def main(arguments):
    commands = {"server": runServer, "client": runClient}
    if not arguments:
        task.react(runBoth)
    elif arguments[0] in commands and len(arguments) <= 2:
        task.react(commands[arguments[0]], arguments[1:])
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
