"""What becomes of a file in a watched folder, by its answer?"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from relay.commands.api import Api, Said, media_of
from relay.commands.watching import Fate, Folder, _read, fate, in_words, too_long


def many(*codes: int) -> Said:
    return Said(207, [{"code": code} for code in codes])


@pytest.mark.parametrize(
    ("said", "end"),
    [
        (Said(202, {"id": "e", "status": "accepted"}), Fate.SENT), (Said(200, {"id": "e", "status": "duplicate"}), Fate.SENT),
        (many(202, 200), Fate.SENT), (many(), Fate.SENT), (many(202, 422), Fate.REFUSED), (many(202, 409, 503), Fate.LATER),
        (many(202, 429), Fate.LATER), (Said(409, {"id": "e"}), Fate.REFUSED), (Said(422, {}), Fate.REFUSED), (Said(413, {}), Fate.REFUSED),
        (Said(415, None), Fate.REFUSED), (Said(404, None), Fate.REFUSED), (Said(429, {}), Fate.LATER), (Said(503, {}), Fate.LATER),
        (Said(502, {"detail": "<html>"}), Fate.LATER), (Said(408, {}), Fate.LATER), (Said(401, {}), Fate.STOP),
        # A transfer of somebody else's is about the file; a token that may only read is not.
        (Said(403, {"id": "e"}), Fate.REFUSED), (Said(403, {"detail": "this token may only read"}), Fate.STOP),
    ],
)  # fmt: skip
def test_each_answer_has_its_end(said: Said, end: Fate) -> None:
    assert fate(said) is end
    assert in_words(said).startswith(str(said.status))


def folder(path: Path) -> Folder:
    return Folder(path, Api("http://127.0.0.1:1", "t"), lambda line: None, threading.Event())


def test_a_file_that_grows_is_left_alone_until_it_rests(tmp_path: Path) -> None:
    one, file = folder(tmp_path), tmp_path / "event.json"
    file.write_text('{"id":')
    assert one._whole(once=False) == []
    file.write_text('{"id": "evt-1"}')
    assert one._whole(once=False) == []
    assert one._whole(once=False) == [file]
    assert folder(tmp_path)._whole(once=True) == [file]


def test_the_oldest_goes_first_and_what_is_no_event_file_stays(tmp_path: Path) -> None:
    for number, name in enumerate(["b.json", "a.json", ".hidden.json", "c.json.tmp", "note.txt"]):
        (tmp_path / name).write_text("{}")
        os.utime(tmp_path / name, ns=(number, number))
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "link.json").symlink_to("/etc/hostname")
    assert [file.name for file in folder(tmp_path)._whole(once=True)] == ["b.json", "a.json"]


class Refuses(Api):
    """A relay that takes nothing."""

    def post_events(self, raw: bytes) -> Said:
        return Said(422, {"detail": "no"})


@pytest.mark.parametrize("name", [b"\xff.json", b"\x1b]0;evil\x07.json", b"a\nb: 202.json", "\u202egpj.json".encode(), b"a" * 250 + b".json"])
def test_whatever_a_file_is_called_it_is_refused_and_told_of_in_one_plain_line(tmp_path: Path, name: bytes) -> None:
    (tmp_path / os.fsdecode(name)).write_text("{}")
    told: list[str] = []
    one = Folder(tmp_path, Refuses("http://127.0.0.1:1", "t"), told.append, threading.Event())
    assert one.watch(once=True) and one.left() == 0 and one.counts["refused"] == 1
    (line,) = told
    assert line.isprintable()
    assert sorted(file.suffix for file in (tmp_path / "refused").iterdir()) == [".json", ".problem"]


def test_nothing_is_read_through_a_link_nor_written_over(tmp_path: Path) -> None:
    one, file, kept = folder(tmp_path), tmp_path / "event.json", tmp_path / "kept"
    kept.write_text("secret")
    for swap in (lambda: file.symlink_to(kept), lambda: os.mkfifo(file)):
        file.write_text("{}")
        found = one._whole(once=True)
        file.unlink()
        swap()  # type: ignore[no-untyped-call]
        assert [one._post(each) for each in found] == [True]
        assert one.counts == {}
        file.unlink()
    file.write_text("{}")
    (tmp_path / "refused").mkdir()
    (tmp_path / "refused" / "event.json.problem").symlink_to(kept)
    assert Folder(tmp_path, Refuses("http://127.0.0.1:1", "t"), print, threading.Event()).watch(once=True)
    assert kept.read_text() == "secret"
    assert (tmp_path / "refused" / "event-2.json.problem").exists()


def test_no_more_of_a_file_is_read_than_would_be_taken(tmp_path: Path) -> None:
    with (tmp_path / "event.json").open("wb") as file:
        file.truncate(1 << 40)
    raw, size = _read(tmp_path / "event.json")
    assert (len(raw), size) == ((4 << 20) + 1, 1 << 40)
    assert Folder(tmp_path, Refuses("", ""), print, threading.Event()).watch(once=True)
    assert "1099511627776" in (tmp_path / "refused" / "event.json.problem").read_text()


def test_what_the_relay_would_not_take_for_its_length_is_refused_here() -> None:
    assert too_long(4 << 20) is None
    said = too_long((4 << 20) + 1)
    assert said is not None and fate(said) is Fate.REFUSED


@pytest.mark.parametrize(
    ("value", "media"),
    [
        ({"id": "evt-1"}, "application/json"), ([{"id": "evt-1"}], "application/json"), ([], "application/json"),
        ({"specversion": "1.0"}, "application/cloudevents+json"), ([{"specversion": "1.0"}], "application/cloudevents-batch+json"),
    ],
)  # fmt: skip
def test_cloud_events_are_told_by_what_they_are(value: Any, media: str) -> None:
    assert media_of(json.dumps(value).encode()) == media
    assert media_of(b"{not json") == media_of(b"[" * 100_000) == "application/json"
