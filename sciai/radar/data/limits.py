"""What a field can be at all: values beyond it are a fill value, in another unit, or wrong.

The limits are wide on purpose. Noise, receivers that saturate and phases that were unfolded stay within them;
they hold on every real volume that this project has, but for two fields whose files state a wrong scale.

Sources: Doviak and Zrnic, Doppler Radar and Weather Observations (1993), for what is measured at all; the
ranges that NEXRAD (ICD 2620002), IRIS (M211318EN 4.4) and ODIM_H5 2.4 can store.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sciai.radar.data.names import base_name

__all__ = ["plausible"]

_LIMITS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        # dBZ: -60 is seen by cloud radars close by, 80 in clutter
        **dict.fromkeys(("DBZH", "DBZV", "TH", "TV", "DBTH", "DBTV"), (-95.0, 90.0)),
        # dB, and dBm
        **dict.fromkeys(("SNRH", "SNRV", "SNRHC", "SNRVC", "CCORH", "CCORV"), (-95.0, 150.0)),
        **dict.fromkeys(("DBM", "DBMH", "DBMV"), (-250.0, 100.0)),
        **dict.fromkeys(("ZDR", "UZDR", "ZDRC"), (-60.0, 60.0)),
        "LDR": (-95.0, 60.0),
        # 1: noise and NEXRAD's packing leave 0 to 1 by a little
        **dict.fromkeys(("RHOHV", "URHOHV", "SQIH", "SQIV", "SQI", "QIND"), (-0.5, 2.0)),
        # degrees, unfolded along the ray; degrees per km
        **dict.fromkeys(("PHIDP", "UPHIDP", "PHIDPC"), (-400.0, 3600.0)),
        "KDP": (-120.0, 120.0),
        # m/s
        **dict.fromkeys(("VRADH", "VRADV", "UVRADH", "VRADDH", "VRADDV"), (-200.0, 200.0)),
        **dict.fromkeys(("WRADH", "WRADV", "UWRADH"), (-0.5, 80.0)),
    }
)


def plausible(name: str) -> tuple[float, float] | None:
    """The least and the largest value that a field can have, in its unit; None for a name not known.

    Example:
        >>> plausible("WRADH"), plausible("DBZH_CLEAN"), plausible("XYZ")
        ((-0.5, 80.0), (-95.0, 90.0), None)
    """
    return _LIMITS.get(base_name(name))
