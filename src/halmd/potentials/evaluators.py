"""What computes a MACE potential: the native evaluator (no torch) or mace-torch.

`load` is what every MD process calls. It compares checksums, builds the calculator and checks it
against stored energies and forces; a native evaluator that fails the check gives way to mace-torch
with a warning.
"""

import ctypes
import importlib
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from halmd.errors import HalmdError
from halmd.files import read_json, sha256

ENERGY_TOLERANCE_EV_PER_ATOM = 2e-5
FORCE_TOLERANCE_EV_PER_A = 5e-4
"""Far above float32 noise (1e-6 eV/atom, 1e-5 eV/Å), far below any error of the model itself."""


@dataclass(frozen=True)
class Loaded:
    """A potential ready to compute, and the record of what it is."""

    calculator: Any
    """An ASE calculator: energy (eV), forces (eV/Å), stress (eV/Å³)."""
    provenance: dict[str, Any]
    """Name, SHA-256, evaluator, self-check and versions; written into every run."""
    elements: frozenset[str] | None
    """Elements the potential was trained on; None when it does not say."""
    fresh_neighbours: Callable[[], None]
    """Forget cached neighbour lists, so that a resumed run sums in the same order."""
    committee: tuple[Any, ...] = ()
    """Calculators of students fitted with other seeds; empty where there are none."""
    uncertainty: dict[str, Any] | None = None
    """What disagreement of the committee means: `force_std_eV_per_A` and `share`."""
    crystals: frozenset[str] | None = None
    """Prototypes the potential was trained on; None when it does not say."""
    device: str = "cpu"
    """What it computes on: cpu, or the name of a GPU."""

    def identity(self) -> list[Any]:
        """What decides the forces, whatever computes them."""
        of_model = self.provenance.get("model_sha256") or self.provenance["sha256"]
        return [self.provenance["name"], self.provenance["kind"], of_model]


def load(record_file: Path, *, batched: bool = False) -> Loaded:
    """Load the potential prepared by `halmd potential`; raises HalmdError when it is damaged.

    For batches, mace-torch on a GPU is taken where there is one and the native evaluator, prepared
    elsewhere, would compute on the CPU.
    """
    record = read_json(record_file)
    if batched and record["evaluator"] == "native" and _better_on_gpu(record):
        record = record | {"evaluator": "torch"}
    if record["kind"] == "ase":
        return _load_ase(record)
    if record["evaluator"] == "native":
        loaded = _load_native(record_file.parent, record)
        deviation = _self_check(loaded.calculator, record["self_check"])
        if _within(deviation):
            return _with_check(loaded, deviation)
        warnings.warn(
            f"native evaluator: self-check failed ({_text(deviation)}); taking mace-torch",
            stacklevel=2,
        )
    loaded = _load_torch(record)
    deviation = _self_check(loaded.calculator, record["self_check"])
    if not _within(deviation):
        raise HalmdError(
            f"potential {record['name']!r}: mace-torch does not reproduce the stored energies and "
            f"forces ({_text(deviation)}); delete {record_file.parent} and prepare it again"
        )
    return _with_check(loaded, deviation)


def _better_on_gpu(record: dict[str, Any]) -> bool:
    """Whether mace-torch has a GPU for this model."""
    model = Path(record.get("model_file") or "")
    return has_gpu() and model.is_file() and _torch_device() == "cuda"


_COMPILED_WITH = (
    "-ffast-math -march=native -fno-tree-pre -fno-code-hoisting -fno-gcse -fno-gcse-after-reload"
)
"""What the evaluator takes beside -O3, without passes in which GCC spends minutes on the
straight-line products of a model with vectors (64x0e + 64x1o: 250 s of CPU, 8 without them) and
which make no step faster."""


def native_environment(cache: Path) -> None:
    """Set what the native evaluator reads from the environment, before its first import."""
    # With host BLAS on, every small kernel asks the dynamic loader which BLAS to use: 2-4x slower.
    os.environ["SYMMETRIX_HOST_WORKER_BLAS"] = "off"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_PROC_BIND", "false")
    os.environ["SYMMETRIX_JIT_CACHE"] = str(cache.resolve())
    os.environ.setdefault("SYMMETRIX_JIT_HOST_FLAGS", _COMPILED_WITH)


