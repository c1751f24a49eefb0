"""Checks on the values themselves: codes for no value that nobody named, and what a variable cannot be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sciai.core.answer import Estimate, Finding, Level
from sciai.radar.data.limits import plausible
from sciai.radar.data.names import base_name, field_attributes

if TYPE_CHECKING:
    from sciai.radar.api.report import Compressed, VariableReport
    from sciai.radar.api.source import Source

__all__ = ["implausible", "left_among_values"]


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
            f"value, coded as if it were measured; set the variable's `_FillValue`, {remedy}; then compress "
            "again"
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
                f"({_between(var)}): it is {report.lowest:.6g} to {report.highest:.6g}. Another unit, a "
                "wrong scale_factor or add_offset, or another variable of that name? Coded as it is"
            )
            yield Finding("implausible", Level.CAUTION, message, var)


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
