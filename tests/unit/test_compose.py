"""What is in a message: every type, audience and language, in both parts."""

from __future__ import annotations

import re
from email.message import EmailMessage

import orjson
import pytest

from relay.errors import MessageError
from relay.mail.compose import MAX_HTML
from relay.mail.flow import WIDTH, columns
from relay.mail.samples import CHOOSE_AT, LINK
from relay.model import Audience
from tests.fakes.mails import (
    EVERY,
    LOCALES,
    SAMPLES,
    both,
    compose,
    parsed,
    seen,
    squeezed,
)

# --- every message -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "locale"), EVERY)
def test_every_message_carries_its_facts_in_both_parts(name: str, locale: str) -> None:
    sample = SAMPLES[name]
    message = compose(sample, locale)
    view = orjson.loads(sample.body)["data"]
    facts: list[str] = []
    if sample.kind == "daily":
        for one in view["views"]:
            about = one["data"].get("transfer") or one["data"].get("endpoint")
            facts.append(about["id"] if about else one["data"]["agent"]["email"])
    elif sample.kind == "endpoint":
        facts = ["ep_01jd8m2k", "hooks.fabrikam.example", "Fabrikam Distribution Ltd."]
        assert all(re.search(r"1[,.\u202f]?234", part) for part in both(message))
    elif sample.kind == "agent":
        facts = ["aoi.tanaka@fabrikam.example", "葵 田中", "Fabrikam Distribution Ltd.", view["status"], view["detail"]]
    else:
        transfer = view["transfer"]
        facts = [transfer["id"], transfer["source"]["name"], transfer["target"]["name"]]
        if "customer" in transfer:
            facts.append(transfer["customer"]["name"])
        for item in transfer["items"]:
            facts += [
                str(value) for key, value in item.items() if key in ("id", "imsi", "iccid", "sim_id", "name")
            ]
            facts += [item["error"]["code"], item["error"]["message"]] if item.get("error") else []
    for part in both(message):
        for fact in facts:
            assert squeezed(fact) in part
        assert "{{" not in part and "{%" not in part and "mark" + "-" not in part


@pytest.mark.parametrize(("name", "locale"), EVERY)
def test_the_parts_say_the_same(name: str, locale: str) -> None:
    """Each line of the text, but for its ornaments, is in the page."""
    text, page = compose(SAMPLES[name], locale), None
    page = squeezed("".join(seen(text.html).words))
    for paragraph in re.split(r"\n\n+", text.text):
        for line in paragraph.split("\n"):
            words = squeezed(re.sub(r"^(== | *\d+\. |\* |-- $)| ==$", "", line))
            if line == CHOOSE_AT:  # a link on the words before it
                continue
            if "  " in line.strip():  # label and value stand in cells of their own
                continue
            assert words in page, line


@pytest.mark.parametrize(("name", "locale"), EVERY)
def test_the_id_comes_first_alone_on_its_line(name: str, locale: str) -> None:
    sample = SAMPLES[name]
    message = compose(sample, locale)
    data = orjson.loads(sample.body)["data"]
    if sample.kind == "daily":  # of several; its first line is the day
        assert re.search(r"21.*2026|2026.*21", message.text.split("\n")[1])
        return
    identity = data["agent"]["email"] if sample.kind == "agent" else (data.get("transfer") or data["endpoint"])["id"]
    assert message.text.split("\n")[1] == identity
    assert re.search(rf'<p class="id code"[^>]*monospace[^>]*>{re.escape(identity)}</p>', message.html)


@pytest.mark.parametrize(("name", "locale"), EVERY)
def test_the_page_is_sound(name: str, locale: str) -> None:
    message = compose(SAMPLES[name], locale)
    page = seen(message.html)
    assert len(message.html.encode()) < MAX_HTML
    assert page.tags[0] == ("html", {"lang": locale, "dir": "ltr"})
    wrapper = next(attrs for tag, attrs in page.tags if tag == "div")
    assert wrapper["lang"] == locale
    assert not [tag for tag, _ in page.tags if tag in ("img", "link", "iframe", "form")]
    scripts = [attrs for tag, attrs in page.tags if tag == "script"]
    assert scripts == ([{"type": "application/ld+json"}] if "with-link" in name else [])
    for tag, attrs in page.tags:
        if tag == "table":
            assert attrs.get("role") == "presentation" or attrs["class"] == "facts"
        if tag == "a":
            assert attrs["href"] in (LINK, CHOOSE_AT)
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert "prefers-color-scheme: dark" in message.html and 'name="color-scheme"' in message.html
    hidden = re.search(r"display:none[^>]*>([^\u034f]*)", message.html)
    assert hidden and 10 <= columns(hidden.group(1)) and len(hidden.group(1)) <= 130
    assert message.subject in message.html.replace("&#39;", "'").replace("&amp;", "&")


@pytest.mark.parametrize(("name", "locale"), EVERY)
def test_the_text_fits_a_terminal(name: str, locale: str) -> None:
    for line in compose(SAMPLES[name], locale).text.split("\n"):
        assert columns(line) <= WIDTH + 2 or line.startswith("https://"), line


