"""`make bench` names scripts that are there, in every domain, with arguments that they take."""

from __future__ import annotations

import pytest

from benchmarks.run import ARGUMENTS, HERE, SCRIPTS


def test_every_script_is_there_and_every_domain_is_measured() -> None:
    assert all((HERE / f"{name}.py").is_file() for name in SCRIPTS)
    assert set(ARGUMENTS) <= set(SCRIPTS)
    assert {name.partition("_")[0] for name in SCRIPTS} == {"radar", "health", "atoms", "audit"}


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_scripts_take_the_arguments_they_are_given(name: str) -> None:
    # read, not run: the scripts load every library that they measure
    told = (HERE / f"{name}.py").read_text()
    assert all(f'"{argument}"' in told for argument in ARGUMENTS[name] if argument.startswith("--"))
