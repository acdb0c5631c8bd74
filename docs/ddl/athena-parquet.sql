-- Tables of tenant acme for readers: parquet. Athena engine version 3; one statement at a time.

CREATE DATABASE IF NOT EXISTS `chat_acme`;

CREATE EXTERNAL TABLE IF NOT EXISTS `chat_acme`.`rejects` (
  `date` date COMMENT 'business day in BATCH_TIMEZONE; the partition',
  `source_key` string COMMENT 'object that held the record, relative to the input root',
  `source_line` bigint COMMENT 'line where the record begins; 0 for a whole object',
  `reason` string COMMENT 'code of the reason, or of the flag when the row is a copy',
  `detail` string COMMENT 'what was found, without message content',
  `raw` binary COMMENT 'the original bytes',
  `raw_truncated` boolean COMMENT 'whether raw was cut at the documented limit',
  `run_id` string COMMENT 'the run that wrote the row',
  `processed_at` timestamp COMMENT 'when that run began'
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
  `date` date COMMENT 'business day in BATCH_TIMEZONE; the partition',
  `message_id` string COMMENT 'from the body, else the file name (then flagged)',
  `room_id` string COMMENT 'from the path, else the body',
  `user_id` string COMMENT 'from the path, else the body; null when neither names one',
  `timestamp` timestamp COMMENT 'when it was sent (UTC)',
  `hour` int COMMENT 'local hour in BATCH_TIMEZONE, 0 to 23',
  `role` string COMMENT 'lower-cased; user, assistant or system, anything else is flagged',
  `content` string COMMENT 'exactly as sent; null and empty are kept',
  `message_length` int COMMENT 'code points of content; 0 when it is null',
  `has_attachments` boolean COMMENT 'whether attachment_count is above 0',
  `attachment_count` int COMMENT 'elements of attachments',
  `attachments` array<struct<type:string,url:string,thumbnail:string,name:string,size:bigint>> COMMENT 'files sent with the message',
  `generated_images` array<struct<url:string,thumbnail:string,prompt:string,size:string,style:string>> COMMENT 'images made by the agent (also sent as `images`)',
  `rag_sources` array<struct<title:string,source:string,text:string,score:double>> COMMENT 'context.rag_sources (also sent as `crawl_sources`)',
  `agent_mode` string COMMENT 'agent_info.mode',
  `execution_time_ms` bigint COMMENT 'agent_info.execution_time_ms, milliseconds',
  `tokens_used` bigint COMMENT 'agent_info.tokens_used',
  `extras` string COMMENT 'JSON object of every field not listed above, untouched; null when there is none',
  `flags` array<string> COMMENT 'every repair or doubt, by code, sorted; empty when there is none',
  `source_key` string COMMENT 'object that held the record, relative to the input root',
  `source_line` bigint COMMENT 'line in the object where the record begins; 1 for an object of its own',
  `run_id` string COMMENT 'the run that wrote the row',
  `processed_at` timestamp COMMENT 'when that run began'
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
  `date` date COMMENT 'business day in BATCH_TIMEZONE; the partition',
  `room_id` string COMMENT 'room',
  `turn` bigint COMMENT 'number of the user message in its room\'s day, from 1',
  `user_id` string COMMENT 'user_id of the user message; null when it has none',
  `user_message_id` string COMMENT 'the user message',
  `user_at` timestamp COMMENT 'when it was sent (UTC)',
  `user_length` int COMMENT 'its message_length, code points',
  `answer_message_id` string COMMENT 'the answer; null when there is none',
  `answered_at` timestamp COMMENT 'when the answer was sent (UTC)',
  `response_ms` bigint COMMENT 'answered_at - user_at in whole milliseconds, rounded down',
  `answer_length` int COMMENT 'message_length of the answer',
  `tokens_used` bigint COMMENT 'tokens_used of the answer',
  `agent_mode` string COMMENT 'agent_mode of the answer',
  `starts_with_answer` boolean COMMENT 'first turn of a room\'s day that begins with an assistant message: its question may be of the day before',
  `cut_by_midnight` boolean COMMENT 'last turn of the room\'s day, without an answer: it may be in the next day',
  `run_id` string COMMENT 'the run that wrote the row',
  `processed_at` timestamp COMMENT 'when that run began'
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
  `date` date COMMENT 'business day in BATCH_TIMEZONE; the partition',
  `room_id` string COMMENT 'room',
  `unique_users` bigint COMMENT 'distinct user_id in the room, messages without one left out',
  `messages` bigint COMMENT 'messages',
  `user_messages` bigint COMMENT 'messages with role user',
  `assistant_messages` bigint COMMENT 'messages with role assistant',
  `other_messages` bigint COMMENT 'messages with any other role, or none',
  `user_length` bigint COMMENT 'sum of message_length of the messages with role user, code points',
  `total_length` bigint COMMENT 'sum of message_length, code points',
  `tokens_used` bigint COMMENT 'sum of tokens_used; null where it does not fit a BIGINT',
  `attachments` bigint COMMENT 'sum of attachment_count',
  `first_at` timestamp COMMENT 'first message',
  `last_at` timestamp COMMENT 'last message',
  `answers` bigint COMMENT 'user messages with an answer (turns)',
  `response_median_ms` bigint COMMENT 'median response time, milliseconds; null without answers',
  `response_p95_ms` bigint COMMENT '95th percentile of the response time, milliseconds; null without answers',
  `run_id` string COMMENT 'the run that wrote the row',
  `processed_at` timestamp COMMENT 'when that run began'
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
  `date` date COMMENT 'business day in BATCH_TIMEZONE; the partition',
  `user_id` string COMMENT 'user',
  `unique_rooms` bigint COMMENT 'distinct room_id of the user',
  `messages` bigint COMMENT 'messages',
  `user_messages` bigint COMMENT 'messages with role user',
  `assistant_messages` bigint COMMENT 'messages with role assistant',
  `other_messages` bigint COMMENT 'messages with any other role, or none',
  `user_length` bigint COMMENT 'sum of message_length of the messages with role user, code points',
  `total_length` bigint COMMENT 'sum of message_length, code points',
  `tokens_used` bigint COMMENT 'sum of tokens_used; null where it does not fit a BIGINT',
  `attachments` bigint COMMENT 'sum of attachment_count',
  `first_at` timestamp COMMENT 'first message',
  `last_at` timestamp COMMENT 'last message',
  `answers` bigint COMMENT 'user messages with an answer (turns)',
  `response_median_ms` bigint COMMENT 'median response time, milliseconds; null without answers',
  `response_p95_ms` bigint COMMENT '95th percentile of the response time, milliseconds; null without answers',
  `run_id` string COMMENT 'the run that wrote the row',
  `processed_at` timestamp COMMENT 'when that run began'
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
  `date` date COMMENT 'business day in BATCH_TIMEZONE; the partition',
  `unique_users` bigint COMMENT 'distinct user_id, messages without one left out',
  `unique_rooms` bigint COMMENT 'distinct room_id',
  `messages` bigint COMMENT 'messages',
  `user_messages` bigint COMMENT 'messages with role user',
  `assistant_messages` bigint COMMENT 'messages with role assistant',
  `other_messages` bigint COMMENT 'messages with any other role, or none',
  `user_length` bigint COMMENT 'sum of message_length of the messages with role user, code points',
  `total_length` bigint COMMENT 'sum of message_length, code points',
  `tokens_used` bigint COMMENT 'sum of tokens_used; null where it does not fit a BIGINT',
  `attachments` bigint COMMENT 'sum of attachment_count',
  `first_at` timestamp COMMENT 'first message',
  `last_at` timestamp COMMENT 'last message',
  `answers` bigint COMMENT 'user messages with an answer (turns)',
  `response_median_ms` bigint COMMENT 'median response time, milliseconds; null without answers',
  `response_p95_ms` bigint COMMENT '95th percentile of the response time, milliseconds; null without answers',
  `average_length` double COMMENT 'total_length / messages; null on an empty day',
  `messages_by_hour` array<bigint> COMMENT 'messages in each local hour, 24 numbers',
  `messages_by_role` array<struct<role:string,messages:bigint>> COMMENT 'messages of each role, by role',
  `run_id` string COMMENT 'the run that wrote the row',
  `processed_at` timestamp COMMENT 'when that run began'
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
