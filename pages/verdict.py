"""What is said of the verdict on a candidate: every rule, its numbers, and what it could notice."""

from collections.abc import Mapping
from typing import Any

from pages.blocks import Block, Notice, Table, Text

_TONES = {"first": "good", "pass": "good", "is_champion": "good", "refused": "bad"}
_WORDS = {
    "first": "The candidate may become the first champion.",
    "pass": "The candidate may take the champion's place.",
    "is_champion": "The candidate is the champion already.",
    "refused": "The candidate is refused.",
}
_COLUMNS = ["rule", "of", "candidate", "champion", "threshold", "low", "high", "result"]
_POWERS = ["rule", "of", "rows", "worse by", "would be refused", "nine times in ten refused"]


def verdict_notice(promote: Mapping[str, Any]) -> Notice:
    verdict = promote["verdict"]
    return Notice(_TONES[verdict], " ".join([_WORDS[verdict], *promote["reasons"]]))


def verdict_blocks(promote: Mapping[str, Any]) -> list[Block]:
    rules = promote["rules"]
    blocks: list[Block] = [
        Text(_WORDS[promote["verdict"]]),
        Table(
            _COLUMNS,
            [_row(rule) for rule in rules],
            "Every rule that was tried. Low and high bound, at 95 %, what is held against the "
            "threshold: the value itself, or how much better than the champion's it is. Unproven: "
            "the threshold lies between them.",
        ),
    ]
    if powers := [_power(rule) for rule in rules if rule["power"] is not None]:
        caption = (
            "What these test rows could notice: how likely a candidate that is worse by so much "
            "would have been refused, and from where on nine in ten are."
        )
        blocks.append(Table(_POWERS, powers, caption))
    if small := promote.get("small_slices"):
        listed = ", ".join(f"{name} ({rows})" for name, rows in small.items())
        blocks.append(Text(f"Slices with too few rows to be judged: {listed}."))
    return blocks


def _row(rule: Mapping[str, Any]) -> list[Any]:
    numbers = [rule[key] for key in ("value", "champion", "threshold", "low", "high")]
    return [rule["kind"], rule["name"].replace("_", " "), *numbers, rule["outcome"]]


def _power(rule: Mapping[str, Any]) -> list[Any]:
    chance = f"{100 * rule['power']:.0f} %"
    what = [rule["kind"], rule["name"].replace("_", " ")]
    return [*what, rule["num_rows"], rule["harm"], chance, rule["detectable"]]
