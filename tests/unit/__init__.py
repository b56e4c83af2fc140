"""Tests without a host, a server or a network."""

import os
import sys

# As in the Makefile: without it, each worker and each program of a test compiles all modules again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
