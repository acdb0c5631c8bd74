-- Tables of tenant acme for readers: parquet. Athena engine version 3; one statement at a time.

CREATE DATABASE IF NOT EXISTS `chat_acme`;

CREATE EXTERNAL TABLE IF NOT EXISTS `chat_acme`.`rejects` (
  `date` date COMMENT 'business day in BATCH_TIMEZONE; the partition; never null',
  `tenant_id` string COMMENT 'tenant of the run; a tenant_id in a message goes to extras; never null',
  `source_key` string COMMENT 'object that held the record, relative to the input root; never null',
  `source_line` bigint COMMENT 'line where the record begins; 0 for a whole object; never null',
  `reason` string COMMENT 'code of the reason, or of the flag when the row is a copy; never null',
  `detail` string COMMENT 'what was found, without message content; never null',
  `raw` binary COMMENT 'the original bytes; never null',
  `raw_truncated` boolean COMMENT 'whether raw was cut at the documented limit; never null',
  `run_id` string COMMENT 'the run that wrote the row; never null',
  `processed_at` timestamp COMMENT 'when that run began; never null'
)
COMMENT 'Every record and object that could not be published, with its reason and its bytes.'
PARTITIONED BY (`year` int, `month` int, `day` int)
STORED AS PARQUET
LOCATION 's3://example-tables/acme/analytics/rejects/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.year.type' = 'integer',
  'projection.year.range' = '2020,2039',
  'projection.year.digits' = '4',
  'projection.month.type' = 'integer',
  'projection.month.range' = '1,12',
  'projection.month.digits' = '2',
  'projection.day.type' = 'integer',
  'projection.day.range' = '1,31',
  'projection.day.digits' = '2',
  'storage.location.template' = 's3://example-tables/acme/analytics/rejects/year=${year}/month=${month}/day=${day}/'
);

CREATE EXTERNAL TABLE IF NOT EXISTS `chat_acme`.`messages` (
  `date` date COMMENT 'business day in BATCH_TIMEZONE; the partition; never null',
  `tenant_id` string COMMENT 'tenant of the run; a tenant_id in a message goes to extras; never null',
  `message_id` string COMMENT 'from the body, else the file name (then flagged); never null',
  `room_id` string COMMENT 'from the path, else the body; never null',
  `user_id` string COMMENT 'from the path, else the body; null when neither names one',
  `timestamp` timestamp COMMENT 'when it was sent (UTC); never null',
  `hour` int COMMENT 'local hour in BATCH_TIMEZONE, 0 to 23; never null',
  `role` string COMMENT 'lower-cased; user, assistant or system, anything else is flagged',
  `content` string COMMENT 'exactly as sent; null and empty are kept',
  `message_length` int COMMENT 'code points of content; 0 when it is null; never null',
  `has_attachments` boolean COMMENT 'whether attachment_count is above 0; never null',
  `attachment_count` int COMMENT 'elements of attachments; never null',
  `attachments` array<struct<type:string,url:string,thumbnail:string,name:string,size:bigint>> COMMENT 'files sent with the message',
  `generated_images` array<struct<url:string,thumbnail:string,prompt:string,size:string,style:string>> COMMENT 'images made by the agent (also sent as `images`)',
  `rag_sources` array<struct<title:string,source:string,text:string,score:double>> COMMENT 'context.rag_sources (also sent as `crawl_sources`)',
  `agent_mode` string COMMENT 'agent_info.mode',
  `execution_time_ms` bigint COMMENT 'agent_info.execution_time_ms, milliseconds',
  `tokens_used` bigint COMMENT 'agent_info.tokens_used',
  `extras` string COMMENT 'JSON object of every field not listed above, untouched; null when there is none',
  `flags` array<string> COMMENT 'every repair or doubt, by code, sorted; empty when there is none; never null',
  `source_key` string COMMENT 'object that held the record, relative to the input root; never null',
  `source_line` bigint COMMENT 'line in the object where the record begins; 1 for an object of its own; never null',
  `run_id` string COMMENT 'the run that wrote the row; never null',
  `processed_at` timestamp COMMENT 'when that run began; never null'
)
COMMENT 'Every message of the day, once.'
PARTITIONED BY (`year` int, `month` int, `day` int)
STORED AS PARQUET
LOCATION 's3://example-tables/acme/analytics/messages/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.year.type' = 'integer',
  'projection.year.range' = '2020,2039',
  'projection.year.digits' = '4',
  'projection.month.type' = 'integer',
  'projection.month.range' = '1,12',
  'projection.month.digits' = '2',
  'projection.day.type' = 'integer',
  'projection.day.range' = '1,31',
  'projection.day.digits' = '2',
  'storage.location.template' = 's3://example-tables/acme/analytics/messages/year=${year}/month=${month}/day=${day}/'
);

