-- What jobs choose from, page by page: the sets that wait for their proof, of all, of a node, or of a server; those of a
-- server that are there; and what a node has read, the set whose last look is oldest first. Looked for first, as all
-- here, so that it can be run again after it was cut off.
SET SESSION group_concat_max_len = 1000000;

-- Made by the server of what the seed's columns hold, whoever writes them: complete, there, and without a verdict.
SET @mk_ddl = IF(EXISTS (
  SELECT 1 FROM information_schema.COLUMNS c
  WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'user_backup'
    AND CONVERT(c.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = 'mk_waits' COLLATE utf8mb4_general_ci
), 'DO 0', 'ALTER TABLE user_backup ADD COLUMN mk_waits TINYINT GENERATED ALWAYS AS
  (CASE WHEN validate_status NOT IN (''passed'', ''failed'') AND is_deleted <> ''Y'' AND deletion <> ''deleting''
    AND INSTR(is_complete, ''Y'') > 0 AND INSTR(is_complete, ''N'') = 0 THEN 1 ELSE 0 END) VIRTUAL');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;

-- Index entries of the old row formats end at 767 bytes: there a prefix has to do.
SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE user_backup ', GROUP_CONCAT(
    CONCAT('ADD INDEX ', w.name, ' (', IF(t.ROW_FORMAT IN ('Dynamic', 'Compressed'), w.parts, w.short_parts), ')')
    ORDER BY w.position SEPARATOR ', '))
  FROM (
    SELECT 0 AS position, 'mk_waits_start' AS name, 'mk_waits, start_time' AS parts, 'mk_waits, start_time' AS short_parts
    UNION ALL SELECT 1, 'mk_node_waits', 'node, mk_waits, start_time', 'node, mk_waits, start_time'
    UNION ALL SELECT 2, 'mk_tag_waits', 'tag, mk_waits, start_time', 'tag(100), mk_waits, start_time'
    UNION ALL SELECT 3, 'mk_tag_present', 'tag, is_deleted, start_time', 'tag(100), is_deleted, start_time'
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

-- Who sends to a destination.
SET @mk_ddl = IF(EXISTS (
  SELECT 1 FROM information_schema.STATISTICS s
  WHERE s.TABLE_SCHEMA = DATABASE() AND s.TABLE_NAME = 'mk_delivery' AND s.INDEX_NAME = 'mk_delivery_sender'
), 'DO 0', 'CREATE INDEX mk_delivery_sender ON mk_delivery (destination, node)');
PREPARE mk_index FROM @mk_ddl;
EXECUTE mk_index;
DEALLOCATE PREPARE mk_index;

-- What was found of a set stays when it is deleted, and is no reason to look for it again: 1 from then on.
SET @mk_ddl = IF(EXISTS (
  SELECT 1 FROM information_schema.COLUMNS c
  WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'mk_verification'
    AND CONVERT(c.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = 'gone' COLLATE utf8mb4_general_ci
), 'DO 0', 'ALTER TABLE mk_verification ADD COLUMN gone TINYINT NOT NULL DEFAULT 0');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;
UPDATE mk_verification v JOIN user_backup b
  ON CONVERT(b.bk_id USING utf8mb4) COLLATE utf8mb4_bin = v.bk_id
  SET v.gone = 1 WHERE b.is_deleted = 'Y';
SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE mk_verification ', GROUP_CONCAT(
    CONCAT('ADD INDEX ', w.name, ' (', w.parts, ')') ORDER BY w.position SEPARATOR ', '))
  FROM (
    SELECT 0 AS position, 'mk_verification_due' AS name, 'node, gone, looked_ms, bk_id' AS parts
    UNION ALL SELECT 1, 'mk_verification_differs', 'node, gone, state, looked_ms, bk_id'
  ) w
  WHERE NOT EXISTS (
    SELECT 1 FROM information_schema.STATISTICS i
    WHERE i.TABLE_SCHEMA = DATABASE() AND i.TABLE_NAME = 'mk_verification'
      AND CONVERT(i.INDEX_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = w.name COLLATE utf8mb4_general_ci)
), 'DO 0');
PREPARE mk_index FROM @mk_ddl;
EXECUTE mk_index;
DEALLOCATE PREPARE mk_index;
