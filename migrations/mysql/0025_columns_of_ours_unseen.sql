-- Whoever writes by hand, INSERT INTO user_backup VALUES (...), as pybackup's manual has user_backup_path filled in, gives a
-- value for each column that pybackup's tables have: ours are INVISIBLE, which leaves them out of that and of SELECT *.
-- MariaDB has that since 10.3, MySQL since 8.0.23; elsewhere all stays as it is.
-- mydumper leaves out what is INVISIBLE, unless a table has a generated column: then it names its columns. So
-- user_backup_path gets one that says nothing. Each ALTER is made from what there is, so that it can be run again.
SET SESSION group_concat_max_len = 1000000;
SET @mk_maria = VERSION() LIKE '%MariaDB%';
SET @mk_version = SUBSTRING_INDEX(VERSION(), '.', 1) * 10000
  + SUBSTRING_INDEX(SUBSTRING_INDEX(VERSION(), '.', 2), '.', -1) * 100
  + SUBSTRING_INDEX(SUBSTRING_INDEX(SUBSTRING_INDEX(VERSION(), '-', 1), '.', 3), '.', -1);
SET @mk_hides = IF(@mk_maria, @mk_version >= 100300, @mk_version >= 80023);

SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE user_backup ', GROUP_CONCAT(
    IF(@mk_maria,
      CONCAT('MODIFY `', c.COLUMN_NAME, '` ', c.COLUMN_TYPE,
        IF(c.COLLATION_NAME IS NULL, '', CONCAT(' CHARACTER SET ', c.CHARACTER_SET_NAME, ' COLLATE ', c.COLLATION_NAME)),
        IF(c.EXTRA LIKE '%GENERATED%',
          CONCAT(' GENERATED ALWAYS AS (', c.GENERATION_EXPRESSION, ') VIRTUAL'),
          CONCAT(IF(c.IS_NULLABLE = 'NO', ' NOT NULL', ' NULL'),
            IF(c.COLUMN_DEFAULT IS NULL OR c.COLUMN_DEFAULT = 'NULL', '', CONCAT(' DEFAULT ', c.COLUMN_DEFAULT)))),
        ' INVISIBLE',
        IF(c.COLUMN_COMMENT = '', '', CONCAT(' COMMENT ', QUOTE(c.COLUMN_COMMENT)))),
      CONCAT('ALTER COLUMN `', c.COLUMN_NAME, '` SET INVISIBLE'))
    ORDER BY c.ORDINAL_POSITION SEPARATOR ', '))
  FROM information_schema.COLUMNS c
  WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'user_backup' AND @mk_hides
    AND c.EXTRA NOT LIKE '%INVISIBLE%'
    AND (c.IS_NULLABLE = 'YES' OR c.COLUMN_DEFAULT IS NOT NULL)
    AND CONVERT(c.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci IN (
      'node', 'job', 'run_id', 'bk_bytes', 'databases_json', 'reason', 'consistency', 'transfer_to', 'started_ms',
      'finished_ms', 'transfer_started_ms', 'transfer_finished_ms', 'deletion', 'deletion_reason', 'deleted_ms',
      'manifest_blake3', 'lock_waited_ms', 'lock_held_ms', 'rebuilt_ms', 'original_gone_ms', 'mk_whole', 'mk_sent',
      'mk_passed', 'mk_waits')
), 'DO 0');
PREPARE mk_hide FROM @mk_ddl;
EXECUTE mk_hide;
DEALLOCATE PREPARE mk_hide;

-- is_offline is of pybackup's later versions. Whether a table had it is known where it is adopted (`migrate.rs`).
SET @mk_ddl = IF(@mk_hides AND @mk_had_is_offline = 0 AND NOT EXISTS (
  SELECT 1 FROM information_schema.COLUMNS c
  WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'user_backup_path' AND c.COLUMN_NAME = 'mk_named'
), CONCAT('ALTER TABLE user_backup_path ',
  IF(@mk_maria, 'MODIFY is_offline CHAR(1) NOT NULL DEFAULT ''N'' INVISIBLE', 'ALTER COLUMN is_offline SET INVISIBLE'),
  ', ADD COLUMN mk_named TINYINT GENERATED ALWAYS AS (1) VIRTUAL INVISIBLE'), 'DO 0');
PREPARE mk_hide FROM @mk_ddl;
EXECUTE mk_hide;
DEALLOCATE PREPARE mk_hide;
