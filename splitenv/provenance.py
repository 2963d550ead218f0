"""Where a result came from, and results as JSON."""

from __future__ import annotations

import json
import math
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from splitenv.files import write_text

LIBRARIES = (
    "gymnasium",
    "numba",
    "numpy",
    "onnxruntime",
    "optuna",
    "pyarrow",
    "sb3-contrib",
    "scipy",
    "splitenv",
    "stable-baselines3",
    "torch",
)


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
