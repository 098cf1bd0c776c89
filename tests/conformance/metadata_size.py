"""The size model of metadata (a plain restatement of the published measurements), and objects of an exact size."""

from __future__ import annotations

from typing import Any

FILTERABLE_LIMIT = 2048
TOTAL_LIMIT = 40960


def size_of(metadata: dict[str, Any]) -> int:
    """4 for the object, and per entry 8 + the key's bytes + the value."""
    return 4 + sum(8 + len(key.encode()) + _value_size(value) for key, value in metadata.items())


def _value_size(value: Any) -> int:
    if isinstance(value, bool):
        return 0
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, list):
        return sum(4 + _value_size(element) for element in value)
    return 4


def padded(metadata: dict[str, Any], size: int, key: str = "pad") -> dict[str, Any]:
    """The object with one more string entry that brings it to exactly this size."""
    missing = size - size_of(metadata | {key: ""})
    assert missing >= 0
    made = metadata | {key: "x" * missing}
    assert size_of(made) == size
    return made
