"""Fixture: the pipeline in simulated time."""

from simulated import run

__all__ = ["run"]
