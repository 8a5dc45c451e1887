"""How does text sit on lines?

Words come from the message files as paragraphs parted by empty lines, with `- ` before each point of a
list, `+ ` before each step of an ordered one; here they become lines of plain text, as wide as a terminal shows them: Japanese breaks between
characters, but not before closing marks or after opening ones (kinsoku).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

WIDTH = 72
"""Columns; 36 full-width characters."""

_FIRST_SYLLABLE, _SYLLABLES = 0xAC00, 11_172
"""Of Hangul in Unicode, in the order of their sounds: 28 finals to each."""

_NO_START = frozenset(
    "、。，．・：；？！)]}）］｝」』】〉》”’ーゝゞ々ぁぃぅぇぉっゃゅょァィゥェォッャュョ％,.:;?!…"
)
_NO_END = frozenset("([{（［｛「『【〈《“‘")
_FIXED = "\u00a0\u202f"
"""Spaces that a line does not break at."""
_ATOM = re.compile(
    rf"[^\S{_FIXED}]+|[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
    rf"|(?:[^\s\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]|[{_FIXED}])+"
)

_TWO_STOPS = re.compile(r"(?<!\.)\.\.(?=\s|$)")
"""A sentence that ends with a name such as `Fabrikam Ltd.`."""


@dataclass(frozen=True, slots=True)
class Part:
    """A paragraph (one line of `lines`) or a list (one line a point), `ordered` where it is one of steps."""

    points: bool
    lines: tuple[str, ...]
    ordered: bool = False


def parts(text: str) -> Iterator[Part]:
    """The paragraphs and lists of a block, each line joined to one. Keeps a markup-safe string safe."""
    make = type(text)
    paragraph: list[str] = []
    points: list[str] = []
    ordered = False
    for raw in [*text.split("\n"), ""]:
        line = raw.strip()
        if line.startswith(("- ", "+ ")):
            ordered = line[0] == "+"
            if paragraph:
                yield Part(points=False, lines=(make(_join(paragraph)),))
                paragraph = []
            points.append(_join([line[2:]]))
        elif not line:
            if paragraph:
                yield Part(points=False, lines=(make(_join(paragraph)),))
                paragraph = []
            if points:
                yield Part(points=True, lines=tuple(make(point) for point in points), ordered=ordered)
                points = []
        elif points:
            points[-1] = _join([points[-1], line])
        else:
            paragraph.append(line)


def _join(lines: list[str]) -> str:
    """One line: with a space where Latin words meet, without one between Japanese."""
    whole = lines[0]
    for line in lines[1:]:
        wide = _is_wide(whole[-1:]) and _is_wide(line[:1])
        whole = f"{whole}{'' if wide else ' '}{line}"
    return _TWO_STOPS.sub(".", whole)


@lru_cache(maxsize=4096)
def _is_wide(char: str) -> bool:
    return bool(char) and unicodedata.east_asian_width(char) in "WF"


def beside(value: str, before: bool, after: bool) -> str:
    """`value` with a space `before` and `after` it where it begins and ends in letters that need one."""
    lead = " " if before and value and not _is_wide(value[0]) else ""
    trail = " " if after and value and not _is_wide(value[-1]) else ""
    return f"{lead}{value}{trail}"


def particle(value: str, both: str) -> str:
    """`value` and the Korean particle that goes with it, of `both`: `을(를)`, `(으)로` and the like.

    After a name in other letters both stand, as is usual: how it is spoken cannot be told.
    """
    syllable = ord(value[-1]) - _FIRST_SYLLABLE if value else -1
    if not 0 <= syllable < _SYLLABLES:
        return f"{value}{both}"
    final = syllable % 28  # 0 is a vowel, 8 is ㄹ
    if both == "(으)로":
        return f"{value}{'으로' if final not in (0, 8) else '로'}"
    return f"{value}{both[0] if final else both[2]}"


def columns(text: str) -> int:
    """How many terminal columns `text` takes."""
    if text.isascii():
        return len(text)
    return sum(
        2 if _is_wide(char) else 0 if unicodedata.combining(char) or char in "\u200d\ufe0f" else 1
        for char in text
    )


def wrap(text: str, *, first: str = "", rest: str = "", width: int = WIDTH) -> str:
    """`text` on lines of at most `width` columns, but that a single long word stays whole."""
    lines: list[str] = []
    line, used, gap = first, columns(first), ""
    if text.isascii():
        return _wrapped(text.split(), first, rest, width)
    fresh = True
    for atom in _atoms(text):
        if atom.isspace():
            gap = "" if fresh else " "
            continue
        size = columns(atom)
        if not fresh and used + len(gap) + size > width:
            lines.append(line)
            line, used, gap = rest, columns(rest), ""
        line += gap + atom
        used += len(gap) + size
        gap, fresh = "", False
    lines.append(line)
    return "\n".join(lines)


def _wrapped(words: list[str], first: str, rest: str, width: int) -> str:
    """The same for words of ASCII alone, which are most of most mails."""
    lines: list[str] = []
    line, room, gap = [first], width - columns(first), 0
    for word in words:
        if gap and len(word) + 1 > room:
            lines.append("".join(line))
            line, room, gap = [rest], width - len(rest), 0
        line.append(f" {word}" if gap else word)
        room -= len(word) + gap
        gap = 1
    lines.append("".join(line))
    return "\n".join(lines)


def _atoms(text: str) -> Iterator[str]:
    """The pieces between which a line may break; spaces are pieces of their own."""
    held = ""
    for atom in _ATOM.findall(text):
        if held and not atom.isspace() and (atom[0] in _NO_START or held[-1] in _NO_END):
            held += atom
            continue
        if held:
            yield held
        held = atom
    if held:
        yield held


def flow(text: str) -> str:
    """A block as plain text: paragraphs and points, wrapped, with empty lines between."""
    shown = []
    for part in parts(str(text)):
        if part.points:
            marks = [f"{number}. " if part.ordered else "* " for number in range(1, len(part.lines) + 1)]
            shown.append(
                "\n".join(
                    wrap(line, first=mark, rest=" " * len(mark))
                    for mark, line in zip(marks, part.lines, strict=True)
                )
            )
        else:
            shown.append(wrap(part.lines[0]))
    return "\n\n".join(shown)


def unwrapped(text: str) -> str:
    """A block as plain text, each paragraph and point on one line of whatever length."""
    return "\n".join(f"* {line}" if part.points else line for part in parts(str(text)) for line in part.lines)


def labelled(label: str, value: str, *, room: int) -> str:
    """`label` and `value` in two columns, the first `room` wide."""
    pad = " " * max(2, room + 2 - columns(label))
    return wrap(value, first=f"{label}{pad}", rest=" " * (room + 2))
