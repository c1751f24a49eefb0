"""How well people who were learned from are told from others, by how likely the model finds them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["exposure", "told_apart"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def exposure(rarity: Floats, member: Mask, strangers: Mask, band: npt.NDArray[np.str_]) -> Floats:
    """Of each member, the share of strangers like them whom the model finds rarer; NaN of all others.

    Args:
        rarity: minus the log-likelihood, shape (n,); NaN where too little is known.
        member: who was learned from.
        strangers: who was not.
        band: sex and age of each.
    """
    found = np.full(len(rarity), np.nan)
    for name in np.unique(band):
        own = (band == name) & np.isfinite(rarity)
        others = np.sort(rarity[own & strangers])
        members = own & member
        if len(others) >= 10:
            place = np.searchsorted(others, rarity[members], "left")
            until = np.searchsorted(others, rarity[members], "right")
            found[members] = 1 - (place + until) / (2 * len(others))
    return found


def told_apart(rarity: Floats, member: Mask, strangers: Mask, band: npt.NDArray[np.str_]) -> Floats:
    """A value of each member and stranger whose mean over a slice is how well its members are told apart.

    Members of a slice may be likelier than others of their sex and age because all such people are, learned
    from or not. So strangers count, too: a slice's mean is the mean exposure, plus what its members, less
    what its strangers show beyond it. The values are those of the infinitesimal jackknife of the two-sample
    statistic (Hoeffding 1948; DeLong et al. 1988, Biometrics 44), so that the chance in who the few strangers
    are is part of what the values vary by.

    Args:
        rarity: minus the log-likelihood, shape (n,); NaN where too little is known.
        member: who was learned from.
        strangers: who was not.
        band: sex and age of each.

    Returns:
        Shape (n,); NaN of all others, and where a band has fewer than ten of either.
    """
    found = np.full(len(rarity), np.nan)
    for name in np.unique(band):
        own = (band == name) & np.isfinite(rarity)
        here, away = np.flatnonzero(own & member), np.flatnonzero(own & strangers)
        if min(len(here), len(away)) < 10:
            continue
        a, b = rarity[here][:, None], rarity[away][None, :]
        wins = (b > a) + 0.5 * (b == a)
        both, middle = len(here) + len(away), wins.mean()
        found[here] = middle + both / len(here) * (wins.mean(1) - middle)
        found[away] = middle + both / len(away) * (wins.mean(0) - middle)
    return found
