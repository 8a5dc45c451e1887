"""Is everything said in every language?

`python -m tools.words` collects what the message files say into `messages.pot` and brings every catalogue up to it:
new messages empty, without those no longer said. `--check` changes nothing and tells what is missing or wrong.
"""

from __future__ import annotations

import io
import re
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from relay.mail.catalogue import Phrase, phrases, problems, read

FOLDER = Path(__file__).parents[1] / "templates" / "email"
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_HEADER = """\
# What the mails say. {customer} and the like are filled in; leave them as they are, in any order.
# Words only: no markup. Vocabulary and tone: docs/mail.md.
"""


def said(folder: Path = FOLDER) -> list[Phrase]:
    """Every phrase there is, each once; the first place stands for all."""
    table = tomllib.loads((folder / "words.toml").read_text("utf-8"))
    return list({(one.context, one.one): one for one in phrases(folder, table)}.values())


def template(folder: Path = FOLDER) -> Catalog:
    """All of them as a catalogue without translations."""
    pot = Catalog(
        project="transfer-relay",
        version="1",
        creation_date=_EPOCH,
        header_comment=_HEADER,
        charset="utf-8",
        fuzzy=False,
    )
    for one in said(folder):
        flags = ["python-brace-format"] if "{" in one.one else []
        pot.add(one.id, locations=[(one.where, 0)], context=one.context or None, flags=flags)
    return pot


def brought_up(folder: Path = FOLDER) -> dict[Path, bytes]:
    """What each catalogue's file should be."""
    pot = template(folder)
    files = {folder / "messages.pot": _written(pot)}
    for path in sorted((folder / "locales").glob("*.po")):
        catalogue = read(path)
        catalogue.update(pot, no_fuzzy_matching=True, update_creation_date=False)
        catalogue.obsolete.clear()
        catalogue.project, catalogue.version = pot.project, pot.version
        catalogue.header_comment, catalogue.revision_date, catalogue.creation_date = _HEADER, _EPOCH, _EPOCH
        if path.stem == "fr":
            _keep_marks_together(catalogue)
        files[path] = _written(catalogue)
    return files


def _keep_marks_together(catalogue: Catalog) -> None:
    """The space that French has before `:`, `;`, `?`, `!` and inside its quotation marks ends no line."""
    for message in catalogue:
        if message.id and message.string:  # one that is new says nothing yet
            said = (message.string,) if isinstance(message.string, str) else message.string
            bound = tuple(re.sub(r" (?=[:;!?»])|(?<=«) ", "\u00a0", one) for one in said)
            message.string = bound if isinstance(message.string, tuple) else bound[0]


def _written(catalogue: Catalog) -> bytes:
    file = io.BytesIO()
    write_po(file, catalogue, width=110, omit_header=False, include_lineno=False, sort_by_file=True)
    return file.getvalue()


def wrong(folder: Path = FOLDER) -> list[str]:
    """What is missing or wrong in any language, and files that are not up to date."""
    found = []
    for path in sorted((folder / "locales").glob("*.po")):
        catalogue = read(path)
        for one in said(folder):
            message = catalogue.get(one.id, one.context or None)
            text = () if message is None or message.fuzzy else message.string
            strings = (text,) if isinstance(text, str) else tuple(text)
            found += [f"{path.name}: {problem}" for problem in problems(one, strings, catalogue.num_plurals)]
    found += [
        f"{path.name}: not up to date; run `make words`"
        for path, data in brought_up(folder).items()
        if not path.exists() or path.read_bytes() != data
    ]
    return found


def main() -> int:
    if "--check" not in sys.argv:
        for path, data in brought_up().items():
            path.write_bytes(data)
    found = wrong()
    print("\n".join(found) or "Everything is said in every language.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
