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
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import numba


def cache_folder(modules: tuple[ModuleType, ...]) -> Path:
    """Where the machine code of these modules, as they stand, is kept between processes."""
    digest = hashlib.sha256(numba.__version__.encode())
    for module in (sys.modules[__name__], *modules):
        digest.update(inspect.getsource(module).encode())
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "splitenv" / f"kernel-{digest.hexdigest()[:16]}"


def compile_modules(*modules: ModuleType, outlined: tuple[str, ...]) -> SimpleNamespace:
    """Compile every function that the modules define.

    Parameters
    ----------
    modules
        In dependency order: a module may call functions of itself and of earlier ones.
    outlined
        Functions that stay functions. All others are inlined into their callers, for a call would
        pass every array of every named tuple: some 300 machine words, about 100 ns.

    Returns
    -------
    SimpleNamespace
        The compiled functions by name. They are compiled on their first call, with numpy's rules
        for division and without fastmath, so that they give the bytes that the plain ones give.
    """
    config: Any = numba.config
    jit: Any = numba.njit
    config.CACHE_DIR = str(cache_folder(modules))
    compiled: dict[Callable[..., Any], Any] = {}
    for module in modules:
        scope = dict(vars(module))
        own = {
            name: function
            for name, function in vars(module).items()
            if isinstance(function, FunctionType) and function.__module__ == module.__name__
        }
        for function in own.values():
            twin = FunctionType(function.__code__, scope, function.__name__, function.__defaults__)
            twin.__module__ = module.__name__
            compiled[function] = jit(
                twin,
                cache=True,
                error_model="numpy",
                nogil=True,
                # Neither allocation nor reference counts: these alone took 95% of the time.
                _nrt=False,
                forceinline=function.__name__ not in outlined,
            )
        for name, value in list(scope.items()):
            if isinstance(value, FunctionType) and value in compiled:
                scope[name] = compiled[value]
    return SimpleNamespace(**{function.__name__: twin for function, twin in compiled.items()})
