"""What a stage drew from the socket, and the CO₂ of it, as codecarbon measures or estimates them.

Nothing is sent and nothing is looked up on the network: how clean the electricity is, a table says
for the country that TILTH_COUNTRY names (ISO 3166, three letters). Without it there is no CO₂.
TILTH_ENERGY=off measures nothing: to start codecarbon takes seconds of a processor.
"""

import logging
import os
import threading
from typing import Any, Self

COUNTRY, SWITCH = "TILTH_COUNTRY", "TILTH_ENERGY"
_SECONDS_BETWEEN_SAMPLES = 15
# Codecarbon wants one even where CO₂ is not asked for.
_ANY_COUNTRY = "FRA"
# Where Linux shows the counters of the processor, to those who may read them.
_COUNTER = "/sys/class/powercap/intel-rapl:0/energy_uj"


def is_measured() -> bool:
    return os.environ.get(SWITCH) != "off"


class Energy:
    """Of the whole machine while the block runs."""

    def __enter__(self) -> Self:
        self._tracker: Any = None
        # Codecarbon asks the machine about itself for seconds, most of which it waits.
        self._starting = threading.Thread(target=self._start, name="energy", daemon=True)
        self._starting.start()
        return self

    def wait(self) -> None:
        """Until it measures, or cannot; what is done before is not in it."""
        self._starting.join()

    def __exit__(self, *_: object) -> None:
        """What ends before codecarbon has begun is not measured."""
        started = None if self._starting.is_alive() else self._tracker
        self.measured = {} if started is None else _stopped(started)

    def _start(self) -> None:
        try:
            from codecarbon import OfflineEmissionsTracker

            logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
            tracker = OfflineEmissionsTracker(
                country_iso_code=os.environ.get(COUNTRY, _ANY_COUNTRY),
                measure_power_secs=_SECONDS_BETWEEN_SAMPLES,
                save_to_file=False,
                log_level="critical",
                allow_multiple_runs=True,
            )
            tracker.start()
            self._tracker = tracker
        except Exception as error:  # what is only observed must not end a stage
            logging.getLogger(__name__).warning("energy is not measured: %s", error)


def _stopped(tracker: Any) -> dict[str, Any]:
    """Watt-hours in all and by part; `is_estimated`, from the load and the processor's model,
    where its counters cannot be read."""
    tracker.stop()
    found = tracker.final_emissions_data
    measured: dict[str, Any] = {
        "watt_hours": round(1000 * found.energy_consumed, 6),
        "processor_watt_hours": round(1000 * found.cpu_energy, 6),
        "memory_watt_hours": round(1000 * found.ram_energy, 6),
        "graphics_watt_hours": round(1000 * found.gpu_energy, 6),
        "is_estimated": not os.access(_COUNTER, os.R_OK),
    }
    # Codecarbon takes the mean of the world for a country that it does not know.
    if COUNTRY in os.environ and found.country_name:
        measured["co2_grams"] = round(1000 * found.emissions, 6)
        measured["country"] = found.country_iso_code
    return measured
