"""The dashboard in Chromium: by keyboard, on a phone, in the dark, whatever stands in the store."""

import base64
import hashlib
import io

import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.served import serving
from tasks.artifacts.documents import load_json, save_json
from tests.pages.browser import driving, elsewhere_opened
from tests.serving.champions import make_onnx, publish
from tests.serving.watched import write_as_others_do

pytestmark = pytest.mark.needs("chromium")

KEY = "a-key-of-32-characters-or-so-0001"
PHONE = (420, 900)
SILENCE_REFUSED = {("/watch/silence", "401"), ("/watch/silence", "403")}
RAN = "document.documentElement.dataset.ran"
FOCUSED = """(() => { const one = document.activeElement; return [one.tagName, one.name || "",
    one.innerText || "", one.matches(":focus-visible")] })()"""


@pytest.fixture(scope="module")
def elsewhere():
    with elsewhere_opened() as opened:
        yield opened


@pytest.fixture(scope="module")
def server(tmp_path_factory, elsewhere):
    """One whose store and registry hold lures, and which asks for a key."""
    folder = tmp_path_factory.mktemp("lures")
    for slope in (0.01, 0.02):
        publish(folder, make_onnx(slope))
    lures = (
        f"</title></style><script>{RAN}=1</script><img src={elsewhere[0]}/image onerror={RAN}=1>"
        f"<iframe src={elsewhere[0]}/frame></iframe><form action={elsewhere[0]}/form>"
    )
    write_as_others_do(folder, lures)
    registry = load_json(folder / "models/registry.json")
    registry["versions"][0]["md5"] = "0" * 32
    registry["aliases"]["previous"] = 1
    save_json(registry, folder / "models/registry.json")
    (folder / "key").write_text(KEY)
    with serving(folder, key=f"file:{folder / 'key'}") as server:
        yield server


@pytest.fixture
def tab(server, tmp_path):
    with driving(tmp_path, *PHONE) as tab:
        # As somebody who answers the browser's question once.
        tab.open(server.address.replace("://", f"://Ada:{KEY}@") + "/watch/rollback")
        tab.open(f"{server.address}/watch")
        yield tab


def walk(tab, most=60):
    """What Tab comes by from the top, once round."""
    found = []
    for _ in range(most):
        tab.press("Tab")
        one = tuple(tab.evaluate(FOCUSED))
        if one[0] == "BODY" or one in found[:1]:
            break
        found.append(one)
    return found


def go_to(tab, text):
    """By Tab alone, to what has such a name or text."""
    for _ in range(60):
        tab.press("Tab")
        _, name, said, _ = tab.evaluate(FOCUSED)
        if text in (name, *said.split("\n")) or said.startswith(text):
            return
    raise AssertionError(f"{text} is not reached")


def test_nothing_runs_nothing_leaves_and_nothing_is_wider_than_a_phone(tab, server, elsewhere):
    assert tab.evaluate("document.title") == "Tilth: production"
    assert tab.evaluate(f"{RAN} === undefined && document.scripts.length === 0")
    assert tab.evaluate("document.body.innerText.includes('<iframe')")
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert elsewhere[1] == []
    assert all(one.startswith((server.address, "data:image/png")) for one in tab.asked[1:])
    # Nor where markup got through: the policy stops it, and forms lead home alone.
    tab.evaluate(
        f"""document.body.insertAdjacentHTML("beforeend", `<img src="{elsewhere[0]}/a">
        <iframe src="{elsewhere[0]}/b"></iframe><b onclick="{RAN}=1" id=lure>x</b>
        <form id=away action="{elsewhere[0]}/c"><input name=a></form>`);
        lure.click(); away.submit()"""
    )
    tab.wait_for("document.querySelector('iframe') !== null")
    assert tab.evaluate(f"{RAN} === undefined")
    assert elsewhere[1] == []


def test_it_is_dark_where_people_want_it_dark(tab):
    feature = [{"name": "prefers-color-scheme", "value": "dark"}]
    tab.call("Emulation.setEmulatedMedia", features=feature)
    colour = "getComputedStyle(document.body)"
    assert tab.evaluate(f"{colour}.backgroundColor") == "rgb(23, 25, 22)"
    assert tab.evaluate(f"{colour}.color") == "rgb(230, 231, 224)"
    taken = tab.call("Page.captureScreenshot", format="png")["data"]
    with Image.open(io.BytesIO(base64.b64decode(taken))) as opened:
        assert opened.convert("RGB").getpixel((2, 2)) == (23, 25, 22)


def test_all_that_may_be_done_is_done_by_keyboard(tab, server):
    found = walk(tab)
    said = [" ".join(text.split()) for _, _, text, _ in found]
    assert all(is_seen for *_, is_seen in found)
    assert said[0] == "Skip to content"
    for text in ("7 days", "Acknowledge the episode: Drift", "Silence the episode: Drift",
                 "Roll back to version 1 …"):  # fmt: skip
        assert text in said, said
    assert {"by", "hours"} <= {name for _, name, *_ in found}

    tab.open(f"{server.address}/watch?days=1")
    go_to(tab, "by")
    assert tab.evaluate("document.activeElement.value") == "Ada"
    tab.call("Input.insertText", text=" L.")
    go_to(tab, "Acknowledge")
    tab.press("Enter", "\r")
    tab.wait_for("document.body.innerText.includes('Taken on by')")
    assert tab.evaluate("location.hash") == "#section-2"

    go_to(tab, "Roll back to version 1 …")
    tab.press("Enter", "\r")
    tab.wait_for("document.title === 'Roll back?'")
    go_to(tab, "Roll back to version 1")
    tab.press("Enter", "\r")
    # In no checkout it fails, and says so.
    tab.wait_for("document.body.innerText.includes('Rollback of 2')")
    assert tab.evaluate("location.pathname + location.hash") == "/watch"


def refused_at(server):
    """How often somebody who may not was told so."""
    with server.client() as client:
        told = client.get("/metrics", headers={"Authorization": f"Bearer {KEY}"}).text
    families = text_string_to_metric_families(told)
    return sum(
        one.value
        for family in families
        for one in family.samples
        if one.name == "tilth_requests_total"
        and (one.labels["path"], one.labels["status"]) in SILENCE_REFUSED
    )


def test_a_report_runs_its_own_script_and_gets_no_hold_of_this_site(tab, server):
    checks = server.folder / "runs/monitoring/checks"
    checks.mkdir(parents=True)
    inline = "document.documentElement.dataset.inline = window.origin"
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    policy = f"default-src 'none'; script-src 'self' 'sha256-{digest}'"
    (checks / "20260301T110000-20260302T110000.html").write_text(
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><script>{inline}</script>'
        '<script src="evidently-0123456789ab.js"></script>'
    )
    (checks / "20260302T110000-20260303T110000.html").write_text(
        "<script>fetch('/watch/silence', {method: 'POST', body: new URLSearchParams({hours: 1})})"
        ".catch(() => 0).finally(() => document.documentElement.dataset.asked = window.origin)"
        "</script>"
    )
    (checks / "evidently-0123456789ab.js").write_text("document.documentElement.dataset.bundle = 1")
    tab.open(f"{server.address}/watch/reports/20260301T110000-20260302T110000.html")
    tab.wait_for("document.documentElement.dataset.bundle === '1'")
    assert tab.evaluate("document.documentElement.dataset.inline") == "null"
    # One that somebody tampered with asks, and is told off.
    before = refused_at(server)
    tab.open(f"{server.address}/watch/reports/20260302T110000-20260303T110000.html")
    tab.wait_for("document.documentElement.dataset.asked === 'null'")
    assert refused_at(server) == before + 1