def native_calculator(model: Path, cache: Path, *, compiled: bool = True) -> Any:
    """An ASE calculator on the native evaluator, float32; `compiled` needs a C++20 compiler."""
    native_environment(cache)
    from symmetrix import Symmetrix

    edges = "direct" if compiled else "non-compiled"
    with _same_arithmetic():
        return Symmetrix(str(model), dtype="float32", streamed_edges=edges)


@contextmanager
def _same_arithmetic() -> Iterator[None]:
    """Put the processor's floating-point modes back to what they were.

    Loading code that was linked with -ffast-math makes the whole process flush subnormal numbers to
    zero, in arithmetic that is none of its business.
    """
    libm = ctypes.CDLL(None)
    # C's fenv_t, whose size its header alone knows: 32 bytes with glibc on x86, less elsewhere.
    modes = ctypes.create_string_buffer(256)
    libm.fegetenv(modes)
    try:
        yield
    finally:
        libm.fesetenv(modes)


def torch_calculator(model: Path, *, dtype: str = "float32", device: str = "cpu") -> Any:
    """mace-torch's own ASE calculator."""
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        from mace.calculators import MACECalculator
    except ImportError:
        raise HalmdError(
            "the torch evaluator needs mace-torch: pip install 'halmd[torch]', "
            "or say evaluator: native"
        ) from None
    return MACECalculator(model_paths=str(model), device=device, default_dtype=dtype)


def _load_native(folder: Path, record: dict[str, Any]) -> Loaded:
    model = Path(record["native_file"])
    _require_checksum(model, record["native_sha256"])
    calculator, compiled = _native_here(model, folder, compiled=record["native_compiled"])

    def fresh_neighbours() -> None:
        # symmetrix-xl 0.1.1 (pinned) has no public call that forgets its neighbour list.
        calculator._neighbor_cache = None
        calculator.reset()

    provenance = _provenance(
        record, "native", record["native_sha256"], ["symmetrix-xl", "ase", "numpy"]
    )
    members = record.get("committee", [])
    if members:
        provenance["committee_sha256"] = [member["sha256"] for member in members]
    return Loaded(
        calculator,
        provenance,
        frozenset(record["elements"]),
        fresh_neighbours,
        tuple(_member(folder, member, compiled=compiled) for member in members),
        record.get("uncertainty"),
        _crystals(record),
        "cuda" if calculator._native_backend_is_cuda() else "cpu",
    )


def _native_here(model: Path, folder: Path, *, compiled: bool) -> tuple[Any, bool]:
    """The native calculator, and whether it is compiled: a node may have no compiler."""
    try:
        return native_calculator(model, folder / "native-cache", compiled=compiled), compiled
    except Exception as error:
        if not compiled:
            raise
        # What is compiled already is not taken either where the compiler is missing.
        warnings.warn(
            f"native evaluator: nothing can be compiled on {platform.node()} "
            f"({str(error).splitlines()[0][:120]}); going on uncompiled, slower",
            stacklevel=2,
        )
        return native_calculator(model, folder / "native-cache", compiled=False), False


def _member(folder: Path, member: dict[str, str], *, compiled: bool) -> Any:
    """A calculator of one member of the committee; its neighbours are its own."""
    model = Path(member["file"])
    _require_checksum(model, member["sha256"])
    return native_calculator(model, folder / "native-cache", compiled=compiled)


def _load_torch(record: dict[str, Any]) -> Loaded:
    model = Path(record["model_file"])
    _require_checksum(model, record["model_sha256"])
    device = _torch_device()
    calculator = torch_calculator(model, device=device)
    return Loaded(
        calculator,
        _provenance(record, "torch", record["model_sha256"], ["mace-torch", "torch", "ase"]),
        frozenset(record["elements"]),
        calculator.reset,
        crystals=_crystals(record),
        device=_name_of(device),
    )


