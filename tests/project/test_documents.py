"""Checks that the documents agree with the code and with each other."""

import re
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from stacks import DOCUMENT, stack
from support import ROOT

sys.path.append(str(ROOT / "benchmarks"))

from cost import Scenario, bill

from console_login.cli import cli
from transformer.outcome import Reason

READMES = [ROOT / "README.md", ROOT / "README.ja.md"]
DOCUMENTS = [*READMES, *sorted((ROOT / "docs").glob("*.md"))]
# The Japanese versions of the documents that exist in two languages.
TRANSLATED = [path for path in DOCUMENTS if path.name.endswith(".ja.md")]
DOCUMENTS += [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"]
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PICTURE = re.compile(r' src(?:set)?="([^"]+)"')


def original(translated: Path) -> Path:
    return translated.with_name(translated.name.replace(".ja.md", ".md"))


def prose(path: Path) -> str:
    return FENCE.sub("", path.read_text())


def named(path: Path) -> str:
    """Return all code in a document: its code blocks and the text between backticks."""
    text = path.read_text()
    return "\n".join([*FENCE.findall(text), *CODE.findall(prose(path))])


def targets() -> set[str]:
    return set(re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))


def options() -> set[tuple[str, str]]:
    """Return every command with each of its options, in the long form if there are two."""
    return {
        (name, max(parameter.opts, key=len))
        for name, command in cli.commands.items()
        for parameter in command.params
        if parameter.param_type_name == "option"
    }


@pytest.mark.parametrize("ending", [".md", ".ja.md"])
def test_readme_and_what_it_leads_to_name_everything_there_is(ending: str) -> None:
    pages = [ROOT / f"README{ending}"]
    pages += [ROOT / "docs" / f"{name}{ending}" for name in ("deploy", "function", "local")]
    code = "\n".join(named(page) for page in pages)
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


@pytest.mark.parametrize("name", ["deploy.md", "deploy.ja.md"])
def test_the_parameters_table_is_the_templates(name: str) -> None:
    parameters = {name: str(each["Default"]) for name, each in DOCUMENT["Parameters"].items()}
    text = (ROOT / "docs" / name).read_text()
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\| ", text, re.MULTILINE)
    rows = [row for row in rows if row[0] in parameters]
    assert dict(rows) == parameters
    assert [name for name, _ in rows] == list(parameters)


def test_what_the_readme_leads_to_is_in_both_languages() -> None:
    names = {path.name for path in TRANSLATED}
    assert names >= {
        f"{each}.ja.md"
        for each in ("README", "deploy", "function", "local", "operations", "tutorial")
    }


@pytest.mark.parametrize("translated", TRANSLATED, ids=lambda path: path.name)
def test_the_two_languages_are_a_mirrored_pair(translated: Path) -> None:
    pair = [original(translated), translated]
    english, japanese = (path.read_text() for path in pair)
    assert FENCE.findall(english) == FENCE.findall(japanese)
    headings = [re.findall(r"^#+(?= )", prose(path), re.MULTILINE) for path in pair]
    assert headings[0] == headings[1]
    pictures = [PICTURE.findall(text) for text in (english, japanese)]
    assert pictures[0] == pictures[1]
    tables = [re.findall(r"^ *\|(.*)", prose(path), re.MULTILINE) for path in pair]
    assert len(tables[0]) == len(tables[1])
    # The code in the first columns must match, so the rows have the same order.
    columns = [[CODE.findall(row.split("|")[0]) for row in table] for table in tables]
    assert columns[0] == columns[1]
    assert f"({pair[1].name})" in english.split("##")[0]
    assert f"({pair[0].name})" in japanese.split("##")[0]


@pytest.mark.parametrize("translated", TRANSLATED, ids=lambda path: path.name)
def test_a_japanese_document_leads_to_japanese_ones(translated: Path) -> None:
    english = {original(each) for each in TRANSLATED} - {original(translated)}
    for target in LINK.findall(prose(translated)):
        assert (translated.parent / target.partition("#")[0]).resolve() not in english, target


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_a_readme_is_read_in_a_few_minutes(readme: Path) -> None:
    lines = readme.read_text().splitlines()
    assert len(lines) <= 160
    # Otherwise the number of lines would not limit the length.
    assert max(map(len, lines)) < 250


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_a_readme_has_the_version_and_the_bill(readme: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = readme.read_text()
    assert re.search(rf" {re.escape(project['version'])} · Python (\S+) · \[MIT ", text)
    assert f"Python {project['requires-python'].removeprefix('>=')} ·" in text
    # The bill for 1,000 sign-ins a day: native, ours, and ours with the metric for the alarms.
    month = Scenario(100_000, metrics=False)
    bills = bill(month), bill(replace(month, metrics=True))
    amounts = (f"{bills[0].native:.4f}", f"{bills[0].ours:.2f}", f"{bills[1].ours:.2f}")
    (line,) = re.findall(r"1,000 (?:sign-ins\n|件の\n).*?cost\.md", text, re.DOTALL)
    assert re.findall(r"\d\.\d+", line) == list(amounts)


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_inside_the_repository_resolve(document: Path) -> None:
    for target in LINK.findall(prose(document)) + PICTURE.findall(prose(document)):
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
