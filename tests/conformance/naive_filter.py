"""The filter language, evaluated the slow and obvious way, and random filters and documents to compare with."""

from __future__ import annotations

import random
from typing import Any

_MISSING = object()


def matches(condition: dict[str, Any], metadata: dict[str, Any]) -> bool:
    """Lenient reading: several keys in one object are an AND."""
    for field, wanted in condition.items():
        if field == "$and":
            holds = all(matches(part, metadata) for part in wanted)
        elif field == "$or":
            holds = any(matches(part, metadata) for part in wanted)
        elif isinstance(wanted, dict):
            stored = metadata.get(field, _MISSING)
            holds = all(_operator(op, stored, operand) for op, operand in wanted.items())
        else:
            holds = _equal(metadata.get(field, _MISSING), wanted)
        if not holds:
            return False
    return True


def _operator(op: str, stored: Any, operand: Any) -> bool:
    if op == "$eq":
        return _equal(stored, operand)
    if op == "$ne":
        return not _equal(stored, operand)
    if op == "$in":
        return any(_equal(stored, item) for item in operand)
    if op == "$nin":
        return not any(_equal(stored, item) for item in operand)
    if op == "$exists":
        return (stored is not _MISSING) == operand
    if op == "$startsWith":
        candidates = stored if isinstance(stored, list) else [stored]
        return any(isinstance(item, str) and item.startswith(operand) for item in candidates)
    if not _is_number(stored):
        return False
    left, right = float(stored), float(operand)
    return {"$gt": left > right, "$gte": left >= right, "$lt": left < right, "$lte": left <= right}[op]


def _equal(stored: Any, wanted: Any) -> bool:
    """Same type and value; any element of a stored array; 1 equals 1.0; numbers compare as doubles."""
    if isinstance(stored, list):
        return any(_equal(item, wanted) for item in stored)
    if _is_number(stored) and _is_number(wanted):
        return float(stored) == float(wanted)
    return type(stored) is type(wanted) and stored == wanted


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


FIELDS = ("a", "b", "c.d", "", "tag", "список")
STRINGS = ("", "x", "xy", "xyz", "X", "true", "1", "é", "中文", "🦀")
NUMBERS = (-2, -1.5, 0, 0.0, 1, 1.0, 2, 3.25, 1e10, 9007199254740993)


def random_scalar(chance: random.Random) -> Any:
    return chance.choice((chance.choice(STRINGS), chance.choice(NUMBERS), chance.random() < 0.5))


def random_metadata(chance: random.Random) -> dict[str, Any]:
    """Few fields and few values, so that conditions on them are met often and missed often."""
    made: dict[str, Any] = {}
    for field in chance.sample(FIELDS, chance.randint(0, len(FIELDS))):
        kind = chance.random()
        if kind < 0.15:
            made[field] = [chance.choice(STRINGS) for _ in range(chance.randint(1, 3))]
        elif kind < 0.3:
            made[field] = [chance.choice(NUMBERS) for _ in range(chance.randint(1, 3))]
        else:
            made[field] = random_scalar(chance)
    return made


def random_condition(chance: random.Random, depth: int = 3, one_key: bool = False) -> dict[str, Any]:
    """A legal filter. With `one_key` every object holds one key, as AWS demands."""
    if depth and chance.random() < 0.4:
        parts = [random_condition(chance, depth - 1, one_key) for _ in range(chance.randint(1, 3))]
        return {chance.choice(("$and", "$or")): parts}
    count = 1 if one_key or chance.random() < 0.7 else 2
    return {field: _random_test(chance) for field in chance.sample(FIELDS, count)}


def _random_test(chance: random.Random) -> Any:
    if chance.random() < 0.25:
        return random_scalar(chance)
    names = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$startsWith")
    return {op: _operand(chance, op) for op in chance.sample(names, 1 if chance.random() < 0.75 else 2)}


def _operand(chance: random.Random, op: str) -> Any:
    if op in ("$eq", "$ne"):
        return random_scalar(chance)
    if op in ("$in", "$nin"):
        return [random_scalar(chance) for _ in range(chance.randint(1, 4))]
    if op == "$exists":
        return chance.random() < 0.5
    return chance.choice(STRINGS) if op == "$startsWith" else chance.choice(NUMBERS)
