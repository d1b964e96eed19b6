"""Model potentials: which forces, and what computes them."""
