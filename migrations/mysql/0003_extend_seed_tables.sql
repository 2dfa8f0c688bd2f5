-- Adds what pybackup's tables lack: the columns of its own later versions where an older one made the table, and
-- ours, all nullable or with a default, so that a writer that knows only its own columns goes on writing.
-- Each ALTER is made from what is missing; nothing missing is 'DO 0'.
SET SESSION group_concat_max_len = 1000000;

SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE user_backup ', GROUP_CONCAT(
    CONCAT('ADD COLUMN `', w.name, '` ', w.definition) ORDER BY w.position SEPARATOR ', '))
  FROM (
    SELECT 0 AS position, 'pybackup_version' AS name, 'VARCHAR(255) CHARACTER SET utf8mb4 NULL' AS definition
    UNION ALL SELECT 1, 'tag', 'VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL DEFAULT ''N/A'''
    UNION ALL SELECT 2, 'is_deleted', 'CHAR(1) NOT NULL DEFAULT ''N'''
    UNION ALL SELECT 3, 'validate_status', 'VARCHAR(20) NOT NULL DEFAULT ''N/A'''
    UNION ALL SELECT 4, 'node', 'VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL'
    UNION ALL SELECT 5, 'job', 'VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL'
    UNION ALL SELECT 6, 'run_id', 'CHAR(36) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL'
    UNION ALL SELECT 7, 'bk_bytes', 'BIGINT NULL'
    UNION ALL SELECT 8, 'databases_json', 'MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL'
    UNION ALL SELECT 9, 'reason', 'MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL'
    UNION ALL SELECT 10, 'consistency', 'VARCHAR(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL'
    UNION ALL SELECT 11, 'transfer_to', 'TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL'
    UNION ALL SELECT 12, 'started_ms', 'BIGINT NULL'
    UNION ALL SELECT 13, 'finished_ms', 'BIGINT NULL'
    UNION ALL SELECT 14, 'transfer_started_ms', 'BIGINT NULL'
    UNION ALL SELECT 15, 'transfer_finished_ms', 'BIGINT NULL'
    UNION ALL SELECT 16, 'deletion', 'VARCHAR(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT ''none'''
    UNION ALL SELECT 17, 'deletion_reason', 'MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL'
    UNION ALL SELECT 18, 'deleted_ms', 'BIGINT NULL'
    UNION ALL SELECT 19, 'manifest_blake3', 'CHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL'
  ) w
  WHERE NOT EXISTS (
    SELECT 1 FROM information_schema.COLUMNS c
    WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'user_backup'
      AND CONVERT(c.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = w.name COLLATE utf8mb4_general_ci)
), 'DO 0');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;

SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE user_backup_path ', GROUP_CONCAT(
    CONCAT('ADD COLUMN `', w.name, '` ', w.definition) ORDER BY w.position SEPARATOR ', '))
  FROM (
    SELECT 0 AS position, 'is_offline' AS name, 'CHAR(1) NOT NULL DEFAULT ''N''' AS definition
  ) w
  WHERE NOT EXISTS (
    SELECT 1 FROM information_schema.COLUMNS c
    WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'user_backup_path'
      AND CONVERT(c.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = w.name COLLATE utf8mb4_general_ci)
), 'DO 0');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;

-- Index entries of the old row formats end at 767 bytes: there a prefix has to do.

SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE user_backup ', GROUP_CONCAT(
    CONCAT('ADD INDEX ', w.name, ' (', IF(t.ROW_FORMAT IN ('Dynamic', 'Compressed'), w.parts, w.short_parts), ')')
    ORDER BY w.position SEPARATOR ', '))
  FROM (
    SELECT 0 AS position, 'mk_start' AS name, 'start_time' AS parts, 'start_time' AS short_parts
    UNION ALL SELECT 1, 'mk_tag_start', 'tag, start_time', 'tag(100), start_time'
    UNION ALL SELECT 2, 'mk_server_start', 'bk_server, start_time', 'bk_server(100), start_time'
    UNION ALL SELECT 3, 'mk_node_start', 'node, start_time', 'node, start_time'
    UNION ALL SELECT 4, 'mk_node_present', 'node, is_deleted, start_time', 'node, is_deleted, start_time'
    UNION ALL SELECT 5, 'mk_unproven', 'validate_status, is_deleted, start_time', 'validate_status, is_deleted, start_time'
  ) w
  JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME = 'user_backup'
  WHERE NOT EXISTS (
    SELECT 1 FROM information_schema.STATISTICS i
    WHERE i.TABLE_SCHEMA = DATABASE() AND i.TABLE_NAME = 'user_backup'
      AND CONVERT(i.INDEX_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = w.name COLLATE utf8mb4_general_ci)
    AND NOT (w.name = 'mk_start' AND EXISTS (
      SELECT 1 FROM information_schema.STATISTICS x
      WHERE x.TABLE_SCHEMA = DATABASE() AND x.TABLE_NAME = 'user_backup' AND x.COLUMN_NAME = 'start_time' AND x.SEQ_IN_INDEX = 1
        AND x.INDEX_NAME <> 'mk_start'))
), 'DO 0');
PREPARE mk_index FROM @mk_ddl;
EXECUTE mk_index;
DEALLOCATE PREPARE mk_index;

SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE user_recover_info ', GROUP_CONCAT(
    CONCAT('ADD INDEX ', w.name, ' (', IF(t.ROW_FORMAT IN ('Dynamic', 'Compressed'), w.parts, w.short_parts), ')')
    ORDER BY w.position SEPARATOR ', '))
  FROM (
    SELECT 0 AS position, 'mk_bk_id' AS name, 'bk_id' AS parts, 'bk_id' AS short_parts
  ) w
  JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME = 'user_recover_info'
  WHERE NOT EXISTS (
    SELECT 1 FROM information_schema.STATISTICS i
    WHERE i.TABLE_SCHEMA = DATABASE() AND i.TABLE_NAME = 'user_recover_info'
      AND CONVERT(i.INDEX_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = w.name COLLATE utf8mb4_general_ci)
), 'DO 0');
PREPARE mk_index FROM @mk_ddl;
EXECUTE mk_index;
DEALLOCATE PREPARE mk_index;
