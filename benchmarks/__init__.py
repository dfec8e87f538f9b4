"""Claims about speed and memory. A package, or the one of this name that Opacus installs would hide it."""
