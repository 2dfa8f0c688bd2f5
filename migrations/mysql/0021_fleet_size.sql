-- What lists of sets and runs are asked for, so that each finds its rows in the order of time among millions. A row of
-- user_backup is written a few times in its life: its indexes cost little. mk_run is written for every slot: two more.
-- Looked for first, as all here, so that it can be run again after it was cut off.
SET SESSION group_concat_max_len = 1000000;

-- Made by the server of what the seed's columns hold, whoever writes them: every part is there; the last attempt to send
-- it succeeded; proven.
SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE user_backup ', GROUP_CONCAT(
    CONCAT('ADD COLUMN ', w.name, ' TINYINT GENERATED ALWAYS AS (', w.expression, ') VIRTUAL')
    ORDER BY w.position SEPARATOR ', '))
  FROM (
    SELECT 0 AS position, 'mk_whole' AS name,
      'CASE WHEN INSTR(is_complete, ''Y'') > 0 AND INSTR(is_complete, ''N'') = 0 THEN 1 ELSE 0 END' AS expression
    UNION ALL SELECT 1, 'mk_sent', 'CASE WHEN SUBSTR(transfer_complete, -1) = ''Y'' THEN 1 ELSE 0 END'
    UNION ALL SELECT 2, 'mk_passed', 'CASE WHEN validate_status = ''passed'' THEN 1 ELSE 0 END'
  ) w
  WHERE NOT EXISTS (
    SELECT 1 FROM information_schema.COLUMNS c
    WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'user_backup'
      AND CONVERT(c.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = w.name COLLATE utf8mb4_general_ci)
), 'DO 0');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;

-- mk_deleted_start: backups, where what is deleted is most of the history; --state deleted.
-- mk_job_start: the newest set of a job.
-- mk_whole_start, mk_sent_start: --state complete and incomplete, --state transferred: one of each pair is rare.
-- mk_passed_start: --state unproven: of what is there, which may nearly all be proven.
-- mk_status_start: --state validated and failed, with what is deleted.
-- mk_tag_status: the newest proven set of each server, every minute for every promise.
-- Index entries of the old row formats end at 767 bytes: there a prefix has to do.
SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE user_backup ', GROUP_CONCAT(
    CONCAT('ADD INDEX ', w.name, ' (', IF(t.ROW_FORMAT IN ('Dynamic', 'Compressed'), w.parts, w.short_parts), ')')
    ORDER BY w.position SEPARATOR ', '))
  FROM (
    SELECT 0 AS position, 'mk_deleted_start' AS name, 'is_deleted, start_time' AS parts, 'is_deleted, start_time' AS short_parts
    UNION ALL SELECT 1, 'mk_job_start', 'job, start_time', 'job, start_time'
    UNION ALL SELECT 2, 'mk_whole_start', 'mk_whole, start_time', 'mk_whole, start_time'
    UNION ALL SELECT 3, 'mk_sent_start', 'mk_sent, start_time', 'mk_sent, start_time'
    UNION ALL SELECT 4, 'mk_passed_start', 'is_deleted, mk_passed, start_time', 'is_deleted, mk_passed, start_time'
    UNION ALL SELECT 5, 'mk_status_start', 'validate_status, start_time', 'validate_status, start_time'
    UNION ALL SELECT 6, 'mk_tag_status', 'tag, validate_status, start_time', 'tag(100), validate_status, start_time'
  ) w
  JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME = 'user_backup'
  WHERE NOT EXISTS (
    SELECT 1 FROM information_schema.STATISTICS i
    WHERE i.TABLE_SCHEMA = DATABASE() AND i.TABLE_NAME = 'user_backup'
      AND CONVERT(i.INDEX_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = w.name COLLATE utf8mb4_general_ci)
), 'DO 0');
PREPARE mk_index FROM @mk_ddl;
EXECUTE mk_index;
DEALLOCATE PREPARE mk_index;

-- mk_run_job_time: runs of a job, on whichever node.
-- mk_run_kind: which validations failed of late, and which backups run.
SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE mk_run ', GROUP_CONCAT(
    CONCAT('ADD INDEX ', w.name, ' (', w.parts, ')') ORDER BY w.position SEPARATOR ', '))
  FROM (
    SELECT 0 AS position, 'mk_run_job_time' AS name, 'job, requested_ms, id' AS parts
    UNION ALL SELECT 1, 'mk_run_kind', 'kind, state, requested_ms, id'
  ) w
  WHERE NOT EXISTS (
    SELECT 1 FROM information_schema.STATISTICS i
    WHERE i.TABLE_SCHEMA = DATABASE() AND i.TABLE_NAME = 'mk_run'
      AND CONVERT(i.INDEX_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = w.name COLLATE utf8mb4_general_ci)
), 'DO 0');
PREPARE mk_index FROM @mk_ddl;
EXECUTE mk_index;
DEALLOCATE PREPARE mk_index;
