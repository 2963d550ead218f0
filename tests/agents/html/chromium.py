"""A Chromium without a window, driven over its debugging pipe: as much as these tests need."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 60.0
"""Seconds that a browser may take to answer."""

_FREE = 10
_WITH_FILES = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
    "os.execvp(sys.argv[3], sys.argv[3:])"
)
"""Becomes the browser, which reads from its file 3 and writes to 4."""


class BrowserError(Exception):
    """No browser, or one that does not do as it is told."""


def find() -> str:
    """Name the browser: the environment's CHROMIUM, or what the PATH has.

    Raises
    ------
    BrowserError
        If there is none.
    """
    asked = os.environ.get("CHROMIUM")
    names = [asked] if asked else ["chromium", "chromium-browser", "google-chrome"]
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise BrowserError(
            f"no browser: {' or '.join(names)} cannot be run; install chromium, or name one in the "
            "environment variable CHROMIUM"
        )
    return found


class Browser:
    """One page at a time, and what goes wrong in it.

    Attributes
    ----------
    errors
        Exceptions and messages of the console since the last :meth:`open`.
    requests
        Addresses that were asked for since then.
    """

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._loaded = False
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, path: Path, width: int, height: int, scheme: str, media: str = "") -> None:
        """Open a file on a screen of that size, in ``light`` or ``dark``."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._call("Emulation.setEmulatedMedia", media=media, features=[feature])
        self.errors, self.requests, self._loaded = [], [], False
        self._call("Page.navigate", url=path.resolve().as_uri())
        until = time.monotonic() + PATIENCE
        while not self._loaded:
            self._hear(until)

    def run(self, script: str) -> Any:
        """Evaluate an expression in the page; its value must go into JSON."""
        found = self._call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise BrowserError(json.dumps(found["exceptionDetails"])[:2000])
        return found["result"].get("value")

    def picture(self, path: Path) -> None:
        """Save the whole page as a PNG."""
        shot = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        asked: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        until = time.monotonic() + PATIENCE
        while True:
            heard = self._hear(until)
            if heard.get("id") == self._number:
                if "error" in heard:
                    raise BrowserError(f"{method}: {heard['error']['message']}")
                return dict(heard["result"])

    def _hear(self, until: float) -> dict[str, Any]:
        """Read one message, and note what it says of the page."""
        while b"\0" not in self._rest:
            try:
                more = os.read(self._back, 1 << 16)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise BrowserError(f"the browser was silent for {PATIENCE:g} s") from None
                time.sleep(0.01)
                continue
            if not more:
                raise BrowserError("the browser ended")
            self._rest += more
        whole, _, self._rest = self._rest.partition(b"\0")
        heard: dict[str, Any] = json.loads(whole)
        about = heard.get("params", {})
        match heard.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.errors.append(json.dumps(about["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if about["type"] in ("error", "warning", "assert"):
                self.errors.append(json.dumps(about["args"]))
            case "Log.entryAdded" if about["entry"]["level"] in ("error", "warning"):
                self.errors.append(json.dumps(about["entry"]))
            case "Network.requestWillBeSent":
                self.requests.append(about["request"]["url"])
        return heard


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser with an empty profile, and end it."""
    command = find()
    (read, to), (back, write) = os.pipe(), os.pipe()
    # Out of the way of the browser's 3 and 4.
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD, _FREE) for file in (read, write)]
    os.close(read)
    os.close(write)
    os.set_blocking(back, False)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                sys.executable, "-c", _WITH_FILES, *map(str, moved), command,
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                "--no-first-run", f"--user-data-dir={profile}", "--remote-debugging-pipe",
            ],
            pass_fds=moved, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for file in moved:
            os.close(file)
        try:
            yield Browser(to, back)
        finally:
            os.close(to)  # which ends it
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(back)
