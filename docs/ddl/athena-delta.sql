-- Tables of tenant acme for readers: delta. Athena engine version 3; one statement at a time.

CREATE DATABASE IF NOT EXISTS `chat_acme`;

CREATE EXTERNAL TABLE IF NOT EXISTS `chat_acme`.`rejects`
LOCATION 's3://example-tables/acme/analytics/rejects/'
TBLPROPERTIES ('table_type' = 'DELTA');

CREATE EXTERNAL TABLE IF NOT EXISTS `chat_acme`.`messages`
LOCATION 's3://example-tables/acme/analytics/messages/'
TBLPROPERTIES ('table_type' = 'DELTA');

CREATE EXTERNAL TABLE IF NOT EXISTS `chat_acme`.`turns`
LOCATION 's3://example-tables/acme/analytics/turns/'
TBLPROPERTIES ('table_type' = 'DELTA');

CREATE EXTERNAL TABLE IF NOT EXISTS `chat_acme`.`rooms_daily`
LOCATION 's3://example-tables/acme/analytics/rooms_daily/'
TBLPROPERTIES ('table_type' = 'DELTA');

CREATE EXTERNAL TABLE IF NOT EXISTS `chat_acme`.`users_daily`
LOCATION 's3://example-tables/acme/analytics/users_daily/'
TBLPROPERTIES ('table_type' = 'DELTA');

CREATE EXTERNAL TABLE IF NOT EXISTS `chat_acme`.`summary_daily`
LOCATION 's3://example-tables/acme/analytics/summary_daily/'
TBLPROPERTIES ('table_type' = 'DELTA');

CREATE EXTERNAL TABLE IF NOT EXISTS `chat_acme`.`receipt_lines` (`line` string)
ROW FORMAT DELIMITED FIELDS TERMINATED BY '\001'
STORED AS TEXTFILE
LOCATION 's3://example-tables/acme/analytics/_receipts/';

CREATE OR REPLACE VIEW "chat_acme"."receipts" AS
SELECT
    json_extract_scalar(line, '$.tenant') AS "tenant",
    CAST(json_extract_scalar(line, '$.date') AS date) AS "date",
    json_extract_scalar(line, '$.run_id') AS "run_id",
    CAST(from_iso8601_timestamp(json_extract_scalar(line, '$.processed_at')) AT TIME ZONE 'UTC' AS timestamp) AS "processed_at",
    json_extract_scalar(line, '$.status') AS "status",
    json_extract_scalar(line, '$.runner') AS "runner",
    json_extract_scalar(line, '$.format') AS "format",
    json_extract_scalar(line, '$.layout') AS "layout",
    CAST(json_extract_scalar(line, '$.objects.listed') AS bigint) AS "objects_listed",
    CAST(json_extract_scalar(line, '$.objects.read') AS bigint) AS "objects_read",
    CAST(json_extract_scalar(line, '$.objects.unreadable') AS bigint) AS "objects_unreadable",
    CAST(json_extract_scalar(line, '$.objects.ignored') AS bigint) AS "objects_ignored",
    CAST(json_extract_scalar(line, '$.objects.erased') AS bigint) AS "objects_erased",
    CAST(json_extract_scalar(line, '$.objects.bytes') AS bigint) AS "objects_bytes",
    CAST(json_extract_scalar(line, '$.records.seen') AS bigint) AS "records_seen",
    CAST(json_extract_scalar(line, '$.records.written') AS bigint) AS "records_written",
    CAST(json_extract_scalar(line, '$.records.duplicates') AS bigint) AS "records_duplicates",
    CAST(json_extract_scalar(line, '$.records.superseded') AS bigint) AS "records_superseded",
    CAST(json_extract_scalar(line, '$.records.rejected') AS bigint) AS "records_rejected",
    CAST(json_extract_scalar(line, '$.records.other_day') AS bigint) AS "records_other_day",
    CAST(json_extract_scalar(line, '$.records.empty') AS bigint) AS "records_empty",
    CAST(json_extract_scalar(line, '$.records.erased') AS bigint) AS "records_erased",
    CAST(json_extract_scalar(line, '$.seconds.total') AS double) AS "seconds",
    CAST(json_extract_scalar(line, '$.tables.messages.version') AS bigint) AS "messages_version",
    CAST(json_extract_scalar(line, '$.other_unknown_fields') AS bigint) AS "other_unknown_fields",
    json_format(json_extract(line, '$.rejects')) AS "rejects",
    json_format(json_extract(line, '$.flags')) AS "flags",
    json_format(json_extract(line, '$.unknown_fields')) AS "unknown_fields",
    json_format(json_extract(line, '$.quality')) AS "quality",
    json_format(json_extract(line, '$.erased')) AS "erased",
    json_extract_scalar(line, '$.input') AS "input",
    json_extract_scalar(line, '$.fingerprint') AS "fingerprint"
FROM "chat_acme".receipt_lines;

CREATE OR REPLACE VIEW "chat_acme"."latest_runs" AS
SELECT "tenant", "date", "run_id", "processed_at", "status", "runner", "format", "layout", "objects_listed", "objects_read", "objects_unreadable", "objects_ignored", "objects_erased", "objects_bytes", "records_seen", "records_written", "records_duplicates", "records_superseded", "records_rejected", "records_other_day", "records_empty", "records_erased", "seconds", "messages_version", "other_unknown_fields", "rejects", "flags", "unknown_fields", "quality", "erased", "input", "fingerprint"
FROM (
    SELECT *, row_number() OVER (PARTITION BY "tenant", "date" ORDER BY "processed_at" DESC, "run_id" DESC) AS place
    FROM "chat_acme"."receipts"
) AS runs
WHERE place = 1;
