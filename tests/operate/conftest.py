"""Fixtures: the pipeline in simulated time, and a served stack."""

from doctored import access, credentials, endpoint
from simulated import run

__all__ = ["access", "credentials", "endpoint", "run"]
