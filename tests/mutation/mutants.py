"""Mutation testing of the function: finds code changes that no test detects.

`make mutants` runs this file in mutmut's environment. mutmut finds no mutants with the checkout's
`pythonpath`, so it works on a copy with `transformer` at its root. mutmut changes functions but
not module constants, whose values tests check.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

ROOT = Path(__file__).resolve().parent.parent.parent
STAGE = ROOT / ".cache" / "mutants"
EQUIVALENT = Path(__file__).with_name("equivalent.toml")

MAX_SURVIVORS = 0.03

CODE = ["app.py", "transformer"]
SUPPORT = ["console_login", "events", "template.yaml"]
TESTS = ["conftest.py", "support.py", "data", "functional", "golden", "property", "unit"]
# These start a program in the checkout, or do not test the function.
NOT_RUN = [
    "tests/functional/test_events.py::test_events_are_in_step_with_their_sources",
    "tests/functional/test_peers.py::test_put_metric_data_call_in_every_invocation",
    "tests/unit/test_handler.py::test_boto3_and_the_x_ray_sdk_are_not_imported_at_cold_start",
    "tests/unit/test_moments.py",
    # Ten seconds each: mutmut's wrapper adds a microsecond for each of a million lines.
    "tests/unit/test_decoding.py::test_each_row_of_the_table[many lines-gzip]",
    "tests/unit/test_decoding.py::test_each_row_of_the_table[many lines-plain]",
]
# Examples per property test. Each mutant gets the same ones, in every run.
EXAMPLES = 25

PYPROJECT = """
[tool.pytest.ini_options]
pythonpath = [".", "tests", "tests/property"]
addopts = ["--import-mode=importlib"]

[tool.mutmut]
source_paths = ["transformer"]
also_copy = {also_copy}
pytest_add_cli_args_test_selection = ["tests"]
pytest_add_cli_args = {pytest_arguments}
timeout_multiplier = 3.0
"""
# Run the fastest tests first: most mutants fail there.
CONFTEST = f"""
import json
from pathlib import Path

from hypothesis import settings

settings.register_profile(
    "mutants", max_examples={EXAMPLES}, derandomize=True, deadline=None, database=None
)
settings.load_profile("mutants")


def pytest_collection_modifyitems(items):
    stats = Path("mutmut-stats.json")
    seconds = json.loads(stats.read_text())["duration_by_test"] if stats.exists() else {{}}
    items.sort(key=lambda item: seconds.get(item.nodeid, 0))
"""

KILLED = {"killed", "timeout", "segfault"}


def stage() -> None:
    """Copy the code and its tests."""
    shutil.rmtree(STAGE, ignore_errors=True)
    functions = ROOT / "functions" / "transform"
    for name in CODE:
        _copy(functions / name, STAGE / name)
    # The place where the command line looks for it. `transformer` is already imported.
    _copy(functions / "app.py", STAGE / "functions" / "transform" / "app.py")
    for name in SUPPORT:
        _copy(ROOT / name, STAGE / name)
    for name in TESTS:
        _copy(ROOT / "tests" / name, STAGE / "tests" / name)
    for path in (STAGE / "tests" / "property").glob("*.py"):
        text = re.sub(r"max_examples=\d+", f"max_examples={EXAMPLES}", path.read_text())
        path.write_text(text)
    (STAGE / "conftest.py").write_text(CONFTEST)
    text = PYPROJECT.format(
        also_copy=json.dumps(["app.py", "conftest.py", "functions", *SUPPORT]),
        pytest_arguments=json.dumps([f"--deselect={name}" for name in NOT_RUN]),
    )
    (STAGE / "pyproject.toml").write_text(text)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target)


def statuses() -> dict[str, tuple[str, str]]:
    """Return each mutant's status and file."""
    found = {}
    for meta in sorted((STAGE / "mutants" / "transformer").glob("*.py.meta")):
        codes = json.loads(meta.read_text())["exit_code_by_key"]
        path = f"transformer/{meta.name.removesuffix('.meta')}"
        found |= {name: (status_by_exit_code[code], path) for name, code in codes.items()}
    return found


def changed(diff: str) -> tuple[str, str]:
    """Return the removed and the added lines of a diff, without their indentation."""
    lines = diff.splitlines()[2:]
    before, after = (
        "\n".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )
    return before, after


def equivalents() -> Counter[tuple[str, str, str]]:
    """Return the number of listed equivalent mutants, by file, line and changed line."""
    listed = tomllib.loads(EQUIVALENT.read_text())["mutants"]
    return Counter(
        {
            (each["file"], each["line"], mutant): each.get("times", 1)
            for each in listed
            if each["why"]
            for mutant in each["becomes"]
        }
    )


def report() -> int:
    """Print the survivors; return the program's exit status."""
    found, listed = statuses(), equivalents()
    seen: Counter[tuple[str, str, str]] = Counter()
    survivors = 0
    for name, (status, path) in found.items():
        if status in KILLED or status == "not checked":
            continue
        diff = get_diff_for_mutant(name, path=path)
        key = (path.removeprefix("transformer/"), *changed(diff))
        if seen[key] < listed[key]:
            seen[key] += 1
            continue
        survivors += 1
        sys.stdout.write(f"{name}: {status}\n{diff}\n\n")
    counts = Counter(status for status, _ in found.values())
    tested = len(found) - counts["not checked"]
    counted = tested - seen.total()
    sys.stdout.write(f"{tested} mutants ({', '.join(f'{n} {s}' for s, n in counts.items())}).\n")
    sys.stdout.write(f"{seen.total()} survivors change nothing, as {EQUIVALENT.name} explains.\n")
    if not counts["not checked"]:
        for file, line, mutant in listed - seen:
            sys.stdout.write(f"{EQUIVALENT.name}: remove {file}: {line!r} -> {mutant!r}\n")
    share = survivors / counted if counted else 1
    sys.stdout.write(
        f"{survivors} of the other {counted} survived: {share:.1%} (limit {MAX_SURVIVORS:.0%}).\n"
    )
    return int(share > MAX_SURVIVORS)


def main(patterns: list[str]) -> int:
    stage()
    os.chdir(STAGE)
    mutmut = Path(sys.executable).with_name("mutmut")
    if subprocess.run([mutmut, "run", *patterns], check=False).returncode:
        sys.stdout.write("mutmut failed: its output is above.\n")
        return 2
    return report()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
