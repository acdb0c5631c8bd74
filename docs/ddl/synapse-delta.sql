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

CREATE OR ALTER VIEW [chat_acme].[turns] AS
SELECT [rows].*
FROM OPENROWSET(
    BULK 'turns/',
    DATA_SOURCE = 'chat_acme',
    FORMAT = 'DELTA'
)
WITH (
    [date] DATE,
    [room_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [turn] BIGINT,
    [user_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [user_message_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [user_at] DATETIME2,
    [user_length] INT,
    [answer_message_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [answered_at] DATETIME2,
    [response_ms] BIGINT,
    [answer_length] INT,
    [tokens_used] BIGINT,
    [agent_mode] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    [starts_with_answer] BIT,
    [cut_by_midnight] BIT,
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
    [other_messages] BIGINT,
    [user_length] BIGINT,
    [total_length] BIGINT,
    [tokens_used] BIGINT,
    [attachments] BIGINT,
    [first_at] DATETIME2,
    [last_at] DATETIME2,
    [answers] BIGINT,
    [response_median_ms] BIGINT,
    [response_p95_ms] BIGINT,
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
    [other_messages] BIGINT,
    [user_length] BIGINT,
    [total_length] BIGINT,
    [tokens_used] BIGINT,
    [attachments] BIGINT,
    [first_at] DATETIME2,
    [last_at] DATETIME2,
    [answers] BIGINT,
    [response_median_ms] BIGINT,
    [response_p95_ms] BIGINT,
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
    [other_messages] BIGINT,
    [user_length] BIGINT,
    [total_length] BIGINT,
    [tokens_used] BIGINT,
    [attachments] BIGINT,
    [first_at] DATETIME2,
    [last_at] DATETIME2,
    [answers] BIGINT,
    [response_median_ms] BIGINT,
    [response_p95_ms] BIGINT,
    [average_length] FLOAT,
    [messages_by_hour] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    [messages_by_role] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8,
    [run_id] VARCHAR(8000) COLLATE Latin1_General_100_BIN2_UTF8,
    [processed_at] DATETIME2
) AS [rows]
GO
