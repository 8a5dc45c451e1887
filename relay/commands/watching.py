"""What becomes of the files that appear in a folder?

Each `*.json` file in it is posted as `relay send` posts it, the oldest first, and then moved: into `sent/` when
everything in it was accepted, or was known already; into `refused/` with the answer beside it when something in it
can never be. While the relay is away or has no room, the file stays where it is, and so do those after it, so that
their order is kept. Nothing is remembered but the folder itself: who begins again posts again what was not moved, and
the events' ids make that no second event.

A file must be whole when it appears under its name: write it elsewhere, or under a name that begins with a dot or
does not end in `.json`, and rename it. One that is seen to grow is left alone until it rests.

Who may put files there need not be who watches: no link is followed, no more is read of a file than is taken, nothing
is written over, and what is told of a name is fit for a terminal.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from relay.commands.api import Api, Said, Unreachable
from relay.commands.saying import fit

SENT: Final = "sent"
REFUSED: Final = "refused"
_MOST_BYTES: Final = 4 << 20
"""The longest request that the relay takes; what is longer is refused here."""
_LONGEST_NAME: Final = 230
"""Bytes of a file's name, so that a number and `.problem` fit behind it."""
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 60.0
_GOOD: Final = (HTTPStatus.OK, HTTPStatus.ACCEPTED)
_LATER: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class Fate(Enum):
    """What an answer means for its file. `STOP`: for no file it would be another."""

    SENT = auto()
    REFUSED = auto()
    LATER = auto()
    STOP = auto()


def fate(said: Said) -> Fate:
    """What becomes of a file that was answered so."""
    if said.status == HTTPStatus.MULTI_STATUS and isinstance(said.body, list):
        codes = [one.get("code") if isinstance(one, dict) else None for one in said.body]
        if any(code in _LATER or (isinstance(code, int) and code >= 500) for code in codes):
            return Fate.LATER  # what was accepted is known when it comes again
        return Fate.SENT if all(code in _GOOD for code in codes) else Fate.REFUSED
    if said.status in _GOOD:
        return Fate.SENT
    if said.status in _LATER or said.status >= 500:
        return Fate.LATER
    # Of one event the relay says which; of who sends it, it cannot.
    names_event = isinstance(said.body, dict) and "id" in said.body
    if said.status == HTTPStatus.UNAUTHORIZED or (said.status == HTTPStatus.FORBIDDEN and not names_event):
        return Fate.STOP
    return Fate.REFUSED


