"""From the formula of a lithium halide to its conductivity, with a true error bar."""

from importlib.metadata import version

__version__ = version("halmd")
