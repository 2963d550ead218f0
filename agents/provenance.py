"""Where a result came from, and files that are written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

LIBRARIES = (
    "gymnasium",
    "numba",
    "numpy",
    "onnxruntime",
    "sb3-contrib",
    "scipy",
    "splitenv",
    "stable-baselines3",
    "torch",
)


class OutputError(Exception):
    """A file that could not be written; the message says which and why in one sentence."""


def provenance() -> dict[str, Any]:
    """Say which code made a result, and when.

    Returns
    -------
    dict
        ``time`` (UTC, ISO 8601), ``git`` (``revision`` and whether the tree was ``modified``, or
        None outside a repository), ``python``, ``machine`` and ``libraries`` (installed versions).
    """
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": _git(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
    }


def write_json(path: Path, data: Any) -> None:
    """Write ``data`` as JSON, atomically; arrays become lists, infinities and NaN become null."""
    write_text(path, to_json(data))


def to_json(data: Any) -> str:
    """Render ``data`` as JSON, see :func:`plain`."""
    return json.dumps(plain(data), indent=2, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write ``text``, atomically: a failure leaves an older file, or none, as it was."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content``, atomically, see :func:`write_files`."""
    write_files({path: content})


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together, and make the folders they go to.

    All are written beside their places before the first one moves there.

    Raises
    ------
    OutputError
        If that fails, on a full disk for one; nothing half-written remains.
    """
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}") for path in contents}
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary[path].open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path in contents:
            os.replace(temporary[path], path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        for leftover in temporary.values():
            with suppress(OSError):
                leftover.unlink(missing_ok=True)


def plain(data: Any) -> Any:
    """Turn ``data`` into what JSON knows: numpy's numbers and arrays too, None for non-finite."""
    if isinstance(data, dict):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(value) for value in data]
    if isinstance(data, np.ndarray | np.generic):
        return plain(data.tolist())
    if isinstance(data, Path):
        return str(data)
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return data


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Revision of the repository that this file is part of."""
    file = Path(__file__).resolve()
    here = file.parent
    try:
        _run_git(here, "ls-files", "--error-unmatch", file.name)
        revision = _run_git(here, "rev-parse", "HEAD")
        modified = bool(_run_git(here, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return {"revision": revision, "modified": modified}


def _run_git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()
