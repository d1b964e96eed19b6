"""`halmd dynamics`: checkpointed NVT production that continues bit for bit after any kill.

Work proceeds in intervals of `checkpoint_interval_ps`. At the end of each, the frames and then the
state are written whole, and the neighbour list is forgotten, in uninterrupted runs too: otherwise a
resumed run would sum forces in another order and part from the uninterrupted one.
"""

import math
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from halmd.config import DiffusionSettings, DynamicsSettings
from halmd.dynamics import checkpoint as saved
from halmd.dynamics import length
from halmd.dynamics.allowance import Allowance, allowance
from halmd.dynamics.engines import Engine, engine_for
from halmd.dynamics.engines.ase import degrees_of_freedom, hold_centre_of_mass, temperature_K
from halmd.dynamics.lean import FlightError
from halmd.dynamics.owner import owned
from halmd.dynamics.progress import Progress
from halmd.dynamics.stability import (
    closest_contact,
    contact_limits_A,
    framework_displacement_A2,
    framework_growth,
    temperature_error_K,
    temperature_off,
    temperature_runaway,
)
from halmd.dynamics.uncertainty import extrapolating_file, look, write_frames
from halmd.errors import HalmdError, OutOfTimeError
from halmd.files import clear_leftovers, fingerprint, write_json
from halmd.potentials.evaluators import Loaded
from halmd.trajectory import Trajectory, write_trajectory

COLUMNS = ("temperature", "potential_energy", "kinetic_energy", "conserved_energy")


