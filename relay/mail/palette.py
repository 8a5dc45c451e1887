"""Which colours go with the operator's one colour, so that everybody can read them?

Contrast is that of WCAG 2.2 (1.4.3): 4.5 to 1 for text. From the one colour of the configuration come its tints for
light and dark pages; a colour on which white text cannot be read is refused when the program starts.
"""

from __future__ import annotations

from relay.errors import ConfigError

ENOUGH = 4.5
WHITE = "#fdfdfe"
"""The card, and the text of a button; mail readers that invert pure white do it less well."""
_CARD_DARK = "#1b212a"
_INK = "#1d2530"

Colour = tuple[int, int, int]


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, `#rrggbb` each: from 1, the same, to 21, black on white."""
    lighter, darker = sorted((_luminance(_parsed(one)), _luminance(_parsed(other))), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def palette(colour: str) -> dict[str, str]:
    """The tints of `colour`, `#rrggbb`; ConfigError when it is none or white text on it cannot be read."""
    try:
        own = _parsed(colour)
    except ValueError:
        raise ConfigError([f"mail.color: {colour!r} is not a colour; write one as #2657b8"]) from None
    if contrast(colour, WHITE) < ENOUGH:
        near = _until(own, _parsed(_INK), WHITE)
        low = (
            f"white text on {colour} has a contrast of {contrast(colour, WHITE):.1f} to 1, and 4.5 are needed"
        )
        raise ConfigError([f"mail.color: {low}; {near} is near it and dark enough"])
    soft, soft_dark = _mixed(own, _parsed(WHITE), 0.92), _mixed(own, _parsed(_CARD_DARK), 0.78)
    return {
        "accent_soft_dark": soft_dark,
        "accent_ink_dark": _until(own, _parsed(WHITE), soft_dark),
        "accent_dark": _until(own, _parsed(WHITE), _CARD_DARK),
        "accent_soft": soft,
        "accent_ink": _until(own, _parsed(_INK), soft),
        "accent": colour.lower(),
    }


def _parsed(colour: str) -> Colour:
    if len(colour) != 7 or colour[0] != "#":
        raise ValueError(colour)
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: Colour) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2)."""
    red, green, blue = (
        part / 255 / 12.92 if part / 255 <= 0.04045 else ((part / 255 + 0.055) / 1.055) ** 2.4
        for part in colour
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _mixed(one: Colour, other: Colour, share: float) -> str:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _until(own: Colour, towards: Colour, ground: str) -> str:
    """`own`, moved towards another colour until it can be read on `ground`."""
    steps = (_mixed(own, towards, step / 20) for step in range(21))
    return next((step for step in steps if contrast(step, ground) >= ENOUGH), _mixed(own, towards, 1))