@dataclass(slots=True)
class Folder:
    """A folder whose files are posted. `tell` is given a line for each thing that happens; `stop` ends it after the
    file that is being posted. `counts`: how many files were `sent` and `refused`."""

    path: Path
    api: Api
    tell: Callable[[str], None]
    stop: threading.Event
    every_s: float = 1.0
    counts: Counter[str] = field(default_factory=Counter)
    _seen: dict[str, tuple[int, int]] = field(default_factory=dict)
    _unreadable: set[str] = field(default_factory=set)

    def watch(self, *, once: bool = False) -> bool:
        """Post what is there and what comes, until told to stop; with `once`, what is there now, none of which is
        taken to be growing. False when the relay does not know who sends."""
        for name in (SENT, REFUSED):
            (self.path / name).mkdir(exist_ok=True)
        while not self.stop.is_set():
            for file in self._whole(once=once):
                if self.stop.is_set():
                    break
                if not self._post(file):
                    return False
            if once:
                break
            self.stop.wait(self.every_s)
        return True

    def left(self) -> int:
        """How many files wait."""
        return sum(1 for _ in self._files())

    def _files(self) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
        with os.scandir(self.path) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.name.endswith(".json"):
                    continue
                try:
                    if entry.is_file(follow_symlinks=False):
                        yield entry, entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # somebody else moved it meanwhile

    def _whole(self, *, once: bool) -> list[Path]:
        """The files that have not changed since the last look, the oldest first."""
        found = sorted(self._files(), key=lambda one: (one[1].st_mtime_ns, one[0].name))
        now = {entry.name: (about.st_size, about.st_mtime_ns) for entry, about in found}
        whole = [Path(entry.path) for entry, _ in found if once or self._seen.get(entry.name) == now[entry.name]]
        self._seen = now
        return whole

    def _post(self, file: Path) -> bool:
        """Post it until it is answered for good or it is time to stop. False when no file can be posted."""
        wait_s = _FIRST_WAIT_S
        while not self.stop.is_set():
            try:
                raw, size = _read(file)
            except FileNotFoundError:
                return True
            except OSError as error:
                self._stays(file, f"cannot be read ({error.strerror})")
                return True
            try:
                said = too_long(size) or self.api.post_events(raw)
            except Unreachable as error:
                self._wait(file, error.message, wait_s)
            else:
                match fate(said):
                    case Fate.SENT:
                        self._move(file, said, SENT)
                        return True
                    case Fate.REFUSED:
                        self._move(file, said, REFUSED)
                        return True
                    case Fate.STOP:
                        self._tell(file, f"{in_words(said)}; it stays where it is")
                        return False
                    case Fate.LATER:
                        self._wait(file, in_words(said), max(wait_s, float(said.retry_after_s or 0)))
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        return True

    def _wait(self, file: Path, why: str, seconds: float) -> None:
        self._tell(file, f"{why}; again in {seconds:g} s")
        self.stop.wait(seconds)

    def _stays(self, file: Path, why: str) -> None:
        """Tell once that nothing can be done with a file."""
        if file.name not in self._unreadable:
            self._unreadable.add(file.name)
            self._tell(file, f"{why}; it stays where it is")

    def _tell(self, file: Path, what: str) -> None:
        """Whoever put the file there chose its name."""
        self.tell(fit(f"{file.name}: {what}").replace("\n", "\\n"))

    def _move(self, file: Path, said: Said, to: str) -> None:
        target = _free(self.path / to, file.name)
        try:
            if to == REFUSED:
                # Before the file, so that none is there without its reason.
                with _problem(target).open("x", encoding="utf-8") as about:
                    about.write(json.dumps(said.body, ensure_ascii=False, indent=2) + "\n")
            file.replace(target)
        except FileNotFoundError:
            return  # another that watches was faster, and was answered the same
        except OSError as error:
            self._stays(file, f"{in_words(said)}, and cannot be moved ({error.strerror})")
            return
        self.counts[to] += 1
        self._tell(file, f"{in_words(said)} → {to}/")


def _read(file: Path) -> tuple[bytes, int]:
    """A file's bytes, or the first of them where it is too long, and its size. OSError for what is no plain file."""
    # What was one when the folder was looked at may be a link or a pipe by now.
    with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as opened:
        about = os.fstat(opened.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file")
        raw = opened.read(_MOST_BYTES + 1)
        return raw, max(about.st_size, len(raw))


def too_long(size: int) -> Said | None:
    """The answer to a file of this size, where it need not be asked for."""
    if size <= _MOST_BYTES:
        return None
    detail = f"a request is at most {_MOST_BYTES} bytes, this file has {size}"
    body = {"title": "Content Too Large", "status": 413, "detail": detail}
    return Said(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, body)


def in_words(said: Said) -> str:
    """An answer, in one line."""
    body: Any = said.body
    if isinstance(body, list):
        codes = Counter(one.get("code") if isinstance(one, dict) else None for one in body)
        return f"{said.status} " + ", ".join(f"{count} × {code}" for code, count in sorted(codes.items(), key=str))
    known = body if isinstance(body, dict) else {}
    status = known.get("status")
    words = [status if isinstance(status, str) else known.get("title"), known.get("id"), known.get("detail")]
    return " ".join([str(int(said.status)), *(str(word) for word in words if word)])


def _problem(target: Path) -> Path:
    """Where the answer to a refused file is."""
    return target.with_name(target.name + ".problem")


def _free(folder: Path, name: str) -> Path:
    """A path in the folder that is nobody's yet, with this name or one like it, and its answer's beside it."""
    stem, suffix = os.path.splitext(name)
    if len(os.fsencode(name)) > _LONGEST_NAME:
        stem = os.fsdecode(os.fsencode(stem)[: _LONGEST_NAME - len(os.fsencode(suffix))])
    target, number = folder / f"{stem}{suffix}", 1
    while os.path.lexists(target) or os.path.lexists(_problem(target)):
        number += 1
        target = folder / f"{stem}-{number}{suffix}"
    return target
