"""A report by Evidently on one window, to look at: what it finds decides nothing.

Evidently writes a page of some megabytes, most of it one bundle of JavaScript, with data that a
label `</script>` breaks out of. Here the data stand in a page of our own, escaped, under a policy
that lets nothing else run or load; the bundle is a file beside it, which all reports share.
"""

import base64
import hashlib
import html
import json
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from monitoring.baseline import Baseline, comparable
from monitoring.rows import sample_rows
from tasks.artifacts.atomic import replacing
from tasks.core.errors import ArtifactError

_MOST_COLUMNS = 24
_MOST_VALUES = 50
_LEVEL = 0.05
# Evidently names what it draws by chance; a report of its own page needs one name only.
_DATA = re.compile(r"^\s*var (?:additional_graphs_)?metric_[0-9a-f]{32} = (?P<json>.*);$", re.M)
_START = 'drawDashboard(report, new Map(Object.entries(graphs)), "root");'
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>A window beside its reference</title>
</head>
<body>
<p>{said}</p>
<div id="root"></div>
<script>{data}</script>
<script src="{bundle}"></script>
<script>{start}</script>
</body>
</html>
"""


class NothingToShow(ArtifactError):
    """A window and its reference have nothing in common that could be drawn."""


class Report(NamedTuple):
    """A page, and the file that it expects beside it."""

    page: str
    bundle_name: str
    bundle: bytes


def write_report(baseline: Baseline, window: pd.DataFrame, said: str, path: Path) -> None:
    """Of a window, and what its check said; with the bundle beside it.

    Raises:
        NothingToShow: the window cannot be read, or has nothing usable.
        ArtifactError: it cannot be written.
    """
    try:
        tables = comparable(baseline, window)
    except ArtifactError as error:
        raise NothingToShow(str(error)) from None
    report = make_report(*tables, said, baseline.params.num_report_rows, baseline.seed)
    save_report(report, path)


def save_report(report: Report, path: Path) -> None:
    bundle = path.parent / report.bundle_name
    for target, content in ((bundle, report.bundle), (path, report.page.encode())):
        if target == bundle and bundle.is_file() and bundle.read_bytes() == content:
            continue
        with replacing(target) as temporary:
            temporary.write_bytes(content)


def make_report(
    reference: pd.DataFrame,
    window: pd.DataFrame,
    columns: Sequence[str],
    said: str,
    most: int,
    seed: int,
) -> Report:
    """`most` rows of either, at random. Both have a column `predicted` and one `confidence`. What
    the check `said` stands above, as Evidently judges columns one by one, by rules of its own.

    Raises NothingToShow.
    """
    drawn = [
        table.iloc[sample_rows(len(table), most, [seed, side])].reset_index(drop=True)
        for side, table in enumerate((reference, window))
    ]
    before, now = shown_columns(drawn[0], drawn[1], ["predicted", "confidence", *columns])
    if before.empty or not len(before.columns):
        raise NothingToShow("no report: the window and the reference have no column in common")
    return build_page(run_evidently(before, now), said)


def shown_columns(
    reference: pd.DataFrame, window: pd.DataFrame, columns: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Columns of numbers as they are, of few values as text; others are left out."""
    shown: dict[str, tuple[pd.Series, pd.Series]] = {}
    for name in columns:
        both = reference[name], window[name]
        if len(shown) == _MOST_COLUMNS:
            break
        if all(is_numeric_dtype(one) and not is_bool_dtype(one) for one in both):
            before, now = (_finite(one) for one in both)
        elif pd.concat(both).map(str).nunique() <= _MOST_VALUES:
            before, now = (one.map(str, na_action="ignore").astype(object) for one in both)
        else:
            continue
        if before.notna().any() and now.notna().any():
            shown[name] = before, now
    return (
        pd.DataFrame({name: one for name, (one, _) in shown.items()}),
        pd.DataFrame({name: one for name, (_, one) in shown.items()}),
    )


def _finite(values: pd.Series) -> pd.Series:
    numbers = pd.Series(values.to_numpy(dtype=float, na_value=np.nan))
    return numbers.where(np.isfinite(numbers))


def run_evidently(reference: pd.DataFrame, window: pd.DataFrame) -> str:
    """Evidently's own page of its preset for drift."""
    # It takes seconds to import.
    from evidently import DataDefinition, Dataset
    from evidently import Report as Evidently
    from evidently.presets import DataDriftPreset

    numbers = [str(name) for name in reference if is_numeric_dtype(reference[name])]
    definition = DataDefinition(
        numerical_columns=numbers,
        categorical_columns=[str(name) for name in reference if name not in numbers],
    )
    preset = DataDriftPreset(
        columns=[str(name) for name in reference],
        num_method="ks",
        cat_method="chisquare",
        threshold=_LEVEL,
    )
    now, before = (Dataset.from_pandas(table, definition) for table in (window, reference))
    with warnings.catch_warnings():
        # Of constant columns and of pandas to come; nothing that could be mended here.
        warnings.simplefilter("ignore")
        return Evidently([preset]).run(now, before).get_html_str(as_iframe=False)


def build_page(evidently: str, said: str) -> Report:
    """The same as a page of our own.

    Raises ArtifactError where Evidently writes another page than expected.
    """
    found = [json.loads(match["json"]) for match in _DATA.finditer(evidently)]
    if len(found) != 2:
        raise ArtifactError("no report: this version of Evidently writes another page than 0.7.23")
    dashboard, graphs = found
    data = f"var global = globalThis, report = {_escaped(dashboard)}, graphs = {_escaped(graphs)};"
    bundle = load_bundle()
    name = f"evidently-{hashlib.sha256(bundle).hexdigest()[:12]}.js"
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src 'self' {_hash(data)} {_hash(_START)}",
            "style-src 'unsafe-inline'",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    said = html.escape(f"{said}. Below: columns of a sample, judged one by one by Evidently.")
    page = _PAGE.format(policy=policy, said=said, data=data, bundle=name, start=_START)
    return Report(page, name, bundle)


def load_bundle() -> bytes:
    """The JavaScript that draws Evidently's pages."""
    package = sys.modules["evidently"].__file__
    assert package is not None
    return (Path(package).parent / "nbextension" / "static" / "index.js").read_bytes()


def _escaped(document: Any) -> str:
    """JSON in which no text can end a script element."""
    return json.dumps(document).replace("<", "\\u003c").replace(">", "\\u003e")


def _hash(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"
