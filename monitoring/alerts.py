"""What is told to people: one alert, as text, for Slack and as JSON."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

State = Literal["firing", "reminder", "resolved"]
_HEADS = {"firing": "FIRING", "reminder": "STILL FIRING", "resolved": "RESOLVED"}
_LONGEST_TITLE, _LONGEST_TEXT = 150, 3000


class Alert(NamedTuple):
    """`fingerprint` names what is wrong, the same for as long as it lasts. `facts`, in the order in
    which to read them: how large, how sure, since when, likely cause, versions. `examples`: ids of
    predictions to look at. `links`: by name, the report and what to do."""

    fingerprint: str
    state: State
    title: str
    facts: Mapping[str, str]
    examples: tuple[str, ...]
    links: Mapping[str, str]


def alert_of(document: Mapping[str, Any]) -> Alert:
    """An alert as it lies in the outbox."""
    return Alert(**{**document, "examples": tuple(document["examples"])})


def headline(alert: Alert) -> str:
    return _cut(f"[{_HEADS[alert.state]}] {_one_line(alert.title)}", _LONGEST_TITLE)


def as_text(alert: Alert) -> str:
    """For e-mail, and whatever shows text as it is."""
    lines = [headline(alert), ""]
    lines += [_one_line(f"{name}: {text}") for name, text in alert.facts.items()]
    if alert.examples:
        lines += ["", "Look at:", *(f"  {_one_line(example)}" for example in alert.examples)]
    if alert.links:
        lines += ["", *(_one_line(f"{name}: {link}") for name, link in alert.links.items())]
    return _cut("\n".join(lines), _LONGEST_TEXT)


def as_slack(alert: Alert) -> dict[str, Any]:
    """A message for an incoming webhook of Slack, in which nothing is markup, mentions nobody and
    becomes no link by itself (https://api.slack.com/reference/surfaces/formatting)."""
    text = {"type": "plain_text", "text": as_text(alert), "emoji": False}
    return {
        "text": _escaped_for_slack(headline(alert)),
        "blocks": [{"type": "section", "text": text}],
        "unfurl_links": False,
        "unfurl_media": False,
    }


def as_json(alert: Alert, delivery_id: str) -> dict[str, Any]:
    """For a webhook of one's own; `delivery_id` is the same however often it comes."""
    return {"delivery_id": delivery_id, "text": as_text(alert), **alert._asdict()}


def _escaped_for_slack(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _one_line(text: str) -> str:
    """What data brought along stays one line, and is seen as what it is."""
    return "".join(letter if letter.isprintable() else "�" for letter in str(text))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
