"""What a service can be asked, from its OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pages.blocks import Block, Code, Link, Links, Table, Text
from pages.render import Section, render_page

_EXAMPLES = (
    "curl -F image=@photo.png http://localhost:8000/predict",
    'curl -d \'{"prediction_id": "…", "label": "3"}\' -H "Content-Type: application/json" '
    "http://localhost:8000/feedback",
)
_KEY = "Where a key is needed, it goes along as -H “Authorization: Bearer <key>”."


def service_page(document: Mapping[str, Any]) -> str:
    """One section per route: what it takes, what it answers."""
    dashboard = Links("elsewhere", [Link("How the model fares", "/watch")])
    examples = [Code(line) for line in _EXAMPLES]
    sections = [Section("Try it", [*examples, Text(_KEY), dashboard])]
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            sections.append(Section(f"{method.upper()} {path}", _route(told)))
    lead = f"{document['info']['summary']} The same as a document: /openapi.json"
    return render_page(document["info"]["title"], lead, sections)


def _route(told: Mapping[str, Any]) -> list[Block]:
    blocks: list[Block] = [Text(told.get("description", ""))]
    body = told.get("requestBody", {}).get("content", {})
    if body:
        blocks.append(Text(f"Takes {' or '.join(body)}."))
    answers = [(code, one["description"]) for code, one in sorted(told["responses"].items())]
    return [*blocks, Table(["status", "means"], answers)]
