"""One record of a checkpoint, rendered as every document that somebody asks for.

A model card (with the metadata Hugging Face reads), a system card, technical documentation in the order of
the EU AI Act's Annex IV, maps onto NIST AI RMF, ISO/IEC 42001 and the OECD principles, and a CycloneDX
ML-BOM. All of them say "aligned with", never "compliant". What the model can do, cannot do, and what we would
rather not see are made
from measured results: limits that hold, limits that do not, slices that are served badly, and the worst
    cases.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import yaml

from sciai.core.answer import jsonable
from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import BadInput
from sciai.trust.conditions import Conditions, Limit
from sciai.trust.gate import Standing, figures_of
from sciai.trust.risk import Framework, Register, Risk

__all__ = ["Record", "documents"]


@dataclass(frozen=True)
class Record:
    """Everything that the documents say.

    Attributes:
        checkpoint: with its card and hash.
        standing: its release stage today.
        register: risks and frameworks.
        conditions: what a release asks for; its limits tell what the model can do.
        audit: the newest audit report; None where there is none.
        today: the day of writing.
    """

    checkpoint: Checkpoint
    standing: Standing
    register: Register
    conditions: Conditions | None = None
    audit: Mapping[str, Any] | None = None
    today: date | None = None

    def __post_init__(self) -> None:
        card = self.checkpoint.card
        missing = [name for name in ("summary", "data", "metrics", "known_limits") if not getattr(card, name)]
        if missing:
            raise BadInput(
                f"the card of {card.name} says nothing under {', '.join(missing)}",
                field=missing[0],
                fix="add it to the domain's config and train or evaluate again",
            )

    @property
    def day(self) -> date:
        """The day of writing."""
        return self.today or date.today()

    def can(self) -> list[str]:
        """What it can do: limits that hold, with the figure."""
        known = figures_of(self.checkpoint, self.audit)
        return [_sentence(limit, known) for limit, why in self._judged() if not why]

    def cannot(self) -> list[str]:
        """What it cannot do: limits that do not hold, and the known limits."""
        failed = [f"below what a release asks for: {why}" for _, why in self._judged() if why]
        return [*failed, *self.checkpoint.card.known_limits]

    def rather_not_see(self) -> list[str]:
        """The worst slices, what the audit found against it, and the worst cases; there is no switch."""
        cases = [_case(case) for case in self.checkpoint.card.worst[:10]]
        if self.audit is None:
            return [*cases, "no audit was made of this checkpoint"]
        if self.audit.get("checkpoint", self.checkpoint.hash) != self.checkpoint.hash:
            return [*cases, "the audit that is there is of another checkpoint; nothing is known of this one"]
        slices = [_slice(row) for row in self.audit.get("worst", ())[:10]]
        found = [f"audit: {finding}" for finding in self.audit.get("failures", ())]
        missed = [f"target missed: {text}" for text in self.audit.get("misses", ())]
        return [*slices, *cases, *found, *missed]

    def _judged(self) -> list[tuple[Limit, str]]:
        if self.conditions is None:
            return []
        limits = [limit for asked in self.conditions.stages.values() for limit in asked.figures]
        unique = {limit.figure: limit for limit in limits}
        known = figures_of(self.checkpoint, self.audit)
        return [(limit, limit.check(known)) for limit in unique.values()]


def documents(record: Record) -> dict[str, str]:
    """Every document, by file name.

    Args:
        record: of one checkpoint.

    Returns:
        ``model-card.md``, ``system-card.md``, ``technical-documentation.md`` (Annex IV), ``maps.md`` (NIST,
        ISO, OECD) and ``ml-bom.cdx.json``.
    """
    bom = json.dumps(ml_bom(record), indent=1, ensure_ascii=False) + "\n"
    return {
        "model-card.md": model_card(record),
        "system-card.md": system_card(record),
        "technical-documentation.md": technical_documentation(record),
        "maps.md": maps(record),
        "ml-bom.cdx.json": bom,
    }


def model_card(record: Record) -> str:
    """A model card (Mitchell et al. 2019), with Hugging Face's metadata on top."""
    card = record.checkpoint.card
    results = [
        {"type": name, "value": value, "name": name}
        for name, value in _figures(card.metrics).items()
        if name.startswith("test/")
    ]
    task = {"task": {"type": "other", "name": card.domain}, "metrics": results}
    data = {"dataset": {"type": card.domain, "name": f"held-out part of the {card.domain} data"}}
    metadata: dict[str, Any] = {
        "library_name": "sciai",
        "license": "apache-2.0",
        "tags": ["sciai", card.domain, record.standing.stage],
        "model-index": [{"name": card.name, "results": [{**task, **data}] if results else []}],
    }
    front = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    return "\n".join(
        [
            f"---\n{front}---\n",
            f"# {card.name}\n",
            f"{card.summary}\n",
            record.standing.finding().message.capitalize() + ".\n",
            _section("What it can do", record.can(), "no limit of a release is measured yet"),
            _section(
                "What it cannot do", record.cannot(), "nothing is known, which is not the same as nothing"
            ),
            _section(
                "What we would rather not see", record.rather_not_see(), "evaluation named no worst cases"
            ),
            _table("Figures", ("figure", "value"), list(_figures(card.metrics).items())),
            _section("Data", _lines(card.data), "not described"),
            _section(
                "How the spread is calibrated", _lines(card.calibration), "the spread is not calibrated"
            ),
            _section("Split", _lines(card.split), "not recorded"),
            _provenance(record),
        ]
    )


