"""How does an English message file speak another language?

Words stand once, in English, in the message files (`{% trans %}…{% endtrans %}`) and in `words.toml`; each other
language is one Babel catalogue, `locales/<locale>.po`, in which `{{ customer }}` is written `{customer}`. A
message file is translated when it is loaded, before Jinja compiles it: a mail costs the same in every
language. Format: GNU gettext PO, read with Babel; the forms of a plural are those of the catalogue's own header.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.pofile import PoFileError, read_po

from relay.errors import ConfigError

SOURCE = "en"
"""The language of the message files."""

_TRANS = re.compile(
    r"\{% trans(?: (?P<value>\w+)=(?P<count>\w+))? %\}(?P<one>.*?)"
    r"(?:\{% pluralize %\}(?P<many>.*?))?\{% endtrans %\}",
    re.DOTALL,
)
_VALUE = re.compile(r"\{\{ (\w+) \}\}")
_PLACE = re.compile(r"\{(\w+)\}")
_WIDE = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef"
_BESIDE = re.compile(rf"(?P<before>(?<=[{_WIDE}]) )?\{{(?P<name>\w+)\}}(?P<after> (?=[{_WIDE}]))?")
_PARTICLE = re.compile(r"\{(?P<name>\w+)\}(?P<both>\(으\)로|을\(를\)|과\(와\)|이\(가\)|은\(는\))")
_WITHOUT_SPACES = frozenset({"ja", "zh-Hans"})
_ALONE = frozenset({"reader"})
"""Names of people, which a greeting keeps at a distance."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """One thing to translate: `context` is its table in `words.toml`, or nothing; `many` its plural."""

    context: str
    one: str
    many: str
    where: str
    line: int

    @property
    def id(self) -> str | tuple[str, str]:
        """As Babel names it."""
        return (self.one, self.many) if self.many else self.one


def phrases(folder: Path, table: dict[str, Any]) -> Iterator[Phrase]:
    """Everything in `folder` (`templates/email`) that is said, `table` being its `words.toml`."""
    for path in sorted(folder.glob("[!_]*/*.j2")):
        source = path.read_text("utf-8")
        for match in _TRANS.finditer(source):
            line = source.count("\n", 0, match.start()) + 1
            one, many = _bare(match["one"]), _bare(match["many"] or "")
            yield Phrase("", one, many, str(path.relative_to(folder)), line)
    for section, words in table.items():
        for word in words.values():
            one, many = (word, "") if isinstance(word, str) else word
            yield Phrase(section, one, many, "words.toml", 1)


def _bare(source: str) -> str:
    return _VALUE.sub(r"{\1}", source)


class Language:
    """One language: a catalogue, or English itself where there is none. What is not in it stays English.

    The catalogue is read when the first reader wants it. ConfigError, then, when it cannot be.
    """

    def __init__(self, locale: str, catalogue: Path | None = None) -> None:
        self.locale = locale
        self.cldr = Locale.parse(locale, sep="-")
        self._path = catalogue

    @cached_property
    def _catalogue(self) -> Catalog | None:
        return read(self._path) if self._path else None

    @cached_property
    def _said(self) -> dict[tuple[str, str], tuple[str, ...]]:
        found = {}
        for message in self._catalogue or ():
            if message.id and message.string and not message.fuzzy:
                key = message.id if isinstance(message.id, str) else message.id[0]
                said = (message.string,) if isinstance(message.string, str) else tuple(message.string)
                found[message.context or "", key] = said
        return found

    @cached_property
    def _form(self) -> Callable[[int], int]:
        return _plural(self._catalogue.plural_expr if self._catalogue else "(n != 1)")

    def say(self, context: str, one: str) -> str:
        """`one` in this language."""
        return self._said.get((context, one), (one,))[0]

    def forms(self, context: str, one: str, many: str) -> tuple[str, ...]:
        """Every plural form, in the catalogue's order."""
        return self._said.get((context, one), (one, many))

    def form(self, count: int) -> int:
        """Which of the forms goes with `count`."""
        return self._form(count)

    def table(self, english: dict[str, Any]) -> dict[str, dict[str, str | tuple[str, ...]]]:
        """`words.toml` in this language; a plural is a tuple of its forms."""
        return {
            section: {
                name: self.say(section, word) if isinstance(word, str) else self.forms(section, *word)
                for name, word in words.items()
            }
            for section, words in english.items()
        }

    def translated(self, source: str) -> str:
        """A message file in this language, for Jinja to compile."""
        return _TRANS.sub(self._translated, source)

    def _translated(self, match: re.Match[str]) -> str:
        one, many = _bare(match["one"]), _bare(match["many"] or "")
        if not many:
            return self._placed(self.say("", one))
        forms = [self._placed(form) for form in self.forms("", one, many)]
        if len(forms) == 1:
            return forms[0]
        cases = [
            f"{{% {'elif' if number else 'if'} words.form({match['count']}) == {number} +%}}{form}"
            for number, form in enumerate(forms[:-1])
        ]
        return "".join([*cases, "{% else +%}", forms[-1], "{% endif +%}"])


    def _placed(self, text: str) -> str:
        """`text` with its places as Jinja's. In a language without spaces, the one between its own words and a
        name is for names in other letters: `Contoso 様`, but `海洋クラウド様` (the filter `beside`). In Korean a
        particle follows the sound that a name ends with (`particle`)."""
        if self.locale in _WITHOUT_SPACES:
            return _BESIDE.sub(_beside, text)
        if self.locale == "ko":
            text = _PARTICLE.sub(r'{{ \g<name>|particle("\g<both>") }}', text)
        return _PLACE.sub(r"{{ \1 }}", text)


