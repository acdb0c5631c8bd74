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
