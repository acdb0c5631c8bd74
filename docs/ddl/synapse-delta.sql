-- Tables of tenant acme for readers: delta. A serverless pool's own database, whose collation is Latin1_General_100_BIN2_UTF8. Readers need Storage Blob Data Reader,
-- or the data source a CREDENTIAL.

IF SCHEMA_ID('chat_acme') IS NULL EXEC('CREATE SCHEMA [chat_acme]')
GO

IF NOT EXISTS (SELECT * FROM sys.external_data_sources WHERE name = 'chat_acme')
CREATE EXTERNAL DATA SOURCE [chat_acme] WITH (LOCATION = 'https://exampleaccount.dfs.core.windows.net/tables/acme/analytics')
GO

CREATE OR ALTER VIEW [chat_acme].[rejects] AS
SELECT [rows].*
FROM OPENROWSET(
    BULK 'rejects/',
    DATA_SOURCE = 'chat_acme',
    FORMAT = 'DELTA'
)
WITH (
    [date] DATE,
    [source_key] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [source_line] BIGINT,
    [reason] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [detail] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [raw] VARBINARY(MAX),
    [raw_truncated] BIT,
    [run_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [processed_at] DATETIME2
) AS [rows]
GO

CREATE OR ALTER VIEW [chat_acme].[messages] AS
SELECT [rows].*
FROM OPENROWSET(
    BULK 'messages/',
    DATA_SOURCE = 'chat_acme',
    FORMAT = 'DELTA'
)
WITH (
    [date] DATE,
    [message_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [room_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [user_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [timestamp] DATETIME2,
    [hour] INT,
    [role] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    [content] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    [message_length] INT,
    [has_attachments] BIT,
    [attachment_count] INT,
    [attachments] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    [generated_images] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    [rag_sources] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    [agent_mode] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    [execution_time_ms] BIGINT,
    [tokens_used] BIGINT,
    [extras] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    [flags] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    [source_key] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [source_line] BIGINT,
    [run_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [processed_at] DATETIME2
) AS [rows]
GO

CREATE OR ALTER VIEW [chat_acme].[rooms_daily] AS
SELECT [rows].*
FROM OPENROWSET(
    BULK 'rooms_daily/',
    DATA_SOURCE = 'chat_acme',
    FORMAT = 'DELTA'
)
WITH (
    [date] DATE,
    [room_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [unique_users] BIGINT,
    [messages] BIGINT,
    [user_messages] BIGINT,
    [assistant_messages] BIGINT,
    [total_length] BIGINT,
    [tokens_used] BIGINT,
    [attachments] BIGINT,
    [first_at] DATETIME2,
    [last_at] DATETIME2,
    [run_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [processed_at] DATETIME2
) AS [rows]
GO

CREATE OR ALTER VIEW [chat_acme].[users_daily] AS
SELECT [rows].*
FROM OPENROWSET(
    BULK 'users_daily/',
    DATA_SOURCE = 'chat_acme',
    FORMAT = 'DELTA'
)
WITH (
    [date] DATE,
    [user_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [unique_rooms] BIGINT,
    [messages] BIGINT,
    [user_messages] BIGINT,
    [assistant_messages] BIGINT,
    [total_length] BIGINT,
    [tokens_used] BIGINT,
    [attachments] BIGINT,
    [first_at] DATETIME2,
    [last_at] DATETIME2,
    [run_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [processed_at] DATETIME2
) AS [rows]
GO

CREATE OR ALTER VIEW [chat_acme].[summary_daily] AS
SELECT [rows].*
FROM OPENROWSET(
    BULK 'summary_daily/',
    DATA_SOURCE = 'chat_acme',
    FORMAT = 'DELTA'
)
WITH (
    [date] DATE,
    [unique_users] BIGINT,
    [unique_rooms] BIGINT,
    [messages] BIGINT,
    [user_messages] BIGINT,
    [assistant_messages] BIGINT,
    [total_length] BIGINT,
    [tokens_used] BIGINT,
    [attachments] BIGINT,
    [first_at] DATETIME2,
    [last_at] DATETIME2,
    [average_length] FLOAT,
    [messages_by_hour] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    [messages_by_role] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    [run_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
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
    CAST(JSON_VALUE([line], '$.objects.bytes') AS BIGINT) AS [objects_bytes],
    CAST(JSON_VALUE([line], '$.records.seen') AS BIGINT) AS [records_seen],
    CAST(JSON_VALUE([line], '$.records.written') AS BIGINT) AS [records_written],
    CAST(JSON_VALUE([line], '$.records.duplicates') AS BIGINT) AS [records_duplicates],
    CAST(JSON_VALUE([line], '$.records.superseded') AS BIGINT) AS [records_superseded],
    CAST(JSON_VALUE([line], '$.records.rejected') AS BIGINT) AS [records_rejected],
    CAST(JSON_VALUE([line], '$.records.other_day') AS BIGINT) AS [records_other_day],
    CAST(JSON_VALUE([line], '$.records.empty') AS BIGINT) AS [records_empty],
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
SELECT [tenant], [date], [run_id], [processed_at], [status], [runner], [format], [layout], [objects_listed], [objects_read], [objects_unreadable], [objects_ignored], [objects_bytes], [records_seen], [records_written], [records_duplicates], [records_superseded], [records_rejected], [records_other_day], [records_empty], [seconds], [messages_version], [other_unknown_fields], [rejects], [flags], [unknown_fields], [quality], [erased], [input], [fingerprint]
FROM (
    SELECT *, row_number() OVER (PARTITION BY [tenant], [date] ORDER BY [processed_at] DESC, [run_id] DESC) AS place
    FROM [chat_acme].[receipts]
) AS runs
WHERE place = 1
GO
