"""The pipeline on this machine: stand-ins for AWS, and the account of what passed them."""
