"""Names of radar fields (FM301 / CfRadial2), how they behave, and what other formats call them.

Sources: WMO FM 301-2022 and CfRadial 2.1 (names, standard names, units); OPERA ODIM_H5 2.4 (quantities);
the PSNR peaks are this project's convention, stored with every result.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

PSNR_PEAK: Final[Mapping[str, float]] = MappingProxyType(
    {
        # dB
        **dict.fromkeys(("DBZH", "DBZV", "TH", "TV", "DBTH", "DBTV", "CCORH", "CCORV"), 70.0),
        **dict.fromkeys(("SNRH", "SNRV", "SNRHC", "SNRVC", "DBM", "DBMH", "DBMV"), 70.0),
        **dict.fromkeys(("ZDR", "UZDR", "ZDRC"), 12.0),
        "LDR": 40.0,
        # 1
        **dict.fromkeys(("RHOHV", "URHOHV", "SQIH", "SQIV", "SQI", "QIND"), 1.0),
        # degrees, degrees per km
        **dict.fromkeys(("PHIDP", "UPHIDP", "PHIDPC"), 180.0),
        "KDP": 20.0,
        # m/s
        **dict.fromkeys(("VRADH", "VRADV", "UVRADH", "VRADDH", "VRADDV"), 60.0),
        **dict.fromkeys(("WRADH", "WRADV", "UWRADH"), 16.0),
    }
)
"""Peak of the PSNR per field, in the field's unit."""

PHASES: Final = frozenset({"PHIDP", "UPHIDP", "PHIDPC"})
"""Circular fields in degrees."""
VELOCITIES: Final = frozenset({"VRADH", "VRADV", "UVRADH"})
"""Fields that alias at the Nyquist velocity (circular with period twice that); dealiased ones do not."""

REFLECTIVITIES: Final = frozenset({"DBZH", "DBZV", "TH", "TV", "DBTH", "DBTV"})
"""Fields in dBZ."""

_ATTRS: dict[str, tuple[str, str, str]] = {
    "DBZH": ("radar_equivalent_reflectivity_factor_h", "Equivalent reflectivity factor H", "dBZ"),
    "DBZV": ("radar_equivalent_reflectivity_factor_v", "Equivalent reflectivity factor V", "dBZ"),
    "TH": (
        "radar_linear_equivalent_reflectivity_factor_h",
        "Total power H (uncorrected reflectivity)",
        "dBZ",
    ),
    "TV": (
        "radar_linear_equivalent_reflectivity_factor_v",
        "Total power V (uncorrected reflectivity)",
        "dBZ",
    ),
    "ZDR": ("radar_differential_reflectivity_hv", "Log differential reflectivity H/V", "dB"),
    "UZDR": ("radar_differential_reflectivity_hv", "Uncorrected log differential reflectivity H/V", "dB"),
    "LDR": ("radar_linear_depolarization_ratio", "Log linear depolarization ratio", "dB"),
    "RHOHV": ("radar_correlation_coefficient_hv", "Correlation coefficient HV", "unitless"),
    "URHOHV": ("radar_correlation_coefficient_hv", "Uncorrected correlation coefficient HV", "unitless"),
    "PHIDP": ("radar_differential_phase_hv", "Differential phase HV", "degrees"),
    "UPHIDP": ("radar_differential_phase_hv", "Uncorrected differential phase HV", "degrees"),
    "KDP": (
        "radar_specific_differential_phase_hv",
        "Specific differential phase HV",
        "degrees per kilometer",
    ),
    "VRADH": (
        "radial_velocity_of_scatterers_away_from_instrument_h",
        "Radial velocity H",
        "meters per second",
    ),
    "VRADV": (
        "radial_velocity_of_scatterers_away_from_instrument_v",
        "Radial velocity V",
        "meters per second",
    ),
    "WRADH": ("radar_doppler_spectrum_width_h", "Doppler spectrum width H", "meters per second"),
    "WRADV": ("radar_doppler_spectrum_width_v", "Doppler spectrum width V", "meters per second"),
    "SNRH": ("signal_to_noise_ratio_h", "Signal to noise ratio H", "dB"),
    "SNRV": ("signal_to_noise_ratio_v", "Signal to noise ratio V", "dB"),
    "SQIH": ("signal_quality_index_h", "Signal quality index H", "unitless"),
    "CCORH": ("clutter_correction_h", "Clutter correction H", "dB"),
}