def system_card(record: Record) -> str:
    """What surrounds the model: guards, people, records."""
    rows = [(r.idea, r.control, f"{r.accepted}: {r.state}") for r in record.register.risks]
    return "\n".join(
        [
            f"# System card: {record.checkpoint.card.name} in sciai\n",
            "A question is checked, answered, the answer is checked, and leaves with its spread, a verdict "
            "(ok, caution, refuse) with reasons, and its provenance.\n",
            _table("Promises and what keeps them", ("promise", "control", "kept today"), rows),
            _section(
                "What is not kept yet", [_open(r) for r in record.register.risks if r.accepted != "yes"], "-"
            ),
            _provenance(record),
        ]
    )


def technical_documentation(record: Record) -> str:
    """Technical documentation in the order of Annex IV of the EU AI Act; aligned with it, not assessed."""
    card = record.checkpoint.card
    annex = next(f for f in record.register.frameworks if "Annex IV" in f.name)
    own = {
        "1": [card.summary, f"stage: {record.standing.stage}, use class {record.standing.use_class}"],
        "2": [
            *_lines({"data": card.data, "split": card.split, "seeds": card.seeds, "software": card.software})
        ],
        "3": record.cannot(),
        "4": [f"{name} = {value}" for name, value in _figures(card.metrics).items()],
        "5": [f"{r.risk}: {r.control} ({r.accepted})" for r in record.register.risks],
        "6": [f"checkpoint {record.checkpoint.hash}", *(f.message for f in record.standing.reasons)],
        "9": record.rather_not_see(),
    }
    parts = [
        f"# Technical documentation of {card.name}\n",
        f"In the order of {annex.name} ({annex.source}). Aligned with it; nobody assessed conformity.\n",
    ]
    for number, title, ids in annex.items:
        parts.append(
            _section(f"{number}. {title}", own.get(number, []), "nothing: a gap" if not ids else "see below")
        )
        parts.append(_links(ids, record.register.risks))
    return "\n".join([*parts, _provenance(record)])


def maps(record: Record) -> str:
    """Where each framework's demands are met, gaps included."""
    parts = ["# Maps\n", "Aligned with these frameworks, which is not to say compliant. Gaps are named.\n"]
    risks = {risk.id: risk for risk in record.register.risks}
    for framework in record.register.frameworks:
        parts.append(
            _table(
                f"{framework.name} ({framework.source})", ("id", "demand", "met by"), _met(framework, risks)
            )
        )
    return "\n".join([*parts, _provenance(record)])


