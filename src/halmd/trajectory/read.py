"""One door for every kind of trajectory file."""

import re
from collections.abc import Sequence
from pathlib import Path

from halmd.errors import HalmdError
from halmd.trajectory.checks import UNREADABLE, damaged
from halmd.trajectory.frames import Frames
from halmd.trajectory.h5md import open_h5md
from halmd.trajectory.lammps import open_lammps
from halmd.trajectory.others import open_ase, open_mdanalysis, open_xyz
from halmd.trajectory.text import open_bytes
from halmd.trajectory.vasp import open_vasprun, open_xdatcar

_BY_CONTENT = (
    ("h5md", rb"\x89HDF\r\n"),
    ("ase", rb"- of Ulm"),
    ("lammps", rb"\s*ITEM:"),
    ("vasprun", rb"\s*<(\?xml|modeling)(.|\n)*<modeling|\s*<modeling"),
    ("xyz", rb"\s*\d+\s*\n.*Lattice *="),
    ("xdatcar", rb"(.*\n){5,8} *(Direct|Cartesian|Konfig).*="),
)
_BY_NAME = (
    ("h5md", r".*\.(h5|hdf5|h5md)"),
    ("ase", r".*\.traj"),
    ("xyz", r".*\.(ext)?xyz"),
    ("xdatcar", r"xdatcar.*|.*\.xdatcar|.*_xdatcar"),
    ("vasprun", r".*vasprun.*\.xml"),
    ("lammps", r"dump\..*|.*\.(lammpstrj|lammpsdump|dump)"),
)
_OTHERS = (
    *("dcd", "xtc", "trr", "nc", "ncdf", "netcdf", "trj", "mdcrd", "crdbox", "tng", "trz", "gsd"),
    *("pdb", "gro", "history", "config", "arc", "txyz", "trc"),
)
"""Suffixes of files that are left to MDAnalysis."""
_ALIASES = {"extxyz": "xyz", "traj": "ase", "h5": "h5md", "lammpstrj": "lammps"}
_KNOWN = (
    "H5MD, ASE .traj, extended xyz, XDATCAR, vasprun.xml, LAMMPS text dumps, and with MDAnalysis "
    "DCD, XTC, TRR, NetCDF and others"
)


def open_trajectory(
    path: Path,
    *,
    topology: Path | None = None,
    frame_interval_fs: float | None = None,
    timestep_fs: float | None = None,
    species: Sequence[str] | None = None,
    format: str | None = None,
) -> Frames:
    """Open a trajectory of any known format, to be read block by block.

    The format is found by content, then by name, unless `format` says it: h5md, ase, xyz, xdatcar,
    vasprun, lammps, or a format of MDAnalysis. `topology` names the atoms for the formats of
    MDAnalysis that do not. `frame_interval_fs`, the time between saved frames, replaces the file's
    times, and is needed where it has none. `timestep_fs` is the time step of LAMMPS dumps, which
    count steps. `species` names elements where the file has only types or groups of atoms.

    Raises HalmdError, in one line with file and frame, for whatever cannot be used: see `checks`
    and the reader of each format. What is wrong beyond the first frame shows as blocks are read.
    Warns of a text file that ends in the middle of a frame, as that of a killed run does.
    """
    for name, value in (("--frame-interval-fs", frame_interval_fs), ("--timestep-fs", timestep_fs)):
        # Written so that NaN fails.
        if value is not None and not 0 < value < float("inf"):
            raise HalmdError(f"{path}: {name} is {value:g}; it is a time in fs, greater than 0")
    for file in (path, topology):
        if file is not None and not file.is_file():
            raise HalmdError(f"{file}: no such file")
    kind = _ALIASES.get(format.lower(), format.lower()) if format else _kind(path)
    match kind:
        case "h5md":
            return open_h5md(path, frame_interval_fs=frame_interval_fs, species=species)
        case "ase":
            return open_ase(path, frame_interval_fs=frame_interval_fs, species=species)
        case "xyz":
            return open_xyz(path, frame_interval_fs=frame_interval_fs, species=species)
        case "xdatcar":
            return open_xdatcar(path, frame_interval_fs=frame_interval_fs, species=species)
        case "vasprun":
            return open_vasprun(path, frame_interval_fs=frame_interval_fs, species=species)
        case "lammps":
            return open_lammps(
                path,
                frame_interval_fs=frame_interval_fs,
                timestep_fs=timestep_fs,
                species=species,
            )
    return open_mdanalysis(
        path,
        topology=topology,
        frame_interval_fs=frame_interval_fs,
        timestep_fs=timestep_fs,
        species=species,
        format=format.upper() if format else None,
    )


def _kind(path: Path) -> str:
    try:
        with open_bytes(path) as stream:
            head = stream.read(4096)
    except (EOFError, *UNREADABLE) as error:
        raise damaged(path, 0, error) from None
    if not head.strip():
        raise HalmdError(f"{path}: the file is empty")
    for kind, content in _BY_CONTENT:
        if re.match(content, head.replace(b"\r\n", b"\n") if kind != "h5md" else head):
            return kind
    name = path.name.lower().removesuffix(".gz")
    for kind, names in _BY_NAME:
        if re.fullmatch(names, name):
            return kind
    if Path(name).suffix.removeprefix(".") in _OTHERS:
        return "mdanalysis"
    raise HalmdError(f"{path}: of no known format; name it with --format. Known are {_KNOWN}")
