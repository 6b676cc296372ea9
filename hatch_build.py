"""Adds the templates and the function's code to the wheel and the sdist."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TEMPLATES = ["template.yaml", "trail.yaml", "athena.yaml", "filter.yaml"]
CODE = ["functions/transform/app.py", "functions/transform/transformer/*.py"]


def files(root: Path) -> list[str]:
    """Return the added files, as paths in the checkout."""
    found = (sorted(root.glob(pattern)) for pattern in CODE)
    return [*TEMPLATES, *(path.relative_to(root).as_posix() for paths in found for path in paths)]


class CustomBuildHook(BuildHookInterface[Any]):
    """Puts the added files where console_login/shipped.py looks for them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to a wheel or an sdist; an editable install reads the checkout's own."""
        if version != "standard":
            return
        root = Path(self.root)
        target = "console_login/_shipped/" if self.target_name == "wheel" else ""
        for path in files(root):
            build_data["force_include"][str(root / path)] = target + path
