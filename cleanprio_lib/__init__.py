"""Computations behind *Learning the clean labels first*: the book argues, this library computes."""

__version__ = "0.1.0"
