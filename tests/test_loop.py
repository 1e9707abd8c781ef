"""The loop of production goes round by itself, once, with everything real."""

from argparse import Namespace

import pytest

from benchmarks.cells import Setting
from benchmarks.loop import measure_loop
from benchmarks.workspace import Clones


@pytest.mark.slow
@pytest.mark.needs("postgresql")
@pytest.mark.timeout(3600)
def test_drift_ends_in_another_model_without_anybody() -> None:
    options = Namespace(set=[("pretrain.epochs", 1), ("finetune.epochs", 4)], per_second=4.0)
    with Clones({}) as clones:
        rows = {row.name: row.value for row in measure_loop(Setting(options, clones, None))}
    steps = [value for name, value in rows.items() if name.startswith("loop: second scanner → ")]
    assert len(steps) == 8 and steps == sorted(steps)
    assert rows["loop: episodes before the second scanner"] == 0
    assert rows["loop: requests that failed, swap included"] == 0
    assert rows["loop: alerts that came in twice"] == 0
    assert rows["loop: retrainings"] == 1
