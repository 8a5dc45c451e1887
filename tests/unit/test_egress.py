"""Which addresses may be dialled and which URLs registered: the tables, row by row."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from relay.egress import Policy, Verdict, check_url, classify, normalise

OPEN = Policy()
LOOPBACK = Policy.of(["127.0.0.0/8", "::1/128"], allow_http=True)
PRIVATE = Policy.of(["10.0.0.0/8"], allow_http=True)

# Every row of IANA's special-purpose registries (2025-10-09), and what else must not be dialled.
DENIED_V4 = [
    "0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32", "192.0.0.10/32", "192.0.0.170/31",
    "192.0.2.0/24",
    "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.88.99.2/32", "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "255.255.255.255/32",
    "224.0.0.0/4", "168.63.129.16/32",
]  # fmt: skip
DENIED_V6 = [
    "::1/128", "::/128", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
    "100:0:0:1::/64",
    "2001::/23", "2001::/32", "2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:2::/48",
    "2001:3::/32",
    "2001:4:112::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16",
    "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10",
    "::/96", "::ffff:0:0:0/96", "fec0::/10", "ff00::/8", "3ffe::/16", "4000::/3", "8000::/1", "1::/16",
]  # fmt: skip


def _edges(network: IPv4Network | IPv6Network) -> list[str]:
    return [str(network[0]), str(network[-1]), str(network[network.num_addresses // 2])]


@pytest.mark.parametrize("text", DENIED_V4 + DENIED_V6)
def test_special_networks_are_not_dialled(text: str) -> None:
    for address in _edges(ip_network(text)):
        verdict = classify(address, OPEN)
        assert not verdict.is_allowed, (address, verdict)


HOSTILE = {
    "127.0.0.1": Verdict.LOOPBACK,
    "127.255.255.254": Verdict.LOOPBACK,
    "::1": Verdict.LOOPBACK,
    "10.1.2.3": Verdict.PRIVATE,
    "172.31.255.255": Verdict.PRIVATE,
    "192.168.0.1": Verdict.PRIVATE,
    "fd12::1": Verdict.PRIVATE,
    "fec0::1": Verdict.PRIVATE,
    "100.64.0.1": Verdict.SHARED,
    "169.254.169.254": Verdict.LINK_LOCAL,
    "169.254.170.2": Verdict.LINK_LOCAL,
    "fe80::1": Verdict.LINK_LOCAL,
    "168.63.129.16": Verdict.METADATA,
    "100.100.100.200": Verdict.METADATA,
    "192.0.0.192": Verdict.METADATA,
    "fd00:ec2::254": Verdict.METADATA,
    "fd20:ce::254": Verdict.METADATA,
    "224.0.0.1": Verdict.MULTICAST,
    "ff02::1": Verdict.MULTICAST,
    "255.255.255.255": Verdict.RESERVED,
    "0.0.0.0": Verdict.RESERVED,
    "::": Verdict.RESERVED,
    "192.88.99.1": Verdict.RESERVED,
    "5f00::1": Verdict.RESERVED,
    "4000::1": Verdict.RESERVED,
    "3ffe::1": Verdict.RESERVED,
    "203.0.113.9": Verdict.DOCUMENTATION,
    "2001:db8::1": Verdict.DOCUMENTATION,
    "3fff::1": Verdict.DOCUMENTATION,
    "::127.0.0.1": Verdict.EMBEDS_IPV4,
    "::ffff:127.0.0.1": Verdict.EMBEDS_IPV4,
    "::ffff:8.8.8.8": Verdict.EMBEDS_IPV4,
    "::ffff:0:127.0.0.1": Verdict.EMBEDS_IPV4,
    "64:ff9b::7f00:1": Verdict.EMBEDS_IPV4,
    "64:ff9b:1::1": Verdict.EMBEDS_IPV4,
    "2001:0:1234::1": Verdict.EMBEDS_IPV4,
    "2002:7f00:1::1": Verdict.EMBEDS_IPV4,
    "2606:4700::5efe:7f00:1": Verdict.EMBEDS_IPV4,
    "2606:4700::200:5efe:7f00:1": Verdict.EMBEDS_IPV4,
    "fe80::1%eth0": Verdict.SCOPED,
    "2606:4700::1%1": Verdict.SCOPED,
    "": Verdict.NOT_AN_ADDRESS,
    "127.1": Verdict.NOT_AN_ADDRESS,
    "2130706433": Verdict.NOT_AN_ADDRESS,
    "0177.0.0.1": Verdict.NOT_AN_ADDRESS,
    "localhost": Verdict.NOT_AN_ADDRESS,
}


@pytest.mark.parametrize(("address", "verdict"), HOSTILE.items())
def test_hostile_addresses_are_told_apart(address: str, verdict: Verdict) -> None:
    assert classify(address, OPEN) is verdict
    assert not verdict.is_allowed


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "198.20.0.1", "223.255.255.255",
     "2606:4700:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888", "2001:200::1"],
)  # fmt: skip
def test_public_addresses_are_dialled(address: str) -> None:
    assert classify(address, OPEN) is Verdict.PUBLIC


def test_an_operator_may_allow_a_network_and_only_that() -> None:
    assert classify("10.9.8.7", PRIVATE) is Verdict.ALLOWED
    assert classify("192.168.1.1", PRIVATE) is Verdict.PRIVATE
    assert classify("127.0.0.1", PRIVATE) is Verdict.LOOPBACK
    assert classify("::1", LOOPBACK) is Verdict.ALLOWED
    assert classify("::ffff:127.0.0.1", LOOPBACK) is Verdict.EMBEDS_IPV4
    assert classify("fe80::1%lo", Policy.of(["fe80::/10"])) is Verdict.SCOPED


def test_behind_an_allowed_nat64_what_is_public_is_reached_and_nothing_else() -> None:
    only_v6 = Policy.of(["64:ff9b::/96"])
    assert classify("64:ff9b::8.8.8.8", only_v6) is Verdict.ALLOWED
    for inner in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "168.63.129.16", "0.0.0.0"):
        assert classify(f"64:ff9b::{inner}", only_v6) is Verdict.EMBEDS_IPV4
    assert classify("64:ff9b::10.0.0.1", Policy.of(["64:ff9b::/96", "10.0.0.0/8"])) is Verdict.ALLOWED
    assert classify("::ffff:127.0.0.1", Policy.of(["::/0"])) is Verdict.EMBEDS_IPV4
    assert classify("2002:7f00:1::1", Policy.of(["2002::/16"])) is Verdict.EMBEDS_IPV4


@given(st.text(max_size=50))
def test_no_text_makes_classify_fail(text: str) -> None:
    assert isinstance(classify(text, OPEN), Verdict)


def test_a_network_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        Policy.of(["10.0.0.1/8"])


# --- URLs ------------------------------------------------------------------------------------------

REFUSED = {
    "http://hooks.contoso.com/": "https",
    "ftp://hooks.contoso.com/": "https://",
    "//hooks.contoso.com/": "https://",
    "hooks.contoso.com/x": "https://",
    "": "https://",
    "https://": "https",
    "https:///path": "https",
    "mailto:aoi@contoso.com": "https://",
    "https://u:p@hooks.contoso.com/": "Authorization header",
    "https://u@hooks.contoso.com/": "Authorization header",
    "https://:p@hooks.contoso.com/": "Authorization header",
    "https://hooks.contoso.com/#part": "fragment",
    "https://hooks.contoso.com/#": "fragment",
    "https://127.0.0.1/": "public internet",
    "https://[::1]/": "public internet",
    "https://[::ffff:127.0.0.1]/": "public internet",
    "https://[::1%25lo]/": "",
    "https://[fe80::1%25eth0]/": "",
    "https://169.254.169.254/latest/meta-data": "public internet",
    "https://10.0.0.1/": "public internet",
    "https://2130706433/": "number",
    "https://127.1/": "number",
    "https://0177.0.0.1/": "number",
    "https://0/": "number",
    "https://127.0.0.1./": "public internet",
    "https://0x7f000001/": "number",
    "https://0x7f.1/": "number",
    "https://contoso.0x7f/": "number",
    "https://①②⑦.⓪.⓪.①/": "public internet",
    "https://１２７.0.0.1/": "public internet",
    "https://127。0。0。1/": "public internet",
    "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/": "machine itself",
    "https://LOCALHOST/": "machine itself",
    "https://localhost./": "machine itself",
    "https://app.localhost/": "machine itself",
    "https://127.0.0.1:1\\@contoso.com/": "backslash",
    "https://contoso.com\\@evil.com/": "backslash",
    "https://a b/": "space",
    "https://contoso.com/a b": "space",
    "https://contoso.com/\r\nX: y": "control",
    "https://contoso.com/\x00": "control",
    "\thttps://contoso.com/": "control",
    "https://contoso.com\u2028/": "control",
    "https://con%74oso.com/": "",
    "https://%31%32%37.0.0.1/": "",
    "https://-contoso.com/": "valid name",
    "https://contoso..com/": "",
    "https://.contoso.com/": "",
    "https://contoso.com../": "",
    "https://con!toso.com/": "valid name",
    "https://" + "a" * 64 + ".com/": "",
    "https://" + "a." * 130 + "com/": "",
    "https://receiver/": "single word",
    "https://metadata/": "reserved",
    "https://metadata.google.internal/": "reserved",
    "https://instance-data/": "reserved",
    "https://printer.local/": "private network",
    "https://db.internal/": "private network",
    "https://x.localdomain/": "private network",
    "https://x.home.arpa/": "private network",
    "https://x.test/": "private network",
    "https://x.onion/": "reserved",
    "https://hooks.fabrikam.example/": "reserved",
    "https://x.invalid/": "reserved",
    "https://contoso.com:0/": "Port 0",
    "https://contoso.com:22/": "Port 22",
    "https://contoso.com:25/": "Port 25",
    "https://contoso.com:80/": "Port 80",
    "https://contoso.com:3306/": "Port 3306",
    "https://contoso.com:5432/": "Port 5432",
    "https://contoso.com:6379/": "Port 6379",
    "https://contoso.com:9200/": "Port 9200",
    "https://contoso.com:11211/": "Port 11211",
    "https://contoso.com:65536/": "",
    "https://contoso.com:-1/": "",
    "https://contoso.com:x/": "",
    "https://contoso.com/" + "a" * 2048: "2048 characters",
    "https://[::1/": "",
    "https://[not-an-address]/": "",
}


@pytest.mark.parametrize(("url", "says"), REFUSED.items())
def test_urls_that_must_not_be_called_are_refused_with_a_cure(url: str, says: str) -> None:
    problems = check_url(url, OPEN)
    assert any(says in problem.detail for problem in problems), problems
    assert all(problem.detail.endswith(".") for problem in problems)
    with pytest.raises(ValueError, match=re.escape(problems[0].detail)):
        normalise(url, OPEN)


ACCEPTED = {
    "https://hooks.contoso.com/transfers": "https://hooks.contoso.com/transfers",
    "https://HOOKS.Contoso.COM": "https://hooks.contoso.com/",
    "https://hooks.contoso.com./x": "https://hooks.contoso.com/x",
    "https://hooks.contoso.com:443/x?a=1&b=%20c": "https://hooks.contoso.com/x?a=1&b=%20c",
    "https://hooks.contoso.com:8443/": "https://hooks.contoso.com:8443/",
    "https://hooks.contoso.com:8080/": "https://hooks.contoso.com:8080/",
    "https://hooks.contoso.com:9443/": "https://hooks.contoso.com:9443/",
    "https://my_app.contoso.com/": "https://my_app.contoso.com/",
    "https://日本語.jp/受信": "https://xn--wgv71a119e.jp/%E5%8F%97%E4%BF%A1",
    "https://8.8.8.8/": "https://8.8.8.8/",
    "https://[2606:4700:4700::1111]:8443/": "https://[2606:4700:4700::1111]:8443/",
    "https://3com.com/": "https://3com.com/",
    "https://contoso.com/a/../b": "https://contoso.com/b",
    "https://contoso.com/%2e%2e/b": "https://contoso.com/b",
    "https://contoso.com?x=1": "https://contoso.com/?x=1",
}


@pytest.mark.parametrize(("url", "sent"), ACCEPTED.items())
def test_good_urls_pass_and_have_one_form(url: str, sent: str) -> None:
    assert check_url(url, OPEN) == []
    normal = normalise(url, OPEN)
    assert str(normal) == sent
    assert URL(sent, encoded=True) == normal
    assert normalise(sent, OPEN) == normal


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9999/hook", "http://127.0.0.1:1/", "http://127.0.0.1:6379/",
     "http://[::1]:40001/", "http://localhost:9999/",
     "https://localhost/", "http://app.localhost:25/", "http://receiver:8080/hook",
     "http://hooks.contoso.com/"],
)  # fmt: skip
def test_an_allowed_loopback_may_be_called_on_any_port(url: str) -> None:
    assert check_url(url, LOOPBACK) == []


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:0/", "http://10.0.0.1/", "http://u:p@127.0.0.1/", "http://receiver:22/",
     "http://metadata/",
     "http://metadata.google.internal/", "http://x.internal/", "http://2130706433/", "http://0x7f.1/",
     "http://127.1/"],
)  # fmt: skip
def test_an_allowed_loopback_opens_nothing_else(url: str) -> None:
    assert check_url(url, LOOPBACK) != []


def test_a_private_network_opens_its_names_but_not_localhost() -> None:
    for url in (
        "http://10.1.1.1:6379/",
        "http://receiver.prod.internal/",
        "http://receiver:3000/",
        "https://x.test/",
    ):
        assert check_url(url, PRIVATE) == []
    for url in (
        "http://localhost/",
        "http://127.0.0.1/",
        "http://metadata.google.internal/",
        "http://receiver:6379/",
    ):
        assert check_url(url, PRIVATE) != []


def test_an_operator_may_allow_a_port() -> None:
    assert check_url("https://contoso.com:6443/", OPEN) != []
    assert check_url("https://contoso.com:6443/", Policy.of(allowed_ports=[6443])) == []


def test_all_problems_are_said_at_once() -> None:
    said = " ".join(problem.detail for problem in check_url("http://u:p@127.0.0.1:22/#x", OPEN))
    for part in ("https", "Authorization", "fragment", "public internet", "Port 22"):
        assert part in said


_HOSTILE_TEXT = st.text(alphabet=st.sampled_from("ahtps:/@.\\#?%[]0123456789x①。 \n‮é-_"), max_size=40)


@given(st.one_of(st.text(max_size=60), _HOSTILE_TEXT, _HOSTILE_TEXT.map(lambda text: "https://" + text)))
@example("https://[]@")
def test_what_passes_is_what_is_sent(text: str) -> None:
    for policy in (OPEN, LOOPBACK):
        if check_url(text, policy):
            continue
        normal = normalise(text, policy)
        again = URL(str(normal), encoded=True)
        assert again == normal
        assert check_url(str(again), policy) == []
        assert again.raw_user is None
        assert again.raw_host is not None
        assert again.raw_host.isascii()
        verdict = classify(again.raw_host, policy)
        assert verdict is Verdict.NOT_AN_ADDRESS or verdict.is_allowed
