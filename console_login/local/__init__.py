"""The pipeline on this machine: stand-ins for AWS services, and the accounting of the events."""
