-- What a run stands for besides its own slot: a planned start, slots that were missed in great number, an
-- interrupted run that it does again. One run is done again once: the key is unique.
-- The ALTER is made from what is missing, so that it can be run again after it was cut off; nothing missing is 'DO 0'.
SET SESSION group_concat_max_len = 1000000;

SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE mk_run ', GROUP_CONCAT(
    CONCAT('ADD COLUMN `', w.name, '` ', w.definition) ORDER BY w.position SEPARATOR ', '))
  FROM (
    SELECT 0 AS position, 'planned_ms' AS name, 'BIGINT NULL' AS definition
    UNION ALL SELECT 1, 'covers_after_ms', 'BIGINT NULL'
    UNION ALL SELECT 2, 'covers_slots', 'BIGINT NULL'
    UNION ALL SELECT 3, 'retry_of', 'CHAR(36) NULL'
  ) w
  WHERE NOT EXISTS (
    SELECT 1 FROM information_schema.COLUMNS c
    WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'mk_run'
      AND CONVERT(c.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = w.name COLLATE utf8mb4_general_ci)
), 'DO 0');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;

SET @mk_ddl = IF(EXISTS (
  SELECT 1 FROM information_schema.STATISTICS s
  WHERE s.TABLE_SCHEMA = DATABASE() AND s.TABLE_NAME = 'mk_run' AND s.INDEX_NAME = 'mk_run_retry_of'
), 'DO 0', 'ALTER TABLE mk_run ADD UNIQUE KEY mk_run_retry_of (retry_of)');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;
