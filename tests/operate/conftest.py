"""The pipeline in simulated time, and a served stack to examine."""

from doctored import access, credentials, endpoint
from simulated import run

__all__ = ["access", "credentials", "endpoint", "run"]
