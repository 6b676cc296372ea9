"""The documents agree with the code, with each other, and with themselves."""

import re
from pathlib import Path

import pytest
from stacks import DOCUMENT, stack
from support import ROOT

from console_login.cli import cli
from transformer.outcome import Reason

READMES = [ROOT / "README.md", ROOT / "README.ja.md"]
DOCUMENTS = [*READMES, *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENTS += [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"]
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")


def prose(path: Path) -> str:
    return FENCE.sub("", path.read_text())


def named(path: Path) -> str:
    """Return what a document has in code: its blocks and what stands between backticks."""
    text = path.read_text()
    return "\n".join([*FENCE.findall(text), *CODE.findall(prose(path))])


def targets() -> set[str]:
    return set(re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))


def options() -> set[tuple[str, str]]:
    """Return every command with each of its options, the long one where there are two."""
    return {
        (name, max(parameter.opts, key=len))
        for name, command in cli.commands.items()
        for parameter in command.params
        if parameter.param_type_name == "option"
    }


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_a_readme_names_everything_there_is(readme: Path) -> None:
    code = named(readme)
    names = {reason.value for reason in Reason} | set(DOCUMENT["Parameters"])
    variables = stack().resources["TransformFunction"].properties["Environment"]["Variables"]
    names |= set(variables) | {"EventsDelivered", "RecordsFailed", "RecordsPutBack"}
    names |= {f"console-login {name}" for name in cli.commands} - {
        "console-login pack",
        "console-login unpack",
    }
    names |= {"pack", "unpack"} | {f"make {target}" for target in targets() - {"help"}}
    names |= {option for _, option in options()}
    assert not {name for name in names if not re.search(rf"(?<![\w-]){name}(?![\w-])", code)}


def test_the_parameters_table_is_the_templates_in_both_languages() -> None:
    parameters = {name: str(each["Default"]) for name, each in DOCUMENT["Parameters"].items()}
    for readme in READMES:
        rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\| ", readme.read_text(), re.MULTILINE)
        rows = [row for row in rows if row[0] in parameters]
        assert dict(rows) == parameters
        assert [name for name, _ in rows] == list(parameters)


def test_the_readmes_are_a_mirrored_pair() -> None:
    english, japanese = (path.read_text() for path in READMES)
    assert FENCE.findall(english) == FENCE.findall(japanese)
    headings = [re.findall(r"^#+(?= )", prose(path), re.MULTILINE) for path in READMES]
    assert headings[0] == headings[1]
    tables = [re.findall(r"^ *\|(.*)", prose(path), re.MULTILINE) for path in READMES]
    assert len(tables[0]) == len(tables[1])
    # The first column's code, and so the order of rows.
    columns = [[CODE.findall(row.split("|")[0]) for row in table] for table in tables]
    assert columns[0] == columns[1]
    assert "(README.ja.md)" in english.split("##")[0]
    assert "(README.md)" in japanese.split("##")[0]


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_inside_the_repository_resolve(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.is_relative_to(ROOT)
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_that_are_named_exist(document: Path) -> None:
    found = set(re.findall(r"\bmake ([a-z][a-z-]*)\b", named(document)))
    assert found <= targets() | {"test"}


def test_documents_name_only_the_documentations_accounts() -> None:
    for document in DOCUMENTS:
        found = set(re.findall(r"(?<![\d-])\d{12}(?!\d)", document.read_text()))
        assert found <= {"111122223333", "444455556666"}, document.name


def test_pre_commit_runs_the_tools_of_make_lint() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    lint = (ROOT / "Makefile").read_text().split("\nlint:")[1].split("\n\n")[0]
    for tool in (
        "ruff format",
        "ruff check",
        "mypy",
        "lint-imports",
        "sam validate --lint",
        "cfn-lint",
    ):
        assert tool in lint
        assert f".venv/bin/{tool}" in hooks


def test_ci_does_what_the_local_ci_does() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert re.findall(r"- run: (.+)", workflow) == [".ci/run", "make scan", "make audit"]
    assert "exec make test deploy-test\n" in (ROOT / ".ci" / "run").read_text()
