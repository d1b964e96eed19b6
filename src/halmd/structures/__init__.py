"""From a prototype with partial occupancies to ordered supercells."""
