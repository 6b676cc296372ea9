"""The bar that shows on a terminal how far a command is."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

# Is told how much is done, and of how much.
Watch = Callable[[float, float], None]


@contextlib.contextmanager
def watched(what: str, *, is_shown: bool) -> Iterator[Watch]:
    """Yield what to call with how much is done; on a terminal it moves a bar on stderr."""
    console = Console(stderr=True)
    if not (is_shown and console.is_terminal):
        yield lambda _done, _total: None
        return
    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(what, *columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
