"""The table of tests: what a sheet may call each, its codes, units, ranges and natural variation.

The table itself is ``data/health/analytes.yaml``; this module reads it and finds the test that a label means.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sciai.core.errors import BadInput
from sciai.core.resources import data_dir

__all__ = ["Analyte", "Table", "analyte_of_column", "fold", "is_loinc", "load_table", "specimen_in", "table"]

_LOINC = re.compile(r"\d{1,6}-\d")
_JLAC10 = re.compile(r"\d[A-Z]\d{3}(?:\d{4})?(?:[0-9A-Z]*)")
_FASTING = ("空腹時", "空腹", "fasting", "fasted")
_RANDOM = ("随時", "食後", "random", "nonfasting", "postprandial", "casual")
_URINE = ("尿", "尿中", "urine", "u", "随時尿", "urinary")
_SERUM = ("血清", "血中", "血漿", "血液", "serum", "plasma", "blood", "s", "p")
_ELSEWHERE = {
    "urine": r"urine|urinary|尿(?!素|酸)",
    "CSF": r"csf|cerebro?spinal|cerebral spinal|髄液",
    "stool": r"stool|feces|faeces|fecal|便",
    "body fluid": r"(body|pleural|peritoneal|ascitic|synovial|amniotic|pericardial|dialysis) ?fluid|ascites|"
    r"dialysate|saliva|sweat|semen|sputum|胸水|腹水|関節液|羊水|唾液|透析液|喀痰",
}
_QUOTIENT = re.compile(r"\b(ratio|quotient|clearance)\b|比(?!率|重)|クリアランス")
_PARENTHESES = re.compile(r"[(\[【〔（]([^()\[\]【】〔〕（）]*)[)\]】〕）]")


@dataclass(frozen=True)
class Analyte:
    """One test.

    Attributes:
        key: name in the table.
        column: column of the model; None where the model does not know the test.
        group: part of the sheet (liver, lipids, sugar, kidney, ...).
        en: English name.
        ja: Japanese name.
        aliases: other names, in either language.
        loinc: LOINC codes, the first is the preferred one.
        jlac10: the five characters of the JLAC10 analyte code; "" where none is given.
        unit: UCUM unit of the column.
        units: further UCUM unit -> (factor, offset); value in ``unit`` = factor * x + offset.
        usual: language -> unit that a sheet without units means.
        reference: "F" / "M" -> (low, high) in ``unit``; None for an open end.
        reference_source: jccls, guideline or common; "" without a range.
        plausible: (low, high) in ``unit``; outside is a typing mistake or another unit.
        cv_within: within-person variation in %, None where no figure was adopted.
        cv_analytical: analytical variation in %, None where ``cv_within`` is None.
        specimen: "blood", "urine" or "CSF" ("" for body measures).
        fasting: True / False where the column is of fasting / any blood; None where it does not matter.
        language: "ja" where Japanese sheets mean this one and others its namesake; else "".
    unverified: which fields were quoted and not checked at their source.
    assay: what the reader of an outlying value has to know about how it is measured; "" for nothing.
    note: one sentence a reader should know.
    """

    key: str
    column: str | None
    group: str
    en: str
    ja: str
    unit: str
    aliases: tuple[str, ...] = ()
    loinc: tuple[str, ...] = ()
    jlac10: str = ""
    units: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    usual: Mapping[str, str] = field(default_factory=dict)
    reference: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    reference_source: str = ""
    plausible: tuple[float, float] = (float("-inf"), float("inf"))
    cv_within: float | None = None
    cv_analytical: float | None = None
    specimen: str = "blood"
    fasting: bool | None = None
    language: str = ""
    unverified: tuple[str, ...] = ()
    assay: str = ""
    note: str = ""

    @property
    def modelled(self) -> bool:
        """Whether the model has a column for it."""
        return self.column is not None

    def range_of(self, sex: str | None = None) -> tuple[float | None, float | None]:
        """Reference range in ``unit`` of one sex, "F" or "M"; the union of both when None."""
        if sex is not None and sex in self.reference:
            return self.reference[sex]
        if not self.reference:
            return None, None
        lows = [low for low, _ in self.reference.values()]
        highs = [high for _, high in self.reference.values()]
        low = None if None in lows else min(v for v in lows if v is not None)
        high = None if None in highs else max(v for v in highs if v is not None)
        return low, high

    def change_limit(self) -> float | None:
        """Reference change value in %: 2.77 sqrt(CV_A^2 + CV_I^2); None without a variation.

        A smaller difference between two results of one person is within what biology and the analyser do
        by themselves, with 95 % probability.

        Source: Harris and Yasaka, Clin Chem 1983; 2.77 = sqrt(2) x 1.96.

        >>> round(table().analytes["hba1c"].change_limit(), 1)
        5.7
        """
        if self.cv_within is None or self.cv_analytical is None:
            return None
        return 2.77 * float((self.cv_within**2 + self.cv_analytical**2) ** 0.5)


@dataclass(frozen=True)
class Table:
    """All tests, found by name, code or column."""

    analytes: Mapping[str, Analyte]
    names: Mapping[str, tuple[Analyte, ...]]
    codes: Mapping[str, tuple[Analyte, ...]]

    def of_code(self, code: str) -> tuple[Analyte, ...]:
        """Tests of a LOINC or JLAC10 code; empty where there is none.

        A JLAC10 code may be given whole (15 or 17 characters): its identification part tells fasting (0000)
        from random (1299) blood, as the codes of the Japanese health check-up do.

        >>> [a.key for a in table().of_code("2160-0")], [a.key for a in table().of_code("3D010129901926101")]
        (['creatinine'], ['glucose_serum'])
        """
        code = unicodedata.normalize("NFKC", code).strip().upper()
        if _LOINC.fullmatch(code):
            return self.codes.get(code, ())
        if len(code) >= 5 and _JLAC10.fullmatch(code):
            found = self.codes.get(code[:5], ())
            if len(code) >= 9 and len(found) > 1:
                random = code[5:9] == "1299"
                return tuple(a for a in found if a.fasting in (None, not random))
            return found
        return ()

    def find(self, label: str) -> tuple[Analyte, ...]:
        """Tests that a label may mean, as it stands on a sheet; empty where it is not known.

        More than one comes back where the label leaves open what the unit or the rest of the sheet decides
        (blood sugar fasting or not, neutrophils in % or as a count).

        >>> find = lambda label: [a.key for a in table().find(label)]
        >>> find("γ-GT・γ-GTP (GGT・G-GT)"), find("血糖（随時）"), find("乳酸デヒドロゲナーゼ(LD・LDH IFCC)")
        (['ggt'], ['glucose_serum'], ['ldh'])
        >>> find("Glucose"), find("クレアチニン(尿)"), find("CA125")
        (['glucose_fasting', 'glucose_serum'], ['urine_creatinine'], [])
        """
        coded = self.of_code(label)
        if coded:
            return coded
        text = unicodedata.normalize("NFKC", label)
        whole = self.names.get(fold(text), ())
        if whole:
            return whole
        # no part of a ratio is the test: a BUN/creatinine ratio of 18 is no BUN of 18
        return () if _QUOTIENT.search(text.casefold()) else self._by_parts(text)

    def _by_parts(self, text: str) -> tuple[Analyte, ...]:
        head = _PARENTHESES.sub(" ", text)
        inner = [part for inside in _PARENTHESES.findall(text) for part in re.split(r"[・/、,;|=]", inside)]
        # not at a slash: the U of U/L is no urine
        qualifiers = {
            fold(part) for inside in _PARENTHESES.findall(text) for part in re.split(r"[・、,;|=]", inside)
        }
        words = [fold(part) for part in re.split(r"[,、]", head)]
        head_found: tuple[Analyte, ...] = ()
        for name in (fold(head), *_without_specimen(fold(head)), *_by_comma(words)):
            head_found = self.names.get(name, ())
            if head_found:
                break
        if not head_found:
            several = [self.names.get(fold(part), ()) for part in re.split(r"[・/=]", head)]
            head_found = _agree([found for found in several if found])
        parts = [found for part in inner if (found := self.names.get(fold(part), ()))]
        found = _agree([head_found, *parts]) if head_found else _agree(parts)
        if not found and head_found:
            # the parentheses say something else than the head: the head is the name
            found = head_found
        if any(specimen_in(word) not in ("", "urine") for word in inner):
            return ()  # the sugar of another fluid is not that of blood
        urine = bool(qualifiers & set(map(fold, _URINE)))
        if urine:
            of_urine = tuple(a for a in found if a.specimen == "urine")
            name = fold(head)
            named = (self.names.get(word + name, ()) for word in ("尿", "尿中", "urine"))
            return of_urine or next((several for several in named if several), ())
        whole = fold(text)
        if any(fold(word) in whole for word in _FASTING) and not any(fold(w) in whole for w in _RANDOM):
            return tuple(a for a in found if a.fasting in (None, True))
        if any(fold(word) in whole for word in _RANDOM):
            return tuple(a for a in found if a.fasting in (None, False))
        return found


def is_loinc(code: str) -> bool:
    """Whether a code has the form of LOINC's."""
    return _LOINC.fullmatch(code.strip()) is not None


