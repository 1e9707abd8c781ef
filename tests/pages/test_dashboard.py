"""The dashboard tells what is, offers what may be done, and shows any text as text."""

import pytest

from pages.dashboard import age, dashboard_page, rollback_page
from pages.text import visible
from tests.pages.dashboards import DAY, NOW, a_check, a_content, an_episode, an_overview
from tests.pages.test_render import HOSTILE, Document

NO_OVERVIEW = {"overview": None, "worst": [], "reports": []}
NO_MODELS = {"versions": [], "champion": None, "previous": None, "failure": ""}
NO_WAY = {"is_possible": False, "why_not": "no previous version is known", "tone": "",
          "outcome": ""}  # fmt: skip


def text_of(html: str) -> str:
    return " ".join(Document(html).texts)


def test_it_tells_traffic_drift_accuracy_episodes_and_models():
    html = dashboard_page(a_content())
    said = text_of(html)
    for text in ("Drift: firing since 2026-02-26 12:00 UTC", "504", "840", "20.0 %",
                 "1 hour ago", "floor: 0.05", "alarm", "unreliable, as images differ",
                 "40 predictions of these days", "Why images were refused", "as many days before",
                 "as the model sees them", "champion", "previous", "rolled back",
                 "Roll back to version 1 …", "Taken on by plain", "No reminder before",
                 "Left out, as they cannot be read: 1 of the checks", "2 plain",
                 "2026-03-01 00:00 to 2026-03-02 00:00"):  # fmt: skip
        assert text in said, text
    assert html.count('class="flag"') == 4 + 2 + 5  # alarms, doubts, legends
    assert dashboard_page(a_content()) == html


def test_what_may_be_done_is_done_by_forms_that_name_their_episode():
    document = Document(dashboard_page(a_content()))
    # The one that was taken on already can be silenced alone.
    assert document.values("action") == ["/watch/acknowledge", "/watch/silence", "/watch/silence"]
    assert {value for _, name, value in document.attributes if name == "method"} == {"post"}
    assert document.values("name").count("episode") == 3
    assert "/watch/rollback" in document.values("href")


def test_a_rollback_is_asked_about_first_and_names_what_was_shown():
    document = Document(dashboard_page(a_content()))
    assert "/watch/rollback" not in document.values("action")
    asked = Document(rollback_page(a_content()))
    assert asked.values("action") == ["/watch/rollback"]
    assert asked.values("value") == ["3", "1"]
    assert "/watch" in asked.values("href")
    said = text_of(rollback_page(a_content()))
    assert "Version 1 would be the champion again, in place of 3." in said
    refused = rollback_page(a_content(rollback=NO_WAY))
    assert "<form" not in refused and "no previous version is known" in refused


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_is_text(text):
    for page in (dashboard_page, rollback_page):
        hostile, plain = (Document(page(a_content(one))) for one in (text, "plain"))
        assert hostile.elements == plain.elements
        assert hostile.values("action") == plain.values("action")
        assert hostile.values("href") == plain.values("href")
    episodes = [value for value in hostile_values(text, "value") if value not in ("24", "")]
    assert episodes == [visible(text)] * 4


def hostile_values(text, name):
    return Document(dashboard_page(a_content(text))).values(name)


def test_what_is_long_is_cut():
    short = dashboard_page(a_content())
    # The name of an episode, and that of who answers, go back as they came.
    overview = an_overview("x" * 100_000)
    overview["episodes"] = []
    long = dashboard_page(a_content("x" * 100_000, overview=overview, by=""))
    assert len(long) < len(short) + 20_000


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (NO_OVERVIEW, "Nothing was predicted here yet"),
        (NO_OVERVIEW | {"failure": "the store ***: cannot be reached"}, "cannot be reached"),
        ({"served": None}, "No model is served"),
        ({"models": NO_MODELS, "rollback": NO_WAY}, "Nothing was published yet"),
        ({"models": NO_MODELS | {"failure": "is no registry"}}, "is no registry"),
        ({"rollback": NO_WAY}, "No way back: no previous version is known."),
    ],
)
def test_what_is_not_there_is_said_in_words(changed, said):
    assert said in text_of(dashboard_page(a_content(**changed)))


def test_an_empty_store_is_said_in_words():
    overview = an_overview("plain")
    empty = overview | {name: [] for name in ("checks", "episodes", "classes", "measured")}
    empty |= {"refusals": {}, "deliveries": {}, "last_checked_at": None, "num_unread": 0}
    empty["traffic"] = [
        one | {"requests": 0, "predictions": 0, "refused": 0, "abstained": 0, "p50": None,
               "p95": None, "p99": None}
        for one in overview["traffic"]
    ]  # fmt: skip
    said = text_of(dashboard_page(a_content(overview=empty, worst=[], reports=[])))
    for text in ("Nobody has checked for drift yet", "never", "No episode lasts",
                 "No window was checked", "Nothing is known yet", "Nobody asked in these days",
                 "No class was predicted", "No window of these days differed"):  # fmt: skip
        assert text in said, text


@pytest.mark.parametrize(
    ("episodes", "tone", "said"),
    [
        ([an_episode("a", "pending"), an_episode("b")], "bad", "Drift: firing since"),
        ([an_episode("a", "pending")], "warning", "Drift: pending since"),
        ([an_episode("a", "resolved")], "good", "Nothing fires. Last checked 1 hour ago."),
    ],
)
def test_the_first_line_is_the_gravest(episodes, tone, said):
    overview = an_overview("plain") | {"episodes": episodes}
    html = dashboard_page(a_content(overview=overview))
    notice = html.split('<div class="notice ')[1]
    assert notice.startswith(tone) and said in notice


def test_a_window_that_was_not_judged_has_no_place_in_the_charts():
    overview = an_overview("plain")
    waiting = a_check("plain", NOW - DAY / 2, "waiting")
    waiting |= {"families": None, "accuracy": {"expected": None}}
    overview["checks"] = [waiting]
    html = dashboard_page(a_content(overview=overview))
    assert "waiting" in text_of(html)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(5, "just now"), (90, "1 minute ago"), (7200, "2 hours ago"), (3 * DAY, "3 days ago")],
)
def test_ages_are_rough(seconds, said):
    assert age(seconds) == said