def run_dynamics(
    atoms: Atoms,
    loaded: Loaded,
    settings: DynamicsSettings,
    *,
    target_K: float,
    seed: int,
    scratch: Path,
    trajectory: Path,
    record: Path,
    mobile: str = "Li",
    diffusion: DiffusionSettings | None = None,
    max_minutes: float = math.inf,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Run or continue production; writes `trajectory` (H5MD) and `record` (run.json), returns it.

    As `production`, which see.
    """
    with (
        allowance(max_minutes) as until,
        production(
            atoms,
            loaded,
            settings,
            target_K=target_K,
            seed=seed,
            scratch=scratch,
            mobile=mobile,
            diffusion=diffusion,
            until=until,
            # Who set a limit comes again; a person at a terminal is told at once.
            wait=math.isfinite(max_minutes),
            show_progress=show_progress,
        ) as finished,
    ):
        return finished.run.finish(trajectory, record, finished.length_ps, finished.looks)


@dataclass(frozen=True)
class Finished:
    """A run that has its length, or a verdict, in its checkpoints."""

    run: "_Run"
    length_ps: float
    looks: list[dict[str, Any]]


@contextmanager
def production(
    atoms: Atoms,
    loaded: Loaded,
    settings: DynamicsSettings,
    *,
    target_K: float,
    seed: int,
    scratch: Path,
    mobile: str,
    diffusion: DiffusionSettings | None,
    until: Allowance,
    wait: bool = False,
    show_progress: bool,
) -> Iterator[Finished]:
    """Run or continue production, and hold its folder while it is made use of.

    `atoms` carries the momenta to start from. Checkpoints live in a folder of `scratch` named by a
    fingerprint of all that changes the trajectory; the length is not part of it, so a longer run
    continues a shorter one. With `target_relative_error` the run is looked at, and goes on until
    its diffusivity is as certain as that; the looks are in the record, and depend on the frames
    alone, so that a run killed in between ends as it would have. A guard that trips ends the run
    with a verdict, not an exception. Raises OutOfTimeError when the allowance is over (each start
    reaches at least one checkpoint, so that short allowances still get there in the end), and
    HalmdError for damaged checkpoints or a run that another process holds, unless that is to be
    waited for.
    """
    if atoms.get_kinetic_energy() < 1e-9:
        raise HalmdError("the structure has no velocities; make it with `halmd equilibrate`")
    if settings.target_relative_error is not None and mobile not in atoms.get_chemical_symbols():
        raise HalmdError(
            f"target_relative_error needs ions that move, and there is no {mobile} in the "
            "structure; set diffusion.mobile (--mobile)"
        )
    settled = atoms.info.get("equilibration_verdict", "ok")
    folder = scratch / f"production-{_fingerprint(atoms, loaded, settings, target_K, seed)}"
    with owned(folder, wait=until if wait else None):
        run = _Run(atoms, loaded, settings, target_K, seed, folder, mobile)
        run.resume()
        if settled != "ok":
            run.verdict = settled
        length_ps, looks = length.first_length_ps(settings), list[dict[str, Any]]()
        while True:
            _run_to(run, length_ps, until, show_progress)
            if settings.target_relative_error is None or run.failed_before(length_ps):
                break
            looks.append(run.look(length_ps, diffusion or DiffusionSettings(mobile=mobile)))
            if looks[-1]["next_ps"] <= length_ps:
                break
            length_ps = looks[-1]["next_ps"]
        yield Finished(run, length_ps, looks)


def _run_to(run: "_Run", length_ps: float, until: Allowance, show_progress: bool) -> None:
    """Run up to a length, or to a verdict; raises OutOfTimeError where the allowance is over."""
    progress = Progress(f"NVT {run.target_K:g} K", length_ps, run.time_ps, shown=show_progress)
    steps = run.steps_to(length_ps)
    while run.verdict == "ok" and run.step < steps:
        if until.over:
            raise OutOfTimeError(
                f"stopped at {run.time_ps:.1f} of {length_ps:g} ps; run again to continue"
            )
        begun = time.monotonic()
        run.interval()
        until.spent(time.monotonic() - begun)
        progress.update(min(run.time_ps, length_ps), run.last_temperature_K)


class _Run:
    """One production run: its atoms, its thermostat and its folder."""

    def __init__(
        self,
        atoms: Atoms,
        loaded: Loaded,
        settings: DynamicsSettings,
        target_K: float,
        seed: int,
        folder: Path,
        mobile: str,
    ) -> None:
        self.loaded, self.settings, self.folder = loaded, settings, folder
        self.target_K, self.seed = target_K, seed
        self.frame_steps = round(settings.frame_interval_fs / settings.timestep_fs)
        self.frames = round(settings.checkpoint_interval_ps * 1000 / settings.frame_interval_fs)
        self.atoms = atoms.copy()
        self.engine: Engine = engine_for(
            self.atoms, loaded, settings, target_K=target_K, rng=np.random.default_rng(seed)
        )
        self.limits_A = contact_limits_A(tuple(atoms.get_chemical_symbols()))
        self.framework = np.array(atoms.get_chemical_symbols()) != mobile
        self.step = 0
        self.verdict = "ok"
        self.reason: dict[str, Any] = {}
        self.wall_s = 0.0
        self.starts = 1
        self.made_by = _made_by(loaded)
        self.last_temperature_K = target_K
        self.heat_K: list[float] = []
        self.displacement_A2: list[float] = []
        self.reference_A = self.atoms.get_positions()

    @property
    def time_ps(self) -> float:
        """Time reached, in ps."""
        return self.step * self.settings.timestep_fs / 1000

    def steps_to(self, length_ps: float) -> int:
        """Steps to the first checkpoint that holds all frames of a run of this length."""
        interval_steps = self.frame_steps * self.frames
        wanted = length_ps * 1000 / self.settings.timestep_fs
        return math.ceil(wanted / interval_steps - 1e-9) * interval_steps

    def frames_of(self, length_ps: float) -> int:
        """Frames of a run of this length, the first one included."""
        return math.floor(length_ps * 1000 / self.settings.frame_interval_fs + 1e-9) + 1

    def failed_before(self, length_ps: float) -> bool:
        """Whether a guard tripped within a run of this length."""
        return self.verdict != "ok" and self.reason.get("at_ps", 0.0) <= length_ps

    def look(self, length_ps: float, diffusion: DiffusionSettings) -> dict[str, Any]:
        """What the run up to this length says of its diffusivity."""
        columns = saved.load_segments(self.folder, self.step, len(self.heat_K))
        return length.look(
            columns["positions_A"][: self.frames_of(length_ps)],
            np.array(self.atoms.cell),
            tuple(self.atoms.get_chemical_symbols()),
            self.settings.frame_interval_fs / 1000,
            self.settings,
            diffusion,
        )

    def resume(self) -> None:
        """Take up the newest checkpoint, or make the first one."""
        found = saved.latest(self.folder)
        if found is None:
            hold_centre_of_mass(self.atoms)
            self.engine.forget()
            saved.save_segment(self.folder, 0, self._remember([self._frame()]))
            self._save()
            return
        frames = saved.load_segments(self.folder, found.step, found.state["frames"])
        self.heat_K = frames["temperature"].tolist()
        self.displacement_A2 = self._displacement(frames["positions_A"]).tolist()
        self.step = found.step
        self.atoms.set_cell(found.arrays["cell_A"])
        self.atoms.set_positions(found.arrays["positions_A"])
        self.atoms.set_momenta(found.arrays["momenta"])
        self.engine.restore(found.state["thermostat"])
        self.verdict, self.reason = found.state["verdict"], found.state["reason"]
        self.wall_s, self.starts = found.state["wall_s"], found.state["starts"] + 1
        # Until it is gone on with, it is what another process, maybe elsewhere, has made.
        self.made_by = found.state.get("made_by", self.made_by)
        self.engine.forget()

    def interval(self) -> None:
        """Run to the next checkpoint; on a tripped guard, up to the frame that tripped it."""
        begun = time.perf_counter()
        self.made_by = _made_by(self.loaded)
        rows: list[dict[str, Any]] = []
        for _ in range(self.frames):
            if not self._advance():
                break
            rows.append(self._frame())
        if rows:
            saved.save_segment(self.folder, self.step, self._remember(rows))
            self.last_temperature_K = float(np.mean(self.heat_K[-len(rows) :]))
        if self.verdict == "ok":
            self._judge()
        self.wall_s += time.perf_counter() - begun
        self.engine.forget()
        self._save()

    def _advance(self) -> bool:
        """Run to the next frame and check it; sets a verdict when it cannot be believed."""
        flight = None
        try:
            self.engine.run(self.frame_steps)
            finite = bool(np.isfinite(self.engine.forces_eV_per_A()).all())
        except FlightError as error:
            flight = str(error)
        except FloatingPointError:
            finite = False
        self.step += self.frame_steps
        if flight:
            self.verdict = "temperature_runaway"
            self.reason = {"at_ps": self.time_ps, "flight": flight}
            return False
        if not finite:
            self.verdict, self.reason = "nan_forces", {"at_ps": self.time_ps}
            return False
        contact = closest_contact(self.atoms.positions, np.array(self.atoms.cell), self.limits_A)
        if contact:
            distance, i, j = contact
            symbols = self.atoms.get_chemical_symbols()
            self.verdict = "atoms_too_close"
            self.reason = {
                "at_ps": self.time_ps,
                "pair": f"{symbols[i]}-{symbols[j]}",
                "distance_A": distance,
            }
            return False
        return True

    def _judge(self) -> None:
        """Look at the run so far: heat and framework."""
        interval_ps = self.settings.frame_interval_fs / 1000
        free = degrees_of_freedom(self.atoms)
        relaxation = self.settings.thermostat_time_ps
        heat = np.array(self.heat_K)
        if temperature_runaway(heat, interval_ps, self.target_K, free, relaxation):
            self.verdict = "temperature_runaway"
            self.reason = {"at_ps": self.time_ps, "mean_temperature_K": float(heat[-200:].mean())}
            return
        growth = framework_growth(np.array(self.displacement_A2), interval_ps)
        if growth["unstable"]:
            self.verdict, self.reason = "framework_unstable", {"at_ps": self.time_ps} | growth

    def _remember(self, rows: list[dict[str, Any]]) -> saved.Arrays:
        """Columns of new frames; keeps what the guards look at."""
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        self.heat_K += columns["temperature"].tolist()
        self.displacement_A2 += self._displacement(columns["positions_A"]).tolist()
        return columns

    def _displacement(self, positions_A: NDArray[np.float32]) -> NDArray[np.float64]:
        """Mean-square displacement of the framework since the start, in Å²."""
        frames = np.concatenate([self.reference_A[None], positions_A])
        masses = self.atoms.get_masses()
        return framework_displacement_A2(frames, masses, self.framework)[1:]

    def _frame(self) -> dict[str, Any]:
        potential = self.engine.potential_eV()
        kinetic = float(self.atoms.get_kinetic_energy())
        return {
            "positions_A": self.atoms.get_positions().astype(np.float32),
            "temperature": temperature_K(self.atoms),
            "potential_energy": potential,
            "kinetic_energy": kinetic,
            "conserved_energy": potential + kinetic - self.engine.transferred_eV(),
        }

    def _save(self) -> None:
        saved.save(
            self.folder,
            saved.Checkpoint(
                self.step,
                {
                    "cell_A": np.array(self.atoms.cell),
                    "positions_A": self.atoms.get_positions(),
                    "momenta": self.atoms.get_momenta(),
                },
                {
                    "thermostat": self.engine.state(),
                    "frames": len(self.heat_K),
                    "verdict": self.verdict,
                    "reason": self.reason,
                    "wall_s": self.wall_s,
                    "starts": self.starts,
                    "made_by": self.made_by,
                },
            ),
        )

    def finish(
        self, trajectory: Path, record: Path, length_ps: float, looks: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Write trajectory and record of a run of this length."""
        if not self.failed_before(length_ps):
            # A longer run went wrong later than this one ends.
            self.verdict, self.reason = "ok", {}
        columns = saved.load_segments(self.folder, self.step, len(self.heat_K))
        columns = {name: values[: self.frames_of(length_ps)] for name, values in columns.items()}
        clear_leftovers(trajectory, record, extrapolating_file(record))
        interval_ps = self.settings.frame_interval_fs / 1000
        uncertainty = self._uncertainty(columns["positions_A"], interval_ps, record)
        time_ps = (np.arange(len(columns["temperature"])) * interval_ps).astype(np.float64)
        summary = self._summary(columns, time_ps) | {"uncertainty": uncertainty, "looks": looks}
        write_trajectory(
            trajectory,
            Trajectory(
                columns["positions_A"],
                np.array(self.atoms.cell),
                tuple(self.atoms.get_chemical_symbols()),
                time_ps,
                {name: columns[name] for name in COLUMNS},
            ),
            summary,
            steps_per_frame=self.frame_steps,
        )
        write_json(record, summary)
        return summary

    def _uncertainty(
        self, positions_A: NDArray[np.float32], frame_ps: float, record: Path
    ) -> dict[str, Any] | None:
        """What the committee says of the frames, if there is one; may set the verdict."""
        path = extrapolating_file(record)
        wanted_ps, threshold = self.settings.uncertainty_interval_ps, self.loaded.uncertainty
        if not self.loaded.committee or threshold is None or wanted_ps == 0:
            write_frames([], path, {})
            return None
        every = max(1, round(wanted_ps / frame_ps))
        members = (self.loaded.calculator, *self.loaded.committee)
        found, frames = look(
            positions_A, self.atoms, members, every=every, frame_ps=frame_ps, threshold=threshold
        )
        accepted = self.loaded.provenance.get("accept_extrapolation", False)
        if self.verdict != "ok":
            # What stopped the run says more of it than the committee's doubt.
            frames = []
        elif found["extrapolating"] and not accepted:
            self.verdict = "extrapolating"
            self.reason = {
                key: found[key]
                for key in ("share_above_threshold", "threshold_eV_per_A", "max_eV_per_A")
            }
        about = {"temperature_K": self.target_K, "run": record.parent.as_posix()}
        write_frames(frames, path, about)
        return found

    def _summary(self, columns: saved.Arrays, time_ps: NDArray[np.float64]) -> dict[str, Any]:
        heat, settings = columns["temperature"], self.settings
        interval_ps = settings.frame_interval_fs / 1000
        free = degrees_of_freedom(self.atoms)
        drift = 0.0
        if len(time_ps) > 2:
            per_atom = columns["conserved_energy"] / len(self.atoms)
            drift = float(np.polyfit(time_ps, per_atom, 1)[0])
        steps_per_s = self.step / self.wall_s if self.wall_s else 0.0
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "temperature_K": self.target_K,
            "mean_temperature_K": float(heat.mean()),
            "mean_temperature_error_K": temperature_error_K(
                len(heat) * interval_ps, self.target_K, free, settings.thermostat_time_ps
            ),
            "temperature_off_standard_errors": temperature_off(
                heat, interval_ps, self.target_K, free, settings.thermostat_time_ps
            ),
            "length_ps": float(time_ps[-1]),
            "frames": len(time_ps),
            "atoms": len(self.atoms),
            "formula": str(self.atoms.info.get("formula", self.atoms.get_chemical_formula())),
            "volume_A3": float(self.atoms.get_volume()),
            "energy_drift_meV_per_atom_per_ps": 1000 * drift,
            "framework": framework_growth(self._displacement(columns["positions_A"]), interval_ps),
            "seed": self.seed,
            "engine": settings.engine,
            "settings": settings.model_dump(exclude={"temperatures_K", "replicas"}),
            **self.made_by,
            "steps_per_s": steps_per_s,
            "ns_per_day": steps_per_s * settings.timestep_fs * 1e-6 * 86400,
            "wall_s": self.wall_s,
            "starts": self.starts,
        }


