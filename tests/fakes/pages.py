"""What colours and constructs does a mail's page use, element by element?

A small reader of our own HTML: inline styles are inherited as CSS does, and the rules for dark mode, which stay in
the head, are laid over them by class.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

_EMPTY = frozenset({"meta", "br", "img", "link"})
_DARK = re.compile(r"@media \(prefers-color-scheme: ?dark\) ?\{(.*?\})\s*\}", re.DOTALL)
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")


@dataclass
class Seen:
    """Text as it is shown: its colours as #rrggbb, and whether it is hidden."""

    text: str
    color: str
    ground: str


@dataclass
class _Element:
    tag: str
    color: str
    ground: str
    hidden: bool


@dataclass
class Drawn(HTMLParser):
    """A page, read. `texts` is what is seen, `styles` each inline declaration, `tags` each element."""

    html: str
    dark: bool = False
    texts: list[Seen] = field(default_factory=list)
    styles: list[tuple[str, str]] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    head: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._open = [_Element("", "#000000", "#ffffff", hidden=False)]
        found = _DARK.search(self.html)
        assert found, "there are no rules for dark mode"
        self._rules = [
            (name.strip().lstrip("."), declarations(body))
            for names, body in _RULE.findall(found[1])
            for name in names.split(",")
        ]
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.tags.append((tag, given))
        style = dict(declarations(given.get("style", "")))
        self.styles += style.items()
        if self.dark:
            classes = given.get("class", "").split()
            for name, body in self._rules:
                if name in classes:
                    style |= body
        above = self._open[-1]
        if tag not in _EMPTY:
            self._open.append(
                _Element(
                    tag,
                    style.get("color", above.color),
                    style.get("background-color", above.ground),
                    hidden=above.hidden or tag in ("title", "style") or style.get("display") == "none",
                )
            )

    def handle_endtag(self, tag: str) -> None:
        while self._open.pop().tag != tag:
            pass

    def handle_data(self, data: str) -> None:
        top = self._open[-1]
        if top.tag == "style":
            self.head += data
        elif data.strip() and not top.hidden:
            self.texts.append(Seen(data.strip(), top.color, top.ground))


def declarations(style: str) -> list[tuple[str, str]]:
    """The properties of an inline style or of a rule's body, without `!important`."""
    pairs = (one.partition(":") for one in style.split(";") if one.strip())
    return [(name.strip(), value.replace("!important", "").strip()) for name, _, value in pairs]
