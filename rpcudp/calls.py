"""
One call by itself: with waits of its own, or of a method that C{protocol.name} cannot name.
"""

from builtins import str

from rpcudp._calling import Caller

__all__ = ["call"]


def call(protocol, address, method, arguments=(), waitTimeout=None):
    """
    Call a method of a peer, as C{protocol.method(address, *arguments)} does.  The outcome is the same, and so is what
    is raised, besides what is said here (see L{rpcudp.protocol.RPCProtocol}).

    @param protocol: who calls.
    @type protocol: L{rpcudp.protocol.RPCProtocol}

    @param address: whom it calls.
    @type address: L{tuple} or L{list} of an IP, which is text, and a port, an L{int}

    @param method: the name of the method: any text, such as C{u"find-node"}, or one that an attribute of C{protocol}
        hides.  On Python 2 a native string is text here.
    @type method: text

    @param arguments: those of the method.
    @type arguments: L{tuple} or L{list}

    @param waitTimeout: for how many seconds this call waits, in the form that L{rpcudp.protocol.RPCProtocol} takes;
        C{None} is for what that was given.
    @type waitTimeout: a positive, finite number, a L{tuple} or L{list} of such, an object with a method C{waits}, or
        C{None}

    @return: C{(True, result)}, or C{(False, None)} where no answer came in time.
    @rtype: L{Deferred} of a L{tuple}

    @raise TypeError: if C{protocol}, C{method}, C{arguments} or C{waitTimeout} is not what it has to be.
    @raise ValueError: if C{waitTimeout} is empty or has a wait that is zero, negative or not finite, or C{method} is a
        native string of Python 2 and not UTF-8.
    """
    caller = getattr(protocol, "_rpcudpCaller", None)
    if not isinstance(caller, Caller):
        raise TypeError("protocol is {!r}, and not an RPCProtocol".format(protocol))
    if not isinstance(method, (str, type(""))):
        raise TypeError("method is {!r}, and not text".format(method))
    if not isinstance(arguments, (tuple, list)):
        raise TypeError("arguments is {!r}, and neither a tuple nor a list".format(arguments))
    return caller.call(waitTimeout, method, address, *arguments)
