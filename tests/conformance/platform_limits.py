"""The cases that cannot hold for the deployed functions, each with the trait of the platform that forbids it.

The only such list. Whatever is on it is named by the run, and an entry that fits no case is an error.
"""

from __future__ import annotations

import re

import pytest

# Pattern of a case's name behind tests/conformance/ -> why it cannot hold.
LIMITS: dict[str, str] = {}


def of(items: list[pytest.Item]) -> dict[pytest.Item, str]:
    """The cases among these that are limited, and why."""
    names = {item: item.nodeid.rpartition("conformance/")[2] for item in items}
    files = {name.partition("::")[0] for name in names.values()}
    limited = {}
    for pattern, reason in LIMITS.items():
        if pattern.partition("::")[0] not in files:
            continue
        found = [item for item, name in names.items() if re.fullmatch(pattern.replace(".py", r"\.py"), name)]
        limited |= dict.fromkeys(found, reason)
        if not found and not is_partial(items):
            raise pytest.UsageError(f"platform_limits.py: {pattern!r} fits no case")
    return limited


def is_partial(items: list[pytest.Item]) -> bool:
    """Whether single cases were asked for, so that a pattern may well fit none."""
    return any("::" in argument for argument in items[0].config.args) if items else True