def _potential(loaded: Loaded, settings: DynamicsSettings) -> list[Any]:
    """What of a potential decides a trajectory bit for bit.

    A batch may be begun on a GPU and written out, or even continued, elsewhere.
    """
    if settings.engine == "batched":
        return loaded.identity()
    return [loaded.provenance[key] for key in ("name", "kind", "sha256", "evaluator")]


def _made_by(loaded: Loaded) -> dict[str, Any]:
    """Potential, device and versions that a run is made by."""
    on_cpu = loaded.device == "cpu"
    return {
        "potential": loaded.provenance,
        "device": f"CPU, {platform.machine()}" if on_cpu else loaded.device,
        "host": platform.node(),
        "python": platform.python_version(),
        "ase": ase.__version__,
        "numpy": np.__version__,
    }


def _fingerprint(
    atoms: Atoms, loaded: Loaded, settings: DynamicsSettings, target_K: float, seed: int
) -> str:
    """Changes with everything that changes the trajectory, and not with its length."""
    own = ("engine", "timestep_fs", "frame_interval_fs", "checkpoint_interval_ps")
    return fingerprint(
        {
            "numbers": atoms.numbers.tolist(),
            "cell_A": np.array(atoms.cell).tolist(),
            "positions_A": atoms.positions.tolist(),
            "momenta": atoms.get_momenta().tolist(),
            "potential": _potential(loaded, settings),
            "settings": {key: getattr(settings, key) for key in own},
            "thermostat_time_ps": settings.thermostat_time_ps,
            "temperature_K": target_K,
            "seed": seed,
        }
    )
