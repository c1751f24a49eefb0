"""The shared path: train, resume, calibrate, save, evaluate."""

from __future__ import annotations

import csv
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sciai.core import tutorial
from sciai.core.answer import Level
from sciai.core.checkpoint import Checkpoint
from sciai.core.errors import BadInput, CheckpointError, SciaiError
from sciai.core.run import compose, evaluate, train

pytestmark = pytest.mark.usefixtures("one_thread")

QUIET = ["trainer.enable_progress_bar=false", "trainer.log_every_n_steps=1", "domain.data.dataset.n=128"]


def config(out: Path, *more: str) -> Any:
    return compose("tutorial", [*QUIET, f"out={out}", "trainer.max_epochs=4", *more])


def curve(out: Path, column: str = "train/loss") -> dict[int, float]:
    """step -> value, over all logs of a run; a step that was done twice has to have the same value twice."""
    result: dict[int, float] = {}
    for log in sorted(out.glob("log-*/metrics.csv")):
        for row in csv.DictReader(log.open()):
            if row.get(column):
                step, value = int(row["step"]), float(row[column])
                assert result.setdefault(step, value) == value
    return result


def test_a_run_leaves_a_complete_checkpoint(tmp_path: Path) -> None:
    done = train(config(tmp_path, "trainer.max_epochs=12"))
    saved = Checkpoint.load(done.path, expect=done.hash)
    card = saved.card
    assert card.domain == card.name == "tutorial"
    assert card.config["domain"]["lit"]["optimizer"]["lr"] == 0.01
    assert card.data["source"].startswith("synthetic")
    assert set(card.split["parts"]) == {"train", "val", "calibrate", "test"}
    assert card.seeds == {"run": 0, "split": 0, "order": 0}
    assert {"val/loss", "val/mae", "test/loss", "test/mae"} <= set(card.metrics)
    assert card.calibration["n"] == card.split["parts"]["calibrate"]["items"]
    assert card.known_limits
    assert card.software["torch"] == torch.__version__
    assert card.extra["run"]["steps"] == len(curve(tmp_path)) == 12 * 3
    assert card.metrics["test/mae"] < 0.4  # it learned: the mean absolute value of a sine is 0.64

    found = evaluate(config(tmp_path))
    assert found.metrics == pytest.approx({k: v for k, v in card.metrics.items() if k.startswith("test/")})
    assert (found.level, found.hash) == (Level.OK, done.hash)


def test_same_seed_same_weights_other_seed_others(tmp_path: Path) -> None:
    a, b = train(config(tmp_path / "a")), train(config(tmp_path / "b"))
    other = train(config(tmp_path / "c", "seed=1", "domain.data.seed=0"))
    weights = [Checkpoint.load(run.path).arrays for run in (a, b, other)]
    for name, array in weights[0].items():
        np.testing.assert_array_equal(array, weights[1][name])
    assert any((array != weights[2][name]).any() for name, array in weights[0].items())


def test_testing_on_trained_groups_is_refused(tmp_path: Path) -> None:
    train(config(tmp_path))
    other = evaluate(config(tmp_path, "domain.data.fractions={train: 0.3, test: 0.7}"))
    assert other.level is Level.REFUSE
    assert "trained on" in other.findings[0].message
    longer = evaluate(config(tmp_path, "+domain.data.hold_out={calibrate: [0]}", "domain.data.seed=0"))
    assert longer.level >= Level.CAUTION  # another split is never passed over in silence
    with pytest.raises(BadInput, match="test part"):
        evaluate(config(tmp_path, "domain.data.fractions.test=0"))


class _Killed(RuntimeError):
    pass


_plain_loss = tutorial.loss


def _noisy_loss_that_dies(at: int | None):
    """Dropout-like noise in every step: resuming has to repeat it too."""
    calls = [0]

    def noisy(net: Any, batch: Any) -> dict[str, Any]:
        if net.training and torch.is_grad_enabled():
            calls[0] += 1
            if calls[0] == at:
                raise _Killed
        return _plain_loss(net, {**batch, "x": batch["x"] + 0.1 * torch.randn_like(batch["x"])})

    return noisy


