"""Is every page within what mail readers can show, and can everybody read it?"""

from __future__ import annotations

import re

import pytest

from relay.errors import ConfigError
from relay.mail.compose import MAX_HTML, Composer
from relay.mail.palette import ENOUGH, contrast, palette
from relay.mail.progress import line, steps
from relay.mail.samples import DATE_MS
from relay.mail.settings import PlainMailSettings
from tests.fakes.mails import LOCALES, SAMPLES, TEMPLATES, both, compose, composer, seen
from tests.fakes.pages import Drawn

# What Gmail, Apple Mail and Outlook on Windows (Word's engine) show, or leave out without harm.
PROPERTIES = {
    "background-color", "border", "border-bottom", "border-collapse", "border-left", "border-radius", "border-top",
    "color", "display", "font-family", "font-size", "font-weight", "height", "line-break", "line-height", "margin",
    "max-height", "max-width", "mso-hide", "overflow", "overflow-wrap", "padding", "padding-right", "text-align", "text-decoration",
    "vertical-align", "white-space", "width", "word-break",
}  # fmt: skip
TAGS = {
    "html", "head", "meta", "title", "style", "body", "div", "table", "thead", "tbody", "tr", "td", "th", "p", "h1",
    "h2", "ul", "ol", "li", "span", "br", "a",
}  # fmt: skip
STYLE_LIMIT = 16_000
"""Characters; Gmail drops a longer style element."""


def _uses_only_what_is_shown(name: str, locale: str) -> None:
    html = compose(SAMPLES[name], locale).html
    page = Drawn(html)
    assert {prop for prop, _ in page.styles} <= PROPERTIES
    data = [("script", {"type": "application/ld+json"})]  # read by Gmail, left out by the others
    assert {tag for tag, attrs in page.tags if (tag, attrs) not in data} <= TAGS
    assert not [value for _, value in page.styles if re.search(r"var\(|url\(|calc\(|gradient|flex|grid", value)]
    assert not re.search(r"@font-face|@import|url\(|position:|float:|<svg|<picture", html)
    assert page.head and html.rindex("<style>") < html.index("</head>")
    assert len(page.head) < STYLE_LIMIT
    assert len(html.encode()) < MAX_HTML
    assert "$" not in page.head and "$" not in "".join(value for _, value in page.styles)


@pytest.mark.parametrize("locale", LOCALES)
def test_a_page_uses_nothing_that_mail_readers_lack(locale: str) -> None:
    for name in SAMPLES:
        _uses_only_what_is_shown(name, locale)


def _can_be_read(name: str, locale: str, dark: bool) -> None:
    for shown in Drawn(compose(SAMPLES[name], locale).html, dark).texts:
        if shown.text.strip("\xa0"):
            assert contrast(shown.color, shown.ground) >= ENOUGH, shown


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("locale", LOCALES)
def test_every_word_can_be_read(locale: str, dark: bool) -> None:
    for name in SAMPLES:
        _can_be_read(name, locale, dark)


def _says_what_it_is(name: str, locale: str) -> None:
    page = seen(compose(SAMPLES[name], locale).html)
    headings = [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == "h1" and set(headings[1:]) == {"h2"}
    for tag, attrs in page.tags:
        if tag == "th":
            assert attrs["scope"] in ("row", "col")
    article = next(attrs for tag, attrs in page.tags if tag == "div")
    assert (article["role"], article["lang"]) == ("article", locale)


@pytest.mark.parametrize("locale", LOCALES)
def test_headings_and_tables_are_what_they_say(locale: str) -> None:
    for name in SAMPLES:
        _says_what_it_is(name, locale)


# --- progress ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status", "shown"),
    [
        ("subscription", "pending", "[>] Pending  ---  [ ] Accepted  ---  [ ] Completed"),
        ("subscription", "in_progress", "[x] Requested  ---  [>] In progress  ---  [ ] Completed"),
        ("subscription", "completed", "[x] Requested  ---  [x] Accepted  ---  [x] Completed"),
        ("subscription", "partially_completed", "[x] Requested  ---  [x] Accepted  ---  [!] Partially completed"),
        ("subscription", "failed", "[x] Requested  ---  [x] Accepted  ---  [-] Failed"),
        ("subscription", "expired", "[x] Requested  ---  [-] Expired"),
        ("subscription", "canceled", "[x] Requested  ---  [-] Canceled"),
        ("sim", "pending", "[x] Started  ---  [>] Transferring  ---  [ ] Completed"),
        ("sim", "failed", "[x] Started  ---  [-] Failed"),
    ],
)
def test_how_far_a_transfer_is(kind: str, status: str, shown: str) -> None:
    assert line(steps(kind, status, composer()._words["en"])) == shown


