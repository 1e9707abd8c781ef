"""The dashboard: what is served, how it fares, what went wrong and what may be done about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pages.blocks import (
    Block,
    Facts,
    Field,
    Folded,
    Form,
    Link,
    Links,
    Notice,
    Section,
    Table,
    Text,
)
from pages.production import (
    accuracy_blocks,
    class_blocks,
    cut,
    drift_blocks,
    traffic_blocks,
    worst_blocks,
)
from pages.render import render_page
from pages.text import written_moment

HOME, ROLLBACK = "/watch", "/watch/rollback"
PERIODS = (1, 7, 30)
_MOST_VERSIONS, _MOST_METRICS = 20, 6
_TONES = {"firing": "bad", "pending": "warning"}
_NOTHING = "Nothing was predicted here yet. `make serve` serves the published model."


def dashboard_page(content: Mapping[str, Any]) -> str:
    """`content`, all plain values, and none of them trusted:

    now        seconds since 1970
    overview   what `monitoring.overview.look_back` gives; None where there is no store to read
    failure    why not, or ""
    worst      of the worst windows `check`, `examples` (of `find_examples`) and `pictures`: PNGs by
               prediction_id
    models     `versions` of the registry, `champion` and `previous` (numbers or None), `failure`
    served     number of the version that answers now, or None
    rollback   `is_possible`, `why_not`, and of the last one `tone` and `outcome`, or ""
    reports    names of Evidently's reports, newest first
    by         whom an answer comes from, or ""
    """
    overview = content["overview"]
    sections = [Section("Now", _now(content)), Section("Episodes", _episodes(content))]
    if overview is not None:
        sections += [
            Section("Drift", drift_blocks(overview, content["reports"])),
            Section("Accuracy", accuracy_blocks(overview)),
            Section("Traffic", traffic_blocks(overview)),
            Section("Predicted classes", class_blocks(overview)),
            Section("Worst windows", worst_blocks(content["worst"])),
        ]
    sections.append(Section("Models", _models(content)))
    lead = f"The model that is served, and how it fares. As of {written_moment(content['now'])}."
    return render_page("Tilth: production", lead, sections, _verdict(content))


def rollback_page(content: Mapping[str, Any]) -> str:
    """What a rollback would do, and the button that does it; `content` as above."""
    models = content["models"]
    champion, previous = models["champion"], models["previous"]
    back = Links("ways back", [Link("Leave it as it is", HOME)])
    if not content["rollback"]["is_possible"]:
        notice = Notice("warning", cut(content["rollback"]["why_not"]))
        return render_page("No way back", "", [Section("Why", [notice, back])])
    question = f"Version {previous} would be the champion again, in place of {champion}."
    fields = [Field("hidden", name, value=str(models[name])) for name in ("champion", "previous")]
    blocks: list[Block] = [
        Text(
            "The bytes come from DVC's cache or its remote, the registry is changed, and a commit "
            "is made. The service takes it on within seconds, without a lost request. What was "
            "rolled back is published again only when somebody says so."
        ),
        _versions([one for one in models["versions"] if one["version"] in (champion, previous)],
                  models),
        Form(ROLLBACK, fields, f"Roll back to version {previous}", is_grave=True),
        back,
    ]  # fmt: skip
    return render_page("Roll back?", question, [Section("What happens", blocks)])


def _verdict(content: Mapping[str, Any]) -> Notice:
    overview = content["overview"]
    if content["served"] is None:
        return Notice("warning", "No model is served: none is published, or it cannot be run.")
    if content["failure"]:
        return Notice("bad", cut(content["failure"]))
    if overview is None:
        return Notice("warning", _NOTHING)
    for state in ("firing", "pending"):
        some = [one for one in overview["episodes"] if one["state"] == state]
        if some:
            since = written_moment(min(one["opened_at"] for one in some))
            titles = " and ".join(one["title"].lower() for one in some)
            return Notice(_TONES[state], f"{titles.capitalize()}: {state} since {since}.")
    if overview["last_checked_at"] is None:
        return Notice("warning", "Nobody has checked for drift yet: `python -m monitoring watch`.")
    ago = age(content["now"] - overview["last_checked_at"])
    return Notice("good", f"Nothing fires. Last checked {ago}.")


def _now(content: Mapping[str, Any]) -> list[Block]:
    overview, served = content["overview"], content["served"]
    facts: dict[str, Any] = {"version served": "none" if served is None else served}
    blocks: list[Block] = [Facts(facts)]
    if content["rollback"]["outcome"]:
        rollback = content["rollback"]
        blocks = [Notice(rollback["tone"], cut(rollback["outcome"], 600)), *blocks]
    if overview is None:
        return [*blocks, Text(cut(content["failure"]) or _NOTHING)]
    slots = overview["traffic"]
    sums = {
        name: sum(one[name] for one in slots)
        for name in ("requests", "predictions", "abstained", "refused")
    }
    facts |= {"requests": sums["requests"], "predictions": sums["predictions"]}
    if sums["predictions"]:
        for name in ("abstained", "refused"):
            facts[name] = f"{sums[name] / sums['predictions']:.1%}".replace("%", " %")
    last = overview["last_checked_at"]
    facts["last check"] = "never" if last is None else age(content["now"] - last)
    names = {1: "a day", 7: "7 days", 30: "30 days"}
    ways = [
        Link(names[days], f"{HOME}?days={days}", days == overview["num_days"]) for days in PERIODS
    ]
    return [Links("days that are shown", ways), *blocks]


def _episodes(content: Mapping[str, Any]) -> list[Block]:
    overview = content["overview"]
    if overview is None:
        return [Text("None are known: there is no store to read.")]
    blocks: list[Block] = []
    lasting = [one for one in overview["episodes"] if one["state"] in _TONES]
    for one in lasting:
        blocks += [Notice(_TONES[one["state"]], _told(one)), *_answers(one, content["by"])]
    if not lasting:
        blocks.append(Text("No episode lasts."))
    undelivered = {
        state: count for state, count in overview["deliveries"].items() if state != "delivered"
    }
    if undelivered:
        texts = ", ".join(f"{count} {cut(state)}" for state, count in undelivered.items())
        blocks.append(Notice("warning", f"Alerts that were not delivered: {texts}."))
    past = [one for one in overview["episodes"] if one["state"] not in _TONES]
    if past:
        rows = [
            (written_moment(one["opened_at"]), one["title"], cut(one["state"]),
             written_moment(one["changed_at"]), cut(one["acknowledged_by"]))
            for one in past
        ]  # fmt: skip
        table = Table(["since", "what", "state", "until", "taken on by"], rows, "Those that passed")
        blocks.append(Folded(f"Earlier ones: {len(past)}", [table]))
    return blocks


def _told(episode: Mapping[str, Any]) -> str:
    lines = [
        f"{episode['title']}: {episode['state']} since {written_moment(episode['opened_at'])}, "
        f"{episode['num_alarms']} windows in a row"
    ]
    if episode["told_at"] is not None:
        lines.append(f"People were last told {written_moment(episode['told_at'])}.")
    if episode["acknowledged_at"] is not None:
        by = f" by {cut(episode['acknowledged_by'])}" if episode["acknowledged_by"] else ""
        lines.append(
            f"Taken on{by} {written_moment(episode['acknowledged_at'])}: no more reminders."
        )
    if episode["silenced_until"] is not None:
        lines.append(f"No reminder before {written_moment(episode['silenced_until'])}.")
    return "\n".join(lines)


def _answers(episode: Mapping[str, Any], by: str) -> list[Block]:
    hidden = Field("hidden", "episode", value=episode["fingerprint"])
    about = f"the episode: {episode['title']}"
    name, hours = Field("text", "by", "Your name", by), Field("number", "hours", "Hours", "24")
    silence = Form(f"{HOME}/silence", [hidden, hours], "Silence", about)
    if episode["acknowledged_at"] is not None:
        return [silence]
    return [Form(f"{HOME}/acknowledge", [hidden, name], "Acknowledge", about), silence]


def _models(content: Mapping[str, Any]) -> list[Block]:
    models, rollback = content["models"], content["rollback"]
    if models["failure"]:
        return [Notice("bad", cut(models["failure"]))]
    if not models["versions"]:
        return [Text("Nothing was published yet: `python -m tasks.publish`.")]
    versions = _versions(models["versions"], models)
    if rollback["is_possible"]:
        way = Link(f"Roll back to version {models['previous']} …", ROLLBACK)
        return [versions, Links("what may be done", [way])]
    return [versions, Text(f"No way back: {cut(rollback['why_not'])}.")]


def _versions(versions: Sequence[Mapping[str, Any]], models: Mapping[str, Any]) -> Table:
    newest = sorted(versions, key=lambda one: -one["version"])[:_MOST_VERSIONS]
    names = list(dict.fromkeys(name for one in newest for name in one["metrics"]))[:_MOST_METRICS]
    roles = {models["previous"]: "previous", models["champion"]: "champion"}
    rows = [
        (
            str(one["version"]),
            roles.get(one["version"], "rolled back" if one["rolled_back"] else ""),
            *(one["metrics"].get(name) for name in names),
            cut(one["onnx_sha256"] or "", 12),
            cut(one["commit"] or "", 12),
        )
        for one in newest
    ]
    columns = ["version", "is", *(cut(name, 40) for name in names), "model", "commit"]
    return Table(columns, rows, "Versions that were published")


def age(seconds: float) -> str:
    """How long ago, roughly."""
    for size, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        number = int(seconds // size)
        if number >= 1:
            return f"{number:,} {name}{'s' if number > 1 else ''} ago"
    return "just now"