@pytest.mark.parametrize(("name", "locale"), EVERY)
def test_the_bytes_parse_back(name: str, locale: str) -> None:
    message = compose(SAMPLES[name], locale)
    mail = parsed(message)
    assert not mail.defects
    body = mail.get_payload(0) if mail.get_content_type() == "multipart/mixed" else mail
    assert isinstance(body, EmailMessage) and body.get_content_type() == "multipart/alternative"
    plain, page = body.iter_parts()
    assert (plain.get_content_type(), page.get_content_type()) == ("text/plain", "text/html")
    assert plain.get_content().replace("\r\n", "\n") == message.text
    assert page.get_content().replace("\r\n", "\n") == message.html
    assert mail["Subject"] == message.subject
    for line in message.raw.split(b"\r\n"):
        assert len(line) <= 998 and b"\n" not in line and b"\r" not in line


# --- what the issue asks of the words ------------------------------------------------------------------

SAYS: list[tuple[str, list[str], list[str]]] = [
    (
        "subscription-created-source",
        [
            "Pending",
            "20 December 2026, 01:02 UTC",
            "within 30 days",
            "not obliged",
            "Only admin agents",
            "chooses the items",
            "support cannot make",
            "a canceled request cannot be accepted",
            "usually takes 15 minutes",
            "at most 72 hours",
            "mostly less than an hour",
            "Counted from acceptance",
            "Azure reservations",
        ],
        [
            "保留中",
            "2026年12月20日(日) 10:02 JST",
            "30 日以内",
            "承認の義務はありません",
            "管理者エージェントのみ",
            "品目はソース パートナーが選択",
            "パートナー サポートが承認を強制することもできません",
            "キャンセルされたリクエストは承認できません",
            "通常 15 分",
            "最大 72 時間",
            "1 時間未満",
            "承認から起算",
            "Azure 予約",
        ],
    ),
    (
        "subscription-created-source-all-products",
        ["All product types are asked for", "has not been checked", "Azure plan"],
        ["すべての製品の種類がリクエスト", "Azure プランの構成は検証されていません"],
    ),
    (
        "subscription-created-customer",
        [
            "You don't need to do anything.",
            "The target partner, Fabrikam Distribution Ltd., started this",
        ],
        [
            "お手続きは必要ありません。",
            "この譲渡を開始したのはターゲット パートナーの Fabrikam Distribution Ltd. です",
        ],
    ),
    (
        "subscription-updated-target",
        ["In progress", "under its new ID", "72 hours"],
        ["進行中", "新しい ID", "最大 72 時間"],
    ),
    (
        "subscription-completed-target",
        ["Completed", "New ID", "9B1C0000-0000-4000-8000-00000000000A", "25"],
        ["完了", "新しい ID", "9B1C0000-0000-4000-8000-00000000000B", "25"],
    ),
    (
        "subscription-partially-completed-source",
        ["Partially completed", "retry the failed items", "900145"],
        ["部分的に完了", "失敗した品目の再処理", "900145"],
    ),
    (
        "subscription-partially-completed-target",
        ["Send a new transfer request"],
        ["新しい譲渡リクエストを送信"],
    ),
    (
        "subscription-failed-source",
        ["Failed", "ask Fabrikam Distribution Ltd. to send a new transfer request"],
        ["失敗", "新しい譲渡リクエストの送信を Fabrikam Distribution Ltd. 様へ"],
    ),
    (
        "subscription-expired-target",
        ["Expired", "within 30 days", "send a new transfer request"],
        ["期限切れ", "30 日以内", "新しい譲渡リクエストを送信"],
    ),
    (
        "subscription-canceled-source",
        ["Canceled", "can no longer be accepted", "has to send a new request"],
        ["キャンセル", "承認できなくなりました", "新しい譲渡リクエストの送信"],
    ),
    (
        "subscription-stalled-source",
        ["72 hours", "was not reported to us", "contact support"],
        ["72 時間", "当システムが判断", "パートナー サポートへ"],
    ),
    (
        "sim-created-target-root-with-link",
        [
            LINK,
            "payment method",
            "In that same browser",
            "coverage type",
            "Transferring",
            "until the day before",
            "no transfer fee",
            "another procedure",
            "tags, expiry date, termination protection, group, event handlers",
            "cannot be undone",
            "test only at the destination",
            "cancels the whole batch",
        ],
        [
            LINK,
            "支払い方法",
            "同じブラウザ",
            "カバレッジタイプ",
            "譲渡手続き中",
            "譲渡日の前日分まで",
            "譲渡手数料は発生しません",
            "別の手続き",
            "タグ、有効期限、解約保護、グループ、イベントハンドラー",
            "戻すことはできません",
            "動作確認は、譲渡先でのみ",
            "すべてキャンセル",
        ],
    ),
    (
        "sim-created-target-root",
        ["the platform itself sends the link to you"],
        ["プラットフォームから、譲渡先のルートユーザー"],
    ),
    (
        "sim-created-target",
        ["the platform itself sends the link"],
        ["プラットフォームから、譲渡先のルートユーザー"],
    ),
    (
        "sim-created-source",
        ["do not change their status", "cancels the whole batch", "root user"],
        ["ステータスを変更したりしないで", "すべてキャンセル", "ルートユーザー"],
    ),
    (
        "sim-updated-source",
        ["Transferring", "A transfer fee is due", "20th"],
        ["譲渡手続き中", "譲渡手数料が発生", "20 日"],
    ),
    (
        "sim-completed-target",
        ["20 November 2026", "from 21 November 2026", "Set up what you need again"],
        ["2026年11月20日(金)", "2026年11月21日(土)", "あらためて"],
    ),
    (
        "sim-partially-completed-source",
        ["Partially completed", "Active", "costs a fee"],
        ["部分的に完了", "使用中 (active)", "譲渡手数料"],
    ),
    ("sim-failed-target", ["Failed", "only the source operator"], ["失敗", "譲渡元のみ"]),
    (
        "sim-canceled-target",
        ["whole batch", "ask つばめIoT for a new transfer"],
        ["すべて対象", "新しい譲渡をご依頼"],
    ),
    (
        "endpoint-warned",
        ["HTTP 502", "will be disabled", "25 November 2026", "2xx"],
        ["HTTP 502", "無効", "11月25日", "2xx"],
    ),
    ("endpoint-disabled", ["was disabled on", "enable it again"], ["無効になりました", "再び有効"]),
    (
        "endpoint-recovered",
        ["accepting deliveries again", "You don't need to do anything"],
        ["再び成功", "必要ありません"],
    ),
]


