"""What `compress` and `verify` look at before they answer: plain functions that give findings.

Levels given here are defaults; ``conf/guard/radar.yaml`` decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sciai.core.answer import Estimate, Finding, Level, Policy
from sciai.radar.checks.rules import actions, govern
from sciai.radar.data.limits import plausible
from sciai.radar.data.names import PSNR_PEAK, base_name, field_attributes
from sciai.radar.data.validity import NOT_TOLD_APART
from sciai.trust.policy import shipped_policy

if TYPE_CHECKING:
    from sciai.radar.api.report import Compressed, VariableReport
    from sciai.radar.api.source import Source

__all__ = ["AFTER", "BEFORE", "CHECKS", "actions", "govern", "policy"]

FLAT: Final = 0.8  # of the variance that may be lost before it is said
NOISE: Final = (
    0.7  # of the roughness (1 is white noise): above it neighbours say next to nothing about each other
)
CHECKS: Final = frozenset(
    {
        *("geometry", "unknown_name", "told_apart", "double", "infinite"),
        *("bound", "mask", "damaged", "missing_part", "all_missing", "constant", "noise"),
        *("flattened", "fill_value", "implausible", "undetect", "second_hand"),
        *("unlike_training", "lossless_fallback", "overhead", "strong_echo", "category"),
        "lossy_category",
    }
)
"""Names of all findings on radar volumes; ``conf/guard/radar.yaml`` may name these and the default's."""


@cache
def policy() -> Policy:
    """Check -> level, from ``conf/guard/default.yaml`` and ``conf/guard/radar.yaml``.

    Raises:
        BadInput: a level or the name of a check does not exist.

    Example:
        >>> policy()["mask"].name
        'REFUSE'
    """
    return shipped_policy(CHECKS, "radar")


def geometry(source: Source) -> Iterable[Finding]:
    """Ranges and angles as a radar would have them."""
    for sweep in source.sweeps:
        where = sweep.name
        ranges = sweep.dataset.variables.get("range")
        if ranges is None:
            if sweep.fields:
                yield _caution("geometry", "no range coordinate; the fields are coded all the same", where)
        elif ranges.dtype.kind in "fiu":
            known = np.asarray(ranges.values, np.float64)
            if known.size and float(np.nanmin(known)) < 0:
                message = f"ranges begin at {np.nanmin(known):g}; negative ones are kept, but look at them"
                yield _caution("geometry", message, where)
            if known.size > 1 and not (np.diff(known) > 0).all():
                yield _caution("geometry", "ranges do not ascend; kept as they are, but look at them", where)
        for name, most in (("azimuth", 360.0), ("elevation", 180.0)):
            off = _not_an_angle(sweep.dataset.variables.get(name), most)
            if sweep.fields and off:
                message = f"{name} of {off} rays is no angle (NaN, or beyond {most:g}); kept, but look at it"
                yield _caution("geometry", message, where)
        if sweep.fields and not {"azimuth", "elevation"} & set(map(str, sweep.dataset.variables)):
            yield _caution("geometry", "no azimuth: whether the sweep goes round is not known", where)


def _not_an_angle(angles: Any, most: float) -> int:
    """How many of a sweep's angles in degrees are NaN, or beyond what is possible; a fill value, perhaps."""
    if angles is None or angles.dtype.kind not in "fiu":
        return 0
    return int((~(np.abs(np.asarray(angles.values, np.float64)) <= most)).sum())


def unknown_names(source: Source) -> Iterable[Finding]:
    """Variables for which no PSNR peak is agreed on."""
    for var in source.variables:
        if base_name(var) not in PSNR_PEAK and var not in source.categories:
            message = (
                f"{var} is no FM301 name known here: the range of its own data (0.1 to 99.9 percentile) "
                "is the PSNR's peak; give max_error where you need another guarantee"
            )
            yield _caution("unknown_name", message, var)


def told_apart(source: Source) -> Iterable[Finding]:
    """Whether invalid gates are of two kinds in the source."""
    vague = [v for v in source.variables if all(_is_vague(s.validity_attrs(v)) for s in source.having(v))]
    if vague:
        message = (
            "the source does not tell below-noise from missing gates: every invalid gate is stored as missing"
        )
        yield _caution("told_apart", message, ", ".join(vague))


def double(source: Source) -> Iterable[Finding]:
    """Fields wider than the store's float32."""
    if source.float64:
        message = "float64 in the source; coded as float32, and every bound is measured against that"
        yield _caution("double", message, ", ".join(source.float64))


def infinite(source: Source) -> Iterable[Finding]:
    """Infinities that became missing."""
    for var in source.variables:
        told = sum(int(s.validity_attrs(var).get("infinite_gates", 0)) for s in source.having(var))
        found = told + sum(_infinities(s.variable(var)) for s in source.having(var))
        if found:
            yield _caution("infinite", f"{found} infinite values are stored as missing gates", var)


