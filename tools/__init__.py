"""What builds and checks the book. Run from the repository's root, through the Makefile: `make help`."""
