-- Tables of tenant acme for readers: delta. Databricks SQL, with a Unity Catalog external location above the tables.

CREATE SCHEMA IF NOT EXISTS `main`.`chat_acme`;

CREATE TABLE IF NOT EXISTS `main`.`chat_acme`.`rejects` USING DELTA LOCATION 'abfss://tables@exampleaccount.dfs.core.windows.net/acme/analytics/rejects';

CREATE TABLE IF NOT EXISTS `main`.`chat_acme`.`messages` USING DELTA LOCATION 'abfss://tables@exampleaccount.dfs.core.windows.net/acme/analytics/messages';

CREATE TABLE IF NOT EXISTS `main`.`chat_acme`.`turns` USING DELTA LOCATION 'abfss://tables@exampleaccount.dfs.core.windows.net/acme/analytics/turns';

CREATE TABLE IF NOT EXISTS `main`.`chat_acme`.`rooms_daily` USING DELTA LOCATION 'abfss://tables@exampleaccount.dfs.core.windows.net/acme/analytics/rooms_daily';

CREATE TABLE IF NOT EXISTS `main`.`chat_acme`.`users_daily` USING DELTA LOCATION 'abfss://tables@exampleaccount.dfs.core.windows.net/acme/analytics/users_daily';

CREATE TABLE IF NOT EXISTS `main`.`chat_acme`.`summary_daily` USING DELTA LOCATION 'abfss://tables@exampleaccount.dfs.core.windows.net/acme/analytics/summary_daily';

CREATE OR REPLACE VIEW `main`.`chat_acme`.`receipts` AS
SELECT
    get_json_object(value, '$.tenant') AS `tenant`,
    CAST(get_json_object(value, '$.date') AS date) AS `date`,
    get_json_object(value, '$.run_id') AS `run_id`,
    CAST(get_json_object(value, '$.processed_at') AS timestamp) AS `processed_at`,
    get_json_object(value, '$.status') AS `status`,
    get_json_object(value, '$.runner') AS `runner`,
    get_json_object(value, '$.format') AS `format`,
    get_json_object(value, '$.layout') AS `layout`,
    CAST(get_json_object(value, '$.objects.listed') AS bigint) AS `objects_listed`,
    CAST(get_json_object(value, '$.objects.read') AS bigint) AS `objects_read`,
    CAST(get_json_object(value, '$.objects.unreadable') AS bigint) AS `objects_unreadable`,
    CAST(get_json_object(value, '$.objects.ignored') AS bigint) AS `objects_ignored`,
    CAST(get_json_object(value, '$.objects.erased') AS bigint) AS `objects_erased`,
    CAST(get_json_object(value, '$.objects.bytes') AS bigint) AS `objects_bytes`,
    CAST(get_json_object(value, '$.records.seen') AS bigint) AS `records_seen`,
    CAST(get_json_object(value, '$.records.written') AS bigint) AS `records_written`,
    CAST(get_json_object(value, '$.records.duplicates') AS bigint) AS `records_duplicates`,
    CAST(get_json_object(value, '$.records.superseded') AS bigint) AS `records_superseded`,
    CAST(get_json_object(value, '$.records.rejected') AS bigint) AS `records_rejected`,
    CAST(get_json_object(value, '$.records.other_day') AS bigint) AS `records_other_day`,
    CAST(get_json_object(value, '$.records.empty') AS bigint) AS `records_empty`,
    CAST(get_json_object(value, '$.records.erased') AS bigint) AS `records_erased`,
    CAST(get_json_object(value, '$.seconds.total') AS double) AS `seconds`,
    CAST(get_json_object(value, '$.tables.messages.version') AS bigint) AS `messages_version`,
    CAST(get_json_object(value, '$.other_unknown_fields') AS bigint) AS `other_unknown_fields`,
    get_json_object(value, '$.rejects') AS `rejects`,
    get_json_object(value, '$.flags') AS `flags`,
    get_json_object(value, '$.unknown_fields') AS `unknown_fields`,
    get_json_object(value, '$.quality') AS `quality`,
    get_json_object(value, '$.erased') AS `erased`,
    get_json_object(value, '$.input') AS `input`,
    get_json_object(value, '$.fingerprint') AS `fingerprint`
FROM text.`abfss://tables@exampleaccount.dfs.core.windows.net/acme/analytics/_receipts/*/*.json`;

CREATE OR REPLACE VIEW `main`.`chat_acme`.`latest_runs` AS
SELECT `tenant`, `date`, `run_id`, `processed_at`, `status`, `runner`, `format`, `layout`, `objects_listed`, `objects_read`, `objects_unreadable`, `objects_ignored`, `objects_erased`, `objects_bytes`, `records_seen`, `records_written`, `records_duplicates`, `records_superseded`, `records_rejected`, `records_other_day`, `records_empty`, `records_erased`, `seconds`, `messages_version`, `other_unknown_fields`, `rejects`, `flags`, `unknown_fields`, `quality`, `erased`, `input`, `fingerprint`
FROM (
    SELECT *, row_number() OVER (PARTITION BY `tenant`, `date` ORDER BY `processed_at` DESC, `run_id` DESC) AS place
    FROM `main`.`chat_acme`.`receipts`
) AS runs
WHERE place = 1;
