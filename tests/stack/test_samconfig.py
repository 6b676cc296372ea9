"""samconfig.toml as the SAM CLI reads it: three stacks, which no order of commands mixes up."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from samcli.cli.types import CfnParameterOverridesType
from stacks import DOCUMENT, DOCUMENTS, EVERY
from support import ROOT

from console_login.stack import samconfig, template
from console_login.stack.template import TemplateError

CONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
FILES = {"default": "template.yaml", "trail": "trail.yaml", "athena": "athena.yaml"}
SHARED = ("confirm_changeset", "fail_on_empty_changeset", "resolve_s3", "tags")

every_environment = pytest.mark.parametrize("environment", FILES)

# Prints the options with which `sam deploy` would deploy: the SAM CLI itself reads its files.
READ = """
import inspect, json, sys
from unittest import mock
from samcli.cli.main import cli
from samcli.commands.deploy import command

signature = inspect.signature(command.do_cli)
found = {}
for environment in sys.argv[1:]:
    options = [] if environment == "default" else ["--config-env", environment]
    with mock.patch.object(command, "do_cli") as do_cli:
        cli(["deploy", *options], standalone_mode=False)
    found[environment] = signature.bind(*do_cli.call_args.args).arguments
print(json.dumps(found))
"""


def overrides(environment: str) -> list[str]:
    items: list[str] = CONFIG[environment]["global"]["parameters"]["parameter_overrides"]
    return items


def as_sam_reads(environment: str) -> dict[str, str]:
    read: dict[str, str] = CfnParameterOverridesType().convert(overrides(environment), None, None)
    return read


def test_there_is_an_environment_for_each_template() -> None:
    assert {key for key, value in CONFIG.items() if isinstance(value, dict)} == set(FILES)
    # StackSets deploy filter.yaml, not the SAM CLI.
    assert {*FILES.values(), "filter.yaml"} == set(DOCUMENTS)
    names = [CONFIG[key]["global"]["parameters"]["stack_name"] for key in FILES]
    assert len(set(names)) == 3


@every_environment
def test_every_parameter_has_a_line(environment: str) -> None:
    # `sam deploy` keeps the deployed value of a parameter that has no line.
    parameters = DOCUMENTS[FILES[environment]]["Parameters"]
    assert [item.split("=", 1)[0] for item in overrides(environment)] == list(parameters)


@every_environment
def test_every_line_has_the_templates_default(environment: str) -> None:
    parameters = DOCUMENTS[FILES[environment]]["Parameters"]
    read = as_sam_reads(environment)
    # The SAM CLI drops a line that it cannot read, and ends a value at a space.
    assert set(read) == set(parameters)
    assert not [item for item in overrides(environment) if " " in item]
    defaults = {
        name: str(declaration["Default"])
        for name, declaration in parameters.items()
        if "Default" in declaration
    }
    assert {name: read[name] for name in defaults} == defaults


def test_a_parameter_without_a_default_is_a_placeholder_that_the_template_refuses() -> None:
    document = DOCUMENTS["athena.yaml"]
    read = as_sam_reads("athena")
    required = {name for name, each in document["Parameters"].items() if "Default" not in each}
    assert required == {"BucketName", "ResultKeyArn"}
    good = EVERY["queries"][1]
    template.resolve(document, read | good)
    for name in required:
        with pytest.raises(TemplateError, match=f"parameter {name}: '{read[name]}' must be"):
            template.resolve(document, read | good | {name: read[name]})
    # The other two templates accept every default.
    assert template.resolve(DOCUMENT, as_sam_reads("default")) == template.resolve(DOCUMENT)
    trail = DOCUMENTS["trail.yaml"]
    assert template.resolve(trail, as_sam_reads("trail")) == template.resolve(trail)


def test_the_environments_share_how_they_deploy() -> None:
    deploy = {key: CONFIG[key]["deploy"]["parameters"] for key in FILES}
    settings = [{key: each[key] for key in SHARED} for each in deploy.values()]
    assert settings[0] == settings[1] == settings[2]
    for environment, each in deploy.items():
        own = set(each) - set(SHARED)
        roles = "AWS::IAM::Role" in str(DOCUMENTS[FILES[environment]])
        assert own == ({"capabilities"} if roles else set()) | (
            set() if environment == "default" else {"template_file"}
        )
        assert each.get("capabilities", "CAPABILITY_IAM") == "CAPABILITY_IAM"
        assert CONFIG[environment]["validate"]["parameters"]["lint"] is True


@every_environment
def test_the_stack_is_tagged(environment: str) -> None:
    # CloudFormation copies the tags to each resource; the templates have none.
    tags = CONFIG[environment]["deploy"]["parameters"]["tags"]
    assert tags == ["Application=console-login-firehose"]


# As preflight reads it, without the SAM CLI -----------------------------------------------------


@pytest.mark.parametrize(
    ("given", "dropped"),
    [
        ("EventNames=ConsoleLogin, X LogGroupName=a/b", ["X"]),
        (["EventNames=A, B"], ["B"]),
        (["EventNames=A,B rest"], ["rest"]),
        (['EventNames="A, B"'], []),
        ("EventNames=\"A, B\" X='q r'", []),
        ("A=1 A=2  B==c", []),
        (['A=""', "A=b'c d"], ["d"]),
        ('A="x"y B=b"c d"', ['y "c d"']),
        ("ParameterKey=A,ParameterValue=b c", ["c"]),
        ('A="b \\" c"', []),
        # Silently dropped next to others; alone, the SAM CLI refuses it.
        ("A=1 B= C=3", ["B="]),
        ([["A=1"], {"B": True, "C": ["x", " y", ""]}], []),
        ("", []),
    ],
)
def test_preflight_reads_parameters_as_sam_does(
    given: Any, dropped: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "samconfig.toml"
    path.write_text(f"[default.deploy.parameters]\nstack_name = 'a'\n{toml(given)}\n")
    settings = samconfig.read(path, "default")
    assert settings.parameters == CfnParameterOverridesType().convert(given, None, None)
    assert [part for _, part in settings.dropped] == dropped


def toml(given: Any) -> str:
    def value(each: Any) -> str:
        if isinstance(each, list):
            return f"[{', '.join(map(value, each))}]"
        if isinstance(each, dict):
            return f"{{{', '.join(f'{key} = {value(item)}' for key, item in each.items())}}}"
        # Strings and booleans have the same form in JSON and TOML.
        return json.dumps(each)

    return f"parameter_overrides = {value(given)}"


@pytest.mark.parametrize("alone", ["AlarmEmail=", "X", 'A="b'])
def test_text_that_sam_refuses_alone_is_reported_too(alone: str, tmp_path: Path) -> None:
    with pytest.raises(click.BadParameter):
        CfnParameterOverridesType().convert([alone], None, None)
    path = tmp_path / "samconfig.toml"
    path.write_text(f"[default.deploy.parameters]\nstack_name = 'a'\n{toml([alone])}\n")
    assert samconfig.read(path, "default").dropped == [(alone, alone)]


def test_preflight_reads_this_file_as_sam_does() -> None:
    settings = samconfig.read(ROOT / "samconfig.toml", "default")
    assert settings.parameters == as_sam_reads("default")
    assert (settings.stack_name, settings.dropped) == ("console-login-firehose", [])
    assert settings.build == ROOT / ".aws-sam" / "build"


# Orders of commands that could mix up the stacks ------------------------------------------------


class Checkout:
    """A copy of the files that `sam` reads in a checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("samconfig.toml", *FILES.values()):
            shutil.copy(ROOT / name, folder)
        code = ROOT / "functions"
        shutil.copytree(code, folder / "functions", ignore=shutil.ignore_patterns("__pycache__"))
        # Packages take most of the time of a build, and do not affect where its output goes.
        (folder / "functions" / "transform" / "requirements.txt").write_text("")

    def run(self, *command: str) -> str:
        environment = {key: value for key, value in os.environ.items() if key[:4] != "AWS_"} | {
            "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_DEFAULT_REGION": "ap-northeast-1",
            "SAM_CLI_TELEMETRY": "0",
            "__SAM_CLI_APP_DIR": str(self.folder / "app"),
        }
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def build(self, environment: str = "default") -> None:
        options = [] if environment == "default" else ["--config-env", environment]
        self.run(str(ROOT / ".venv" / "bin" / "sam"), "build", *options)

    def deployed(self) -> dict[str, dict[str, Any]]:
        """Return the options with which `sam deploy` would deploy now, by environment."""
        found: dict[str, dict[str, Any]] = json.loads(
            self.run(sys.executable, "-c", READ, *FILES).splitlines()[-1]
        )
        return found

    def built(self) -> dict[str, bytes]:
        """Return every file of the pipeline's build."""
        build = self.folder / ".aws-sam" / "build"
        return {
            str(path.relative_to(build)): path.read_bytes()
            for path in build.rglob("*")
            if path.is_file()
        }


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("checkout"))


def test_no_order_of_commands_deploys_a_template_to_another_stack(checkout: Checkout) -> None:
    # The folder where `sam deploy` looks first.
    build = checkout.folder / ".aws-sam" / "build"
    checkout.build("trail")
    assert not build.exists()

    checkout.build()
    pipeline = checkout.built()
    assert b"DeliveryStream" in pipeline["template.yaml"]
    assert {"TransformFunction/app.py", "template.yaml"} <= set(pipeline)
    checkout.build("trail")
    checkout.build("athena")
    assert checkout.built() == pipeline

    deployed = checkout.deployed()
    assert {key: Path(found["template_file"]) for key, found in deployed.items()} == {
        "default": build / "template.yaml",
        "trail": checkout.folder / "trail.yaml",
        "athena": checkout.folder / "athena.yaml",
    }
    for environment, found in deployed.items():
        assert found["stack_name"] == CONFIG[environment]["global"]["parameters"]["stack_name"]
        assert found["parameter_overrides"] == as_sam_reads(environment)
        assert found["tags"] == {"Application": "console-login-firehose"}
        assert found["confirm_changeset"] is True
        assert found["fail_on_empty_changeset"] is False
        assert found["resolve_s3"] is True
