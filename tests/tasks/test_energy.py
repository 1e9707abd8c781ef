"""What was drawn is measured by the real codecarbon, offline, and leaves no file behind."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks import energy
from tasks.energy import COUNTRY, SWITCH, Energy, is_measured


def busy(measuring: Energy, seconds: float) -> None:
    """Computes until the measuring has begun, and for so long after that."""
    measuring.wait()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def test_longer_work_draws_more_and_there_is_no_co2_without_a_country(monkeypatch):
    monkeypatch.delenv(COUNTRY, raising=False)
    drawn = []
    for seconds in (0.2, 1.2):
        with Energy() as measuring:
            busy(measuring, seconds)
        measured = measuring.measured
        parts = [measured[f"{part}_watt_hours"] for part in PARTS]
        assert measured["watt_hours"] == pytest.approx(sum(parts), abs=3e-6)
        assert "co2_grams" not in measured and "country" not in measured
        drawn.append(measured["watt_hours"])
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
    with Energy() as measuring:
        busy(measuring, 0.1)
    assert measuring.measured["watt_hours"] > 0
    assert "co2_grams" not in measuring.measured and "country" not in measuring.measured


@pytest.mark.parametrize("has_counter", [True, False])
def test_what_no_counter_tells_is_called_an_estimate(monkeypatch, tmp_path, has_counter):
    """Codecarbon counts in kilowatt-hours and kilograms."""

    class Tracker:
        def __init__(self, **asked: object):
            assert asked["country_iso_code"] == "NOR" and asked["save_to_file"] is False
            self.final_emissions_data: Any = None

        def start(self) -> None:
            self.calls = ["start"]

        def stop(self) -> None:
            assert self.calls == ["start"]
            self.final_emissions_data = SimpleNamespace(
                energy_consumed=0.006,
                cpu_energy=0.003,
                ram_energy=0.002,
                gpu_energy=0.001,
                emissions=0.0005,
                country_name="Norway",
                country_iso_code="NOR",
            )

    if has_counter:
        (tmp_path / "energy_uj").write_text("17")
    monkeypatch.setattr(energy, "_COUNTER", str(tmp_path / "energy_uj"))
    monkeypatch.setattr("codecarbon.OfflineEmissionsTracker", Tracker)
    monkeypatch.setenv(COUNTRY, "NOR")
    with Energy() as measuring:
        measuring.wait()
    assert measuring.measured == {
        "watt_hours": 6.0,
        "processor_watt_hours": 3.0,
        "memory_watt_hours": 2.0,
        "graphics_watt_hours": 1.0,
        "is_estimated": not has_counter,
        "co2_grams": 0.5,
        "country": "NOR",
    }


def test_it_is_measured_unless_switched_off(monkeypatch):
    monkeypatch.delenv(SWITCH, raising=False)
    assert is_measured()
    monkeypatch.setenv(SWITCH, "off")
    assert not is_measured()
