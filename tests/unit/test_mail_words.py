"""Is every language whole, and are its words only words?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import Environment, StrictUndefined

from relay.errors import ConfigError
from relay.mail.catalogue import Language, Phrase, load_languages, problems, read
from relay.mail.flow import beside, particle, wrap
from tests.fakes.mails import TEMPLATES
from tools.words import brought_up, said, wrong

FOLDER = TEMPLATES / "email"


def test_everything_is_said_in_every_language() -> None:
    assert wrong() == []


PHRASE = Phrase("", "{target} asks {source}", "", "a.j2", 1)
COUNTED = Phrase("", "{count} item", "{count} items", "a.j2", 1)


@pytest.mark.parametrize(
    ("phrase", "said", "forms", "told"),
    [
        (PHRASE, ("{source} and {target}",), 2, ""),
        (PHRASE, (), 2, "not translated"),
        (PHRASE, ("",), 2, "not translated"),
        (PHRASE, ("{source} asks",), 2, "without {target}"),
        (PHRASE, ("{source} {target} {customer}",), 2, "{customer} is not known"),
        (PHRASE, ("{source} <b>{target}</b>",), 2, "no markup"),
        (PHRASE, ("{source} {{ target }} {target}",), 2, "no markup"),
        (PHRASE, ("{source} {% raw %} {target}",), 2, "no markup"),
        (COUNTED, ("{count} a", "{count} b"), 2, ""),
        (COUNTED, ("{count} a",), 1, ""),
        (COUNTED, ("{count} a",), 2, "1 of 2 plural forms"),
        (COUNTED, ("{count} a", ""), 2, "not translated"),
        (COUNTED, ("{count} a", "many"), 2, "without {count}"),
    ],
)
def test_what_is_wrong_with_a_translation_is_found(
    phrase: Phrase, said: tuple[str, ...], forms: int, told: str
) -> None:
    found = list(problems(phrase, said, forms))
    assert (told in found[0]) if told else not found


@pytest.mark.parametrize("locale", ["de", "fr"])
def test_a_message_that_is_lost_or_new_is_found(locale: str, tmp_path: Path) -> None:
    folder = tmp_path / "email"
    (folder / "sim").mkdir(parents=True)
    (folder / "locales").mkdir()
    (folder / "words.toml").write_text('[state]\nfailed = "Failed"\n')
    (folder / "sim" / "a.j2").write_text("{% trans %}All is {{ state }}.{% endtrans %}")
    (folder / "locales" / f"{locale}.po").write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n'
    )
    assert [one.one for one in said(folder)] == ["All is {state}.", "Failed"]
    for path, data in brought_up(folder).items():
        path.write_bytes(data)
    assert wrong(folder) == [
        f"{locale}.po: not translated: 'All is {{state}}.'", f"{locale}.po: not translated: 'Failed'",
    ]  # fmt: skip


def test_a_plural_takes_the_form_of_its_language() -> None:
    source = "{% trans count=number %}{{ waiting }} waits{% pluralize %}{{ waiting }} wait{% endtrans %}\n"
    english = Language("en").translated(source)
    assert english == (
        "{% if words.form(number) == 0 +%}{{ waiting }} waits{% else +%}{{ waiting }} wait{% endif +%}\n"
    )
    assert [Language("en").form(count) for count in (0, 1, 2)] == [1, 0, 1]
    assert [load_languages(FOLDER)["ja"].form(count) for count in (0, 1, 2)] == [0, 0, 0]


def test_a_catalogue_that_is_none_is_a_configuration_problem(tmp_path: Path) -> None:
    path = tmp_path / "de.po"
    path.write_bytes(b'msgid "a"\nmsgstr "\xff"\n')
    with pytest.raises(ConfigError, match=r"de\.po"):
        read(path)


@pytest.mark.parametrize(
    ("locale", "said", "names", "shown"),
    [
        ("ja", "{target} 様が、{customer} を譲渡", {"target": "海洋クラウド", "customer": "Contoso"}, "海洋クラウド様が、Contoso を譲渡"),
        ("ja", "{target} 様が、{customer} を譲渡", {"target": "Contoso", "customer": "海洋"}, "Contoso 様が、海洋を譲渡"),
        ("ja", "{reader} 様", {"reader": "森 葵"}, "森 葵 様"),
        ("ja", "ID は {id} です", {"id": "<b>"}, "ID は <b> です"),
        ("zh-Hans", "向 {target} 转移", {"target": "微软公司"}, "向微软公司转移"),
        ("zh-Hans", "向 {target} 转移", {"target": "Contoso"}, "向 Contoso 转移"),
        ("ko", "{target} 이전", {"target": "海洋"}, "海洋 이전"),
        ("ja", "{target} が", {"target": ""}, "が"),
        ("ko", "{target}(으)로 이전", {"target": "한빛"}, "한빛으로 이전"),
        ("ko", "{target}(으)로 이전", {"target": "바다"}, "바다로 이전"),
        ("ko", "{target}(으)로 이전", {"target": "서울"}, "서울로 이전"),
        ("ko", "{target}(으)로 이전", {"target": "Contoso"}, "Contoso(으)로 이전"),
        ("ko", "{target}과(와) {id}을(를)", {"target": "바다", "id": "서울"}, "바다와 서울을"),
        ("ko", "{target}과(와) {id}을(를)", {"target": "한빛", "id": "<b>"}, "한빛과 <b>을(를)"),
    ],
)
def test_a_name_stands_as_far_from_the_words_as_its_letters_ask(
    locale: str, said: str, names: dict[str, str], shown: str
) -> None:
    language = load_languages(FOLDER)[locale]
    language.__dict__["_said"] = {("", "x"): (said,)}
    page = Environment(undefined=StrictUndefined)
    page.filters |= {"beside": beside, "particle": particle}
    source = language.translated("{% trans %}x{% endtrans %}")
    assert page.from_string(source).render(names) == shown
    escaping = Environment(autoescape=True)
    escaping.filters |= {"beside": beside, "particle": particle}
    assert escaping.from_string(source).render(names) == shown.replace("<b>", "&lt;b&gt;")


def test_french_marks_are_never_parted_from_the_word_before_them() -> None:
    """`:`, `;`, `?`, `!` and quotation marks have a space before them at which no line ends."""
    for message in read(FOLDER / "locales" / "fr.po"):
        said = (message.string,) if isinstance(message.string, str) else message.string
        for one in said if message.id else ():
            assert not re.search(r" [:;!?»]|« ", one), one
    assert wrap("à faire\u00a0: rien", width=8) == "à\nfaire\u00a0:\nrien"