@pytest.mark.parametrize(("name", "english", "japanese"), SAYS, ids=[row[0] for row in SAYS])
def test_what_must_be_said_is_said_in_both_parts(name: str, english: list[str], japanese: list[str]) -> None:
    for locale, phrases in (("en", english), ("ja", japanese)):
        message = compose(SAMPLES[name], locale)
        whole = (squeezed(message.subject) + part for part in both(message))
        for part in whole:
            for phrase in phrases:
                assert squeezed(phrase) in part, phrase


@pytest.mark.parametrize("locale", LOCALES)
def test_what_a_mail_reader_may_offer_to_do_is_in_the_root_user_s_mail_alone(locale: str) -> None:
    """Gmail's mark-up: a button beside the subject, which goes where the one in the mail goes."""
    for sample in SAMPLES.values():
        found = re.findall(r'<script type="application/ld\+json">(.*?)</script>', compose(sample, locale).html, re.DOTALL)
        assert bool(found) == (sample.url is not None), sample.name
        for one in found:
            said = orjson.loads(one)
            action = said["potentialAction"]
            assert (said["@context"], said["@type"]) == ("http://schema.org", "EmailMessage")
            assert (action["@type"], action["target"], action["url"]) == ("ViewAction", LINK, LINK)
            assert action["name"] in on_one_line(compose(sample, locale).text) and said["description"]


def on_one_line(text: str) -> str:
    return " ".join(text.split())


def test_no_link_ends_the_mark_up_early() -> None:
    url = "https://a.example/</script><script>alert(1)</script>?a=1&b=2"
    html = compose(SAMPLES["sim-created-target-root-with-link"], "en", acceptance_url=url).html
    assert [attrs for tag, attrs in seen(html).tags if tag == "script"] == [{"type": "application/ld+json"}]
    (found,) = re.findall(r'<script type="application/ld\+json">(.*?)</script>', html, re.DOTALL)
    assert orjson.loads(found)["potentialAction"]["target"] == url


def test_a_link_without_tls_is_no_button_of_the_mail_reader() -> None:
    html = compose(SAMPLES["sim-created-target-root-with-link"], "en", acceptance_url="http://127.0.0.1/accept").html
    assert "http://127.0.0.1/accept" in html and "ld+json" not in html


@pytest.mark.parametrize("locale", LOCALES)
def test_the_link_is_only_in_the_root_user_s_mail(locale: str) -> None:
    for sample in SAMPLES.values():
        message = compose(sample, locale, acceptance_url=LINK)
        root = sample.recipient.with_link and sample.type == "transfer.created"
        assert (LINK in message.text, LINK in message.html) == (root, root), sample.name


def test_a_link_that_is_no_web_link_is_not_sent() -> None:
    sample = SAMPLES["sim-created-target-root-with-link"]
    for url in ("javascript:alert(1)", "https://a.example/\r\nBcc: x", "https://a.example/\u202e"):
        with pytest.raises(MessageError):
            compose(sample, "en", acceptance_url=url)


def test_a_view_without_something_makes_a_mail_without_it() -> None:
    """Nothing but the view is read: what a role may not see cannot be in its mail."""
    for sample in SAMPLES.values():
        if sample.kind != "subscription" or sample.recipient.audience is not Audience.TARGET:
            continue
        for part in both(compose(sample, "en")):
            assert "2FAFDD44" not in part and "637FF8F6" not in part