def _beside(match: re.Match[str]) -> str:
    name, before, after = match["name"], match["before"], match["after"]
    if name in _ALONE or not (before or after):
        return f"{before or ''}{{{{ {name} }}}}{after or ''}"
    return f"{{{{ {name}|beside({bool(before)}, {bool(after)}) }}}}"


def _plural(expression: str) -> Callable[[int], int]:
    """The C expression of a catalogue's header as a function; only what the six languages' rules use.

    ConfigError for one that is not `0`, `n != 1` or `n > 1`.
    """
    bare = re.sub(r"[\s()]", "", expression)
    known: dict[str, Callable[[int], int]] = {
        "0": lambda _: 0,
        "n!=1": lambda count: int(count != 1),
        "n>1": lambda count: int(count > 1),
    }
    if bare not in known:
        raise ConfigError([f"the catalogue's plural rule {expression!r} is not one of {', '.join(known)}"])
    return known[bare]


def load_languages(folder: Path) -> dict[str, Language]:
    """English and every catalogue in `folder`/locales, by locale."""
    found = {SOURCE: Language(SOURCE)}
    for path in sorted(folder.glob("locales/*.po")):
        found[path.stem] = Language(path.stem, path)
    return found


def read(path: Path) -> Catalog:
    """One catalogue; ConfigError when it is none."""
    try:
        with path.open("rb") as file:
            return read_po(file, locale=path.stem.replace("-", "_"), abort_invalid=True)
    except (OSError, ValueError, PoFileError) as problem:
        raise ConfigError([f"the catalogue {path.name} cannot be read: {problem}"]) from None


def problems(phrase: Phrase, said: tuple[str, ...], forms: int) -> Iterator[str]:
    """What is wrong with a translation: missing, a plural short, a placeholder lost or made up, markup."""
    if not said or not all(said):
        yield f"not translated: {phrase.one!r}"
        return
    if len(said) != (forms if phrase.many else 1):
        yield f"{len(said)} of {forms} plural forms: {phrase.one!r}"
    known = set(_FIELD.findall(phrase.one + phrase.many))
    needed = (
        known if phrase.context != "shape" else known & {"hour", "minute", "zone", "day", "year", "count"}
    )
    allowed = known | ({"weekday", "wd", "month", "mon"} if "day" in known else set())
    for text in said:
        got = set(_FIELD.findall(text))
        if phrase.context == "shape" and phrase.one.startswith("{"):
            needed = known - {"weekday", "month"}
        if needed - got:
            yield f"without {_places(needed - got)}: {text!r}"
        if got - allowed:
            yield f"{_places(got - allowed)} is not known: {text!r}"
        if re.search(r"[<>&\n]|\{[{%#]|[%#}]\}", text):
            yield f"only words, no markup: {text!r}"


_FIELD = re.compile(r"\{(\w+)(?::\w+)?\}")


def _places(names: set[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names))
