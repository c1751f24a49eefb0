"""Pictures: structures coloured by uncertainty, and the curves of every workflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curves", "new_figure", "structure_figure"]

INK, QUIET, LINE, ACCENT, WARM = "#1d2733", "#5c6875", "#dde3e9", "#1f6fb2", "#b3261e"
MOST_DRAWN: Final = 2000
MOST_REPEATED: Final = 64
RADIUS: Final = 0.6
VIEWS: Final = (("-80x,20y,0z", "side"), ("0x,0y,0z", "from above"))


def new_figure(width: float = 7.0, height: float = 4.2) -> Figure:
    """An empty figure in the style of all others; never touches pyplot, so it works without a display."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def tidy(axes: Axes, x: str, y: str, title: str = "") -> Axes:
    """Labels, light frame."""
    axes.set_xlabel(x, color=QUIET)
    axes.set_ylabel(y, color=QUIET)
    if title:
        axes.set_title(title, loc="left", color=INK, fontsize=11)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, labelsize=9)
    return axes


def structure_figure(atoms: Atoms, spread: npt.ArrayLike | None = None, *, title: str = "") -> Figure:
    """A structure from two sides.

    Args:
        atoms: the structure; of more than 2,000 atoms only the first are drawn, and the title says so.
        spread: standard deviation of each atom's force components, eV/Å, shape (n,): its colour. None, or
            all NaN, colours by element.
        title: above the picture.

    Example:
        >>> from ase.build import molecule
        >>> len(structure_figure(molecule("H2O"), [0.1, 0.2, 0.2]).axes)
        3
    """
    from ase.data import covalent_radii
    from ase.data.colors import jmol_colors
    from ase.visualize.plot import plot_atoms
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize, to_hex

    shown = atoms.copy()
    shown.set_constraint()
    if len(shown) > MOST_DRAWN:
        title = f"{title} (first {MOST_DRAWN:,} of {len(atoms):,} atoms)".strip()
        shown = shown[:MOST_DRAWN]
    shown, index = _with_images(shown)
    values = None if spread is None else np.asarray(spread, float)[index]
    known = values is not None and bool(np.isfinite(values).any())
    figure = new_figure(8.0, 4.4)
    panels = figure.subplots(1, len(VIEWS))
    if known and values is not None:
        top = max(float(np.nanmax(values)), 1e-3)
        scale = ScalarMappable(Normalize(0.0, top), colormaps["YlOrRd"])
        colors = [
            to_hex(tuple(map(float, scale.to_rgba(v)))) if np.isfinite(v) else "#cccccc"  # type: ignore[arg-type]
            for v in values
        ]
    else:
        colors = [to_hex(jmol_colors[z]) for z in shown.numbers]
    for axes, (rotation, name) in zip(panels, VIEWS, strict=True):
        plot_atoms(
            shown,
            axes,
            rotation=rotation,
            colors=colors,
            radii=RADIUS * covalent_radii[shown.numbers],
            show_unit_cell=2 if shown.cell.any() else 0,
        )
        axes.set_axis_off()
        axes.set_title(name, color=QUIET, fontsize=9)
    if known:
        bar = figure.colorbar(scale, ax=panels, shrink=0.75, pad=0.02)
        bar.set_label("spread of the force, eV/Å", color=QUIET, fontsize=9)
        bar.ax.tick_params(colors=QUIET, labelsize=8)
    else:
        figure.legend(handles=_element_key(shown), loc="lower center", ncols=8, frameon=False, fontsize=9)
    if title:
        figure.suptitle(title, color=INK, fontsize=12)
    return figure


def curves(
    panels: Sequence[tuple[str, npt.ArrayLike, Mapping[str, npt.ArrayLike]]],
    x_label: str,
    *,
    title: str = "",
    log: Sequence[str] = (),
    bands: Mapping[str, npt.ArrayLike] | None = None,
) -> Figure:
    """Panels one above the other that share the kind of x.

    Args:
        panels: for each its y label, its x values, and curve name -> y values.
        x_label: below the last panel.
        title: above the first.
        log: y labels of panels with a logarithmic axis.
        bands: curve name -> half width of a band around it.

    Example:
        >>> len(curves([("energy, eV", [0, 1], {"total": [1.0, 0.5]})], "step").axes)
        1
    """
    figure = new_figure(7.0, 1.0 + 2.4 * len(panels))
    axes_of = np.atleast_1d(figure.subplots(len(panels), 1, sharex=True))
    for place, (axes, (label, x, lines)) in enumerate(zip(axes_of, panels, strict=True)):
        for color, (name, y) in zip(_cycle(len(lines)), lines.items(), strict=True):
            xs, ys = np.asarray(x, float), np.asarray(y, float)
            axes.plot(
                xs, ys, color=color, linewidth=1.4, label=name, marker="o" if len(xs) < 30 else None, ms=3
            )
            half = None if bands is None or name not in bands else np.asarray(bands[name], float)
            if half is not None and np.isfinite(half).any():
                axes.fill_between(xs, ys - half, ys + half, color=color, alpha=0.18, linewidth=0)
        tidy(axes, x_label if place == len(panels) - 1 else "", label, title if place == 0 else "")
        if label in log and all((np.asarray(y, float) > 0).all() for y in lines.values()):
            axes.set_yscale("log")
        if len(lines) > 1:
            axes.legend(frameon=False, fontsize=9)
    return figure


def _cycle(n: int) -> list[str]:
    base = [ACCENT, WARM, "#1a7f4b", "#a96500", "#6a4c93", QUIET]
    return [base[k % len(base)] for k in range(n)]


def _with_images(atoms: Atoms) -> tuple[Atoms, npt.NDArray[np.int64]]:
    """Atoms on a face of a small cell are drawn on the opposite one too, as everybody draws a unit cell."""
    index = np.arange(len(atoms))
    if len(atoms) > MOST_REPEATED or not atoms.pbc.any():
        return atoms, index
    scaled = atoms.get_scaled_positions(wrap=False)
    shown: Atoms = atoms.copy()
    places = [index]
    for shift in np.ndindex(2, 2, 2):
        if not any(shift) or any(s and not p for s, p in zip(shift, atoms.pbc, strict=True)):
            continue
        moved = scaled + np.array(shift)
        near = np.flatnonzero((moved < 1.001).all(1))
        copies = atoms[near]
        copies.positions += np.array(shift) @ atoms.cell[:]
        shown.extend(copies)
        places.append(near)
    return shown, np.concatenate(places)


def _element_key(atoms: Atoms) -> list[Any]:
    from ase.data import chemical_symbols
    from ase.data.colors import jmol_colors
    from matplotlib.lines import Line2D

    present = sorted(set(atoms.numbers.tolist()))[:16]
    return [
        Line2D(
            [],
            [],
            marker="o",
            linestyle="",
            color=jmol_colors[z],
            markeredgecolor=INK,
            label=chemical_symbols[z],
        )
        for z in present
    ]