def specimen_in(text: str) -> str:
    """Specimen other than blood that words name; "" where they name none.

    >>> specimen_in("Glucose [Mass/volume] in Urine"), specimen_in("糖(髄液)"), specimen_in("尿酸")
    ('urine', 'CSF', '')
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return next((name for name, words in _ELSEWHERE.items() if re.search(words, plain)), "")


def fold(text: str) -> str:
    """A name without what varies between sheets: width, case, spaces, hyphens, dots.

    >>> fold("ＬＤＬ－コレステロール"), fold("Hb A1c"), fold("γ-GTP")
    ('ldlコレステロール', 'hba1c', 'γgtp')
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    # the katakana prolonged sound mark is a letter and stays; the many dashes that look like it go
    return re.sub(r"[\s\-‐‑‒–—―−_.・:*#※()\[\]]", "", text)


def table() -> Table:
    """The table that ships with the package."""
    return load_table(data_dir() / "health" / "analytes.yaml")


@functools.lru_cache(maxsize=4)
def load_table(path: Path) -> Table:
    """Read a table.

    Args:
        path: YAML file as ``data/health/analytes.yaml``.

    Raises:
        BadInput: where it cannot be read, or an entry lacks a field.
    """
    try:
        with open(path, encoding="utf-8") as file:
            raw = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        analytes = {key: _analyte(key, entry) for key, entry in raw["analytes"].items()}
    except OSError as error:
        raise BadInput(f"the table of tests cannot be read: {error.strerror}", file=path) from error
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise BadInput(f"the table of tests has a faulty entry: {error}", file=path) from error
    names: dict[str, list[Analyte]] = {}
    codes: dict[str, list[Analyte]] = {}
    for analyte in analytes.values():
        texts = (analyte.key, analyte.column or analyte.key, analyte.en, analyte.ja, *analyte.aliases)
        for name in {fold(text) for text in texts}:
            names.setdefault(name, []).append(analyte)
        for code in {*analyte.loinc, analyte.jlac10} - {""}:
            codes.setdefault(code, []).append(analyte)
    for analyte in analytes.values():
        # the model's own column name always means that column
        if analyte.column:
            own = fold(analyte.column)
            names[own] = [
                analyte,
                *(other for other in names[own] if other.language and other is not analyte),
            ]
    return Table(
        analytes,
        {name: tuple(found) for name, found in names.items()},
        {code: tuple(found) for code, found in codes.items()},
    )


