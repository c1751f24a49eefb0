"""Parts of a sheet that are about another specimen: under "Urinalysis", Glucose is not that of blood."""

from __future__ import annotations

import re
from typing import Final

from sciai.health.data.panels.about import is_number
from sciai.health.data.panels.analytes import Analyte, fold, specimen_in, table
from sciai.health.data.panels.text import Rows
from sciai.health.data.panels.unit_words import is_unit

__all__ = ["specimens_named"]

_URINE: Final = re.compile(
    r"(routine|complete|macroscopic|microscopic)?"
    r"urine?(alysis|analysis|tests?|chemistry|dipstick|examination|results?|sediment)?"
    r"(complete|routine|ua|microscopic|macroscopic|withmicroscopy|dipstick)?"
    r"|検尿|(随時|早朝)?尿(検査|一般|定性|定量|沈渣|化学|中)*"
)
_FLUID: Final = re.compile(
    r"(csf|cerebrospinalfluid|髄液|胸水|腹水|関節液|便|stool|feces)(検査|analysis|tests?)?"
)
_BLOOD: Final = re.compile(
    r"血液|血清|生化学|血算|脂質|肝機能|腎機能|糖代謝|電解質|身体|"
    r"blood|serum|plasma|chemistry|ha?ematology|cbc|lipid|liver|thyroid|metabolic|vital|panel|profile"
)


def specimens_named(rows: Rows) -> Rows:
    """The same cells, with the specimen behind names of tests that stand in a part about another than blood.

    Such a part begins with a line of its own (Urinalysis, 尿検査) and ends with the next such line; or
    the line itself has a cell that says so ("尿", "Urine").

    Args:
        rows: cells of a sheet.

    >>> specimens_named([["Glucose", "99"], ["URINALYSIS", ""], ["Glucose", "500"]])[2]
    ['Glucose (urine)', '500']
    >>> specimens_named([["Creatinine", "Urine", "120"]])
    [['Creatinine (urine)', 'Urine', '120']]
    """
    part = ""
    result = []
    for row in rows:
        filled = [cell for cell in row if cell]
        if filled and not any(is_number(cell) for cell in row):
            part = _begins(filled, part)
        named = [place for place, cell in enumerate(row) if cell and _tests(cell)]
        beside = next((s for cell in filled if (s := _specimen(cell))), "") if len(named) == 1 else ""
        found = beside or part
        if found:
            row = [
                f"{cell} ({found})" if place in named and _of_blood(cell) else cell
                for place, cell in enumerate(row)
            ]
        result.append(row)
    return result


def _begins(filled: list[str], now: str) -> str:
    """The part that a line without numbers begins; the one before where it begins none."""
    own = _specimen(filled[0])
    if own:
        return own
    head = fold(filled[0]).strip("【】<>《》■◆●○◎")
    heading = (len(filled) == 1 or _BLOOD.search(head)) and not _tests(filled[0])
    return "" if heading else now


def _specimen(cell: str) -> str:
    plain = fold(cell).strip("【】<>《》■◆●○◎")
    if _URINE.fullmatch(plain):
        return "urine"
    return specimen_in(plain) if _FLUID.fullmatch(plain) else ""


def _tests(cell: str) -> tuple[Analyte, ...]:
    # the mg of mg/dL is no magnesium
    return () if "/" in cell and is_unit(cell) else table().find(cell)


def _of_blood(cell: str) -> bool:
    return not specimen_in(cell) and any(test.specimen in ("blood", "") for test in _tests(cell))
