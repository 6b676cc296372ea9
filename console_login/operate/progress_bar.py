"""The progress bar of a command on a terminal."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

# Called with the amount done, and the total.
Watch = Callable[[float, float], None]


@contextlib.contextmanager
def watched(title: str, *, is_shown: bool) -> Iterator[Watch]:
    """Yield a function to call with the progress; on a terminal, it moves a bar on stderr."""
    console = Console(stderr=True)
    if not (is_shown and console.is_terminal):
        yield lambda _done, _total: None
        return
    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(title, *columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
