"""Run the benchmarks and write one page: what was measured, by which command and commit, on what machine.

    python -m benchmarks.run [NAME ...]          all of them (make bench); see --list
    python -m benchmarks.run radar_speed --  --codecs plain     arguments after -- go to the script

A claim without a row here is not a claim. The page is ``benchmarks/out/report.md``.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import which

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
# script -> the claim it measures; the order is that of the page, what needs the peers' cache after what
# makes it
SCRIPTS = {
    "radar_peers": "bits of quantise + JPEG XL lossless (effort 9) with its best mask coding, every volume",
    "radar_unseen": "bits against it on radars left out of training",
    "radar_next_volume": "bits against it on the next volume of a known radar",
    "radar_bounds": "what bounds masks and the next volume",
    "radar_rate_distortion": "all codecs side by side, 30 to 50 dB",
    "radar_speed": "encode, decode and memory on 114 x 300 x 800, as multiples of 355 Mbps",
    "health_parity": "one joint model against one tuned LightGBM per question: log loss, AUROC",
    "health_calibration": "risks that mean what they say, intervals that hold, in every group",
    "health_consistency": "P(a, b) the same in both orders; identities of a body in samples",
    "health_fidelity": "20,000 virtual humans beside people who were held out",
    "health_anomalies": "bodies put together from two people, every value in range",
    "health_privacy": "what attackers learn of the training people",
    "health_splits": "how far risks are off and what is remembered, told by models of several splits",
    "health_facts": "ten facts that a physician would look up, told and observed",
    "health_speed": "latency of a question, virtual humans per second",
    "atoms_throughput": "atoms per CPU second, energy, forces and stress, beside CHGNet and SevenNet-0",
    "atoms_scaling": "time and memory, 64 to 16,384 atoms",
    "atoms_accuracy": "errors against DFT on chemical systems that were held out, beside the same",
    "atoms_acwf": "volumes and bulk moduli of the elements against all-electron PBE",
    "atoms_properties": "errors of volumes, moduli, elastic constants, frequencies; do spreads cover them",
    "atoms_reactions": "energies of gas-phase reactions against PBE run here, beside CHGNet and SevenNet-0",
    "atoms_differences": "spreads of energy differences: do they cover, by set, before and after calibration",
    "atoms_barriers": "barriers of molecules against PBE on the same paths, and their spread",
    "atoms_adsorbates": "what binds to metals, and the data that spoil eight of them (PBE beside PBE+U)",
    "atoms_known": "well-known crystals, surfaces and vacancies of metals, beside CHGNet and SevenNet-0",
    "atoms_laws": "forces are derivatives, symmetries hold, no holes",
    "atoms_uncertainty": "coverage of force intervals, rank correlation, detection of the unknown",
    "atoms_nve": "drift of the energy over 10 ps",
    "atoms_speed_against_dft": "a molecule beside pyscf (and crystals beside CP2K, where it is installed)",
    "audit_game": "planted defects found in models never seen, honest models accused",
    "audit_shrunk": "how much a group's risk must be shrunk to be seen",
}
ATOMS = Path(os.environ.get("SCIAI_SHARED", HERE.parent.parent / "shared")) / "data" / "atoms"
JUDGES = str(OUT / "judges")
# what the scripts of atoms cannot know by themselves; arguments after -- come instead
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "atoms_throughput": ("--checkpoint", "checkpoints/atoms", "--api", "--peers", "chgnet", "sevennet"),
    "atoms_scaling": ("--checkpoint", "checkpoints/atoms"),
    "atoms_accuracy": (
        *("--data", str(ATOMS), "--checkpoint", "checkpoints/atoms", "--cache", JUDGES),
        *("--teachers", "chgnet", "7net-0"),
    ),
    "atoms_acwf": (str(ATOMS / "acwf-unaries-PBE-AE-average.json"), "--model", "atoms"),
    "atoms_properties": ("--data", str(ATOMS), "--cache", JUDGES, "--judge", "7net-0"),
    "atoms_reactions": ("--model", "atoms", "--judges", "chgnet", "7net-0", "--cache", f"{JUDGES}/reactions"),
    "atoms_differences": ("--data", str(ATOMS), "--cache", f"{JUDGES}/reactions"),
    "atoms_barriers": ("--cache", f"{JUDGES}/barriers"),
    "atoms_adsorbates": ("--data", str(ATOMS)),
    "atoms_known": ("--model", "atoms", "--judges", "chgnet", "7net-0", "--cache", f"{JUDGES}/known"),
    "atoms_laws": ("--model", "atoms"),
    "atoms_uncertainty": ("--data", str(ATOMS), "--cache", JUDGES, "--model", "atoms"),
    "atoms_nve": ("--model", "atoms"),
    "atoms_speed_against_dft": (
        *("--model", "atoms"),
        *(("--cp2k", "cp2k") if which("cp2k") else ()),
    ),
}
SEED = "0 (data order and simulation; the codecs use no randomness)"


def hardware() -> str:
    """Processor, usable cores, memory."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {cores} cores, {memory:.0f} GiB"


def commit() -> str:
    """Commit of the checkout, marked where files differ from it."""
    git = ["git", "-C", str(HERE.parent)]
    found = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    if found.returncode:
        return "not a git checkout"
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True).stdout
    return found.stdout.strip() + (" with uncommitted changes" if changed.strip() else "")


def packages() -> str:
    """Versions that shape the figures."""
    names = ("sciai", "numpy", "numba", "torch", "zarr", "imagecodecs", "hdf5plugin", "av")
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} -")
    return ", ".join(found)


def run(name: str, arguments: list[str]) -> tuple[str, str, float, int]:
    """Run one script, showing its output: (command, output, seconds, exit code)."""
    command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{name}", *arguments]
    shown = shlex.join(["python", *command[1:]])
    print(f"== {shown}", flush=True)
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=HERE.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines = []
    assert process.stdout is not None  # it was asked for
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    return shown, "".join(lines), time.perf_counter() - start, process.wait()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("names", nargs="*", metavar="NAME")
    ours, _, theirs = " ".join(shlex.quote(a) for a in sys.argv[1:]).partition(" -- ")
    given = parser.parse_args(shlex.split(ours))
    if given.list:
        for name, claim in SCRIPTS.items():
            print(f"{name:24s}{claim}")
        return
    if unknown := sorted(set(given.names) - set(SCRIPTS)):
        parser.error(f"no benchmark is called {', '.join(unknown)}; --list says what there is")
    OUT.mkdir(exist_ok=True)
    page = [
        "# Benchmarks",
        f"- when: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"- commit: {commit()}",
        f"- hardware: {hardware()} (load {os.getloadavg()[0]:.1f} at the start)",
        f"- software: Python {platform.python_version()}, {packages()}",
        f"- seed: {SEED}",
    ]
    failed = 0
    for name in given.names or SCRIPTS:
        command, output, seconds, code = run(name, shlex.split(theirs) or list(ARGUMENTS.get(name, ())))
        failed += code != 0
        page += [
            "",
            f"## {SCRIPTS[name]}",
            f"`{command}`: exit {code}, {seconds:.0f} s",
            "```",
            output.rstrip(),
            "```",
        ]
        (OUT / "report.md").write_text("\n".join(page) + "\n")  # after each: a stop keeps what was measured
    print(f"report: {OUT / 'report.md'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
