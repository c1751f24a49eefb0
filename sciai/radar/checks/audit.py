"""What the audit of the radar codec asks, and how it judges: pieces of volumes, slices, harms.

The truth is the volume itself. A question is one variable in one piece (rays x gates) of one sweep; the
answers come from ``sciai.radar.api.audit``, which compresses and reads back as users do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sciai.core.errors import BadInput
from sciai.radar.checks.rules import FACTS, REACHES
from sciai.radar.data.names import base_name, is_reflectivity, psnr_peak
from sciai.trust.audit.exam import Answers, Exam
from sciai.trust.audit.exam import judge as judged
from sciai.trust.policy import Action, read_actions

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["ECHO", "PSNR", "Piece", "exam", "judge", "pieces"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

PSNR: Final = 35.0
MATTERS: Final = {
    "false-safe": 0.02,
    "false-alarm": 0.02,
    "unphysical": 0.001,
    "missed-extreme": 0.2,
    "overconfident": 0.2,
}
MEANINGS: Final = {
    "false-safe": "of gates of 35 dBZ and more, the share that comes back under 32",
    "false-alarm": "of echoes under 20 dBZ, the share that comes back above 23",
    "unphysical": "share of gates not finite, masked otherwise, or far outside what the piece holds",
    "missed-extreme": "the strongest value of a piece comes back weaker by 2 % of the variable's peak",
    "overconfident": f"a piece more than 3 dB below the {PSNR:g} dB that hold for the volume as a whole",
}
ECHO: Final = ("DBZH", "TH", "DBZV", "TV")
"""Variables of reflectivity."""
_WANTED: Final = ("DBZH", "TH", "VRADH", "WRADH", "ZDR", "RHOHV", "PHIDP", "KDP")
_RAYS, _GATES = 90, 160


@dataclass(frozen=True)
class Piece:
    """One variable of one piece.

    Attributes:
        volume, radar: where it is from.
        sweep: name of the piece in the tree that is compressed.
        variable: FM301 name.
        elevation: degrees; NaN where not known.
        near: whether it begins at the radar.
        range_km: middle of the piece; NaN where not known.
        values, validity: shape (rays, gates); NaN where not valid.
    """

    volume: str
    radar: str
    sweep: str
    variable: str
    elevation: float
    near: bool
    range_km: float
    values: npt.NDArray[np.float32]
    validity: npt.NDArray[np.uint8]


def pieces(
    volumes: Mapping[str, Mapping[str, Any]], quick: bool
) -> dict[str, tuple[xr.DataTree, list[Piece]]]:
    """Of each volume a small tree to compress, and the pieces in it.

    Args:
        volumes: key -> ``{"paths": [...], "radar": name}``; ``{"seed": n}`` in place of paths simulates one.
        quick: fewer volumes and variables.

    Raises:
        BadInput: where a file cannot be read, or holds no field of a sweep.
    """
    import xarray as xr

    from sciai.radar.data import open_volume, simulate

    found: dict[str, tuple[xr.DataTree, list[Piece]]] = {}
    for key, about in list(volumes.items())[: 4 if quick else 24]:
        if "seed" in about:
            tree = simulate(seed=int(about["seed"]), shape=(8, 180, 400))
        else:
            paths = list(about["paths"])
            tree = open_volume(paths[0] if len(paths) == 1 else paths)
        sweeps = sorted(
            (n for n in tree.children if n.startswith("sweep_")), key=lambda n: int(n.split("_")[1])
        )
        sweeps = [n for n in sweeps if _fields(tree[n].to_dataset())]
        if not sweeps:
            raise BadInput("no field of rays and gates", file=key)
        small: dict[str, xr.Dataset] = {}
        own: list[Piece] = []
        for sweep in dict.fromkeys([sweeps[0], sweeps[-1]]):
            dataset = tree[sweep].to_dataset()
            for near in (True, False):
                name = f"sweep_{len(small)}"
                cut, parts = _cut(dataset, near, 2 if quick else 4)
                own += [Piece(key, str(about["radar"]), name, *part) for part in parts]
                if parts:
                    small[name] = cut
        if own:
            tree = xr.DataTree.from_dict({f"/{name}": dataset for name, dataset in small.items()})
            found[key] = tree, own
    return found


def _fields(dataset: Any) -> list[str]:
    names = [str(v) for v in dataset.data_vars if f"{v}_validity" in dataset and dataset[v].ndim == 2]
    rank = {name: k for k, name in enumerate(_WANTED)}
    return sorted((n for n in names if base_name(n) in rank), key=lambda n: rank[str(base_name(n))])


def _cut(dataset: Any, near: bool, most: int) -> tuple[Any, list[tuple[Any, ...]]]:
    """A piece of a sweep with its fields: near the radar, or where most echo lies further out."""
    names = _fields(dataset)
    first = dataset[names[0]]
    rays, gates = first.dims
    valid = dataset[f"{names[0]}_validity"].values == 0
    low = 0 if near else valid.shape[1] // 2
    low = max(0, min(low, valid.shape[1] - _GATES))
    count = valid[:, low : low + _GATES].sum(1)
    width = min(_RAYS, len(count))
    sums = np.convolve(count, np.ones(width), "valid")
    start = int(sums.argmax())
    window = {rays: slice(start, start + width), gates: slice(low, low + _GATES)}
    keep = [n for n in names[:most] if (dataset[f"{n}_validity"].isel(window).values == 0).sum() >= 100]
    if not keep:
        return None, []
    cut = dataset[[*keep, *(f"{n}_validity" for n in keep)]].isel(window).copy(deep=True)
    elevation = dataset.get("sweep_fixed_angle")
    angle = float(elevation) if elevation is not None and elevation.size == 1 else float("nan")
    ranges = dataset.coords.get("range")
    middle = float("nan")
    if ranges is not None and ranges.ndim == 1:
        middle = float(np.mean(ranges.values[low : low + _GATES])) / 1000
    parts = []
    for name in keep:
        validity = cut[f"{name}_validity"].values.astype(np.uint8)
        values = np.where(validity == 0, cut[name].values, np.nan).astype(np.float32)
        parts.append((name, angle, near, middle, values, validity))
    return cut, parts


def judge(
    volumes: Mapping[str, Mapping[str, Any]],
    files: Sequence[str],
    quick: bool,
    answers: str,
    actions: Sequence[Mapping[str, Any]],
    draws: int,
    step: Callable[[float, str], None],
) -> dict[str, Any]:
    """What the volumes say of what came back; called in a process that never loads the codec.

    Args:
        volumes: as of ``pieces``.
        files: all their files, for the seals.
        quick: fewer variables.
        answers: ``.npz`` of ``sciai.radar.api.audit.answers``.
        actions: the runtime policy.
        draws: of bootstrap and permutations.
        step: progress.
    """
    step(0.0, "volumes")
    asked = exam([piece for _, own in pieces(volumes, quick).values() for piece in own])
    with np.load(Path(answers), allow_pickle=False) as content:
        told = {name[2:]: content[name] for name in content.files if name != "json"}
    return judged(asked, told, read_actions(actions, FACTS), draws=draws, step=step)


def exam(questions: Sequence[Piece]) -> Exam:
    """Slices, harms and figures of these pieces.

    Answers are arrays: ``values`` and ``validity`` of all pieces one after the other, flat; ``error`` (n,):
    the largest error that the answer said its variable has, in the variable's unit.

    Args:
        questions: the pieces.
    """
    ends = np.cumsum([p.values.size for p in questions])
    truth = [p.values.ravel().astype(float) for p in questions]
    mask = [p.validity.ravel() for p in questions]
    kind = [str(base_name(p.variable)) for p in questions]
    peak = [float(psnr_peak(p.variable, p.values)) for p in questions]

    def each(answers: Answers, one: Callable[[int, Floats, Any], float]) -> Floats:
        found = np.full(len(questions), np.nan)
        for k, end in enumerate(ends):
            part = slice(int(end) - truth[k].size, int(end))
            back = np.asarray(answers["values"][part], float)
            if np.isfinite(back).any() or not (mask[k] == 0).any():
                found[k] = one(k, back, answers["validity"][part])
        return found

    def safe(k: int, back: Floats, validity: Any) -> float:
        strong = (truth[k] >= 35) & (mask[k] == 0)
        return float((back[strong] < 32).mean()) if kind[k] in ECHO and strong.sum() >= 20 else np.nan

    def alarm(k: int, back: Floats, validity: Any) -> float:
        weak = (truth[k] < 20) & (mask[k] == 0)
        return float((back[weak] > 23).mean()) if kind[k] in ECHO and weak.sum() >= 20 else np.nan

    def odd(k: int, back: Floats, validity: Any) -> float:
        known = mask[k] == 0
        low, high = np.nanmin(truth[k][known]), np.nanmax(truth[k][known])
        far = (back < low - 0.1 * peak[k]) | (back > high + 0.1 * peak[k])
        return float(((validity != mask[k]) | (known & (far | ~np.isfinite(back)))).mean())

    def missed(k: int, back: Floats, validity: Any) -> float:
        known = mask[k] == 0
        if kind[k] in ("PHIDP",):  # circular: there is no strongest
            return np.nan
        size = np.abs(truth[k][known]) if kind[k] == "VRADH" else truth[k][known]
        top = int(size.argmax())
        then = abs(back[known][top]) if kind[k] == "VRADH" else back[known][top]
        return float(size[top] - then > 0.02 * peak[k])

    def poor(k: int, back: Floats, validity: Any) -> float:
        return float(_psnr(k, back) < PSNR - 3)

    def _off(k: int, back: Floats) -> Floats:
        known = mask[k] == 0
        off = np.abs(back[known] - truth[k][known])
        return np.minimum(off, np.abs(360.0 - off)) if kind[k] == "PHIDP" else off

    def _psnr(k: int, back: Floats) -> float:
        mean = float((_off(k, back) ** 2).mean())
        return 20 * float(np.log10(peak[k] / np.sqrt(mean))) if mean > 0 else 200.0

    def harms(answers: Answers) -> dict[str, Floats]:
        return {
            "false-safe": each(answers, safe),
            "false-alarm": each(answers, alarm),
            "unphysical": each(answers, odd),
            "missed-extreme": each(answers, missed),
            "overconfident": each(answers, poor),
        }

    def errors(answers: Answers) -> tuple[Floats, Floats]:
        size = np.array(peak)
        error = each(answers, lambda k, back, validity: float(_off(k, back).mean()))
        return error / size, np.asarray(answers["error"], float) / size

    def figures(answers: Answers) -> dict[str, float]:
        squares = each(answers, lambda k, back, validity: float((_off(k, back) ** 2).sum()))
        known = np.array([(m == 0).sum() for m in mask])
        pooled = []
        for name in sorted({(p.volume, p.variable) for p in questions}):
            own = np.array([(p.volume, p.variable) == name for p in questions]) & np.isfinite(squares)
            if own.any() and squares[own].sum() > 0:
                size = max(np.array(peak)[own])
                pooled.append(20 * np.log10(size / np.sqrt(squares[own].sum() / known[own].sum())))
        exact = each(answers, lambda k, back, validity: float((validity == mask[k]).all()))
        return {
            "least_psnr": float(min(pooled)) if pooled else float("nan"),
            "masks_exact": float(np.nanmean(exact)),
            "answered": float(np.isfinite(squares).mean()),
        }

    def change(answers: Answers, rows: Mask, rule: Action) -> Answers:
        if rule.do not in ("withhold", "refer"):
            raise BadInput(
                f"a codec's error is measured, so nothing can be done by {rule.do!r}", field="actions"
            )
        values = np.array(answers["values"], float)
        for k in np.flatnonzero(rows):
            values[int(ends[k]) - truth[k].size : int(ends[k])] = np.nan
        return {**answers, "values": values}

    volumes = sorted({p.volume for p in questions})
    simulated = all(name.startswith("simulated") for name in volumes)
    told = ["What kind of weather it was is told by the echo alone.", "Privacy does not apply."]
    if simulated:
        told.append("The volumes are simulated: smoother than real ones, and they flatter every codec.")
    else:
        told.append("The shipped codec learned from these radars; its quality is measured on each volume, so")
        told[-1] += " that cannot flatter it, but sizes are not looked at here."
    return Exam(
        about=f"{len(questions)} pieces of {len(volumes)} volumes, {len({p.radar for p in questions})} radars"
        + (", simulated" if simulated else ""),
        slices=_slices(questions, kind),
        facts=_facts(questions, kind),
        groups=np.array([p.volume for p in questions]),
        harms=harms,
        matters=MATTERS,
        errors=errors,
        figures=figures,
        change=change,
        cannot=tuple(told),
        meanings=MEANINGS,
    )


def band_of(radar: str) -> str:
    """The band, from what is known of radars of that name; "unknown" else.

    >>> [band_of(name) for name in ("KTLX", "TORD", "DX50-Payerne", "frale")]
    ['S', 'C', 'X', 'C']
    """
    if radar.startswith(("DX50", "MXPol", "BoXPol", "simulated")):
        return "X"
    if len(radar) == 4 and radar.isupper() and radar[0] in "KT":
        return "S" if radar[0] == "K" else "C"
    if radar == "Goa":
        return "S"
    return "C" if radar in ("Albis", "behel", "Montancy", "Istanbul") or len(radar) == 5 else "unknown"


def _strongest(questions: Sequence[Piece], kind: Sequence[str]) -> Floats:
    """The strongest echo around each piece, whatever its own variable, dBZ."""
    top: dict[tuple[str, str], float] = {}
    for piece, name in zip(questions, kind, strict=True):
        if name in ECHO:
            place = piece.volume, piece.sweep
            top[place] = max(top.get(place, -np.inf), float(np.nanquantile(piece.values, 0.995)))
    return np.array([top.get((p.volume, p.sweep), np.nan) for p in questions])


def _slices(questions: Sequence[Piece], kind: Sequence[str]) -> dict[str, Mask]:
    bands = np.array([band_of(p.radar) for p in questions])
    angle = np.array([p.elevation for p in questions])
    near = np.array([p.near for p in questions])
    echo, names = _strongest(questions, kind), np.array(kind)
    share = np.array([(p.validity == 0).mean() for p in questions])
    found: dict[str, Mask] = {f"{b} band": bands == b for b in ("S", "C", "X") if (bands == b).any()}
    found |= {
        "clear air (under 20 dBZ)": echo < 20,
        "rain or snow (20 to 40 dBZ)": (echo >= 20) & (echo < 40),
        "heavy rain or hail (40 dBZ on)": echo >= 40,
        "near the radar": near,
        "far": ~near,
        "lowest beams (under 1 degree)": angle < 1,
        "middle beams": (angle >= 1) & (angle < 5),
        "high beams (5 degrees on)": angle >= 5,
        "sparse echo": share < 0.2,
        "full of echo": share > 0.8,
    }
    return found | {f"variable {n}": names == n for n in sorted(set(kind))}


def _facts(questions: Sequence[Piece], kind: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """As ``checks.rules.facts`` tells them when the volume is compressed, strong echo bounded by itself."""
    reaches = []
    for piece, name in zip(questions, kind, strict=True):
        top = float(np.nanmax(piece.values)) if name in ECHO else -np.inf
        reaches.append(max((level for level in REACHES if top >= level), default=np.nan))
    sweeps: dict[str, set[str]] = {}
    for piece in questions:
        sweeps.setdefault(piece.volume, set()).add(piece.sweep)
    return {
        "variable": np.array(kind),
        "reaches": np.array(reaches),
        "bounded": np.array([is_reflectivity(piece.variable) for piece in questions]),
        "sweeps": np.array([len(sweeps[piece.volume]) for piece in questions]),
    }
