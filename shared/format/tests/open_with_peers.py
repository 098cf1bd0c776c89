"""Opens the golden WAL object and the golden shard in pyarrow and DuckDB and compares them with rows.json.

Usage: python open_with_peers.py [FOLDER]    (needs pyarrow and duckdb)
"""

import json
import pathlib
import struct
import sys

import duckdb
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq


def bits(vector):
    """The exact f32 bits, so that -0.0 and subnormal numbers count."""
    return None if vector is None else [struct.pack("<f", value) for value in vector]


def same(what, found, wanted):
    """Compares (key, vector, metadata) rows."""
    found = [(key, bits(vector), metadata) for key, vector, metadata in found]
    wanted = [(row["key"], bits(row["vector"]), row["metadata"]) for row in wanted]
    if found != wanted:
        sys.exit(f"{what}: {found} instead of {wanted}")
    print(f"{what}: {len(found)} rows as written")


def main():
    """Runs every check."""
    default = pathlib.Path(__file__).parent.parent / "golden" / "v1"
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    rows = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
    puts = [row for row in rows if row["vector"] is not None]

    with pa.ipc.open_file(str(folder / "wal.arrow")) as reader:
        wal = reader.read_all()
    assert wal.column("op").to_pylist() == [int(row["vector"] is None) for row in rows]
    columns = [wal.column(name).to_pylist() for name in ("key", "vector", "metadata")]
    same("pyarrow wal.arrow", zip(*columns, strict=True), rows)

    shard = pq.read_table(folder / "rows.parquet")
    assert pa.types.is_fixed_size_list(shard.schema.field("vector").type), shard.schema
    columns = [shard.column(name).to_pylist() for name in ("key", "vector", "metadata")]
    same("pyarrow rows.parquet", zip(*columns, strict=True), puts)

    query = "SELECT key, vector, metadata FROM read_parquet(?) ORDER BY file_row_number"
    same("duckdb rows.parquet", duckdb.execute(query, [str(folder / "rows.parquet")]).fetchall(), puts)


if __name__ == "__main__":
    main()
