"""
What L{twisted_peer} is, for rpcudp on asyncio: C{asyncio_peer.py serve} or C{asyncio_peer.py call PORT}.
"""

import asyncio
import json
import sys

from rpcudp.protocol import RPCProtocol

from values import VALUES, pack, unpack


class Peer(RPCProtocol):
    def rpc_echo(self, sender, value):
        return value

    async def rpc_coroutine(self, sender, value):
        await asyncio.sleep(0.01)
        return value

    # There are no Deferreds here; their callers see no difference.
    rpc_deferred = rpc_coroutine

    def rpc_fail(self, sender):
        raise ValueError("on purpose")


async def listen():
    loop = asyncio.get_running_loop()
    return await loop.create_datagram_endpoint(lambda: Peer(wait_timeout=1), local_addr=("127.0.0.1", 0))


async def call(port):
    server = ("127.0.0.1", port)
    _, peer = await listen()
    outcomes = {}
    for name, payload in sorted(VALUES.items()):
        answered, value = await peer.echo(server, unpack(payload))
        outcomes[name] = answered and pack(value) == payload
    several = await peer.echo(server, [unpack(payload) for _, payload in sorted(VALUES.items())])
    outcomes["all of them at once"] = several[0] and len(several[1]) == len(VALUES)
    for method in ("deferred", "coroutine"):
        outcomes[method] = await getattr(peer, method)(server, 7)
    fifty = await asyncio.gather(*[peer.deferred(server, number) for number in range(50)])
    outcomes["fifty at once"] = [list(result) for result in fifty] == [[True, number] for number in range(50)]
    for method in ("fail", "absent"):
        outcomes[method] = await getattr(peer, method)(server)
    print(json.dumps(outcomes))


async def serve():
    transport, _ = await listen()
    print(transport.get_extra_info("sockname")[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1] == "serve" else call(int(sys.argv[2])))
