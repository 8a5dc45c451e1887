"""Where are the files that come with the program?

The templates and the default settings stand beside the package in a source checkout and inside it in an
installed wheel; either way the program works from any directory.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _find(name: str) -> Path:
    packaged = _PACKAGE / "_data" / name
    return packaged if packaged.exists() else _PACKAGE.parent / name


def templates_dir() -> Path:
    """The folder with `email/` and `portal/`."""
    return _find("templates")


def defaults_path() -> Path:
    """`config.example.toml`, which is what the program loads first."""
    return _find("config.example.toml")