@pytest.mark.parametrize(
    ("death", "options"),
    [
        (8, []),  # in the middle of the third of four epochs of three batches
        (7, []),  # right behind an epoch's end
        (10, ["trainer.accumulate_grad_batches=2", "save_every=2"]),
        (8, ["+domain.data.num_workers=1", "keep=last"]),
        (11, ["trainer.check_val_every_n_epoch=null", "+trainer.val_check_interval=2", "save_every=3"]),
    ],
)
def test_a_killed_run_goes_on_with_the_same_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, death: int, options: list[str]
) -> None:
    options = ["save_every=1", *options]
    monkeypatch.setattr(tutorial, "loss", _noisy_loss_that_dies(None))
    straight = train(config(tmp_path / "a", *options))
    monkeypatch.setattr(tutorial, "loss", _noisy_loss_that_dies(death))
    with pytest.raises(_Killed):
        train(config(tmp_path / "b", *options))
    before = len(curve(tmp_path / "b"))
    monkeypatch.setattr(tutorial, "loss", _noisy_loss_that_dies(None))
    resumed = train(config(tmp_path / "b", *options))
    assert 0 < before < len(curve(tmp_path / "a"))
    assert curve(tmp_path / "b") == curve(tmp_path / "a")
    assert resumed.metrics == straight.metrics
    ours, theirs = (Checkpoint.load(run.path).arrays for run in (straight, resumed))
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_a_finished_run_can_be_made_longer(tmp_path: Path) -> None:
    train(config(tmp_path, "~domain.lit.scheduler"))
    steps = len(curve(tmp_path))
    train(config(tmp_path, "~domain.lit.scheduler", "trainer.max_epochs=6"))
    train(config(tmp_path / "straight", "~domain.lit.scheduler", "trainer.max_epochs=6"))
    assert len(curve(tmp_path)) == 6 * steps / 4
    assert curve(tmp_path) == curve(tmp_path / "straight")


def test_max_time_ends_a_run_and_keeps_what_it_learned(tmp_path: Path) -> None:
    started = time.monotonic()
    done = train(config(tmp_path, "trainer.max_epochs=1000000", "trainer.max_time=00:00:00:01"))
    assert time.monotonic() - started < 30
    steps = len(curve(tmp_path))
    assert steps > 3
    assert Checkpoint.load(done.path).card.extra["run"]["steps"] == steps
    state = torch.load(tmp_path / "state" / "last.ckpt", weights_only=True)
    assert state["global_step"] == steps


def test_resuming_with_another_config_is_refused(tmp_path: Path) -> None:
    train(config(tmp_path))
    with pytest.raises(CheckpointError, match="another domain config"):
        train(config(tmp_path, "domain.net.width=8"))
    train(config(tmp_path, "domain.net.width=8", "resume=false"))


def test_the_words_of_a_card_are_not_said_of_other_data(tmp_path: Path) -> None:
    limits = {}
    for setting in (
        "data.batch_size",
        "data.dataset.folder",
    ):  # the tutorial sets the first, the other is none
        more = f"+domain.card.unless=[{setting}]", "+domain.card.data.terms=free", "trainer.max_epochs=1"
        card = Checkpoint.load(train(config(tmp_path / setting, *more)).path).card
        limits[setting] = card.known_limits
        assert ("terms" in card.data) == (setting == "data.dataset.folder")
    own, packaged = limits.values()
    assert own[0].startswith("It learned from data of its owner's")
    assert own[1:] == packaged


def test_a_run_goes_on_where_only_its_length_or_its_card_changed(tmp_path: Path) -> None:
    constant = ["~domain.lit.scheduler", "trainer.max_epochs=${domain.max_epochs}"]
    train(config(tmp_path, *constant, "domain.max_epochs=2"))
    longer = [*constant, "domain.max_epochs=4", "domain.card.summary=Another"]
    train(config(tmp_path, *longer))
    train(config(tmp_path / "straight", *longer))
    assert curve(tmp_path) == curve(tmp_path / "straight")


def test_a_refused_resume_names_what_differs(tmp_path: Path) -> None:
    train(config(tmp_path, "trainer.max_epochs=1"))
    with pytest.raises(CheckpointError, match=r"seed \(0, now 3\).*resume=false"):
        train(config(tmp_path, "seed=3"))
    with pytest.raises(CheckpointError, match=r"domain\.net\.width \(32, now 8\)"):
        train(config(tmp_path, "domain.net.width=8"))


