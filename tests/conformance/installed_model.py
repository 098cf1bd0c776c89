"""What the installed botocore knows of S3 Vectors, and which cases it can therefore not carry.

The suite runs on old and new SDKs. A call the installed model cannot express goes over the raw client (see
`caller.py`), so nothing is lost; a case about the SDK itself says what it needs with `@pytest.mark.sdk(...)` and is
deselected here, in one place, with the number printed.
"""

from __future__ import annotations

from typing import Any

import botocore
import botocore.session

_MODEL = botocore.session.get_session().get_service_model("s3vectors")
OPERATIONS = tuple(sorted(_MODEL.operation_names))
VERSION = botocore.__version__


def operation_model(operation: str) -> Any:
    return _MODEL.operation_model(operation)


def can_send(operation: str, params: dict[str, Any]) -> bool:
    """True when the installed model has the operation and every member, at every depth, of these parameters."""
    if operation not in OPERATIONS:
        return False
    return _fits(operation_model(operation).input_shape, params)


def _fits(shape: Any, value: Any) -> bool:
    kind = shape.type_name
    if kind == "structure" and not getattr(shape, "is_document_type", False):
        if not isinstance(value, dict):
            return False
        return all(name in shape.members and _fits(shape.members[name], item) for name, item in value.items())
    if kind == "list":
        return isinstance(value, list | tuple) and all(_fits(shape.member, item) for item in value[:3])
    if kind == "map":
        return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    # Scalars of the wrong type are left to the raw client: serialisers differ between botocore versions.
    wanted = {"string": str, "integer": int, "boolean": bool, "float": int | float}.get(kind)
    if wanted is None:
        return True
    if kind == "float" and isinstance(value, int) and abs(value) > 10**308:
        return False  # botocore itself stumbles over integers that no float can hold
    return isinstance(value, wanted) and (kind == "boolean" or not isinstance(value, bool))


def has(requirement: str) -> bool:
    """`Operation`, `Operation.member` (of the input), `Operation>member` (of the output) or `Operation*` (pages)."""
    name = requirement.rstrip("*").split(".")[0].split(">")[0]
    if name not in OPERATIONS:
        return False
    if requirement.endswith("*"):
        pages = botocore.session.get_session().get_paginator_model("s3vectors")
        try:
            return bool(pages.get_paginator(name))
        except ValueError:
            return False
    if ">" in requirement:
        shape = operation_model(name).output_shape
        return shape is not None and requirement.split(">")[1] in shape.members
    return "." not in requirement or requirement.split(".")[1] in operation_model(name).input_shape.members


def deselect_what_the_sdk_lacks(items: list[Any]) -> list[Any]:
    """Removes the cases whose `sdk` marker names something this botocore lacks; returns the removed ones."""
    lacking = [
        item
        for item in items
        if any(not has(requirement) for mark in item.iter_markers("sdk") for requirement in mark.args)
    ]
    items[:] = [item for item in items if item not in set(lacking)]
    return lacking


def disagreement(shape: Any, wire: Any, parsed: Any, path: str = "") -> str | None:
    """The first place where boto3's result differs from the JSON that was on the wire; None when they agree."""
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        for name, member in shape.members.items():
            if wire.get(name) is None:
                continue
            if name not in parsed:
                return f"{path}/{name} is on the wire and boto3 does not show it"
            found = disagreement(member, wire[name], parsed[name], f"{path}/{name}")
            if found:
                return found
        return None
    if shape.type_name == "list":
        if len(wire) != len(parsed):
            return f"{path}: {len(wire)} elements on the wire, {len(parsed)} from boto3"
        pairs = enumerate(zip(wire, parsed, strict=True))
        checks = (disagreement(shape.member, left, right, f"{path}/{number}") for number, (left, right) in pairs)
        return next((found for found in checks if found), None)
    if shape.type_name == "timestamp":
        return None if parsed.timestamp() == wire else f"{path}: {parsed!r} is not {wire!r}"
    return None if wire == parsed else f"{path}: {parsed!r} is not {wire!r}"
