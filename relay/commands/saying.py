"""What is fit for a terminal?

Names, descriptions and answers come from strangers, and a terminal obeys some of what it shows: control sequences
(ECMA-48, also in the C1 range) and marks that turn text around. They are shown as JSON escapes them, so that
what is printed as JSON stays the same JSON.
"""

from __future__ import annotations

import re
from typing import Final

import click

_UNFIT: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def fit(text: str) -> str:
    """The text, with escapes for what a terminal would obey. Lines and tabs stay."""
    return _UNFIT.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def say(text: str) -> None:
    """Print a line."""
    click.echo(fit(text))