def second_hand(source: Source) -> Iterable[Finding]:
    """Whether the volume came out of a store that is not lossless."""
    if source.heritage:
        message = (
            f"not an original: {'; then '.join(source.heritage)}. These errors stay in it and add up, and "
            "what is measured here is measured against it; take the original"
        )
        yield _caution("second_hand", message, "the volume")


def bounds(source: Source, estimate: Estimate[Compressed]) -> Iterable[Finding]:
    """Everything that was promised, measured."""
    for var, report in estimate.value.variables.items():
        if report.psnr_target is not None and report.psnr < report.psnr_target:
            message = f"PSNR {report.psnr:.2f} dB, {report.psnr_target:g} was promised"
            yield Finding("bound", Level.REFUSE, message, var)
        if report.max_error_bound is not None and not report.max_error <= report.max_error_bound:
            message = f"an error of {report.max_error:g}, {report.max_error_bound:g} was promised"
            yield Finding("bound", Level.REFUSE, message, var)
        strong = report.strong_error if report.strong_bound is not None else None
        if strong is not None and report.strong_bound is not None and not strong <= report.strong_bound:
            message = f"an error of {strong:.2f} dB in strong echo, {report.strong_bound:g} was promised"
            yield Finding("bound", Level.REFUSE, message, var)
        if strong is not None and report.csi.get("45") not in (None, 1.0):
            yield Finding("bound", Level.REFUSE, "gates crossed 45 dBZ, none was promised to", var)


def strong_echo(source: Source, estimate: Estimate[Compressed]) -> Iterable[Finding]:
    """Within how many dB strong echo came back, where that was promised."""
    kept = {v: r for v, r in estimate.value.variables.items() if r.strong_bound is not None}
    errors = [r.strong_error for r in kept.values() if r.strong_error is not None]
    if errors:
        message = (
            f"echo of 45 dBZ and more, and the strongest of each sweep, is within {max(errors):.2f} dB "
            f"({max(r.strong_bound or 0.0 for r in kept.values()):g} promised); no gate crossed 45 dBZ"
        )
        yield Finding("strong_echo", Level.OK, message, ", ".join(kept))


def categories(source: Source, estimate: Estimate[Compressed]) -> Iterable[Finding]:
    """Fields whose numbers name things."""
    for var, why in source.categories.items():
        if estimate.value.variables[var].lossless:
            yield Finding("category", Level.OK, f"categories ({why}): stored bit for bit", var)
        else:
            message = f"categories ({why}) with an error, as was asked for: one may have become another"
            yield _caution("lossy_category", message, var)


def content(source: Source, estimate: Estimate[Compressed]) -> Iterable[Finding]:
    """Variables that are empty, constant or mostly noise."""
    for var, report in estimate.value.variables.items():
        if report.valid_fraction == 0:
            yield _caution("all_missing", "not a single valid gate in any sweep", var)
        elif report.roughness is None and report.lossless and report.valid_fraction > 0.001:
            yield _caution("constant", "one value everywhere", var)
        elif report.roughness is not None and report.roughness > NOISE:
            message = (
                "mostly noise (neighbouring gates differ as much as distant ones, roughness "
                f"{report.roughness:.2f}): it takes {report.bits_per_value:.2f} bit per value; "
                "threshold it before compressing"
            )
            yield _caution("noise", message, var)


def left_among_values(source: Source, estimate: Estimate[Compressed]) -> Iterable[Finding]:
    """Codes for no value, left among the values: fill values, and the code for no echo."""
    silent: dict[str, str] = {}
    fills: dict[float, dict[str, str]] = {}
    for var, report in estimate.value.variables.items():
        if report.no_echo_value is not None:
            share = _percent(report.no_echo_fraction)
            silent[var] = f"{var} ({report.no_echo_value:.6g} in {share} of its gates)"
        elif report.fill_value is not None and var not in source.categories:
            share = _percent(report.fill_fraction)
            fills.setdefault(report.fill_value, {})[var] = f"{var} ({share} of its gates)"
    remedy = "put NaN there"
    if not source.opened_here:
        remedy += ", or open the file with sciai.radar.open_volume, which knows the codes of its format"
    for value, found in fills.items():
        known = next((var for var in found if plausible(var)), None)
        why = f"no {base_name(known)} is ({_between(known)})" if known else "is far from all other values"
        message = (
            f"{value:.6g}, which {why}, is left among the values of {', '.join(found.values())}: a fill "
            "value, coded as if it were measured; give the variable an attribute `_FillValue` that says so, "
            f"{remedy}; then compress again"
        )
        yield Finding("fill_value", Level.CAUTION, message, ", ".join(found))
    if silent:
        message = (
            "what looks like the code for no echo is left among the values, and coded as echo: the lowest "
            f"value of {', '.join(silent.values())}; {remedy}"
        )
        yield Finding("undetect", Level.CAUTION, message, ", ".join(silent))