def test_a_run_does_not_go_on_with_data_that_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same words, but a file grew: what is test now may have been trained on."""
    train(config(tmp_path, "trainer.max_epochs=1"))
    before, plain = Checkpoint.verify(tmp_path / "model"), tutorial.Sine
    monkeypatch.setattr(tutorial, "Sine", lambda n, seed: plain(n + 64, seed=seed))
    with pytest.raises(CheckpointError, match="data: the data, their split differ"):
        train(config(tmp_path, "trainer.max_epochs=2"))
    assert Checkpoint.verify(tmp_path / "model") == before


def test_a_state_of_before_is_told_by_its_fingerprint(tmp_path: Path) -> None:
    train(config(tmp_path, "trainer.max_epochs=1"))
    last = tmp_path / "state" / "last.ckpt"
    state = torch.load(last, weights_only=True)
    del state["sciai_made_of"]
    torch.save(state, last)
    with pytest.raises(CheckpointError, match="another domain config"):
        train(config(tmp_path, "seed=3"))
    train(config(tmp_path, "trainer.max_epochs=2"))


def test_a_rehearsal_leaves_the_trained_model_alone(tmp_path: Path) -> None:
    done = train(config(tmp_path, "trainer.max_epochs=1"))
    files = {file: file.read_bytes() for name in ("model", "state") for file in (tmp_path / name).iterdir()}
    tried = train(config(tmp_path, "trainer.fast_dev_run=true"))
    assert Checkpoint.verify(done.path) == done.hash != tried.hash
    assert all(file.read_bytes() == content for file, content in files.items())


def test_starting_over_does_not_ship_the_best_of_an_earlier_run(tmp_path: Path) -> None:
    learned = train(config(tmp_path))
    anew = ["resume=false", "trainer.max_steps=1", "trainer.check_val_every_n_epoch=50"]  # no validation
    over = train(config(tmp_path, *anew))
    assert over.metrics["val/loss"] > learned.metrics["val/loss"]


def test_a_training_that_diverges_ships_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = ["~domain.calibrate", "domain.lit.optimizer.lr=1e30"]
    with pytest.raises(SciaiError, match=r"diverged.*lr"):
        train(config(tmp_path / "a", *nothing))

    def ruin(net: Any, batch: Any) -> Any:
        found = _plain_loss(net, batch)
        with torch.no_grad():
            net[0].bias.fill_(torch.inf)  # as a last step does whose loss was still a number
        return found

    monkeypatch.setattr(tutorial, "loss", ruin)
    with pytest.raises(SciaiError, match="diverged"):
        train(config(tmp_path / "b", "trainer.max_steps=1", "~domain.calibrate"))
    assert not list(tmp_path.glob("*/model"))


def test_what_cannot_be_saved_is_said_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tutorial, "loss", lambda net, batch: pytest.fail("it trained"))
    mine = tmp_path / "a" / "model" / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(BadInput, match="no checkpoint"):
        train(config(tmp_path / "a"))
    assert mine.read_text() == "mine"
    with pytest.raises(BadInput, match="cannot make the folder"):
        train(config(mine))


@pytest.mark.parametrize("short", ["trainer.max_steps=0", "trainer.max_time=00:00:00:00"])
def test_a_run_without_a_step_keeps_no_model(tmp_path: Path, short: str) -> None:
    with pytest.raises(SciaiError, match="before its first step"):
        train(config(tmp_path, short))
    assert not (tmp_path / "model").exists()


def test_two_runs_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learn = tutorial.loss
    seen: list[str] = []

    def meddle(net: Any, batch: Any) -> Any:
        if not seen:
            with pytest.raises(BadInput, match="another run is writing") as refused:
                train(config(tmp_path, "seed=1", "resume=false"))
            seen.append(str(refused.value))
        return learn(net, batch)

    monkeypatch.setattr(tutorial, "loss", meddle)
    done = train(config(tmp_path, "trainer.max_epochs=1"))
    assert seen
    assert Checkpoint.load(done.path).card.seeds["run"] == 0
    train(config(tmp_path, "trainer.max_epochs=2"))  # once it has ended the folder is free


def test_a_state_that_was_cut_short_is_said_to_be(tmp_path: Path) -> None:
    train(config(tmp_path, "trainer.max_epochs=1"))
    last = tmp_path / "state" / "last.ckpt"
    for size in (last.stat().st_size // 2, 0):
        last.write_bytes(last.read_bytes()[:size])
        with pytest.raises(CheckpointError, match=r"damaged.*delete it"):
            train(config(tmp_path))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=-1", "field seed"),
        ("+mine=??? +domain.path=${mine}", r"no value for mine .*mine=\.\.\."),
        ("seed=abc", "field seed"),
        ("trainer.max_time=90", "DD:HH:MM:SS"),
        ("trainer.precision=foo", "'foo' is invalid"),
        ("trainer.precision=bf16-true", "weights cannot be kept in bf16-true"),  # failed after the training
        ("trainer.precision=64", "weights cannot be kept in 64"),
        ("+domain.data.hold_out={tests:[1]}", r"no part is called tests"),  # trained without, tested nowhere
        ("domain.data.fractions=0.5", "fractions is 0.5"),
        ("out=", "field out"),  # went into the working folder
        ("domain.lit.optimizer.lr=-1", "Invalid learning rate"),
        ("domain.lit.optimizer.lr=abc", r"domain\.lit\.optimizer"),
        ("domain.net._target_=sciai.nowhere", "sciai.nowhere"),
        ("domain.data.fractions.calibrate=0", "nothing to calibrate"),
    ],
)
def test_values_that_cannot_be_are_no_fault_of_sciai(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        train(config(tmp_path, "trainer.max_epochs=1", *override.split()))


class _Bomb:
    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (self.target, "w"))


def test_a_malicious_training_state_never_runs(tmp_path: Path) -> None:
    train(config(tmp_path, "trainer.max_epochs=1"))
    last, target = tmp_path / "state" / "last.ckpt", tmp_path / "was_run"
    state = torch.load(last, weights_only=True)
    torch.save({**state, "extra": _Bomb(str(target))}, last)
    torch.load(last, weights_only=False)["extra"].close()
    assert target.exists()  # it is a real bomb
    target.unlink()
    with pytest.raises(CheckpointError, match="not opened"):
        train(config(tmp_path))
    last.write_bytes(pickle.dumps(_Bomb(str(target))))
    with pytest.raises(CheckpointError, match="not opened"):
        train(config(tmp_path))
    assert not target.exists()


def test_keep_best_ships_the_best_validation_loss(tmp_path: Path) -> None:
    spoil = [
        "~domain.lit.scheduler",
        "domain.lit.optimizer.lr=0.3",
        "~domain.lit.ema",
        "trainer.max_epochs=8",
    ]
    done = train(config(tmp_path, *spoil))
    assert done.metrics["val/loss"] == pytest.approx(min(curve(tmp_path, "val/loss").values()), abs=1e-5)
    last = train(config(tmp_path / "last", "keep=last", *spoil))
    assert last.metrics["val/loss"] > done.metrics["val/loss"]
    with pytest.raises(BadInput, match="keep"):
        train(config(tmp_path / "x", "keep=some"))


def test_compose_explains_what_it_does_not_know() -> None:
    with pytest.raises(BadInput, match="nonsense"):
        compose("nonsense")
    with pytest.raises(BadInput, match=r"no_such_key.*added with a \+ before it"):
        compose("tutorial", ["trainer.no_such_key=1"])
    with pytest.raises(BadInput, match=r"nope.*health_dp") as refused:
        compose("tutorial", ["+experiment=nope"])
    assert "file://" not in str(refused.value)
    cfg = compose("tutorial")
    del cfg.domain.loss
    with pytest.raises(BadInput, match="loss"):
        train(cfg)


def _run_elsewhere(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_sigkill_and_resume(tmp_path: Path) -> None:
    """The real thing: a process that is shot, and another that picks up."""
    more = ["trainer.max_epochs=150", "save_every=5", f"out={tmp_path / 'b'}", *QUIET]
    code = f"from sciai.core.run import *; train(compose('tutorial', {more!r}))"
    victim = _run_elsewhere(code)
    last = tmp_path / "b" / "state" / "last.ckpt"
    while not last.exists() and victim.poll() is None:
        time.sleep(0.05)
    time.sleep(0.5)
    assert victim.poll() is None, "it ended before it could be killed"
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert _run_elsewhere(code).wait() == 0
    train(compose("tutorial", [*more[:2], f"out={tmp_path / 'a'}", *QUIET]))
    resumed, straight = curve(tmp_path / "b"), curve(tmp_path / "a")
    # rows that the victim had not flushed are missing from its log, none may differ
    assert all(straight[step] == value for step, value in resumed.items())
    assert max(resumed) == max(straight)
    ours, theirs = (Checkpoint.load(tmp_path / name / "model").arrays for name in "ab")
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    """Lightning DDP over gloo: the same config, the same losses."""
    for name, devices in (("one", 1), ("two", 2)):
        more = [
            "trainer=ddp",
            "trainer.accelerator=cpu",
            f"trainer.devices={devices}",
            f"out={tmp_path / name}",
        ]
        script = tmp_path / f"{name}.py"
        script.write_text(f"from sciai.core.run import *\ntrain(compose('tutorial', {[*more, *QUIET]!r}))\n")
        subprocess.run([sys.executable, str(script)], check=True, env=_environment(), timeout=240)
    for column in ("train/loss", "val/loss", "test/loss"):
        one, two = curve(tmp_path / "one", column), curve(tmp_path / "two", column)
        assert one
        assert one.keys() == two.keys()
        np.testing.assert_allclose(list(two.values()), list(one.values()), rtol=1e-3, atol=1e-4)
    ours, theirs = (Checkpoint.load(tmp_path / name / "model") for name in ("one", "two"))
    assert ours.card.calibration["n"] == theirs.card.calibration["n"]
    for name in ours.arrays:
        np.testing.assert_allclose(ours.arrays[name], theirs.arrays[name], rtol=1e-3, atol=1e-4)


def _environment() -> dict[str, str]:
    import os

    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
