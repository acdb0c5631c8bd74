-- Tables of tenant acme for readers: delta. Databricks SQL, with a Unity Catalog external location above the tables.

CREATE SCHEMA IF NOT EXISTS `main`.`chat_acme`;

CREATE TABLE IF NOT EXISTS `main`.`chat_acme`.`rejects` USING DELTA LOCATION 'abfss://tables@exampleaccount.dfs.core.windows.net/acme/analytics/rejects';

CREATE TABLE IF NOT EXISTS `main`.`chat_acme`.`messages` USING DELTA LOCATION 'abfss://tables@exampleaccount.dfs.core.windows.net/acme/analytics/messages';

CREATE TABLE IF NOT EXISTS `main`.`chat_acme`.`turns` USING DELTA LOCATION 'abfss://tables@exampleaccount.dfs.core.windows.net/acme/analytics/turns';

CREATE TABLE IF NOT EXISTS `main`.`chat_acme`.`rooms_daily` USING DELTA LOCATION 'abfss://tables@exampleaccount.dfs.core.windows.net/acme/analytics/rooms_daily';

CREATE TABLE IF NOT EXISTS `main`.`chat_acme`.`users_daily` USING DELTA LOCATION 'abfss://tables@exampleaccount.dfs.core.windows.net/acme/analytics/users_daily';

CREATE TABLE IF NOT EXISTS `main`.`chat_acme`.`summary_daily` USING DELTA LOCATION 'abfss://tables@exampleaccount.dfs.core.windows.net/acme/analytics/summary_daily';
