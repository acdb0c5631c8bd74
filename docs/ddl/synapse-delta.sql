-- Tables of tenant acme for readers: delta. A serverless pool's own database, whose collation is Latin1_General_100_BIN2_UTF8. Readers need Storage Blob Data Reader,
-- or the data source a CREDENTIAL.

IF SCHEMA_ID('chat_acme') IS NULL EXEC('CREATE SCHEMA [chat_acme]')
GO

IF NOT EXISTS (SELECT * FROM sys.external_data_sources WHERE name = 'chat_acme')
CREATE EXTERNAL DATA SOURCE [chat_acme] WITH (LOCATION = 'https://exampleaccount.dfs.core.windows.net/tables/acme/analytics')
GO

CREATE OR ALTER VIEW [chat_acme].[rejects] AS
-- Every record and object that could not be published, with its reason and its bytes.
SELECT [rows].*
FROM OPENROWSET(
    BULK 'rejects/',
    DATA_SOURCE = 'chat_acme',
    FORMAT = 'DELTA'
)
WITH (
    -- business day in BATCH_TIMEZONE; the partition; never null
    [date] DATE,
    -- tenant of the run; a tenant_id in a message goes to extras; never null
    [tenant_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- object that held the record, relative to the input root; never null
    [source_key] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- line where the record begins; 0 for a whole object; never null
    [source_line] BIGINT,
    -- code of the reason, or of the flag when the row is a copy; never null
    [reason] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- what was found, without message content; never null
    [detail] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- the original bytes; never null
    [raw] VARBINARY(MAX),
    -- whether raw was cut at the documented limit; never null
    [raw_truncated] BIT,
    -- the run that wrote the row; never null
    [run_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- when that run began; never null
    [processed_at] DATETIME2
) AS [rows]
GO

CREATE OR ALTER VIEW [chat_acme].[messages] AS
-- Every message of the day, once.
SELECT [rows].*
FROM OPENROWSET(
    BULK 'messages/',
    DATA_SOURCE = 'chat_acme',
    FORMAT = 'DELTA'
)
WITH (
    -- business day in BATCH_TIMEZONE; the partition; never null
    [date] DATE,
    -- tenant of the run; a tenant_id in a message goes to extras; never null
    [tenant_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- from the body, else the file name (then flagged); never null
    [message_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- from the path, else the body; never null
    [room_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- from the path, else the body; null when neither names one
    [user_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- when it was sent (UTC); never null
    [timestamp] DATETIME2,
    -- local hour in BATCH_TIMEZONE, 0 to 23; never null
    [hour] INT,
    -- lower-cased; user, assistant or system, anything else is flagged
    [role] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    -- exactly as sent; null and empty are kept
    [content] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    -- code points of content; 0 when it is null; never null
    [message_length] INT,
    -- whether attachment_count is above 0; never null
    [has_attachments] BIT,
    -- elements of attachments; never null
    [attachment_count] INT,
    -- files sent with the message
    [attachments] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    -- images made by the agent (also sent as `images`)
    [generated_images] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    -- context.rag_sources (also sent as `crawl_sources`)
    [rag_sources] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    -- agent_info.mode
    [agent_mode] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    -- agent_info.execution_time_ms, milliseconds
    [execution_time_ms] BIGINT,
    -- agent_info.tokens_used
    [tokens_used] BIGINT,
    -- JSON object of every field not listed above, untouched; null when there is none
    [extras] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    -- every repair or doubt, by code, sorted; empty when there is none; never null
    [flags] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    -- object that held the record, relative to the input root; never null
    [source_key] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- line in the object where the record begins; 1 for an object of its own; never null
    [source_line] BIGINT,
    -- the run that wrote the row; never null
    [run_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- when that run began; never null
    [processed_at] DATETIME2
) AS [rows]
GO

CREATE OR ALTER VIEW [chat_acme].[turns] AS
-- One row for each user message, with its answer: the next message in the room, if an assistant sent it.
SELECT [rows].*
FROM OPENROWSET(
    BULK 'turns/',
    DATA_SOURCE = 'chat_acme',
    FORMAT = 'DELTA'
)
WITH (
    -- business day in BATCH_TIMEZONE; the partition; never null
    [date] DATE,
    -- tenant of the run; a tenant_id in a message goes to extras; never null
    [tenant_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- room; never null
    [room_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- number of the user message in its room and day, from 1; never null
    [turn] BIGINT,
    -- user_id of the user message; null when it has none
    [user_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- the user message; never null
    [user_message_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- when it was sent (UTC); never null
    [user_at] DATETIME2,
    -- its message_length, code points; never null
    [user_length] INT,
    -- the answer; null when there is none
    [answer_message_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- when the answer was sent (UTC)
    [answered_at] DATETIME2,
    -- answered_at - user_at in whole milliseconds, rounded down
    [response_ms] BIGINT,
    -- message_length of the answer
    [answer_length] INT,
    -- tokens_used of the answer
    [tokens_used] BIGINT,
    -- agent_mode of the answer
    [agent_mode] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    -- first turn of a room whose day begins with an assistant message: its question may be of the day before; never null
    [starts_with_answer] BIT,
    -- last turn of a room and day, without an answer: it may be in the next day; never null
    [cut_by_midnight] BIT,
    -- the run that wrote the row; never null
    [run_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- when that run began; never null
    [processed_at] DATETIME2
) AS [rows]
GO

CREATE OR ALTER VIEW [chat_acme].[rooms_daily] AS
-- One row for each room that was active.
SELECT [rows].*
FROM OPENROWSET(
    BULK 'rooms_daily/',
    DATA_SOURCE = 'chat_acme',
    FORMAT = 'DELTA'
)
WITH (
    -- business day in BATCH_TIMEZONE; the partition; never null
    [date] DATE,
    -- tenant of the run; a tenant_id in a message goes to extras; never null
    [tenant_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- room; never null
    [room_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- distinct user_id in the room, messages without one left out; never null
    [unique_users] BIGINT,
    -- messages; never null
    [messages] BIGINT,
    -- messages with role user; never null
    [user_messages] BIGINT,
    -- messages with role assistant; never null
    [assistant_messages] BIGINT,
    -- messages with any other role, or none; never null
    [other_messages] BIGINT,
    -- sum of message_length of the messages with role user, code points; never null
    [user_length] BIGINT,
    -- sum of message_length, code points; never null
    [total_length] BIGINT,
    -- sum of tokens_used; null where it does not fit a BIGINT
    [tokens_used] BIGINT,
    -- sum of attachment_count; never null
    [attachments] BIGINT,
    -- first message; null on an empty day
    [first_at] DATETIME2,
    -- last message; null on an empty day
    [last_at] DATETIME2,
    -- user messages with an answer (turns); never null
    [answers] BIGINT,
    -- median response time, milliseconds; null without answers
    [response_median_ms] BIGINT,
    -- 95th percentile of the response time, milliseconds; null without answers
    [response_p95_ms] BIGINT,
    -- the run that wrote the row; never null
    [run_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- when that run began; never null
    [processed_at] DATETIME2
) AS [rows]
GO

CREATE OR ALTER VIEW [chat_acme].[users_daily] AS
-- One row for each user who was active; messages without a user are in none.
SELECT [rows].*
FROM OPENROWSET(
    BULK 'users_daily/',
    DATA_SOURCE = 'chat_acme',
    FORMAT = 'DELTA'
)
WITH (
    -- business day in BATCH_TIMEZONE; the partition; never null
    [date] DATE,
    -- tenant of the run; a tenant_id in a message goes to extras; never null
    [tenant_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- user; never null
    [user_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- distinct room_id of the user; never null
    [unique_rooms] BIGINT,
    -- messages; never null
    [messages] BIGINT,
    -- messages with role user; never null
    [user_messages] BIGINT,
    -- messages with role assistant; never null
    [assistant_messages] BIGINT,
    -- messages with any other role, or none; never null
    [other_messages] BIGINT,
    -- sum of message_length of the messages with role user, code points; never null
    [user_length] BIGINT,
    -- sum of message_length, code points; never null
    [total_length] BIGINT,
    -- sum of tokens_used; null where it does not fit a BIGINT
    [tokens_used] BIGINT,
    -- sum of attachment_count; never null
    [attachments] BIGINT,
    -- first message; null on an empty day
    [first_at] DATETIME2,
    -- last message; null on an empty day
    [last_at] DATETIME2,
    -- user messages with an answer (turns); never null
    [answers] BIGINT,
    -- median response time, milliseconds; null without answers
    [response_median_ms] BIGINT,
    -- 95th percentile of the response time, milliseconds; null without answers
    [response_p95_ms] BIGINT,
    -- the run that wrote the row; never null
    [run_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- when that run began; never null
    [processed_at] DATETIME2
) AS [rows]
GO

CREATE OR ALTER VIEW [chat_acme].[summary_daily] AS
-- The day in one row.
SELECT [rows].*
FROM OPENROWSET(
    BULK 'summary_daily/',
    DATA_SOURCE = 'chat_acme',
    FORMAT = 'DELTA'
)
WITH (
    -- business day in BATCH_TIMEZONE; the partition; never null
    [date] DATE,
    -- tenant of the run; a tenant_id in a message goes to extras; never null
    [tenant_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- distinct user_id, messages without one left out; never null
    [unique_users] BIGINT,
    -- distinct room_id; never null
    [unique_rooms] BIGINT,
    -- messages; never null
    [messages] BIGINT,
    -- messages with role user; never null
    [user_messages] BIGINT,
    -- messages with role assistant; never null
    [assistant_messages] BIGINT,
    -- messages with any other role, or none; never null
    [other_messages] BIGINT,
    -- sum of message_length of the messages with role user, code points; never null
    [user_length] BIGINT,
    -- sum of message_length, code points; never null
    [total_length] BIGINT,
    -- sum of tokens_used; null where it does not fit a BIGINT
    [tokens_used] BIGINT,
    -- sum of attachment_count; never null
    [attachments] BIGINT,
    -- first message; null on an empty day
    [first_at] DATETIME2,
    -- last message; null on an empty day
    [last_at] DATETIME2,
    -- user messages with an answer (turns); never null
    [answers] BIGINT,
    -- median response time, milliseconds; null without answers
    [response_median_ms] BIGINT,
    -- 95th percentile of the response time, milliseconds; null without answers
    [response_p95_ms] BIGINT,
    -- total_length / messages; null on an empty day
    [average_length] FLOAT,
    -- messages in each local hour, 24 numbers; never null
    [messages_by_hour] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    -- messages of each role, by role; never null
    [messages_by_role] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    -- the run that wrote the row; never null
    [run_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    -- when that run began; never null
    [processed_at] DATETIME2
) AS [rows]
GO

CREATE OR ALTER VIEW [chat_acme].[receipts] AS
SELECT
    JSON_VALUE([line], '$.tenant') AS [tenant],
    CAST(JSON_VALUE([line], '$.date') AS DATE) AS [date],
    JSON_VALUE([line], '$.run_id') AS [run_id],
    CAST(JSON_VALUE([line], '$.processed_at') AS DATETIME2) AS [processed_at],
    JSON_VALUE([line], '$.status') AS [status],
    JSON_VALUE([line], '$.runner') AS [runner],
    JSON_VALUE([line], '$.format') AS [format],
    JSON_VALUE([line], '$.layout') AS [layout],
    CAST(JSON_VALUE([line], '$.objects.listed') AS BIGINT) AS [objects_listed],
    CAST(JSON_VALUE([line], '$.objects.read') AS BIGINT) AS [objects_read],
    CAST(JSON_VALUE([line], '$.objects.unreadable') AS BIGINT) AS [objects_unreadable],
    CAST(JSON_VALUE([line], '$.objects.ignored') AS BIGINT) AS [objects_ignored],
    CAST(JSON_VALUE([line], '$.objects.erased') AS BIGINT) AS [objects_erased],
    CAST(JSON_VALUE([line], '$.objects.bytes') AS BIGINT) AS [objects_bytes],
    CAST(JSON_VALUE([line], '$.records.seen') AS BIGINT) AS [records_seen],
    CAST(JSON_VALUE([line], '$.records.written') AS BIGINT) AS [records_written],
    CAST(JSON_VALUE([line], '$.records.duplicates') AS BIGINT) AS [records_duplicates],
    CAST(JSON_VALUE([line], '$.records.superseded') AS BIGINT) AS [records_superseded],
    CAST(JSON_VALUE([line], '$.records.rejected') AS BIGINT) AS [records_rejected],
    CAST(JSON_VALUE([line], '$.records.other_day') AS BIGINT) AS [records_other_day],
    CAST(JSON_VALUE([line], '$.records.empty') AS BIGINT) AS [records_empty],
    CAST(JSON_VALUE([line], '$.records.erased') AS BIGINT) AS [records_erased],
    CAST(JSON_VALUE([line], '$.seconds.total') AS FLOAT) AS [seconds],
    CAST(JSON_VALUE([line], '$.tables.messages.version') AS BIGINT) AS [messages_version],
    CAST(JSON_VALUE([line], '$.other_unknown_fields') AS BIGINT) AS [other_unknown_fields],
    JSON_QUERY([line], '$.rejects') AS [rejects],
    JSON_QUERY([line], '$.flags') AS [flags],
    JSON_QUERY([line], '$.unknown_fields') AS [unknown_fields],
    JSON_QUERY([line], '$.quality') AS [quality],
    JSON_QUERY([line], '$.erased') AS [erased],
    JSON_VALUE([line], '$.input') AS [input],
    JSON_VALUE([line], '$.fingerprint') AS [fingerprint]
FROM OPENROWSET(
    BULK '_receipts/*/*.json',
    DATA_SOURCE = 'chat_acme',
    FORMAT = 'CSV',
    FIELDTERMINATOR = '0x0b',
    FIELDQUOTE = '0x0b',
    ROWTERMINATOR = '0x0a'
)
WITH (
    [line] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8
) AS [rows]
GO

CREATE OR ALTER VIEW [chat_acme].[latest_runs] AS
SELECT [tenant], [date], [run_id], [processed_at], [status], [runner], [format], [layout], [objects_listed], [objects_read], [objects_unreadable], [objects_ignored], [objects_erased], [objects_bytes], [records_seen], [records_written], [records_duplicates], [records_superseded], [records_rejected], [records_other_day], [records_empty], [records_erased], [seconds], [messages_version], [other_unknown_fields], [rejects], [flags], [unknown_fields], [quality], [erased], [input], [fingerprint]
FROM (
    SELECT *, row_number() OVER (PARTITION BY [tenant], [date] ORDER BY [processed_at] DESC, [run_id] DESC) AS place
    FROM [chat_acme].[receipts]
) AS runs
WHERE place = 1
GO