def has_gpu() -> bool:
    """Whether there is a GPU to be seen; without importing torch, and without waking the GPU."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1")
    return Path("/dev/nvidia0").exists() and not hidden


def _torch_device() -> str:
    """cuda where torch can use a GPU."""
    try:
        import torch
    except ImportError:
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


def _name_of(device: str) -> str:
    if device == "cpu":
        return device
    import torch

    return str(torch.cuda.get_device_name())


def _load_ase(record: dict[str, Any]) -> Loaded:
    calculator = ase_calculator(record["name"])
    return Loaded(
        calculator,
        _provenance(record, "ase", None, ["ase", "numpy"]),
        None,
        getattr(calculator, "reset", lambda: None),
    )


def _crystals(record: dict[str, Any]) -> frozenset[str] | None:
    crystals = record.get("crystals")
    return None if crystals is None else frozenset(crystals)


def ase_calculator(name: str) -> Any:
    """Build the ASE calculator at import path `module:factory`; raises HalmdError if it cannot."""
    module_name, _, factory_name = name.partition(":")
    # A calculator beside the campaign is importable, as it is for a script run there.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise HalmdError(f"potential {name!r}: cannot import {module_name}: {error}") from None
    factory = getattr(module, factory_name, None)
    if factory is None:
        raise HalmdError(f"potential {name!r}: {module_name} has no {factory_name}")
    calculator = factory()
    missing = {"energy", "forces", "stress"} - set(
        getattr(calculator, "implemented_properties", [])
    )
    if missing:
        raise HalmdError(
            f"potential {name!r}: the calculator does not compute {', '.join(sorted(missing))}"
        )
    return calculator


def _provenance(
    record: dict[str, Any], evaluator: str, checksum: str | None, packages: list[str]
) -> dict[str, Any]:
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return {
        "name": record["name"],
        "kind": record["kind"],
        "evaluator": evaluator,
        "sha256": checksum,
        "model_sha256": record.get("model_sha256"),
        "versions": versions,
    }


def _require_checksum(path: Path, checksum: str) -> None:
    if not path.is_file():
        raise HalmdError(f"{path}: no such file; run `halmd potential` again")
    if sha256(path) != checksum:
        raise HalmdError(
            f"{path}: the model file changed since it was prepared (other SHA-256); "
            "run `halmd potential` again"
        )


def _self_check(calculator: Any, references: list[dict[str, Any]]) -> dict[str, float]:
    """Largest deviation from stored values: energy in eV/atom, forces in eV/Å."""
    energy, force = 0.0, 0.0
    for reference in references:
        atoms = Atoms(
            reference["symbols"],
            positions=reference["positions_A"],
            cell=reference["cell_A"],
            pbc=True,
        )
        atoms.calc = calculator
        found = atoms.get_potential_energy()
        energy = max(energy, abs(found - reference["energy_eV"]) / len(atoms))
        difference = atoms.get_forces() - np.array(reference["forces_eV_per_A"])
        scale = max(1.0, float(np.abs(reference["forces_eV_per_A"]).max()))
        force = max(force, float(np.abs(difference).max()) / scale)
    return {"energy_eV_per_atom": energy, "force_eV_per_A": force}


def _within(deviation: dict[str, float]) -> bool:
    # Written so that NaN fails.
    return (
        deviation["energy_eV_per_atom"] < ENERGY_TOLERANCE_EV_PER_ATOM
        and deviation["force_eV_per_A"] < FORCE_TOLERANCE_EV_PER_A
    )


def _with_check(loaded: Loaded, deviation: dict[str, float]) -> Loaded:
    provenance = loaded.provenance | {"self_check_deviation": deviation}
    return replace(loaded, provenance=provenance)


def _text(deviation: dict[str, float]) -> str:
    return (
        f"{deviation['energy_eV_per_atom']:.1e} eV/atom, {deviation['force_eV_per_A']:.1e} eV/Å "
        "from the stored values"
    )
