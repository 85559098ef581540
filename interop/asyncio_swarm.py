"""
What L{example_swarm} is, of kademlia on asyncio: C{asyncio_swarm.py COUNT [PORT]}.
"""

import asyncio
import json
import sys

from kademlia.network import Server
from kademlia.storage import ForgetfulStorage

from values import ATOMS, named, pack, unpack


async def main(count, port=None):
    own, others = ("network", "joiner") if port is None else ("joiner", "network")
    servers = [Server() for _ in range(count)]
    for server in servers:
        await server.listen(0, interface="127.0.0.1")
        here = server.transport.get_extra_info("sockname")
        if port is not None:
            await server.bootstrap([("127.0.0.1", port)])
        port = port or here[1]

    copies = []
    for number, (name, payload) in enumerate(ATOMS):
        copies.append(await servers[number % count].set(named(own, name), unpack(payload)))
    print(json.dumps({"port": port, "copies": min(copies)}), flush=True)

    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    found = 0
    for name, payload in ATOMS:
        for server in servers:
            # What it stores itself, too, is to come from another; this is not where it answers others from.
            server.storage = ForgetfulStorage()
            found += pack(await server.get(named(others, name))) == payload
    print(found, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
