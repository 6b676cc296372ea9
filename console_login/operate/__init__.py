"""Commands on a deployed stack."""
