"""
What swarms of Twisted Kademlias do, over real UDP and on a simulated network.
"""

from twisted.internet import defer

NODES = 40
KEYS = 60


@defer.inlineCallbacks
def find(servers, address, chance):
    """
    Have all nodes join at C{address}, and set and get keys.

    @return: a Deferred of how many keys were found.
    """
    for server in servers[1:]:
        yield server.bootstrap([address])

    found = 0
    for number in range(KEYS):
        setter, getter = chance.sample(servers, 2)
        key, value = "key {}".format(number), "value {}".format(number)
        yield setter.set(key, value)
        found += (yield getter.get(key)) == value
    defer.returnValue(found)
