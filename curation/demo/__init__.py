"""The small web that the project draws and serves, and the run on it."""
