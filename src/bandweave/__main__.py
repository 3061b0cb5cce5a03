"""`python -m bandweave`."""

from bandweave.cli.main import main

main()
