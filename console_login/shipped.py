"""Paths of the templates and the function's code, in the checkout or in the installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent

# A wheel has the files in this folder (hatch_build.py). A checkout has no such folder.
_BUNDLED = _PACKAGE / "_shipped"

# The checkout that this package is imported from; None if it is installed from a wheel.
CHECKOUT = None if _BUNDLED.is_dir() else _PACKAGE.parent

_ROOT = CHECKOUT or _BUNDLED

TEMPLATE = _ROOT / "template.yaml"
TRAIL = _ROOT / "trail.yaml"
CODE_URI = _ROOT / "functions" / "transform"
