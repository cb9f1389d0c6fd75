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


def later(default: Any = dataclasses.MISSING, *, factory: Any = dataclasses.MISSING) -> Any:
    """Declare a field that was added when runs existed: its default must mean what these runs did without it.

    It stays out of the record while it has its default, so that their records still match.
    """
    if factory is not dataclasses.MISSING:
        return field(default_factory=factory, metadata={"later": True})
    return field(default=default, metadata={"later": True})


def as_record(section: Any, *, with_runtime: bool = False) -> dict[str, Any]:
    """Return a section as JSON-able values.

    with_runtime: all fields, for a reader; else those that decide the result, as they are hashed.
    """
    kept = [f for f in fields(section) if with_runtime or _decides(f, getattr(section, f.name))]
    return {f.name: _jsonable(getattr(section, f.name)) for f in kept}


def _decides(declared: "dataclasses.Field[Any]", value: Any) -> bool:
    if declared.metadata.get("runtime"):
        return False
    if not declared.metadata.get("later"):
        return True
    made = declared.default_factory
    return bool(value != (declared.default if made is dataclasses.MISSING else made()))


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
