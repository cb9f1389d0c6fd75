"""What to look for: the frozen lists of metadata entries, one for each language."""