FM301: Final[Mapping[str, str]] = MappingProxyType(
    {
        # NEXRAD ICD 2620002 moments
        "REF": "DBZH",
        "VEL": "VRADH",
        "SW": "WRADH",
        "PHI": "PHIDP",
        "RHO": "RHOHV",
        "CFP": "CCORH",
        # ODIM_H5 older or single-polarisation spellings
        "DBZ": "DBZH",
        "VRAD": "VRADH",
        "WRAD": "WRADH",
        "SQI": "SQIH",
        "SNR": "SNRH",
        "CCOR": "CCORH",
        # Py-ART / CfRadial 1 long names
        "REFLECTIVITY": "DBZH",
        "REFLECTIVITY_HORIZONTAL": "DBZH",
        "REFLECTIVITY_VV": "DBZV",
        "TOTAL_POWER": "TH",
        "DIFFERENTIAL_REFLECTIVITY": "ZDR",
        "SPECIFIC_DIFFERENTIAL_PHASE": "KDP",
        "DIFFERENTIAL_PHASE": "PHIDP",
        "CORRECTED_DIFFERENTIAL_PHASE": "PHIDP",
        "UNCORRECTED_DIFFERENTIAL_PHASE": "UPHIDP",
        "CROSS_CORRELATION_RATIO": "RHOHV",
        "UNCORRECTED_CROSS_CORRELATION_RATIO": "URHOHV",
        "VELOCITY": "VRADH",
        "CORRECTED_VELOCITY": "VRADDH",
        "SPECTRUM_WIDTH": "WRADH",
        "SIGNAL_TO_NOISE_RATIO": "SNRH",
        "SIGNAL_NOISE_RATIO_H": "SNRH",
        "SIGNAL_NOISE_RATIO_V": "SNRV",
        "NORMALIZED_COHERENT_POWER": "SQIH",
        # IRIS 16-bit, Rainbow, GAMIC
        "DBTH": "TH",
        "DBTV": "TV",
        "UPHIDP": "UPHIDP",
        "PHIDP": "PHIDP",
        "KDP": "KDP",
        "RHOHV": "RHOHV",
    }
)
"""Other formats' names (upper case) -> FM301. One letter is a name only where T, Z, V, W stand together."""

_IRIS_LETTERS: Final[Mapping[str, str]] = MappingProxyType(
    {"T": "TH", "Z": "DBZH", "V": "VRADH", "W": "WRADH"}
)


def fm301_names(names: Iterable[str]) -> dict[str, str]:
    """Map a sweep's own field names to FM301; what is not known, or would collide, keeps its name.

    A standard name present in the file always wins over an alias of it.

    Args:
        names: all field names of a sweep.

    Returns:
        old name -> new name, for every name.

    Example:
        >>> fm301_names(["reflectivity", "VRAD", "SIGMA"])
        {'reflectivity': 'DBZH', 'VRAD': 'VRADH', 'SIGMA': 'SIGMA'}
        >>> fm301_names(["DBZH", "reflectivity"])
        {'DBZH': 'DBZH', 'reflectivity': 'reflectivity'}
    """
    names = list(names)
    letters = _IRIS_LETTERS if {"Z", "V"} <= set(names) or {"T", "Z"} <= set(names) else {}
    new: dict[str, str] = {}
    taken = {n for n in names if n in PSNR_PEAK and FM301.get(n, n) == n}
    for name in names:
        target = letters.get(name) or FM301.get(name.upper(), name)
        if target != name and (target in taken or target in new.values() or target in names):
            target = name
        new[name] = target
        taken.add(target)
    return new


def field_attributes(name: str) -> dict[str, Any]:
    """CF attributes of a known field; empty for an unknown one.

    Example:
        >>> field_attributes("DBZH")["units"]
        'dBZ'
        >>> field_attributes("SIGMA")
        {}
    """
    if name not in _ATTRS:
        return {}
    standard, long, units = _ATTRS[name]
    return {"standard_name": standard, "long_name": long, "units": units}


