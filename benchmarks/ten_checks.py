"""Ten checks of a large table, by Great Expectations or by plain pandas, in a process of its own.

    python -m benchmarks.ten_checks suite|pandas NUM_ROWS

Prints as JSON the seconds of the import and of the checks, the bytes that the process held before
them, and how many values each check refused.
"""

import json
import sys
import time

import numpy as np
import pandas as pd
import psutil

from expectations.check import check
from expectations.suites import Rule, Suite

LABELS = ["cat", "dog", "horse"]
PATH = r"\A[a-z]+/\d{8}\.png\Z"


def make_table(number: int) -> pd.DataFrame:
    """Rows as of an index with measures; one in a thousand is broken in each way."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "image_id": [f"{row:016x}" for row in range(number)],
            "path": [f"source/{row:08d}.png" for row in range(number)],
            "label": rng.choice(LABELS, number),
            "width": rng.integers(32, 4096, number),
            "brightness": rng.uniform(0.1, 0.9, number),
        }
    )
    broken = np.arange(0, number, 1000)
    table.loc[broken, "label"] = "horsse"
    table.loc[broken, "width"] = 1
    table.loc[broken, "brightness"] = np.nan
    return table


def ten_rules() -> list[Rule]:
    columns = ["image_id", "path", "label", "width", "brightness"]
    within = "ExpectColumnValuesToBeBetween"
    return [
        *(Rule("ExpectColumnValuesToNotBeNull", {"column": column}) for column in columns),
        Rule("ExpectColumnValuesToBeUnique", {"column": "image_id"}),
        Rule("ExpectColumnValuesToMatchRegex", {"column": "path", "regex": PATH}),
        Rule("ExpectColumnValuesToBeInSet", {"column": "label", "value_set": LABELS}),
        Rule(within, {"column": "width", "min_value": 16, "max_value": 8192}),
        Rule(within, {"column": "brightness", "min_value": 0, "max_value": 1}),
    ]


def by_suite(table: pd.DataFrame) -> list[int]:
    checked = check(Suite("ten", list(table.columns), 1, ten_rules()), table)
    return [finding.num_unexpected for finding in checked.findings[4:14]]


def by_pandas(table: pd.DataFrame) -> list[int]:
    """The same ten checks as a person would write them."""
    failed = [
        *(table[column].isna() for column in table.columns),
        table["image_id"].duplicated(keep=False),
        ~table["path"].str.match(PATH),
        ~table["label"].isin(LABELS),
        ~table["width"].between(16, 8192),
        ~table["brightness"].between(0, 1) & table["brightness"].notna(),
    ]
    return [int(one.sum()) for one in failed]


def main(argv: list[str]) -> None:
    side, table = argv[0], make_table(int(argv[1]))
    started = time.perf_counter()
    if side == "suite":
        # What is imported at the first check is no part of it.
        by_suite(table.head(2000))
    imported = time.perf_counter()
    held = psutil.Process().memory_info().rss
    began = time.perf_counter()
    refused = by_suite(table) if side == "suite" else by_pandas(table)
    told = {
        "import_seconds": imported - started,
        "seconds": time.perf_counter() - began,
        "held_bytes": held,
        "refused": refused,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1:])
