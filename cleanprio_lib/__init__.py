"""Computations behind *Learning the clean labels first*: the book argues, this library computes."""

import os

__version__ = "0.1.0"

# Threads that wait for each other sleep instead of spinning: where cores are shared (two pages at once, a
# virtual machine), spinning makes training several times slower. OpenMP reads it when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
