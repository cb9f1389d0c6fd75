"""Near-duplicates: bytes, then identical descriptors, then near ones."""
