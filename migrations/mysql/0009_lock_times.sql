-- For how long a dump waited for its locks and held them. Made from what is missing: it may have been cut off before.
SET SESSION group_concat_max_len = 1000000;

SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE user_backup ', GROUP_CONCAT(
    CONCAT('ADD COLUMN `', w.name, '` ', w.definition) ORDER BY w.position SEPARATOR ', '))
  FROM (
    SELECT 0 AS position, 'lock_waited_ms' AS name, 'BIGINT NULL' AS definition
    UNION ALL SELECT 1, 'lock_held_ms', 'BIGINT NULL'
  ) w
  WHERE NOT EXISTS (
    SELECT 1 FROM information_schema.COLUMNS c
    WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'user_backup'
      AND CONVERT(c.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = w.name COLLATE utf8mb4_general_ci)
), 'DO 0');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;
