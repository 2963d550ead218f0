"""Let compiled code read named tuples of arrays through one number: the address of a description.

A description is an array of 64-bit words: for every array its address and shape, for every number
its bits. To compiled code each named tuple is that address and nothing else, and a field is loaded
where it is read. (Numba's own named tuples are passed by value: some 600 machine words a call.)
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel.models import ArrayModel, PrimitiveModel
from numba.core.typing.templates import AttributeTemplate
from numba.core.typing.typeof import typeof
from numba.extending import (
    infer_getattr,
    intrinsic,
    lower_builtin,
    lower_getattr_generic,
    register_model,
)
from numba.np.arrayobj import load_item, populate_array, store_item

Words = npt.NDArray[np.int64]
_WORD = ir.IntType(64)


class Cells(types.Array):
    """A C-contiguous array whose indices are known not to be negative.

    Numba's own arrays look at every index to count negative ones from the end, which is a quarter
    of all instructions of code that does little more than index.
    """

    def _part(
        self,
        dtype: Any = None,
        ndim: int | None = None,
        layout: str | None = None,
        readonly: bool | None = None,
    ) -> Cells:
        return Cells(dtype or self.dtype, self.ndim if ndim is None else ndim, "C")

    copy: Any = _part


@register_model(Cells)
class _CellsModel(ArrayModel):
    pass


def _item(context: Any, builder: Any, kind: Any, array: Any, index: Any, value: Any) -> Any:
    """Return the array, and the address of the item or part at an index."""
    several = isinstance(index, types.BaseTuple)
    values = cgutils.unpack_tuple(builder, value) if several else [value]
    given = list(index) if several else [index]
    indices = [
        context.cast(builder, each, of, types.intp) for each, of in zip(values, given, strict=True)
    ]
    view = context.make_array(kind)(context, builder, array)
    indices += [ir.Constant(_WORD, 0)] * (kind.ndim - len(indices))
    return view, cgutils.get_item_pointer(context, builder, kind, view, indices)


@lower_builtin(operator.getitem, Cells, types.Integer)
@lower_builtin(operator.getitem, Cells, types.BaseTuple)
def _get(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    kind, index = signature.args
    view, address = _item(context, builder, kind, arguments[0], index, arguments[1])
    whole = signature.return_type
    if not isinstance(whole, types.Array):
        return load_item(context, builder, kind, address)
    part = context.make_array(whole)(context, builder)
    populate_array(
        part,
        data=builder.bitcast(address, part.data.type),
        shape=cgutils.unpack_tuple(builder, view.shape)[-whole.ndim :],
        strides=cgutils.unpack_tuple(builder, view.strides)[-whole.ndim :],
        itemsize=view.itemsize,
        meminfo=None,
    )
    return part._getvalue()


@lower_builtin(operator.setitem, Cells, types.Integer, types.Any)
@lower_builtin(operator.setitem, Cells, types.BaseTuple, types.Any)
def _set(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    kind, index, given = signature.args
    _, address = _item(context, builder, kind, arguments[0], index, arguments[1])
    value = context.cast(builder, arguments[2], given, kind.dtype)
    store_item(context, builder, kind, value, address)
    return context.get_dummy_value()


class SharedTuple(types.Type):
    """A named tuple that compiled code knows by the address of its description.

    Attributes
    ----------
    fields
        Type of each field, and the number of its first word in the description.
    """

    def __init__(self, name: str, fields: tuple[tuple[str, Any, int], ...]) -> None:
        self.fields = {field: (kind, first) for field, kind, first in fields}
        # The name is part of every compiled function's: the fields in full would fill a page.
        digest = hashlib.sha256(repr(fields).encode()).hexdigest()[:8]
        super().__init__(name=f"SharedTuple({name}-{digest})")


@register_model(SharedTuple)
class _SharedModel(PrimitiveModel):
    def __init__(self, manager: Any, kind: SharedTuple) -> None:
        super().__init__(manager, kind, _WORD)


@infer_getattr
class _SharedFields(AttributeTemplate):
    key = SharedTuple

    def _resolve(self, kind: SharedTuple, field: str) -> Any:
        return kind.fields[field][0] if field in kind.fields else None

    generic_resolve: Any = _resolve


@lower_getattr_generic(SharedTuple)
def _load_field(context: Any, builder: Any, shared: SharedTuple, address: Any, field: str) -> Any:
    kind, first = shared.fields[field]
    base = builder.inttoptr(address, _WORD.as_pointer())

    def word(position: int) -> Any:
        value = builder.load(builder.gep(base, [ir.Constant(_WORD, first + position)]))
        # Nothing changes a description while compiled code runs.
        value.set_metadata("invariant.load", builder.module.add_metadata([]))
        return value

    if isinstance(kind, types.Float):
        return builder.bitcast(word(0), ir.DoubleType())
    if not isinstance(kind, types.Array):
        return word(0)
    array = context.make_array(kind)(context, builder)
    shape = [word(1 + axis) for axis in range(kind.ndim)]
    size = ir.Constant(_WORD, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    strides = [size]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    populate_array(
        array,
        data=builder.inttoptr(word(0), array.data.type),
        shape=shape,
        strides=strides,
        itemsize=size,
        meminfo=None,
    )
    return array._getvalue()


def describe(tuples: Mapping[str, tuple[Any, ...]]) -> Words:
    """Describe named tuples of C-contiguous arrays and numbers, in the order of the mapping.

    What is described must outlive every use of the address.
    """
    words: list[int] = []
    for value in (value for each in tuples.values() for value in each):
        if isinstance(value, np.ndarray):
            if not value.flags.c_contiguous:
                raise ValueError("compiled code takes C-contiguous arrays only")
            words += [value.ctypes.data, *value.shape]
        elif isinstance(value, float):
            words.append(int(np.float64(value).view(np.int64)))
        else:
            words.append(int(value))
    return np.array(words, np.int64)


def openers(examples: Mapping[str, Any]) -> dict[str, Any]:
    """For each named tuple, a function of compiled code that makes it from an address.

    The examples say what the fields' types are, and stand in the order of the description.
    """
    made: dict[str, Any] = {}
    first = 0
    for name, example in examples.items():
        fields = []
        for field, value in zip(example._fields, example, strict=True):
            kind = typeof(value)
            if isinstance(kind, types.Array):
                kind = Cells(kind.dtype, kind.ndim, "C")
            fields.append((field, kind, first))
            first += 1 + getattr(value, "ndim", 0)
        made[name] = _opener(SharedTuple(name, tuple(fields)))
    return made


def _opener(kind: SharedTuple) -> Any:
    @intrinsic
    def opener(typing_context: Any, handle: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return arguments[0]

        return kind(types.int64), code

    return opener
