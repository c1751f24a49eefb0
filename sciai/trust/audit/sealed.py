"""A function called in a process of its own, on code and data that are hashed before and after.

What computes a figure must not be what is judged by it. The judge runs apart from the model, gets the hashes
of the metric code and of the held-out data with its job, and refuses where either differs when it begins or
when it ends; the caller compares once more. So an edit of a label, of a file or of a metric is found, before
the run or during it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sciai.core.answer import jsonable
from sciai.core.atomic import whole_file
from sciai.core.errors import BadInput, SciaiError

__all__ = ["Part", "Seals", "Tampered", "changed_packages", "edited_code", "packages_digest", "run"]

Arrays = dict[str, npt.NDArray[Any]]
Step = Callable[[float, str], None]
_SAID = "@sciai "
TOOK = "took_seconds"
"""Beside what a function gives: how long it took, also where its result comes from an earlier run."""


class Tampered(SciaiError):
    """Code or data is not what it was when the evaluation was set up."""


@dataclass(frozen=True)
class Seals:
    """Hashes of what an evaluation rests on.

    Attributes:
        code: module name -> sha256 of its file.
        data: path -> sha256 of the file.
    """

    code: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, modules: Iterable[str], files: Iterable[str | Path]) -> Seals:
        """Seals of modules (by name) and files, as they are now.

        Raises:
            BadInput: where there is no such module or file.
        """
        return cls(
            {name: _file_hash(_source(name)) for name in sorted(set(modules))},
            {str(path): _file_hash(Path(path)) for path in sorted({str(f) for f in files})},
        )

    def check(self, when: str) -> None:
        """Compare with what is on the disk now.

        Args:
            when: for the message ("before the evaluation").

        Raises:
            Tampered: naming everything that differs.
        """
        now = Seals.of(self.code, self.data)
        wrong = [f"the metric code {n} was edited" for n in self.code if now.code[n] != self.code[n]]
        wrong += [f"the data {Path(n).name} was edited" for n in self.data if now.data[n] != self.data[n]]
        if wrong:
            raise Tampered(f"{when}: {'; '.join(wrong)}. Nothing that was computed counts; audit again")

    @property
    def hash(self) -> str:
        """One digest of all; files by content, wherever they lie."""
        content = [sorted(self.code.items()), sorted(self.data.values())]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def plain(self) -> dict[str, dict[str, str]]:
        """For a record: file names without their folders."""
        return {"code": dict(self.code), "data": {Path(path).name: h for path, h in self.data.items()}}


def edited_code(sealed: Mapping[str, str]) -> list[str]:
    """Modules whose file is not what it was, or gone.

    Args:
        sealed: module name -> sha256 of its file then.

    >>> edited_code({"sciai.trust.audit.sealed": "0" * 64, "sciai.trust.nothing": ""})
    ['sciai.trust.audit.sealed', 'sciai.trust.nothing']
    """
    wrong = []
    for name, then in sealed.items():
        try:
            now = _file_hash(_source(name))
        except BadInput:
            now = ""
        if now != then or not now:
            wrong.append(name)
    return wrong


def packages_digest(packages: Iterable[str]) -> dict[str, str]:
    """What the code of packages does: sha256 of their modules without comments, docstrings and layout.

    Metric code is sealed byte by byte. Code that is judged, a model's, may be explained better without
    voiding the evidence; what it does may not change.

    Args:
        packages: names.

    Raises:
        BadInput: where there is no such package, or a module cannot be parsed.

    >>> len(packages_digest(["sciai.trust.audit"])["sciai.trust.audit"])
    64
    """
    told = {}
    for name in packages:
        found = hashlib.sha256()
        folder = _source(name).parent
        for file in sorted(folder.rglob("*.py")):
            try:
                tree = ast.parse(file.read_bytes())
            except (OSError, SyntaxError, ValueError) as error:
                raise BadInput(f"cannot be read: {error}", file=file) from error
            for node in ast.walk(tree):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    # text that stands by itself says something and does nothing
                    kept = [part for part in node.body if not _is_text(part)]
                    node.body = kept or [ast.Pass()]
            found.update(f"{file.relative_to(folder).as_posix()}\n{ast.unparse(tree)}\n".encode())
        told[name] = found.hexdigest()
    return told


def changed_packages(then: Mapping[str, str]) -> list[str]:
    """Packages whose code does not do what it did, or that are gone.

    Args:
        then: package -> ``packages_digest`` of that time.

    >>> changed_packages({"sciai.trust.audit": "0" * 64, "sciai.nothing": ""})
    ['sciai.trust.audit', 'sciai.nothing']
    """
    wrong = []
    for name, digest in then.items():
        try:
            same = packages_digest([name])[name] == digest
        except BadInput:
            same = False
        if not same:
            wrong.append(name)
    return wrong


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@dataclass(frozen=True)
class Part:
    """One piece of work for ``run``.

    Attributes:
        call: ``package.module:function``; it is called with ``arguments`` and ``step=`` (progress), and
            returns a mapping of plain values and of arrays.
        arguments: plain values; paths as text.
        seals: what has to be untouched.
    """

    call: str
    arguments: Mapping[str, Any]
    seals: Seals = field(default_factory=Seals)


def run(part: Part, out: str | Path, progress: Step | None = None) -> dict[str, Any]:
    """Do a piece of work in its own process, or take it from an earlier run.

    Args:
        part: the work.
        out: where its result is kept (``.npz``); where it is there already and whole, nothing is run.
        progress: called with the part done and what is being done.

    Returns:
        What the function gave, and under ``TOOK`` how long that took.

    Raises:
        Tampered: where code or data changed.
        BadInput, SciaiError: what the function raised, in words.
    """
    part.seals.check("before the evaluation")
    target = Path(out)
    kept = _read(target)
    if kept is not None:
        return kept
    job = {"call": part.call, "arguments": dict(part.arguments), "out": str(target)}
    job |= {"code": dict(part.seals.code), "data": dict(part.seals.data)}
    process = subprocess.Popen(
        [sys.executable, "-m", "sciai.trust.audit.sealed"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    problem: dict[str, str] = {}
    try:
        with process.stdin or io.StringIO() as pipe:
            pipe.write(json.dumps(jsonable(job, 10**9)))
        for line in process.stdout or ():
            if not line.startswith(_SAID):
                continue  # a library that prints
            said = json.loads(line[len(_SAID) :])
            if "problem" in said:
                problem = said
            elif progress is not None:
                progress(said["part"], said["what"])
        process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    if problem:
        known = {"Tampered": Tampered, "BadInput": BadInput}
        raise known.get(problem["kind"], SciaiError)(problem["problem"])
    found = _read(target)
    if process.returncode or found is None:
        raise SciaiError(f"the evaluation {part.call} ended with code {process.returncode} and no result")
    try:
        part.seals.check("after the evaluation")
    except Tampered:
        target.unlink(missing_ok=True)
        raise
    return found


def _child() -> int:
    """The process: verify, call, verify, write."""
    job = json.loads(sys.stdin.read())
    seals = Seals(job["code"], job["data"])

    def say(**said: Any) -> None:
        sys.stdout.write(_SAID + json.dumps(said) + "\n")
        sys.stdout.flush()

    try:
        seals.check("before the evaluation")
        module, _, name = job["call"].partition(":")
        function = getattr(importlib.import_module(module), name)
        began = time.monotonic()
        found = function(**job["arguments"], step=lambda part, what: say(part=float(part), what=str(what)))
        seals.check("while it ran")
        _write(Path(job["out"]), {**found, TOOK: time.monotonic() - began})
    except SciaiError as error:
        say(problem=str(error), kind=type(error).__name__)
        return 1
    return 0


def _write(target: Path, found: Mapping[str, Any]) -> None:
    arrays = {k: v for k, v in found.items() if isinstance(v, np.ndarray)}
    plain = {k: jsonable(v, 10**9) for k, v in found.items() if k not in arrays}
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(plain).encode(), np.uint8)
    named: dict[str, Any] = {f"a_{name}": array for name, array in arrays.items()} | {"json": text}
    np.savez_compressed(buffer, **named)
    with whole_file(target, overwrite=True) as temporary:
        temporary.write_bytes(buffer.getvalue())


def _read(target: Path) -> dict[str, Any] | None:
    try:
        with np.load(target, allow_pickle=False) as content:
            found: dict[str, Any] = json.loads(content["json"].tobytes())
            return found | {name[2:]: content[name] for name in content.files if name != "json"}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise BadInput(
            f"a part of an earlier audit cannot be read: {error}", file=target, fix="delete it"
        ) from error


def _source(module: str) -> Path:
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None:
        raise BadInput(f"there is no module {module}", field="code")
    return Path(found.origin)


def _file_hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", file=path) from error


if __name__ == "__main__":
    sys.exit(_child())
