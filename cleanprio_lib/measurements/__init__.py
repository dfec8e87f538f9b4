"""What experiments measure: frozen settings, and pure functions from settings and seed to a tidy frame."""
