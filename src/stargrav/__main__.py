"""`python -m stargrav` is the command `stargrav`."""

from stargrav.cli import main

main()
