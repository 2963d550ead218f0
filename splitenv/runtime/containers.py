"""Tables and belief in the form that plain Python reads fastest.

The shared functions ask no more of an array than elements by index, fields by attribute, and
``shape``. A dictionary by index with slotted rows gives them that several times faster than numpy
gives single elements, and with the same float64 arithmetic, so with the same bytes. (A numpy record
would not do at all: its attribute ``device`` is numpy's own, not the field.)
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from splitenv.state import CLIENT_BELIEF, Array, Belief, Tables, new_belief


class Grid(dict[Any, Any]):
    """An array as a dictionary: the key is the index, a tuple where there are several axes."""

    __slots__ = ("shape",)

    shape: tuple[int, ...]


class FixedGrid(Grid):
    """One that never changes, and so can hand out parts of itself: ``grid[i]`` of a matrix."""

    __slots__ = ()

    def __missing__(self, key: Any) -> FixedGrid:
        """Make the part that an incomplete index means, once."""
        first = key if isinstance(key, tuple) else (key,)
        if len(first) >= len(self.shape):
            raise IndexError(f"index {key} is outside of shape {self.shape}")
        part = FixedGrid()
        part.shape = self.shape[len(first) :]
        for index in np.ndindex(part.shape):
            part[index if len(index) > 1 else index[0]] = self[first + index]
        self[key] = part
        return part


@cache
def _row_type(fields: tuple[str, ...]) -> type:
    return type("Row", (), {"__slots__": fields})


def row(value: Array) -> Any:
    """Copy one structured element into an object with its fields as the only attributes."""
    fields = value.dtype.names or ()
    copy = _row_type(fields)()
    for name, field in zip(fields, value.item(), strict=True):
        setattr(copy, name, field)
    return copy


def grid(array: Array, kind: type[Grid] = Grid) -> Any:
    """Copy an array into a :class:`Grid` of Python numbers, or of rows if it is structured."""
    cells = kind()
    cells.shape = array.shape
    structured = array.dtype.names is not None
    for index in np.ndindex(array.shape):
        key = index[0] if len(index) == 1 else index
        cells[key] = row(array[index]) if structured else array[index].item()
    return cells


def plain_tables(tables: Tables) -> Tables:
    """Copy the tables into grids and Python numbers."""
    arrays = [np.asarray(value) for value in tables]
    return Tables(*(grid(array, FixedGrid) if array.ndim else array.item() for array in arrays))


def plain_belief(tables: Tables, slots: int) -> Belief:
    """Make a belief of one row out of grids; :func:`add_client` gives it clients."""
    return Belief(*(grid(array) for array in new_belief(tables, 1, slots, 0)))


def add_client(belief: Belief, client: int) -> None:
    """Make room for the client of that row, of whom nothing is known yet."""
    clients: Any = belief.client
    clients[0, client] = row(np.zeros((), CLIENT_BELIEF))
    clients.shape = (1, max(clients.shape[1], client + 1))