def psnr_peak(name: str, values: npt.NDArray[Any] | None = None) -> float:
    """Peak of the PSNR of a field, in its unit.

    Args:
        name: FM301 name; a suffix such as ``_1`` or ``_corrected`` of a known name is ignored.
        values: data of an unknown field, any shape; NaN ignored. Its robust range (0.1 to 99.9
            percentile) is the peak.

    Returns:
        The convention's peak, or the robust range, or 1.0 where neither is to be had (no data, or constant).

    Example:
        >>> psnr_peak("DBZH")
        70.0
        >>> psnr_peak("SOMETHING", np.linspace(0.0, 50.0, 100_001))
        49.9
    """
    known = base_name(name)
    if known in PSNR_PEAK:
        return PSNR_PEAK[known]
    if values is None:
        return 1.0
    finite = np.asarray(values)[np.isfinite(values)]
    if finite.size == 0:
        return 1.0
    low, high = np.percentile(finite.astype(np.float64), [0.1, 99.9])
    if high <= low:
        low, high = float(finite.min()), float(finite.max())
    return float(f"{high - low:.6g}") if high > low else 1.0


def base_name(name: str) -> str:
    """Known field that ``name`` is a variety of, else ``name`` itself.

    Example:
        >>> base_name("DBZH_CLEAN"), base_name("VRADH2"), base_name("XYZ")
        ('DBZH', 'VRADH', 'XYZ')
    """
    if name in PSNR_PEAK:
        return name
    stem = re.sub(r"(_.*|\d+)$", "", name)
    return stem if stem in PSNR_PEAK else name


def is_reflectivity(name: str, units: object = None) -> bool:
    """Whether a field is a reflectivity factor: by its name, or by its unit.

    Example:
        >>> is_reflectivity("DBZH_CLEAN"), is_reflectivity("ECHO", "dBZ"), is_reflectivity("ZDR", "dB")
        (True, True, False)
    """
    return base_name(name) in REFLECTIVITIES or str(units).strip().lower() == "dbz"


FAMILY: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("DBZV", "TH", "TV", "DBTH", "DBTV"), "DBZH"),
        **dict.fromkeys(("UZDR", "ZDRC"), "ZDR"),
        **dict.fromkeys(("URHOHV",), "RHOHV"),
        **dict.fromkeys(("UPHIDP", "PHIDPC"), "PHIDP"),
        **dict.fromkeys(("VRADV", "UVRADH", "VRADDH", "VRADDV"), "VRADH"),
        **dict.fromkeys(("WRADV", "UWRADH"), "WRADH"),
        **dict.fromkeys(("SNRV", "SNRHC", "SNRVC"), "SNRH"),
        **dict.fromkeys(("SQIV", "SQI", "QIND"), "SQIH"),
    }
)
"""Field -> the common field with the same statistics, for a model that knows only the common ones."""


def family(name: str) -> str:
    """Common field that ``name`` behaves like, else its base name.

    Example:
        >>> family("TH"), family("UPHIDP"), family("KDP"), family("XYZ")
        ('DBZH', 'PHIDP', 'KDP', 'XYZ')
    """
    known = base_name(name)
    return FAMILY.get(known, known)


def circular_period(
    name: str, nyquist: float | None = None, values: npt.NDArray[Any] | None = None
) -> float | None:
    """Period of a circular field in its unit, or None for one that is not circular.

    Args:
        name: field name.
        nyquist: Nyquist velocity in m/s of the sweep, where known (velocities are circular only then).
        values: data of the field, any shape, NaN ignored. A phase that spans more than 360 degrees (unfolded)
            and a velocity beyond its Nyquist velocity (dealiased, or a wrong header) are not circular. A
            phase
            folded at 180 degrees is given 360 all the same: data alone cannot tell it from one that never
            wrapped, and the longer period never calls two different values equal.

    Returns:
        Period (degrees or m/s), or None.

    Example:
        >>> circular_period("PHIDP"), circular_period("VRADH", nyquist=8.0), circular_period("DBZH")
        (360.0, 16.0, None)
    """
    known = base_name(name)
    finite = None if values is None else np.asarray(values)[np.isfinite(values)]
    if known in PHASES:
        if finite is not None and finite.size and float(np.ptp(finite)) > 360.5:
            return None  # unfolded along the ray: not circular any more
        return 360.0
    if known in VELOCITIES and nyquist is not None and np.isfinite(nyquist) and nyquist > 0:
        if finite is not None and finite.size and float(np.abs(finite).max()) > 1.02 * nyquist:
            return None
        return 2.0 * float(nyquist)
    return None
