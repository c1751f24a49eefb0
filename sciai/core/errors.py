"""Errors that a user meets. Each message says what is wrong, where, and what to do about it."""

from __future__ import annotations

__all__ = ["BadInput", "CheckpointError", "DamagedStore", "SciaiError"]


class SciaiError(Exception):
    """Base of every error that sciai raises on purpose; anything else that escapes is a bug."""


class BadInput(SciaiError, ValueError):
    """What the caller handed over cannot be used.

    The message is built from parts, so that a caller learns the place and the way out, not only the fault.

    Args:
        problem: what is wrong, as the beginning of a sentence without a full stop.
        file: the file it was found in, if any.
        field: the field, variable or argument it concerns, if any.
        unit: the unit that was expected or found, if it matters.
        fix: what the caller can do, as a sentence without a full stop.

    >>> print(BadInput("values below 0 K", field="temperature", unit="K", fix="check the unit"))
    values below 0 K (field temperature, in K); check the unit
    """

    def __init__(
        self,
        problem: str,
        *,
        file: object | None = None,
        field: str | None = None,
        unit: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.problem, self.file, self.field, self.unit, self.fix = problem, file, field, unit, fix
        where = ", ".join(
            text
            for text in (
                f"file {file}" if file is not None else "",
                f"field {field}" if field else "",
                f"in {unit}" if unit else "",
            )
            if text
        )
        super().__init__(problem + (f" ({where})" if where else "") + (f"; {fix}" if fix else ""))

    def __reduce__(self) -> tuple[object, ...]:
        # the default would call BadInput(message) and lose the parts on the way back from a worker
        return (
            _rebuild_bad_input,
            (self.problem, None if self.file is None else str(self.file), self.field, self.unit, self.fix),
        )


def _rebuild_bad_input(
    problem: str, file: str | None, field: str | None, unit: str | None, fix: str | None
) -> BadInput:
    return BadInput(problem, file=file, field=field, unit=unit, fix=fix)


class DamagedStore(SciaiError):
    """Stored data that is truncated, altered or does not match its checksum; the message names the place."""


class CheckpointError(SciaiError):
    """A checkpoint that is incomplete, altered, of an unknown version, or does not fit the network."""
