"""Molecular dynamics: equilibration, production, checkpoints, stability."""