def analyte_of_column(column: str) -> Analyte | None:
    """The test whose values a column of the model holds.

    >>> analyte_of_column("crp_hs").unit, analyte_of_column("age")
    ('mg/L', None)
    """
    return _by_column().get(column)


@functools.lru_cache(maxsize=1)
def _by_column() -> dict[str, Analyte]:
    return {a.column: a for a in table().analytes.values() if a.column is not None}


def _analyte(key: str, entry: Mapping[str, Any]) -> Analyte:
    reference = dict(entry.get("reference") or {})
    source = str(reference.pop("source", ""))
    units = {
        unit: (float(rule["factor"]), float(rule.get("offset", 0.0)))
        if isinstance(rule, Mapping)
        else (float(rule), 0.0)
        for unit, rule in (entry.get("units") or {}).items()
    }
    cv = entry.get("cv") or {}
    within = None if cv.get("within") is None else float(cv["within"])
    analytical = cv.get("analytical")
    low, high = entry.get("plausible", (float("-inf"), float("inf")))
    return Analyte(
        key=key,
        column=entry["column"],
        group=str(entry["group"]),
        en=str(entry["en"]),
        ja=str(entry["ja"]),
        unit=str(entry["unit"]),
        aliases=tuple(str(alias) for alias in entry.get("aliases", ())),
        loinc=tuple(entry.get("loinc", ())),
        jlac10=str(entry.get("jlac10", "")),
        units=units,
        usual=dict(entry.get("usual") or {}),
        reference={sex: (_number(ends[0]), _number(ends[1])) for sex, ends in reference.items()},
        reference_source=source,
        plausible=(float(low), float(high)),
        cv_within=within,
        # the "desirable" analytical specification is half of the within-person variation
        cv_analytical=None if within is None else within / 2 if analytical is None else float(analytical),
        specimen=str(entry.get("specimen", "" if entry["group"] == "body" else "blood")),
        fasting=entry.get("fasting"),
        language=str(entry.get("language", "")),
        unverified=tuple(entry.get("unverified", ())),
        assay=str(entry.get("assay", "")),
        note=str(entry.get("note", "")),
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _without_specimen(name: str) -> tuple[str, ...]:
    """ "serum creatinine" and "血清クレアチニン" without the first word."""
    cut = [name.removeprefix(word) for word in _SERUM if len(word) > 1 and name.startswith(word)]
    return tuple(rest for rest in cut if rest)


def _by_comma(words: list[str]) -> tuple[str, ...]:
    """ "Creatinine, Serum" as American laboratories print it."""
    if len(words) == 2 and words[1] in _SERUM:
        return (words[0],)
    return (words[1] + words[0], words[0] + words[1]) if len(words) == 2 else ()


def _agree(found: list[tuple[Analyte, ...]]) -> tuple[Analyte, ...]:
    """What all parts of a label have in common; nothing where they contradict each other."""
    if not found:
        return ()
    common = [a for a in found[0] if all(a in other for other in found[1:])]
    return tuple(common)