CREATE EXTERNAL TABLE IF NOT EXISTS `chat_acme`.`turns` (
  `date` date COMMENT 'business day in BATCH_TIMEZONE; the partition; never null',
  `tenant_id` string COMMENT 'tenant of the run; a tenant_id in a message goes to extras; never null',
  `room_id` string COMMENT 'room; never null',
  `turn` bigint COMMENT 'number of the user message in its room and day, from 1; never null',
  `user_id` string COMMENT 'user_id of the user message; null when it has none',
  `user_message_id` string COMMENT 'the user message; never null',
  `user_at` timestamp COMMENT 'when it was sent (UTC); never null',
  `user_length` int COMMENT 'its message_length, code points; never null',
  `answer_message_id` string COMMENT 'the answer; null when there is none',
  `answered_at` timestamp COMMENT 'when the answer was sent (UTC)',
  `response_ms` bigint COMMENT 'answered_at - user_at in whole milliseconds, rounded down',
  `answer_length` int COMMENT 'message_length of the answer',
  `tokens_used` bigint COMMENT 'tokens_used of the answer',
  `agent_mode` string COMMENT 'agent_mode of the answer',
  `starts_with_answer` boolean COMMENT 'first turn of a room whose day begins with an assistant message: its question may be of the day before; never null',
  `cut_by_midnight` boolean COMMENT 'last turn of a room and day, without an answer: it may be in the next day; never null',
  `run_id` string COMMENT 'the run that wrote the row; never null',
  `processed_at` timestamp COMMENT 'when that run began; never null'
)
COMMENT 'One row for each user message, with its answer: the next message in the room, if an assistant sent it.'
PARTITIONED BY (`year` int, `month` int, `day` int)
STORED AS PARQUET
LOCATION 's3://example-tables/acme/analytics/turns/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.year.type' = 'integer',
  'projection.year.range' = '2020,2039',
  'projection.year.digits' = '4',
  'projection.month.type' = 'integer',
  'projection.month.range' = '1,12',
  'projection.month.digits' = '2',
  'projection.day.type' = 'integer',
  'projection.day.range' = '1,31',
  'projection.day.digits' = '2',
  'storage.location.template' = 's3://example-tables/acme/analytics/turns/year=${year}/month=${month}/day=${day}/'
);

CREATE EXTERNAL TABLE IF NOT EXISTS `chat_acme`.`rooms_daily` (
  `date` date COMMENT 'business day in BATCH_TIMEZONE; the partition; never null',
  `tenant_id` string COMMENT 'tenant of the run; a tenant_id in a message goes to extras; never null',
  `room_id` string COMMENT 'room; never null',
  `unique_users` bigint COMMENT 'distinct user_id in the room, messages without one left out; never null',
  `messages` bigint COMMENT 'messages; never null',
  `user_messages` bigint COMMENT 'messages with role user; never null',
  `assistant_messages` bigint COMMENT 'messages with role assistant; never null',
  `other_messages` bigint COMMENT 'messages with any other role, or none; never null',
  `user_length` bigint COMMENT 'sum of message_length of the messages with role user, code points; never null',
  `total_length` bigint COMMENT 'sum of message_length, code points; never null',
  `tokens_used` bigint COMMENT 'sum of tokens_used; null where it does not fit a BIGINT',
  `attachments` bigint COMMENT 'sum of attachment_count; never null',
  `first_at` timestamp COMMENT 'first message; null on an empty day',
  `last_at` timestamp COMMENT 'last message; null on an empty day',
  `answers` bigint COMMENT 'user messages with an answer (turns); never null',
  `response_median_ms` bigint COMMENT 'median response time, milliseconds; null without answers',
  `response_p95_ms` bigint COMMENT '95th percentile of the response time, milliseconds; null without answers',
  `run_id` string COMMENT 'the run that wrote the row; never null',
  `processed_at` timestamp COMMENT 'when that run began; never null'
)
COMMENT 'One row for each room that was active.'
PARTITIONED BY (`year` int, `month` int, `day` int)
STORED AS PARQUET
LOCATION 's3://example-tables/acme/analytics/rooms_daily/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.year.type' = 'integer',
  'projection.year.range' = '2020,2039',
  'projection.year.digits' = '4',
  'projection.month.type' = 'integer',
  'projection.month.range' = '1,12',
  'projection.month.digits' = '2',
  'projection.day.type' = 'integer',
  'projection.day.range' = '1,31',
  'projection.day.digits' = '2',
  'storage.location.template' = 's3://example-tables/acme/analytics/rooms_daily/year=${year}/month=${month}/day=${day}/'
);

