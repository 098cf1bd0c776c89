"""Tables of measurements: rows with the ratio to a peer of the same run, and plain ones."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def shown(value: float | int | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[float | int | str]]) -> str:
    """An aligned Markdown table."""
    cells = [list(header), *([shown(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


class Table:
    """Rows of (what, measured, peer, ratio), printed once at the end; progress on standard error meanwhile."""

    HEADER = ("measure", "value", "peer, same run", "ratio")

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str]] = []

    def add(self, what: str, measured: float, unit: str, peer: float | None = None, peer_name: str = "") -> None:
        value = f"{shown(measured)} {unit}".strip()
        if peer is None:
            self.rows.append((what, value, peer_name, ""))
        else:
            self.rows.append((what, value, f"{peer_name} {shown(peer)}", f"{measured / peer:.2f}"))
        print(f"  {what}: {value}", file=sys.stderr, flush=True)

    def show(self) -> str:
        return markdown(self.HEADER, self.rows)
