"""Why a picture has no descriptor: the record of `embed` counts the reasons, and the picture's bytes say which is its own."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from curation.errors import Reason
from curation.images import UndecodableImageError, decode


def reason_of(raw: Path, outcome: Mapping[str, Any], counted: Collection[str]) -> str:
    """Return the reason, or all that were counted where the bytes are not there to decode.

    raw: the folder of raw shards. outcome: the picture's row of `outcomes`. counted: reasons of the record, which is all of them.
    """
    if len(counted) == 1:
        return str(*counted)
    try:
        with (raw / outcome["raw_shard"]).open("rb") as file:
            file.seek(outcome["raw_offset"])
            body = file.read(outcome["bytes"])
    except OSError:
        return " or ".join(sorted(counted)) or "no row, and no reason was counted"
    try:
        decode(body)
    except UndecodableImageError as error:
        found = error.reason
    else:
        found = Reason.NO_DESCRIPTOR
    return found if found in counted else f"no row; its bytes say {found}, which was not counted"