def _shows_its_progress(name: str, locale: str) -> None:
    message = compose(SAMPLES[name], locale)
    drawn = [attrs for tag, attrs in seen(message.html).tags if "rail" in attrs.get("class", "")]
    if SAMPLES[name].kind in ("endpoint", "agent", "daily"):
        assert not drawn
        return
    shown = next(line for line in message.text.split("\n") if "  ---  " in line)
    assert len(drawn) == shown.count("---") + 1
    for step in shown.split("  ---  "):
        assert re.sub(r"\s+", "", step[4:]) in both(message)[1]


@pytest.mark.parametrize("locale", LOCALES)
def test_progress_needs_no_image_and_is_in_both_parts(locale: str) -> None:
    for name in SAMPLES:
        _shows_its_progress(name, locale)


# --- the operator's look -------------------------------------------------------------------------------


def _composed(settings: PlainMailSettings) -> str:
    sample = SAMPLES["sim-created-target-root-with-link"]
    return (
        Composer(settings, TEMPLATES)
        .compose(
            body=sample.body, recipient=sample.recipient, delivery_id="d", event_id="e", transfer_key="k",
            date_ms=DATE_MS, acceptance_url=sample.url, locale="en",
        )
        .html
    )  # fmt: skip


@pytest.mark.parametrize("color", ["#2657b8", "#7a1fa2", "#000000", "#0b6b3a", "#b3261e", "#5a4a00"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_any_colour_that_is_taken_can_be_read(color: str, dark: bool) -> None:
    html = _composed(PlainMailSettings(color=color))
    assert color in html
    for shown in Drawn(html, dark).texts:
        if shown.text.strip("\xa0"):
            assert contrast(shown.color, shown.ground) >= ENOUGH, shown


@pytest.mark.parametrize("color", ["#ffcc00", "#FF0000", "#7ba4f0", "#ffffff"])
def test_a_colour_too_light_for_white_text_is_refused_and_a_near_one_told(color: str) -> None:
    with pytest.raises(ConfigError, match=r"mail\.color: white text on") as refused:
        palette(color)
    near = re.findall("#[0-9a-f]{6}", str(refused.value))[-1]
    assert palette(near)["accent"] == near


@pytest.mark.parametrize("color", ["blue", "#12345", "#12345g", "", "2657b8f"])
def test_what_is_no_colour_is_refused(color: str) -> None:
    with pytest.raises(ConfigError, match=r"mail\.color"):
        palette(color)


def test_a_logo_is_shown_with_the_name_as_its_text() -> None:
    html = _composed(PlainMailSettings(logo_url="https://relay.example/logo.png", product_name="Relay & Sons"))
    images = [attrs for tag, attrs in seen(html).tags if tag == "img"]
    assert [(one["src"], one["alt"]) for one in images] == [("https://relay.example/logo.png", "Relay & Sons")]


@pytest.mark.parametrize("url", ["http://a.example/l.png", "javascript:alert(1)", "https://a.example/a b", "logo.png"])
def test_a_logo_from_elsewhere_than_https_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"mail\.logo_url"):
        Composer(PlainMailSettings(logo_url=url), TEMPLATES)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
