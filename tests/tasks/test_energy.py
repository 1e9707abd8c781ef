"""What was drawn is measured by the real codecarbon, offline, and leaves no file behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.energy import COUNTRY, SWITCH, Energy, is_measured


def busy(energy: Energy, seconds: float) -> None:
    """Computes until the measuring has begun, and for so long after that."""
    energy.wait()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def test_longer_work_draws_more_and_there_is_no_co2_without_a_country(monkeypatch):
    monkeypatch.delenv(COUNTRY, raising=False)
    drawn = []
    for seconds in (0.2, 1.2):
        with Energy() as energy:
            busy(energy, seconds)
        parts = [energy.measured[f"{part}_watt_hours"] for part in PARTS]
        assert energy.measured["watt_hours"] == pytest.approx(sum(parts), abs=3e-6)
        assert "co2_grams" not in energy.measured and "country" not in energy.measured
        drawn.append(energy.measured["watt_hours"])
    assert drawn[1] > 2 * drawn[0] > 0


PARTS = ("processor", "memory", "graphics")
SCRIPT = """
import time
from tasks.energy import Energy
with Energy() as energy:
    energy.wait()
    time.sleep(0.3)
print(energy.measured)
"""


def test_it_says_nothing_and_writes_nothing(tmp_path):
    """Poland burns coal, Norway has water."""
    shares = []
    for country in ("POL", "NOR"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=tmp_path,
            env={**os.environ, COUNTRY: country, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0 and done.stderr == ""
        measured = eval(done.stdout)
        assert measured["country"] == country
        shares.append(measured["co2_grams"] / measured["watt_hours"])
    assert not list(tmp_path.iterdir())
    assert shares[0] > 0.3 > 0.1 > shares[1] > 0


def test_an_unknown_country_gets_no_co2_of_another(monkeypatch):
    monkeypatch.setenv(COUNTRY, "Atlantis")
    with Energy() as energy:
        busy(energy, 0.1)
    assert energy.measured["watt_hours"] > 0
    assert "co2_grams" not in energy.measured and "country" not in energy.measured


def test_it_is_measured_unless_switched_off(monkeypatch):
    monkeypatch.delenv(SWITCH, raising=False)
    assert is_measured()
    monkeypatch.setenv(SWITCH, "off")
    assert not is_measured()