CREATE EXTERNAL TABLE IF NOT EXISTS `chat_acme`.`users_daily` (
  `date` date COMMENT 'business day in BATCH_TIMEZONE; the partition; never null',
  `tenant_id` string COMMENT 'tenant of the run; a tenant_id in a message goes to extras; never null',
  `user_id` string COMMENT 'user; never null',
  `unique_rooms` bigint COMMENT 'distinct room_id of the user; never null',
  `messages` bigint COMMENT 'messages; never null',
  `user_messages` bigint COMMENT 'messages with role user; never null',
  `assistant_messages` bigint COMMENT 'messages with role assistant; never null',
  `other_messages` bigint COMMENT 'messages with any other role, or none; never null',
  `user_length` bigint COMMENT 'sum of message_length of the messages with role user, code points; never null',
  `total_length` bigint COMMENT 'sum of message_length, code points; never null',
  `tokens_used` bigint COMMENT 'sum of tokens_used; null where it does not fit a BIGINT',
  `attachments` bigint COMMENT 'sum of attachment_count; never null',
  `first_at` timestamp COMMENT 'first message; null on an empty day',
  `last_at` timestamp COMMENT 'last message; null on an empty day',
  `answers` bigint COMMENT 'user messages with an answer (turns); never null',
  `response_median_ms` bigint COMMENT 'median response time, milliseconds; null without answers',
  `response_p95_ms` bigint COMMENT '95th percentile of the response time, milliseconds; null without answers',
  `run_id` string COMMENT 'the run that wrote the row; never null',
  `processed_at` timestamp COMMENT 'when that run began; never null'
)
COMMENT 'One row for each user who was active; messages without a user are in none.'
PARTITIONED BY (`year` int, `month` int, `day` int)
STORED AS PARQUET
LOCATION 's3://example-tables/acme/analytics/users_daily/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.year.type' = 'integer',
  'projection.year.range' = '2020,2039',
  'projection.year.digits' = '4',
  'projection.month.type' = 'integer',
  'projection.month.range' = '1,12',
  'projection.month.digits' = '2',
  'projection.day.type' = 'integer',
  'projection.day.range' = '1,31',
  'projection.day.digits' = '2',
  'storage.location.template' = 's3://example-tables/acme/analytics/users_daily/year=${year}/month=${month}/day=${day}/'
);

CREATE EXTERNAL TABLE IF NOT EXISTS `chat_acme`.`summary_daily` (
  `date` date COMMENT 'business day in BATCH_TIMEZONE; the partition; never null',
  `tenant_id` string COMMENT 'tenant of the run; a tenant_id in a message goes to extras; never null',
  `unique_users` bigint COMMENT 'distinct user_id, messages without one left out; never null',
  `unique_rooms` bigint COMMENT 'distinct room_id; never null',
  `messages` bigint COMMENT 'messages; never null',
  `user_messages` bigint COMMENT 'messages with role user; never null',
  `assistant_messages` bigint COMMENT 'messages with role assistant; never null',
  `other_messages` bigint COMMENT 'messages with any other role, or none; never null',
  `user_length` bigint COMMENT 'sum of message_length of the messages with role user, code points; never null',
  `total_length` bigint COMMENT 'sum of message_length, code points; never null',
  `tokens_used` bigint COMMENT 'sum of tokens_used; null where it does not fit a BIGINT',
  `attachments` bigint COMMENT 'sum of attachment_count; never null',
  `first_at` timestamp COMMENT 'first message; null on an empty day',
  `last_at` timestamp COMMENT 'last message; null on an empty day',
  `answers` bigint COMMENT 'user messages with an answer (turns); never null',
  `response_median_ms` bigint COMMENT 'median response time, milliseconds; null without answers',
  `response_p95_ms` bigint COMMENT '95th percentile of the response time, milliseconds; null without answers',
  `average_length` double COMMENT 'total_length / messages; null on an empty day',
  `messages_by_hour` array<bigint> COMMENT 'messages in each local hour, 24 numbers; never null',
  `messages_by_role` array<struct<role:string,messages:bigint>> COMMENT 'messages of each role, by role; never null',
  `run_id` string COMMENT 'the run that wrote the row; never null',
  `processed_at` timestamp COMMENT 'when that run began; never null'
)
COMMENT 'The day in one row.'
PARTITIONED BY (`year` int, `month` int, `day` int)
STORED AS PARQUET
LOCATION 's3://example-tables/acme/analytics/summary_daily/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.year.type' = 'integer',
  'projection.year.range' = '2020,2039',
  'projection.year.digits' = '4',
  'projection.month.type' = 'integer',
  'projection.month.range' = '1,12',
  'projection.month.digits' = '2',
  'projection.day.type' = 'integer',
  'projection.day.range' = '1,31',
  'projection.day.digits' = '2',
  'storage.location.template' = 's3://example-tables/acme/analytics/summary_daily/year=${year}/month=${month}/day=${day}/'
);

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
