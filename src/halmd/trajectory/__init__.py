"""Trajectories: halmd's own H5MD files, and everybody else's."""

from halmd.trajectory.frames import Block, Frames
from halmd.trajectory.h5md import THERMO_UNITS, Trajectory, read_trajectory, write_trajectory
from halmd.trajectory.read import open_trajectory

__all__ = [
    "THERMO_UNITS",
    "Block",
    "Frames",
    "Trajectory",
    "open_trajectory",
    "read_trajectory",
    "write_trajectory",
]
