"""Baseline B: DuckDB alone, explicit columns, deduplicated by window, sorted, to Parquet. INPUT OUTPUT THREADS."""

import sys
from pathlib import Path

import duckdb

source, output, threads = sys.argv[1:]
Path(output).mkdir(parents=True, exist_ok=True)
connection = duckdb.connect(config={"threads": int(threads)})
connection.execute(
    """
    COPY (
        SELECT *, CAST(timestamp AS DATE) AS date
        FROM read_json($source, format = 'newline_delimited', ignore_errors = true, columns = {
            message_id: 'VARCHAR', room_id: 'VARCHAR', user_id: 'VARCHAR', timestamp: 'TIMESTAMPTZ',
            role: 'VARCHAR', content: 'VARCHAR',
            attachments: 'STRUCT(type VARCHAR, url VARCHAR, thumbnail VARCHAR, name VARCHAR, size BIGINT)[]',
            generated_images: 'STRUCT(url VARCHAR, thumbnail VARCHAR, prompt VARCHAR, size VARCHAR, style VARCHAR)[]',
            context: 'STRUCT(rag_sources STRUCT(title VARCHAR, source VARCHAR, text VARCHAR, score DOUBLE)[])',
            agent_info: 'STRUCT(mode VARCHAR, execution_time_ms BIGINT, tokens_used BIGINT)'
        })
        QUALIFY row_number() OVER (PARTITION BY room_id, message_id ORDER BY timestamp DESC) = 1
        ORDER BY room_id, timestamp
    ) TO $target (FORMAT parquet, COMPRESSION zstd)
    """,
    {"source": f"{source}/**/*.jsonl.gz", "target": f"{output}/messages.parquet"},
)