def implausible(source: Source, estimate: Estimate[Compressed]) -> Iterable[Finding]:
    """Variables that go beyond what they can be, and not by a code for no value."""
    for var, report in estimate.value.variables.items():
        if report.fill_value is None and report.no_echo_value is None and _is_beyond(report):
            message = (
                f"{_percent(report.beyond_fraction)} of its gates are beyond what {base_name(var)} can be "
                f"({_between(var)}): from {report.lowest:.6g} to {report.highest:.6g}. Another unit, a "
                "wrong scale_factor or add_offset, a fill value? Coded as it is"
            )
            yield Finding("implausible", Level.CAUTION, message, var)


def flattened(source: Source, estimate: Estimate[Compressed]) -> Iterable[Finding]:
    """Variables of which a PSNR leaves little, since their values differ by much less than its peak."""
    for var, report in estimate.value.variables.items():
        if report.spread is None or report.lost is None or report.lossless or report.psnr_target is None:
            continue
        if report.lost > FLAT:
            error = report.spread * report.lost**0.5
            message = (
                f"little of it is left: its values differ by {report.spread:.2g} within a sweep (standard "
                f"deviation of the middle 98 %), their error is {error:.2g} (root mean square), as "
                f"{report.psnr_target:g} dB of a peak of {report.psnr_peak:g} allow; ask for more with "
                f"max_error (such as {report.spread / 2:.1g}) or psnr"
            )
            yield _caution("flattened", message, var)


def codec_choice(source: Source, estimate: Estimate[Compressed]) -> Iterable[Finding]:
    """Where the learned model did not help, and where the bound was held by brute force."""
    for var, report in estimate.value.variables.items():
        learned = [size for name, size in report.tried.items() if name != "plain"]
        plain = report.tried.get("plain")
        if learned and plain is not None and plain < 0.99 * min(learned) and report.valid_fraction > 0.001:
            message = (
                "unlike what the model learned from: the classical codec is "
                f"{100 * (1 - plain / min(learned)):.0f} % smaller here; expect more bits than usual"
            )
            yield _caution("unlike_training", message, var)
        if report.lossless and report.max_error_bound != 0 and report.step == 0:
            yield _caution("lossless_fallback", "stored bit for bit: no quantiser step was fine enough", var)
        elif report.repaired:
            message = f"{report.repaired} planes were coded again by the classical codec to hold the bound"
            yield _caution("lossless_fallback", message, var)


def overhead(source: Source, estimate: Estimate[Compressed]) -> Iterable[Finding]:
    """Whether what is not echo outweighs the echo."""
    value = estimate.value
    rest = value.store_bytes - value.field_bytes
    if rest > value.field_bytes:
        message = f"metadata, coordinates and model take {rest} bytes, the fields {value.field_bytes}"
        large = _in_every_gate(source)
        if large:
            message += f"; {', '.join(large)}, stored bit for bit for every gate, can be left out"
        yield _caution("overhead", message, "")


def _in_every_gate(source: Source) -> list[str]:
    """Coordinates over rays and gates, such as the x, y and z of each, which angles and ranges tell."""
    found = {
        str(name)
        for sweep in source.sweeps
        for name, variable in sweep.dataset.coords.items()
        if variable.ndim == 2 and variable.shape == sweep.shape
    }
    return sorted(found)


BEFORE: Final = (geometry, second_hand, unknown_names, told_apart, double, infinite)
AFTER: Final = (
    *(bounds, strong_echo, categories, content, left_among_values, implausible, flattened),
    *(codec_choice, overhead),
)


def _is_vague(attrs: Mapping[str, Any]) -> bool:
    # readers may say more in the same comment (NEXRAD: range folding), and say so beside the constant
    return NOT_TOLD_APART in str(attrs.get("comment", ""))


def _infinities(variable: Any) -> int:
    if not isinstance(variable._data, np.ndarray):
        return 0  # not loaded only for this: readers of files count infinities themselves
    return int(np.isinf(variable._data).sum())


def _caution(check: str, message: str, where: str) -> Finding:
    return Finding(check, Level.CAUTION, message, where)


def _is_beyond(report: VariableReport) -> bool:
    """Whether more than a few stray gates are beyond the limits, or one as far beyond as these are wide."""
    limits = plausible(report.name)
    if limits is None or not report.beyond_fraction or report.lowest is None or report.highest is None:
        return False
    far = max(limits[0] - report.lowest, report.highest - limits[1]) > limits[1] - limits[0]
    return far or report.beyond_fraction > 1e-3 * report.valid_fraction


def _between(var: str) -> str:
    low, high = plausible(var) or (float("-inf"), float("inf"))
    unit = str(field_attributes(base_name(var)).get("units", ""))
    return f"{low:g} to {high:g} {'' if unit == 'unitless' else unit}".rstrip()


def _percent(part: float) -> str:
    """A part of the gates, for a sentence.

    >>> _percent(0.66321), _percent(0.00034), _percent(2e-6)
    ('66.3 %', '0.034 %', '0.0002 %')
    """
    return f"{100 * part:.1f} %" if part >= 0.01 else f"{100 * part:.2g} %"
