"""One trajectory, every analyser: seconds, memory, D and the error that each one claims for it.

    python benchmarks/transport.py [--sizes 1e5 1e6 1e7] [--limit-s 300] [--tools halmd kinisi ...]
    python benchmarks/transport.py --streaming [--gib 10]

The first form makes a synthetic trajectory of a hexagonal Li3YCl6 cell for each size (counted in
mobile ions times frames; 30 % of the atoms are mobile), in which Li jumps 2.5 Å at 0.2 /ps and
rattles by 0.3 Å, and the framework rattles by 0.15 Å about fixed sites. D = rate a² / 6 is known
exactly. Every contestant gets the same array in a fresh process of its own, one thread on one core;
the clock runs from the array in memory to D and its error, without imports, reading or the making
of the data. `peak` is the largest resident memory less `before`, what the process held with its
imports and the array. Contestants beyond a limit of time or memory are stopped and shown as such.
What each tool is given, and why, is in `peers.py`.

The second form is for halmd alone, from a file: 100,000 frames of 480 atoms, and a file of --gib
GiB, which does not fit where it is analysed. Both are H5MD with float32 positions.

Needs the other tools: `make peers`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers import REQUIRES, TOOLS

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}

FRAME_PS = 0.05
RATE_PER_PS = 0.2
JUMP_A = 2.5
RATTLE_A = {"Li": 0.3, "Y": 0.15, "Cl": 0.15}
D_TRUE_A2_PER_PS = RATE_PER_PS * JUMP_A**2 / 6
START_PS = 2.0
"""When rattling is over, which tools that ask for it are told."""

UNIT_CELL_A = np.array([[11.2, 0.0, 0.0], [-5.6, 5.6 * np.sqrt(3), 0.0], [0.0, 0.0, 6.03]])
UNIT = {"Li": 9, "Y": 3, "Cl": 18}

MIB = 2**20
GIB = 2**30
_FRAMES_AT_A_TIME = 4096
_POLL_S = 0.02


@dataclass(frozen=True)
class Size:
    """A supercell and a number of frames."""

    name: str
    repeat: tuple[int, int, int]
    frames: int

    @property
    def symbols(self) -> list[str]:
        return [s for s, n in UNIT.items() for _ in range(n * int(np.prod(self.repeat)))]

    @property
    def ions(self) -> int:
        return self.symbols.count("Li")

    @property
    def cell_A(self) -> NDArray[np.float64]:
        result: NDArray[np.float64] = UNIT_CELL_A * np.array(self.repeat)[:, None]
        return result

    def __str__(self) -> str:
        return (
            f"{self.ions} Li of {len(self.symbols)} atoms x {self.frames:,} frames "
            f"= {self.ions * self.frames:,} Li-frames, {self.frames * FRAME_PS / 1000:.2f} ns"
        )


SIZES = {
    size.name: size
    for size in (
        Size("1e5", (1, 1, 2), 5_556),
        Size("1e6", (2, 2, 2), 13_889),
        Size("1e7", (2, 2, 4), 69_444),
    )
}


def hopping(size: Size, seed: int, dtype: type = np.float64) -> Iterator[NDArray[Any]]:
    """Blocks of unwrapped positions in Å, shape (n, n_atoms, 3); Li comes first."""
    rng = np.random.default_rng(seed)
    sites = rng.random((len(size.symbols), 3)) @ size.cell_A
    rattle = np.array([RATTLE_A[s] for s in size.symbols], dtype=dtype)[None, :, None]
    for first in range(0, size.frames, _FRAMES_AT_A_TIME):
        n = min(_FRAMES_AT_A_TIME, size.frames - first)
        block = rng.standard_normal((n, len(size.symbols), 3), dtype=dtype)  # type: ignore[arg-type]
        block *= rattle
        # Jumps are rare: their number first, then when, who and where to.
        count = rng.poisson(RATE_PER_PS * FRAME_PS * n * size.ions)
        jumps = np.zeros((n, size.ions, 3))
        when, who, axis = (rng.integers(0, top, count) for top in (n, size.ions, 3))
        np.add.at(jumps, (when, who, axis), rng.choice([-JUMP_A, JUMP_A], count))
        np.cumsum(jumps, axis=0, out=jumps)
        block += sites.astype(dtype)
        block[:, : size.ions] += jumps.astype(dtype)
        sites[: size.ions] += jumps[-1]
        yield block


def write_array(path: Path, size: Size) -> None:
    """The trajectory as a .npy file of float64."""
    shape = (size.frames, len(size.symbols), 3)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float64, shape=shape)
    first = 0
    for block in hopping(size, seed=0):
        array[first : first + len(block)] = block
        first += len(block)
    array.flush()


def write_h5md(path: Path, size: Size) -> None:
    """The trajectory as an H5MD file of float32, block by block."""
    import h5py
    from ase.data import atomic_numbers

    with h5py.File(path, "w") as file:
        file.create_group("h5md").attrs["version"] = np.array([1, 1])
        particles = file.create_group("particles/trajectory")
        box = particles.create_group("box")
        box.attrs["dimension"] = 3
        box.attrs["boundary"] = ["periodic"] * 3
        box["edges"] = size.cell_A
        box["edges"].attrs["unit"] = "Angstrom"
        particles["species"] = np.array([atomic_numbers[s] for s in size.symbols], dtype=np.int32)
        position = particles.create_group("position")
        atoms = len(size.symbols)
        value = position.create_dataset(
            "value", (size.frames, atoms, 3), dtype=np.float32, chunks=(256, atoms, 3)
        )
        value.attrs["unit"] = "Angstrom"
        position["step"] = np.arange(size.frames)
        position["time"] = FRAME_PS * np.arange(size.frames)
        position["time"].attrs["unit"] = "ps"
        first = 0
        for block in hopping(size, seed=0, dtype=np.float32):
            value[first : first + len(block)] = block
            first += len(block)


def resident_bytes(pid: int | str, field: str) -> int:
    """VmRSS or VmHWM of a process. Unlike ru_maxrss it starts afresh in a new program."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def play(tool: str, source: Path) -> dict[str, Any]:
    """In a process of its own: measure one tool on one trajectory."""
    # scipp counts the cores that it may use and has no other switch.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    arguments = json.loads(source.with_suffix(".json").read_text())
    streaming = source.suffix == ".h5"
    for name in REQUIRES["halmd" if streaming else tool]:
        import_module(name)
    positions = None if streaming else np.load(source)
    before = resident_bytes("self", "VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    wall, processor = time.perf_counter(), time.process_time()
    if streaming:
        answer = analyse_file(source)
    else:
        answer = asdict(
            TOOLS[tool](
                positions,  # type: ignore[arg-type]
                np.array(arguments["cell_A"]),
                arguments["symbols"],
                FRAME_PS,
                START_PS,
            )
        )
    return {
        "seconds": time.perf_counter() - wall,
        "processor_s": time.process_time() - processor,
        "before_MiB": before / MIB,
        "peak_MiB": (resident_bytes("self", "VmHWM") - before) / MIB,
        "D": float(answer["D_A2_per_ps"]),
        "error": float(answer["error_A2_per_ps"]),
    }


def analyse_file(path: Path) -> dict[str, float]:
    """halmd from a file to D."""
    from peers import A2_PER_PS_PER_CM2_PER_S, TEMPERATURE_K

    from halmd.config import DiffusionSettings
    from halmd.trajectory import open_trajectory
    from halmd.transport.diffusion import diffusion
    from halmd.transport.motion import read_motion

    motion = read_motion(open_trajectory(path))
    record = diffusion(motion, DiffusionSettings(), temperature_K=TEMPERATURE_K)
    return {
        "D_A2_per_ps": record["D_tracer_cm2_per_s"] * A2_PER_PS_PER_CM2_PER_S,
        "error_A2_per_ps": record["D_tracer_error_cm2_per_s"] * A2_PER_PS_PER_CM2_PER_S,
    }


def contest(tool: str, source: Path, *, limit_s: float, limit_bytes: float) -> dict[str, Any]:
    """Run `play` in a fresh process; stop it at a limit. The result has `stopped` then."""
    command = [sys.executable, str(Path(__file__).resolve()), "--play", tool, str(source)]
    with TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        with out.open("w") as stdout, (Path(scratch) / "err").open("w+") as stderr:
            process = subprocess.Popen(
                command, stdout=stdout, stderr=stderr, env=os.environ | ONE_THREAD
            )
            started, peak = time.perf_counter(), 0
            while process.poll() is None:
                time.sleep(_POLL_S)
                with suppress(OSError):
                    peak = max(peak, resident_bytes(process.pid, "VmRSS"))
                why = None
                if time.perf_counter() - started > limit_s:
                    why = f"over {limit_s:g} s"
                elif peak > limit_bytes:
                    why = f"over {limit_bytes / GIB:g} GiB"
                if why:
                    process.kill()
                    process.wait()
                    spent = time.perf_counter() - started
                    return {"stopped": f"{why} (after {spent:.0f} s, {peak / MIB:,.0f} MiB in all)"}
            if process.returncode:
                stderr.seek(0)
                last = (stderr.read().strip() or f"exit code {process.returncode}").splitlines()[-1]
                return {"stopped": last[:100]}
        result: dict[str, Any] = json.loads(out.read_text().splitlines()[-1])
    return result


HEAD = (
    f"{'tool':20s} {'seconds':>9s} {'/halmd':>7s} {'CPU s':>8s} {'peak MiB':>9s} {'/halmd':>7s} "
    f"{'before':>8s} {'D/true':>7s} {'claimed':>8s}"
)


def row(tool: str, result: dict[str, Any], ours: dict[str, Any] | None) -> str:
    """One line of the table; ratios are to halmd."""
    if "stopped" in result:
        return f"{tool:20s} stopped: {result['stopped']}"
    slower = larger = ""
    if ours and "stopped" not in ours:
        slower = f"{result['seconds'] / ours['seconds']:.1f}"
        larger = f"{result['peak_MiB'] / max(1.0, ours['peak_MiB']):.1f}"
    return (
        f"{tool:20s} {result['seconds']:9.2f} {slower:>7s} {result['processor_s']:8.2f} "
        f"{result['peak_MiB']:9.0f} {larger:>7s} {result['before_MiB']:8.0f} "
        f"{result['D'] / D_TRUE_A2_PER_PS:7.3f} {100 * result['error'] / result['D']:7.3f}%"
    )


def side_by_side(arguments: argparse.Namespace, folder: Path) -> None:
    """The table, size by size."""
    limits = {"limit_s": arguments.limit_s, "limit_bytes": arguments.limit_gib * GIB}
    for name in arguments.sizes:
        size = SIZES[name]
        source = folder / "positions.npy"
        write_array(source, size)
        meta = {"symbols": size.symbols, "cell_A": size.cell_A.tolist()}
        source.with_suffix(".json").write_text(json.dumps(meta))
        print(f"\n{name}: {size}; array of {source.stat().st_size / MIB:,.0f} MiB")
        print(HEAD, flush=True)
        ours: dict[str, Any] | None = None
        for tool in arguments.tools:
            result = contest(tool, source, **limits)
            ours = result if tool == "halmd" else ours
            print(row(tool, result, ours), flush=True)
        source.unlink()


def streaming(arguments: argparse.Namespace, folder: Path) -> None:
    """halmd alone, from files."""
    atoms = len(Size("", (2, 2, 4), 1).symbols)
    frames = int(arguments.gib * GIB / (atoms * 12))
    print(HEAD, flush=True)
    for size in (
        Size("100,000 frames", (2, 2, 4), 100_000),
        Size(f"{arguments.gib:g} GiB", (2, 2, 4), frames),
    ):
        source = folder / "trajectory.h5"
        write_h5md(source, size)
        source.with_suffix(".json").write_text("{}")
        limits = {"limit_s": arguments.limit_s, "limit_bytes": arguments.limit_gib * GIB}
        result = contest("halmd", source, **limits)
        print(row(size.name, result, None), flush=True)
        print(f"  {size}; file of {source.stat().st_size / GIB:.2f} GiB")
        source.unlink()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--tools", nargs="+", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--limit-s", type=float, default=300.0, help="seconds for each contestant")
    parser.add_argument("--limit-gib", type=float, default=16.0, help="memory for each contestant")
    parser.add_argument("--streaming", action="store_true", help="halmd alone, from large files")
    parser.add_argument("--gib", type=float, default=10.0, help="size of the large file")
    parser.add_argument("--folder", type=Path, help="where scratch files go")
    parser.add_argument("--play", nargs=2, metavar=("TOOL", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.play:
        print(json.dumps(play(arguments.play[0], Path(arguments.play[1]))))
        return
    with TemporaryDirectory(dir=arguments.folder) as folder:
        (streaming if arguments.streaming else side_by_side)(arguments, Path(folder))


if __name__ == "__main__":
    main()
