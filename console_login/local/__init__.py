"""The pipeline on this machine: stand-ins for AWS services, and accounting for every event."""
