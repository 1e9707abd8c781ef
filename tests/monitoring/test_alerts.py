"""Alerts as people read them: everything is there, and nothing that data brought along acts."""

import json

from hypothesis import given
from hypothesis import strategies as st

from monitoring.alerts import Alert, alert_of, as_json, as_slack, as_text, headline

ALERT = Alert(
    fingerprint="drift",
    state="firing",
    title="Drift: darker images",
    facts={"size": "0.4 of a standard deviation", "p-value": "0.0004", "since": "3 windows"},
    examples=("a1", "b2"),
    links={"report": "https://example.org/report.html", "runbook": "https://example.org/drift"},
)
STATES = st.sampled_from(["firing", "reminder", "resolved"])
ALERTS = st.builds(
    Alert,
    fingerprint=st.text(),
    state=STATES,
    title=st.text(),
    facts=st.dictionaries(st.text(max_size=20), st.text(max_size=200)),
    examples=st.lists(st.text()).map(tuple),
    links=st.dictionaries(st.text(max_size=20), st.text()),
)


def test_the_text_has_everything():
    text = as_text(ALERT)
    assert text.startswith("[FIRING] Drift: darker images\n")
    pairs = [*ALERT.facts.items(), *ALERT.links.items()]
    told = [f"{name}: {value}" for name, value in pairs]
    assert all(words in text for words in [*told, *ALERT.examples])


def test_each_state_has_a_head_of_its_own():
    heads = {headline(ALERT._replace(state=state)) for state in ("firing", "reminder", "resolved")}
    assert len(heads) == 3


@given(ALERTS)
def test_data_adds_no_line_and_no_unseen_character(alert):
    lines = as_text(alert).split("\n")
    blocks = bool(alert.examples) * 2 + bool(alert.links)
    expected = 2 + len(alert.facts) + len(alert.examples) + len(alert.links) + blocks
    assert len(lines) == expected or len(as_text(alert)) == 3000
    assert headline(alert).isprintable() and len(headline(alert)) <= 150


@given(ALERTS)
def test_slack_gets_a_message_that_it_takes_and_that_marks_up_nothing(alert):
    message = as_slack(alert)
    assert "<" not in message["text"] and ">" not in message["text"]
    (block,) = message["blocks"]
    assert block["text"]["type"] == "plain_text"
    # Limits of https://api.slack.com/reference/block-kit/composition-objects.
    assert 1 <= len(block["text"]["text"]) <= 3000
    json.dumps(message)


@given(ALERTS)
def test_an_alert_comes_out_of_the_outbox_as_it_went_in(alert):
    assert alert_of(json.loads(json.dumps(alert._asdict()))) == alert
    document = json.loads(json.dumps(as_json(alert, "d1")))
    assert document["delivery_id"] == "d1"
    assert alert_of({name: document[name] for name in Alert._fields}) == alert
