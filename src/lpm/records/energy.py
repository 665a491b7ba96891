"""Energy and CO2 of a stretch of work, by codecarbon, without network."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator

__all__ = ["measure"]


@contextlib.contextmanager
def measure(country: str = "CHE") -> Iterator[dict[str, float | str]]:
    """Fill the yielded dictionary, on leaving, with `seconds`, and where codecarbon is there `energy_kwh` and `co2_kg`.

    On machines without a power meter codecarbon estimates from the processor's design power; its `method` says so.

    Args:
        country: ISO 3166 three-letter code for the carbon intensity of electricity.

    Example:
        >>> with measure() as used:
        ...     _ = sum(range(1000))
        >>> used["seconds"] >= 0
        True
    """
    used: dict[str, float | str] = {}
    start = time.perf_counter()
    tracker = None
    with contextlib.suppress(ImportError):
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # codecarbon warns of every meter it does not find
            from codecarbon import OfflineEmissionsTracker

            logging.getLogger("codecarbon").disabled = True

            tracker = OfflineEmissionsTracker(
                country_iso_code=country, save_to_file=False, log_level=logging.CRITICAL, allow_multiple_runs=True
            )
            tracker.start()
    try:
        yield used
    finally:
        used["seconds"] = round(time.perf_counter() - start, 3)
        if tracker is not None:
            co2 = tracker.stop()
            if co2 is not None:
                used |= {"co2_kg": co2, "energy_kwh": tracker.final_emissions_data.energy_consumed}
                used |= {"method": f"codecarbon, grid of {country}"}
