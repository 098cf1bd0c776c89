"""Puts standard input between two markers of a page: `command | python tests/load/block.py README.md costs`."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def main() -> None:
    page, name = Path(sys.argv[1]), sys.argv[2]
    text = page.read_text()
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        sys.exit(f"{page} has no {begin} ... {end}")
    block = sys.stdin.read().strip()
    if not block:
        sys.exit("there is nothing to put there")
    pattern = re.escape(begin) + ".*" + re.escape(end)
    page.write_text(re.sub(pattern, lambda _: f"{begin}\n{block}\n{end}", text, flags=re.DOTALL))
    print(block)


if __name__ == "__main__":
    main()
