"""Where the templates and the function's code are: in the checkout, or else in the wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent

# A wheel carries them here (hatch_build.py); a checkout never has this folder.
_CARRIED = _PACKAGE / "_shipped"

# The checkout that this package is imported from; None where it is installed.
CHECKOUT = None if _CARRIED.is_dir() else _PACKAGE.parent

_ROOT = CHECKOUT or _CARRIED

TEMPLATE = _ROOT / "template.yaml"
TRAIL = _ROOT / "trail.yaml"
CODE_URI = _ROOT / "functions" / "transform"
