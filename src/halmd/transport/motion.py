"""Continuous motion of every atom relative to the framework, from anybody's trajectory.

A trajectory is read once, block by block: unwrapped in fractional coordinates, mapped onto the
mean cell (so that the breathing of an NPT cell is no motion), and freed of the drift of the
framework. It is kept atom by atom, because everything later asks for one atom at all times; beyond
`MEMORY_BYTES` it is kept in a temporary file.
"""
