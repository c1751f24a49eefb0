"""Messages say what, where and what to do, and survive the way from a worker process."""

from __future__ import annotations

import pickle

from sciai.core.errors import BadInput, CheckpointError, DamagedStore, SciaiError


def test_bad_input_names_file_field_unit_and_fix() -> None:
    error = BadInput("no values", file="a.nc", field="DBZH", unit="dBZ", fix="give some")
    assert str(error) == "no values (file a.nc, field DBZH, in dBZ); give some"
    assert isinstance(error, ValueError)
    assert str(BadInput("no values")) == "no values"


def test_bad_input_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(BadInput("no values", field="DBZH", fix="give some")))
    assert isinstance(error, BadInput)
    assert (error.field, error.fix) == ("DBZH", "give some")
    assert str(error) == "no values (field DBZH); give some"


def test_one_base_for_all() -> None:
    assert all(issubclass(kind, SciaiError) for kind in (BadInput, CheckpointError, DamagedStore))
