"""Is the URL of a database read as it is meant?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.places import BadAddress, Cluster, Group, Login, parse_cluster, parse_group, shown

NOBODY = Login(None, None)


@pytest.mark.parametrize(
    ("url", "group"),
    [
        (
            "redis+sentinel://h1:26379,h2,h3/mymaster/0",
            Group((("h1", 26379), ("h2", 26379), ("h3", 26379)), NOBODY, "mymaster", NOBODY, False, 0),
        ),
        ("redis+sentinel://h1:7/m", Group((("h1", 7),), NOBODY, "m", NOBODY, False, 0)),
        (
            "rediss+sentinel://user:p%40ss@[::1]:7/m/3?sentinel_password=s",
            Group((("::1", 7),), Login(None, "s"), "m", Login("user", "p%40ss"), True, 3),
        ),
        ("redis+sentinel://:hush@h1/m", Group((("h1", 26379),), NOBODY, "m", Login(None, "hush"), False, 0)),
        ("redis://h1:6379/0", None),
        ("unix:///run/valkey.sock", None),
    ],
)
def test_a_group_is_told_from_one_server(url: str, group: Group | None) -> None:
    assert parse_group(url) == group


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis+sentinel://h1,h2", "name the group"),
        ("redis+sentinel://h1/", "name the group"),
        ("redis+sentinel://h1/m/x", "name the group"),
        ("redis+sentinel://h1,,h2/m", "commas"),
        ("redis+sentinel://h1:99999/m", "host:port"),
        ("redis+sentinel://u:secret@h1/m?db=1", "sentinel_password, sentinel_username"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(url: str, says: str) -> None:
    with pytest.raises(BadAddress, match=says) as problem:
        parse_group(url)
    assert "secret" not in str(problem.value)


@given(st.text(max_size=60))
def test_any_text_is_a_group_or_none_or_wrong(text: str) -> None:
    for scheme in ("redis", "rediss"):
        try:
            assert parse_group(f"{scheme}+sentinel://{text}") is not None
        except BadAddress:
            continue


@pytest.mark.parametrize(
    ("url", "cluster"),
    [
        ("redis+cluster://h1:7000,h2", Cluster((("h1", 7000), ("h2", 6379)), NOBODY, False)),
        ("rediss+cluster://u:p@[::1]:7000/", Cluster((("::1", 7000),), Login("u", "p"), True)),
        ("redis://h1/0", None),
        ("redis+sentinel://h1/m", None),
    ],
)
def test_a_cluster_is_told_from_the_others(url: str, cluster: Cluster | None) -> None:
    assert parse_cluster(url) == cluster


@pytest.mark.parametrize("url", ["redis+cluster://", "redis+cluster://h1/0", "redis+cluster://h1,,h2", "redis+cluster://h1:0x1"])
def test_a_cluster_is_given_by_its_nodes(url: str) -> None:
    with pytest.raises(BadAddress, match=r"h1:6379,h2,h3|host:port"):
        parse_cluster(url)


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("redis://h1:6379/0", "redis://h1:6379/0"),
        ("rediss://user:hush@h1:6379/0?ssl_ca_certs=x", "rediss://h1:6379/0"),
        ("redis+sentinel://:hush@h1,h2:7/m/0?sentinel_password=hush", "redis+sentinel://h1,h2:7/m/0"),
        ("redis+cluster://u:a@b@h1:7", "redis+cluster://h1:7"),
        ("unix:///run/valkey.sock", "unix:///run/valkey.sock"),
        ("redis://:hu/sh@h1/0", "redis://…"),
        ("redis://:hu?sh@h1/0", "redis://…"),
        ("redis://h1/0?password=hu@sh", "redis://…"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, seen: str) -> None:
    assert shown(url) == seen