def ml_bom(record: Record) -> dict[str, Any]:
    """A CycloneDX 1.6 machine-learning bill of materials: the model, its data, what it was trained with."""
    card, fingerprint = record.checkpoint.card, record.checkpoint.hash
    reference = f"{card.name}@{fingerprint[:12]}"
    metrics = [{"type": name, "value": str(value)} for name, value in _figures(card.metrics).items()]
    model = {
        "type": "machine-learning-model",
        "bom-ref": reference,
        "name": card.name,
        "version": fingerprint[:12],
        "description": card.summary,
        "hashes": [{"alg": "SHA-256", "content": fingerprint}],
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "modelCard": {
            "modelParameters": {"task": card.domain, "datasets": [{"ref": f"data-{card.name}"}]},
            "quantitativeAnalysis": {"performanceMetrics": metrics},
            "considerations": {
                "technicalLimitations": list(record.cannot()),
                "ethicalConsiderations": [
                    {"name": risk.risk, "mitigationStrategy": risk.control} for risk in record.register.risks
                ],
            },
        },
    }
    data = {
        "type": "data",
        "bom-ref": f"data-{card.name}",
        "name": f"training data of {card.name}",
        "data": [{"type": "dataset", "contents": {"properties": _properties(card.data)}}],
    }
    software = [
        {"type": "library", "bom-ref": f"pkg-{name}", "name": name, "version": str(version)}
        for name, version in card.software.items()
    ]
    depends = [f"data-{card.name}", *(part["bom-ref"] for part in software)]
    # the same checkpoint gives the same document, so that a diff shows what changed
    serial = uuid.UUID(hashlib.sha256(fingerprint.encode()).hexdigest()[:32], version=4)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"timestamp": f"{record.day.isoformat()}T00:00:00Z", "component": model},
        "components": [data, *software],
        "dependencies": [{"ref": reference, "dependsOn": depends}],
    }


def _figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    plain = jsonable(metrics)
    return {
        name: float(f"{value:.5g}") if isinstance(value, float) else value
        for name, value in plain.items()
        if isinstance(value, int | float | str) and not isinstance(value, bool)
    }


def _sentence(limit: Limit, metrics: Mapping[str, Any]) -> str:
    bounds = " and ".join(
        text
        for text in (
            f"at least {limit.min:g}" if limit.min is not None else "",
            f"at most {limit.max:g}" if limit.max is not None else "",
        )
        if text
    )
    return f"{limit.figure} is {metrics[limit.figure]:.4g} ({bounds} is asked for)"


def _case(case: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in jsonable(case).items())


def _slice(row: Mapping[str, Any]) -> str:
    """A cell of the slice x harm matrix in words.

    >>> _slice({"slice": "women, 20-39", "harm": "false-safe", "n": 40, "rate": 0.2, "elsewhere": 0.1,
    ...         "low": 0.02, "high": 0.19, "verdict": "suspect"})
    'women, 20-39: false-safe 0.2 against 0.1 elsewhere (+0.02 to +0.19, 40 questions): suspect'
    """
    numbers = {
        k: float("nan") if row.get(k) is None else float(row[k]) for k in ("rate", "elsewhere", "low", "high")
    }
    return (
        f"{row['slice']}: {row['harm']} {numbers['rate']:.3g} against {numbers['elsewhere']:.3g} elsewhere "
        f"({numbers['low']:+.3g} to {numbers['high']:+.3g}, {row['n']} questions): {row['verdict']}"
    )


def _lines(content: Mapping[str, Any], limit: int = 200) -> list[str]:
    told = []
    for key, value in jsonable(content).items():
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
        told.append(f"{key}: {text if len(text) <= limit else text[:limit] + ' ...'}")
    return told


def _properties(content: Mapping[str, Any]) -> list[dict[str, str]]:
    return [dict(zip(("name", "value"), line.split(": ", 1), strict=True)) for line in _lines(content)]


def _section(title: str, lines: Sequence[str], empty: str) -> str:
    body = "\n".join(f"- {' '.join(line.split())}" for line in lines) or f"- {empty}"
    return f"## {title}\n\n{body}\n"


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def _open(risk: Risk) -> str:
    return f"{risk.idea}: {risk.state}"


def _links(ids: Sequence[str], risks: Sequence[Risk]) -> str:
    rows = [(r.idea, ", ".join((*r.artefacts, *r.measured))) for r in risks if r.id in ids]
    return "\n".join(f"- {idea}: `{where}`" for idea, where in rows) + "\n"


def _met(framework: Framework, risks: Mapping[str, Risk]) -> list[tuple[str, str, str]]:
    return [
        (id, title, "; ".join(f"{risks[r].control} ({risks[r].accepted})" for r in met) or "**gap**")
        for id, title, met in framework.items
    ]


def _provenance(record: Record) -> str:
    card = record.checkpoint.card
    version = card.software.get("sciai", "an unknown version")
    return (
        f"---\nMade on {record.day} from checkpoint `{record.checkpoint.hash}` ({card.name}, trained with "
        f"sciai {version}); risks reviewed until {record.register.review_by}.\n"
    )
