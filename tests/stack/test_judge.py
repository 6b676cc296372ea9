"""`make judge` never reports success if it cannot run the simulator."""

import subprocess
import sys

from support import ROOT


def test_without_node_nothing_is_checked() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tests/judge/judge.py"],
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "judge: the policies were not checked: Node (node and npm) is missing\n"
