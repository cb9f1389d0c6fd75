"""Dataclasses as canonical JSON, and its hash: equal settings, equal text."""

import dataclasses
import hashlib
import json
import math
from dataclasses import field, fields
from pathlib import Path
from typing import Any


def runtime(default: Any = dataclasses.MISSING, *, factory: Any = dataclasses.MISSING) -> Any:
    """Declare a field that does not change results."""
    if factory is not dataclasses.MISSING:
        return field(default_factory=factory, metadata={"runtime": True})
    return field(default=default, metadata={"runtime": True})


def as_record(section: Any, *, with_runtime: bool = False) -> dict[str, Any]:
    """Return a section as JSON-able values; runtime fields only where asked for."""
    kept = [f for f in fields(section) if with_runtime or not f.metadata.get("runtime")]
    return {f.name: _jsonable(getattr(section, f.name)) for f in kept}


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return as_record(value)
    if isinstance(value, dict):
        return {key: _jsonable(value[key]) for key in sorted(value)}
    if isinstance(value, (tuple, list)):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, Path) else value


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces: one text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_json(value: Any) -> str:
    """Return SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
