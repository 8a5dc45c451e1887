"""Where does what leaves by retention go first?

A folder with a file a day, `2026-11-21.jsonl.gz`: gzip members one after the other, a batch each, whose lines are
JSON. Bytes are on disk when `append` returns. The place of a batch is told before it is written, so that what a crash
cut short is known, cut off and written again, and what was whole is not written twice. One process writes at a time.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

_LOCK = ".lock"
_CHUNK = 1 << 20


def _private(path: str, flags: int) -> int:
    """A new file is its owner's alone: names and addresses of people are in it."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


class Busy(Exception):
    """Another process writes to the folder, or froze while it did."""


class Archive:
    """The folder. Everything here may block, and raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else writes meanwhile. Raises Busy."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self._folder / _LOCK, "ab", opener=_private) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy from None
            yield

    def place(self, now_ms: int) -> tuple[str, int]:
        """Where the next batch goes: the day's file, and the byte at which it ends now."""
        name = f"{datetime.fromtimestamp(now_ms / 1000, UTC):%Y-%m-%d}.jsonl.gz"
        path = self._folder / name
        return name, path.stat().st_size if path.exists() else 0

    def append(self, name: str, at: int, lines: bytes) -> None:
        """Write a batch at its place, and over whatever was begun there."""
        path = self._folder / name
        is_new = not path.exists()
        with open(path, "ab", opener=_private) as file:
            file.truncate(at)
            file.write(gzip.compress(lines, compresslevel=6))
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def is_whole(self, name: str, at: int) -> bool:
        """Whether a batch that was begun at this place is there to its end."""
        path = self._folder / name
        if not path.exists() or path.stat().st_size <= at:
            return False
        reading = zlib.decompressobj(wbits=31)
        with path.open("rb") as file:
            file.seek(at)
            try:
                while not reading.eof and (chunk := file.read(_CHUNK)):
                    reading.decompress(chunk)
            except zlib.error:
                return False
        return reading.eof

    def lines(self) -> Iterator[bytes]:
        """Every line that is there, the oldest first; a batch that is being written, or was cut short, is not. Raises
        OSError."""
        for path in sorted(self._folder.glob("*.jsonl.gz")):
            with path.open("rb") as file:
                rest = b""
                reading = zlib.decompressobj(wbits=31)
                whole = b""
                while chunk := rest or file.read(_CHUNK):
                    try:
                        whole += reading.decompress(chunk)
                    except zlib.error:
                        break
                    rest = reading.unused_data
                    if reading.eof:
                        yield from whole.splitlines()
                        reading, whole = zlib.decompressobj(wbits=31), b""

    def cut(self, name: str, at: int) -> None:
        """What was begun at this place is not there."""
        path = self._folder / name
        if path.exists() and path.stat().st_size > at:
            os.truncate(path, at)
