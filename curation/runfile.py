"""A run's TOML file into its configuration, strictly: an unknown key or a value of another type is an error that names it."""

import tomllib
import types
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from curation.config import RunConfig
from curation.errors import ConfigError, require


def load(path: Path) -> RunConfig:
    """Read a run's TOML file. Raises ConfigError that names the file and the key."""
    try:
        with path.open("rb") as file:
            given = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot open the configuration {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    sections = {f.name: f for f in fields(RunConfig)}
    unknown = sorted(set(given) - set(sections))
    if unknown:
        raise ConfigError(f"{path}: no section is called {unknown[0]!r}; there are {', '.join(sections)}")
    try:
        built = {name: _section(sections[name].type, values, name) for name, values in given.items()}
        return RunConfig(**built)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _section(kind: Any, values: Any, name: str) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"[{name}] must be a table")
    known = {f.name: f for f in fields(kind)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f"[{name}] has no key {unknown[0]!r}; there are {', '.join(known)}")
    return kind(**{key: _value(known[key].type, value, f"{name}.{key}") for key, value in values.items()})


def _value(kind: Any, value: Any, name: str) -> Any:
    """Give a TOML value the type that its field declares. Raises ConfigError that names the key."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        require(value in args, name, value, f"must be one of {', '.join(args)}")
        return value
    if origin is types.UnionType:
        return _value(
            args[0], value, name
        )  # TOML has no null: an optional key that is there has its first type
    if origin is tuple and isinstance(value, list):
        return tuple(_value(args[0], item, name) for item in value)
    if origin is dict and isinstance(value, dict):
        return {key: _value(args[1], item, f"{name}.{key}") for key, item in value.items()}
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and type(value) is int:
        return float(value)
    wanted = (
        f"a table such as {{ en = {value} }}"
        if origin is dict
        else f"of type {getattr(kind, '__name__', kind)}"
    )
    require(type(value) is kind, name, value, f"must be {wanted}")
    return value
