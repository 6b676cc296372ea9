"""samconfig.toml as the SAM CLI reads it for `sam deploy`, and the text that it silently drops.

https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-config.html
"""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from console_login.errors import UserError

# The SAM CLI's own expressions: a value is in quotes, or ends at a space.
_VALUE = r"""("(?:\\.|[^"\\]+)*"|'(?:\\.|[^'\\]+)*'|(?:\\.|[^ "\\]+)+)"""
_KEY = r"""([A-Za-z0-9"']+)"""
_FORMS = (
    re.compile(f"(?:ParameterKey={_KEY},ParameterValue={_VALUE})"),
    re.compile(f"(?: {_KEY}={_VALUE})"),
)


class ConfigError(UserError):
    """A samconfig.toml that cannot be read; the message gives the reason."""


@dataclass(frozen=True)
class Settings:
    """The settings that `sam deploy` reads from an environment of samconfig.toml.

    parameters: the parameter values as the SAM CLI reads them.
    dropped: pairs of a string in parameter_overrides and the part of it that the SAM CLI drops.
    build: the output folder of `sam build`.
    """

    stack_name: str
    parameters: dict[str, str]
    dropped: list[tuple[str, str]] = field(default_factory=list)
    region: str | None = None
    profile: str | None = None
    build: Path = Path()


def read(path: Path, environment: str) -> Settings:
    """Return the settings of an environment. Raises ConfigError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: pass the file with --config-file") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    if not isinstance(document.get(environment), dict):
        tables = ", ".join(key for key, each in document.items() if isinstance(each, dict))
        raise ConfigError(f"{path}: no environment {environment} (available: {tables or 'none'})")
    deploy, build = (_options(path, document[environment], each) for each in ("deploy", "build"))
    template = Path(str(deploy.get("template_file", "template.yaml")))
    if template.name != "template.yaml":
        raise ConfigError(
            f"{path}: environment {environment} deploys {template}, not template.yaml"
        )
    if not isinstance(name := deploy.get("stack_name"), str):
        raise ConfigError(f"{path}: environment {environment} has no stack_name")
    parameters, dropped = _overrides(path, deploy.get("parameter_overrides", []))
    texts = {key: str(deploy[key]) for key in ("region", "profile") if key in deploy}
    folder = path.parent / str(build.get("build_dir", ".aws-sam/build"))
    return Settings(name, parameters, dropped, build=folder, **texts)


def _options(path: Path, environment: dict[str, Any], command: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for each in ("global", command):
        table = environment.get(each, {})
        parameters = table.get("parameters", {}) if isinstance(table, dict) else None
        if not isinstance(parameters, dict):
            raise ConfigError(f"{path}: {each}.parameters is not a table")
        options |= parameters
    return options


def _overrides(path: Path, given: Any) -> tuple[dict[str, str], list[tuple[str, str]]]:
    parameters: dict[str, str] = {}
    dropped = []
    waiting = [given]
    while waiting:
        match waiting.pop(0):
            case list(items):
                waiting[:0] = items
            case dict(table):
                for key, value in table.items():
                    is_list = isinstance(value, list)
                    items = [str(each).strip() for each in value if each != ""] if is_list else []
                    parameters[key] = ",".join(items) if is_list else str(value)
            case str(text) if not text.startswith("file://"):
                read, lost = _pairs(text)
                parameters |= read
                if lost:
                    dropped.append((text, lost))
            case other:
                raise ConfigError(f"{path}: parameter_overrides: {other!r} is not supported here")
    return parameters, dropped


def _pairs(text: str) -> tuple[dict[str, str], str]:
    """Return the parameters that the SAM CLI finds in a string, and the part that it drops."""
    padded = f" {text.strip()}"
    for form in _FORMS:
        if found := form.findall(padded):
            # Separators may be dropped.
            lost = " ".join(form.sub(" ", padded).split())
            return {_unquoted(key): _unquoted(value) for key, value in found}, lost
    return {}, text.strip()


def _unquoted(text: str) -> str:
    if text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return text.replace("\\ ", " ").replace('\\"', '"').replace("\\'", "'")
