"""`python -m console_login`."""

from console_login.cli import main

main()
