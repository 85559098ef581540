"""
A node of kademlia on asyncio: C{asyncio_kademlia.py PORT} joins the swarm there, prints one key of it and sets another.
"""

import asyncio
import sys

from kademlia.network import Server


async def main(port):
    server = Server()
    await server.listen(0, interface="127.0.0.1")
    await server.bootstrap([("127.0.0.1", port)])
    print(await server.get("from Twisted"))
    await server.set("from asyncio", "hello to you")
    server.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
