"""Compile plain modules with numba, as they stand.

The physics, the features and the event loop are plain functions, so that the runtime can call them
without numba. :func:`compile_modules` makes the compiled twins: it copies each function with a name
space in which the functions it calls are compiled too.

Machine code is cached on disk in a folder named after the source of all the modules together, as
numba by itself would not notice a change in a function that a cached one calls.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import numba
import numpy as np

from splitenv import handles
from splitenv.handles import openers


def cache_folder(
    modules: tuple[ModuleType, ...],
    outlined: tuple[str, ...],
    shared: Mapping[str, Any],
) -> Path:
    """Where the machine code of these modules, as they stand, is kept between processes.

    The layout of what they share is part of it: machine code finds a field by its place.
    """
    layout = [
        (name, field, str(getattr(value, "dtype", type(value))), np.ndim(value))
        for name, example in shared.items()
        for field, value in zip(example._fields, example, strict=True)
    ]
    digest = hashlib.sha256(repr((numba.__version__, outlined, layout)).encode())
    for module in (sys.modules[__name__], handles, *modules):
        digest.update(inspect.getsource(module).encode())
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "splitenv" / f"kernel-{digest.hexdigest()[:16]}"


def compile_modules(
    *modules: ModuleType,
    shared: Mapping[str, Any],
    outlined: tuple[str, ...],
) -> SimpleNamespace:
    """Compile every function that the modules define.

    Parameters
    ----------
    modules
        In dependency order: a module may call functions of itself and of earlier ones.
    shared
        An example of every named tuple that functions share, by the name that such a parameter has
        in all of them.
    outlined
        Functions that stay functions; all others become part of their callers.

    Returns
    -------
    SimpleNamespace
        The compiled functions by name. They take the address of a description
        (:func:`splitenv.handles.describe`) in place of all shared parameters. They are compiled on
        their first call, with numpy's rules for division and without fastmath, so that they give
        the bytes that the plain ones give.
    """
    config: Any = numba.config
    config.CACHE_DIR = str(cache_folder(modules, outlined, shared))
    opened = openers(shared)
    compiled: dict[Callable[..., Any], Any] = {}
    for module in modules:
        scope = dict(vars(module)) | {f"_open_{name}": opener for name, opener in opened.items()}
        for name, function in vars(module).items():
            if isinstance(function, FunctionType) and function.__module__ == module.__name__:
                twin = FunctionType(function.__code__, scope, name, function.__defaults__)
                twin.__module__ = module.__name__
                compiled[function] = _jit(twin, forceinline=name not in outlined)
        for name, value in list(scope.items()):
            if isinstance(value, FunctionType) and value in compiled:
                scope[name] = compiled[value]
    return SimpleNamespace(
        **{function.__name__: _entry(function, twin, opened) for function, twin in compiled.items()}
    )


def _jit(function: Callable[..., Any], *, forceinline: bool = False) -> Any:
    jit: Any = numba.njit
    return jit(
        function,
        cache=True,
        error_model="numpy",
        nogil=True,
        # Neither allocation nor reference counts: these alone took 95% of the time.
        _nrt=False,
        forceinline=forceinline,
    )


def _entry(function: Callable[..., Any], compiled: Any, opened: Mapping[str, Any]) -> Any:
    """Make a function that takes an address in place of the shared parameters."""
    names = list(inspect.signature(function).parameters)
    if not opened.keys() & set(names):
        return compiled
    others = [name for name in names if name not in opened]
    passed = [f"_open_{name}(handle)" if name in opened else name for name in names]
    name = f"_enter_{function.__name__}"
    source = (
        f"def {name}({', '.join(['handle', *others])}):\n    return _called({', '.join(passed)})\n"
    )
    scope = {f"_open_{each}": opener for each, opener in opened.items()} | {"_called": compiled}
    # With the module's file as its own, its machine code is kept beside the module's.
    exec(compile(source, function.__code__.co_filename, "exec"), scope)
    scope[name].__module__ = function.__module__
    return _jit(scope[name])
