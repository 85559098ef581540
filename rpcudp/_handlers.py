"""
Which method of a protocol a request is for, and whose mistake it is when the call fails.

Arguments that do not fit a handler are the peer's mistake, and a TypeError inside the handler is ours; Python raises
the same error for both.  What differs is that the one names the handler's function, or one of its decorators', and is
raised before any code of the handler has run.  It may be raised late, if a decorator is a coroutine.  The question is
asked only once a call has failed, so that no answered request pays for it.
"""

import inspect
import re
import sys
from dis import findlinestarts
from functools import partial

# What Python says of a call that does not fit: the name of the function, and this.
_MISFIT = re.compile(r"(?:\S*\.)?([^\s.]+)\(\) (?:takes|missing|got) ")

# More decorators than anybody has around a handler.
_MOST_LAYERS = 100


class Refused(Exception):
    """
    A request that cannot be carried out, by the peer's own mistake.
    """


def carryOut(protocol, method, sender, arguments):
    """
    Call the handler that C{protocol} has for C{method}.

    @type method: text

    @param sender: the C{(ip, port)} pair of the caller, the handler's first argument.

    @type arguments: L{list}

    @return: the handler, and what it returns.

    @raise Refused: if there is no such handler, or C{arguments} do not fit it.
    @raise BaseException: what the handler raises.
    """
    try:
        handler = getattr(protocol, "rpc_" + method, None)
    except UnicodeEncodeError:
        # Python 2's attributes have ASCII names.
        handler = None
    if not callable(handler):
        raise Refused("no such method")
    try:
        return handler, handler(sender, *arguments)
    except TypeError as error:
        frames = _framesOf(sys.exc_info()[2].tb_next)
        entered = bool(frames)
        if _isMisfit(handler, error, frames, entered) or not entered and _isForeign(handler, sender, arguments):
            raise Refused(error)
        raise


def isLateMisfit(handler, failure):
    """
    @param failure: of a handler that was called, or of what it returned.

    @return: whether it says that what the handler's decorators handed on did not fit.
    @rtype: L{bool}
    """
    frames = [frame[:3] for frame in failure.frames]
    return failure.check(TypeError) is not None and _isMisfit(handler, failure.value, frames, True)


def _framesOf(traceback):
    """
    @return: of each frame of a traceback, the outermost first, the function's name, the file's, and the line.
    """
    frames = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append((code.co_name, code.co_filename, traceback.tb_lineno))
        traceback = traceback.tb_next
    return frames


def _isMisfit(handler, error, frames, entered):
    """
    @type error: L{TypeError}

    @param frames: through which it came, of each the function's name, the file's, and the line.

    @param entered: whether C{handler} itself began to run, and only what it decorates may not have.

    @return: whether it says that the call of C{handler}, or of what its decorators hand on to it, did not fit.
    @rtype: L{bool}
    """
    text = error.args[0] if error.args else None
    # Python's own is a native string; a handler's may be anything.
    misfit = _MISFIT.match(text) if isinstance(text, str) else None
    if misfit is None:
        return False
    layers = _layers(handler)
    return any(misfit.group(1) in (layer.__name__, layer.__code__.co_name) for layer in layers[entered:]) and not any(
        _isOf(layers[-1].__code__, *frame) for frame in frames
    )


def _isOf(code, name, filename, line):
    """
    @return: whether a frame is one of C{code}: a late failure has kept no more of it than this.
    @rtype: L{bool}
    """
    if (name, filename) != (code.co_name, code.co_filename):
        return False
    return code.co_firstlineno <= line <= max(start for _, start in findlinestarts(code) if start is not None)


def _isForeign(handler, sender, arguments):
    """
    @return: whether C{handler} is no function of Python's, so that it is not known whether C{arguments} fit it.
    @rtype: L{bool}
    """
    if _layers(handler):
        return False
    try:
        inspect.signature(handler).bind(sender, *arguments)
    except Exception:
        # Python 2 has no signatures, not every function has one, and annotations may raise anything.
        return True
    return False


def _layers(handler):
    """
    @return: the functions that are run when C{handler} is called: its decorators, the outermost first, and its own.
    @rtype: L{list}
    """
    layers = []
    seen = []
    try:
        # What calls itself may be in its own closure, and what has any attribute has always another C{__wrapped__}.
        while handler is not None and len(seen) < _MOST_LAYERS and not any(handler is one for one in seen):
            seen.append(handler)
            if isinstance(handler, partial):
                handler = handler.func
                continue
            function = getattr(handler, "__func__", handler)
            if not inspect.isfunction(function):
                function = getattr(type(handler), "__call__", None)
                function = getattr(function, "__func__", function)
            # Between two layers there may be one of the interpreter's own, such as a cache.
            if inspect.isfunction(function) and function not in layers:
                layers.append(function)
            handler = _decorated(handler)
    except Exception:
        # Of an object whose attributes raise what they like; what is below it is not known.
        pass
    return layers


def _decorated(handler):
    """
    @return: what C{handler} decorates, where it keeps its name as C{functools.wraps} has it do, or C{None}.
    """
    decorated = getattr(handler, "__wrapped__", None)
    if decorated is not None:
        return decorated
    # Python 2 does not leave C{__wrapped__} behind: what has the same name is in a closure or an attribute, or in those
    # of such a function.
    name = getattr(handler, "__name__", None)
    seen = [handler]
    for thing in seen:
        for part in _partsOf(thing):
            if inspect.isfunction(part) and part not in seen:
                if part.__name__ == name:
                    return part
                seen.append(part)
    return None


def _partsOf(thing):
    parts = list(getattr(thing, "__dict__", {}).values())
    for cell in getattr(getattr(thing, "__func__", thing), "__closure__", None) or ():
        try:
            parts.append(cell.cell_contents)
        except ValueError:
            # A variable that has no value yet.
            pass
    return parts
