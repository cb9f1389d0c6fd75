"""Model files that travel with the package; each has its licence beside it."""
