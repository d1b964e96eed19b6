"""A bar for long work, where somebody watches."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

ItemT = TypeVar("ItemT")


def tracked(items: Iterable[ItemT], what: str, *, total: float | None = None) -> Iterator[ItemT]:
    """The same items; on a terminal, with a bar on standard error that goes when they end.

    `total` is their number, where they cannot tell it; without one the bar only moves.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, what, total=total, console=Console(stderr=True), transient=True)
