"""How does one message file become a subject, a text and an HTML page?

A message file has only words, in named blocks, and ends up extending a skin: it is rendered three times,
with another skin each time. `ja/sim/…` is the file `sim/…` with its words in Japanese. Two environments over one loader: text is not escaped, HTML is, and in both
an unknown name is an error. Styles are inlined into the HTML skin once, when it is loaded; Jinja's own
marks are hidden meanwhile, because an HTML parser moves text that does not belong into a table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from css_inline import CSSInliner
from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError
from markupsafe import Markup

from relay.errors import MessageError
from relay.mail.catalogue import Language
from relay.mail.flow import beside, columns, flow, labelled, particle, parts, unwrapped, wrap
from relay.mail.progress import line
from relay.mail.words import clean

_TAG = re.compile(r"\{%.*?%\}", re.DOTALL)
_VALUE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_NOTE = re.compile(r"\{#.*?#\}\n?", re.DOTALL)


_LATIN = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial"
_JAPANESE = (
    "'Hiragino Sans', 'Hiragino Kaku Gothic ProN', 'Yu Gothic', Meiryo, 'Noto Sans JP', 'Noto Sans CJK JP'"
)
_FACES = {
    "zh-Hans": ("'PingFang SC', 'Microsoft YaHei', 'Noto Sans SC', 'Noto Sans CJK SC'", "'Microsoft YaHei'"),
    "ko": ("'Apple SD Gothic Neo', 'Malgun Gothic', 'Noto Sans KR', 'Noto Sans CJK KR'", "'Malgun Gothic'"),
    "ja": (_JAPANESE, "'Yu Gothic', Meiryo"),
}


def fonts(locale: str, *, mso: bool) -> str:
    """The type faces for a language: one character is drawn differently in China, Japan and Korea."""
    own, word = _FACES.get(locale, (_JAPANESE, "Meiryo"))
    return f"'Segoe UI', {word}" if mso else f"{_LATIN}, {own}, sans-serif"


def linked_data(value: dict[str, Any]) -> Markup:
    """`value` as JSON-LD for a `script` element, which nothing in it can end."""
    plain = orjson.dumps(value, default=str).decode()
    for mark in "<>&\u2028\u2029":
        plain = plain.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(plain)  # noqa: S704 - escaped above


class _Loader(FileSystemLoader):
    """Message files in the language that their name begins with; the HTML skin with its styles inlined."""

    def __init__(self, folder: Path, languages: Mapping[str, Language], colours: Mapping[str, str]) -> None:
        super().__init__(folder)
        self._languages = languages
        self._colours = colours
        self._known: dict[str, tuple[str, str, Callable[[], bool]]] = {}

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        if template not in self._known:
            self._known[template] = self._source(environment, template)
        return self._known[template]

    def _source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        locale, _, name = template.partition("/")
        if locale in self._languages:
            source, path, fresh = super().get_source(environment, name)
            return self._languages[locale].translated(source), path, fresh
        source, path, fresh = super().get_source(environment, template)
        if template.endswith(".html"):
            for mark, colour in self._colours.items():
                source = source.replace(f"${mark}", colour)
            source = inlined(source)
        return source, path, fresh


class _Environment(Environment):
    """A message file extends another one of its own language."""

    def join_path(self, template: str, parent: str) -> str:
        return f"{parent.partition('/')[0]}/{template}"


def inlined(source: str) -> str:
    """An HTML template with its `<style>` rules on the elements; media rules stay. Fetches nothing."""
    hidden: list[str] = []

    def hide(shape: str) -> Callable[[re.Match[str]], str]:
        def replace(match: re.Match[str]) -> str:
            hidden.append(match.group())
            return shape.format(len(hidden) - 1)

        return replace

    bare = _NOTE.sub("", source)
    bare = _TAG.sub(hide("<!--mark{}-->"), bare)
    bare = _VALUE.sub(hide("mark-{}-mark"), bare)
    page = CSSInliner(load_remote_stylesheets=False, keep_at_rules=True).inline(bare)
    return re.sub(r"<!--mark(\d+)-->|mark-(\d+)-mark", lambda m: hidden[int(m.group(1) or m.group(2))], page)


@dataclass(frozen=True, slots=True)
class Rendered:
    """One message in words. `topic` is what its subject has in common with the others of its thread.

    `note` is what stands in a calendar entry, where one goes with it.
    """

    subject: str
    topic: str
    reference: str
    text: str
    html: str
    note: str


class Skins:
    """The message files of one folder, each compiled once a language. `colours` replace `$name` in the skin."""

    def __init__(self, folder: Path, languages: Mapping[str, Language], colours: Mapping[str, str]) -> None:
        loader = _Loader(folder, languages, colours)
        self._text = _environment(loader, autoescape=False)
        self._text.filters |= {
            "beside": beside,
            "particle": particle,
            "flow": flow,
            "unwrapped": unwrapped,
            "columns": columns,
            "labelled": labelled,
            "wrap": wrap,
            "line": line,
        }
        self._html = _environment(loader, autoescape=True)
        self._html.filters |= {"beside": beside, "particle": particle, "parts": parts, "linked_data": linked_data}
        self._subject_skin = self._text.get_template("_skin/subject.txt")
        self._text_skin = self._text.get_template("_skin/text.txt")
        self._note_skin = self._text.get_template("_skin/note.txt")
        self._html_skin = self._html.get_template("_skin/html.html")

    def topic(self, name: str, values: dict[str, Any]) -> tuple[str, str]:
        """The event and the topic of the message file `name`, as its subject has them; MessageError likewise."""
        try:
            found = self._text.get_template(name).render(values, skin=self._subject_skin)
        except TemplateError as problem:
            raise MessageError(f"the message {name} cannot be rendered: {problem}") from problem
        event, _, topic = found.strip().partition("\n")
        return clean(event, EVENT_LENGTH), clean(topic)

    def render(self, name: str, values: dict[str, Any]) -> Rendered:
        """Subject, text and HTML of the message file `name`; MessageError when one cannot be made."""
        try:
            text = self._text.get_template(name)
            subject, topic = _subject(text.render(values, skin=self._subject_skin), values["reference"])
            page = self._html.get_template(name).render(values, skin=self._html_skin, subject=subject)
            return Rendered(
                subject,
                topic,
                values["reference"],
                _tidy(text.render(values, skin=self._text_skin)),
                _EMPTY_LINES.sub("\n", page).lstrip(),
                text.render(values, skin=self._note_skin).strip() if values["entry"] else "",
            )
        except TemplateError as problem:
            raise MessageError(f"the message {name} cannot be rendered: {problem}") from problem


TOPIC_LENGTH = 110
EVENT_LENGTH = 38


def _subject(text: str, reference: str) -> tuple[str, str]:
    """`[event] topic`, and the topic alone.

    Gmail keeps a thread together only under one subject, and like RFC 5256 (2.1) leaves out what stands in
    square brackets before it: so the event is there, and the topic is cut, where names are long, at a length
    that does not depend on the event. Names give way before the transfer's reference does.
    """
    event, _, topic = text.strip().partition("\n")
    tail = f" ({reference})" if reference else ""
    topic = clean(topic, TOPIC_LENGTH - len(tail)) + tail
    return f"[{clean(event, EVENT_LENGTH)}] {topic}", topic


_EMPTY_LINES = re.compile(r"\n\s*\n+")
_MANY_EMPTY_LINES = re.compile(r"\n{3,}")


def _tidy(text: str) -> str:
    # "-- " is how a mail reader knows where the signature begins
    lines = "\n".join(line if line == "-- " else line.rstrip() for line in text.split("\n"))
    return _MANY_EMPTY_LINES.sub("\n\n", lines).strip("\n") + "\n"


def _environment(loader: _Loader, *, autoescape: bool) -> Environment:
    return _Environment(
        loader=loader,
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
