"""Ask the processor for memory before it is needed; in compiled code only."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np import arrayobj

from splitenv.state import Belief
from splitenv.truth import Truth

numba_arrays: Any = arrayobj
helpers: Any = cgutils
_READ, _KEEP, _DATA = 0, 3, 1


@intrinsic
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Fetch ``array[index]`` (a tuple) into the cache, without waiting for it."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        view = numba_arrays.make_array(kind)(context, builder, arguments[0])
        values = helpers.unpack_tuple(builder, arguments[1], len(index))
        indices = tuple(
            context.cast(builder, value, given, types.intp)
            for value, given in zip(values, index, strict=True)
        )
        pointer = helpers.get_item_pointer(context, builder, kind, view, indices)
        pointer = builder.bitcast(pointer, ir.IntType(8).as_pointer())
        word = ir.IntType(32)
        shape = ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch", (pointer.type,), shape)
        builder.call(function, [pointer, word(_READ), word(_KEEP), word(_DATA)])
        return context.get_dummy_value()

    return types.void(array, index), code


fetch: Any = prefetch


def fetch_ahead(belief: Belief, truth: Truth, env: int) -> None:
    """Fetch what a later environment will need: its clients, and the heads of its queues.

    Clients come at random and queues lie far apart, so the processor can't foresee them.
    """
    pending = belief.clock[env].client
    coming = truth.world[env].next_client
    fetch(truth.client, (env, pending))
    fetch(belief.client, (env, pending))
    fetch(truth.client, (env, coming))
    fetch(belief.client, (env, coming))
    fetch(belief.waiting, (env, 0, 0))
    fetch(belief.free, (env, belief.clock[env].free_slots - 1))
