"""
How deep MessagePack nests, told from its bytes without recursion.

u-msgpack-python recurses, and a stranger decides how deep.  At the end of the stack Python raises RecursionError; but
CPython 3.8 and 3.9 abort the process if a garbage collection there runs into the limit too, and on Python 2 packing
takes more stack than unpacking, so that what came in cannot be sent back.  So what is too deep is not unpacked.
"""

# How the first byte of a value tells where it ends: the bytes that it has in any case, how many of them after the first
# announce a number, that number where there are none, and what it counts: bytes (0), values (1) or pairs of them (2).
_HEADS = [(1, 0, 0, 0)] * 0x80
_HEADS += [(1, 0, number, 2) for number in range(16)]
_HEADS += [(1, 0, number, 1) for number in range(16)]
_HEADS += [(1, 0, number, 0) for number in range(32)]
_HEADS += [(1, 0, 0, 0)] * 4
_HEADS += [(2, 1, 0, 0), (3, 2, 0, 0), (5, 4, 0, 0)]  # bytes
_HEADS += [(3, 1, 0, 0), (4, 2, 0, 0), (6, 4, 0, 0)]  # extensions
_HEADS += [(size, 0, 0, 0) for size in (5, 9, 2, 3, 5, 9, 2, 3, 5, 9)]  # numbers
_HEADS += [(size, 0, 0, 0) for size in (3, 4, 6, 10, 18)]  # extensions
_HEADS += [(2, 1, 0, 0), (3, 2, 0, 0), (5, 4, 0, 0)]  # text
_HEADS += [(3, 2, 0, 1), (5, 4, 0, 1)]
_HEADS += [(3, 2, 0, 2), (5, 4, 0, 2)]
_HEADS += [(1, 0, 0, 0)] * 32

# All bytes but those that begin an array or a map.
_NO_CONTAINER = bytes(bytearray(code for code, head in enumerate(_HEADS) if not head[3]))


def isDeeper(payload, limit):
    """
    @type payload: L{bytes}

    @return: whether there are more than C{limit} arrays and maps within each other in the value with which C{payload}
        begins, or in as much as there is of it.
    @rtype: L{bool}
    """
    # Every level begins with a byte of its own, so that most payloads need no closer look.
    if len(payload.translate(None, _NO_CONTAINER)) <= limit:
        return False
    codes = bytearray(payload)
    position = 0
    # Of each array and map around the position, how many values are to come.
    toCome = []
    while position < len(codes):
        size, digits, number, factor = _HEADS[codes[position]]
        for digit in codes[position + 1 : position + 1 + digits]:
            number = number << 8 | digit
        position += size
        if factor:
            if len(toCome) == limit:
                return True
            if number:
                toCome.append(number * factor)
                continue
        else:
            position += number
        while toCome and toCome[-1] == 1:
            toCome.pop()
        if not toCome:
            return False
        toCome[-1] -= 1
    return False
