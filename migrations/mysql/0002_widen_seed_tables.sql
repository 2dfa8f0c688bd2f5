-- Widens the columns of pybackup's tables that overflow in practice and lets all of them hold every character
-- (utf8mb3 has no place for four-byte ones). One ALTER for each table, made from what the table is now:
--   * a column that is wide enough already keeps its type, so nothing is ever narrowed;
--   * nullability, default, comment and the collation's rules stay;
--   * a CHAR or VARCHAR under an index of the site's own cannot become TEXT and becomes VARCHAR(512) instead;
--   * nothing to do is 'DO 0', so that a second run changes nothing.
-- bk_id needs no width, but tables of ours are joined to it, and an index serves only where character sets are alike.
-- Every comparison names its collation: the servers' own views of themselves differ in theirs.
-- TEXT rather than a long VARCHAR: a row of VARCHARs may not exceed 65,535 bytes in all.
-- A size is in characters for VARCHAR and in bytes for TEXT.
SET SESSION group_concat_max_len = 1000000;

SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE user_backup ', GROUP_CONCAT(CONCAT(
    'MODIFY `', c.COLUMN_NAME, '` ',
    CASE
      WHEN IF(w.wanted LIKE 'VARCHAR%', c.CHARACTER_MAXIMUM_LENGTH, c.CHARACTER_OCTET_LENGTH) >= w.size THEN c.COLUMN_TYPE
      WHEN w.wanted NOT LIKE 'VARCHAR%' AND s.COLUMN_NAME IS NOT NULL
        THEN CONCAT('VARCHAR(', GREATEST(512, c.CHARACTER_MAXIMUM_LENGTH), ')')
      ELSE w.wanted
    END,
    ' CHARACTER SET utf8mb4 COLLATE ', COALESCE(k.COLLATION_NAME, 'utf8mb4_general_ci'),
    IF(c.IS_NULLABLE = 'NO', ' NOT NULL', ' NULL'),
    CASE
      WHEN c.COLUMN_DEFAULT IS NULL OR c.COLUMN_DEFAULT = 'NULL' THEN ''
      WHEN VERSION() LIKE '%MariaDB%' THEN CONCAT(' DEFAULT ', c.COLUMN_DEFAULT)
      WHEN w.wanted LIKE 'VARCHAR%' THEN CONCAT(' DEFAULT ', QUOTE(c.COLUMN_DEFAULT))
      ELSE CONCAT(' DEFAULT (', QUOTE(c.COLUMN_DEFAULT), ')')
    END,
    IF(c.COLUMN_COMMENT = '', '', CONCAT(' COMMENT ', QUOTE(c.COLUMN_COMMENT)))
  ) ORDER BY c.ORDINAL_POSITION SEPARATOR ', '))
  FROM information_schema.COLUMNS c
  JOIN (
    SELECT 'bk_id' AS name, 'VARCHAR(36)' AS wanted, 36 AS size
    UNION ALL SELECT 'bk_server', 'VARCHAR(255)', 255
    UNION ALL SELECT 'backuped_db', 'MEDIUMTEXT', 16777215
    UNION ALL SELECT 'is_complete', 'TEXT', 65535
    UNION ALL SELECT 'bk_size', 'VARCHAR(32)', 32
    UNION ALL SELECT 'bk_dir', 'TEXT', 65535
    UNION ALL SELECT 'transfer_complete', 'TEXT', 65535
    UNION ALL SELECT 'remote_dest', 'TEXT', 65535
    UNION ALL SELECT 'master_status', 'MEDIUMTEXT', 16777215
    UNION ALL SELECT 'slave_status', 'MEDIUMTEXT', 16777215
    UNION ALL SELECT 'tool_version', 'VARCHAR(255)', 255
    UNION ALL SELECT 'server_version', 'VARCHAR(255)', 255
    UNION ALL SELECT 'pybackup_version', 'VARCHAR(255)', 255
    UNION ALL SELECT 'bk_command', 'MEDIUMTEXT', 16777215
    UNION ALL SELECT 'tag', 'VARCHAR(255)', 255
  ) w ON CONVERT(c.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = w.name COLLATE utf8mb4_general_ci
  LEFT JOIN (
    SELECT DISTINCT COLUMN_NAME FROM information_schema.STATISTICS
    WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'user_backup'
  ) s ON CONVERT(s.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci
    = CONVERT(c.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci
    AND c.DATA_TYPE IN ('char', 'varchar')
  LEFT JOIN information_schema.COLLATIONS k
    ON CONVERT(k.COLLATION_NAME USING utf8mb4) COLLATE utf8mb4_general_ci
    = CONVERT(CONCAT('utf8mb4', SUBSTRING(c.COLLATION_NAME, LOCATE('_', c.COLLATION_NAME))) USING utf8mb4) COLLATE utf8mb4_general_ci
  WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'user_backup'
    AND (IF(w.wanted LIKE 'VARCHAR%' OR s.COLUMN_NAME IS NOT NULL, c.CHARACTER_MAXIMUM_LENGTH, c.CHARACTER_OCTET_LENGTH)
           < IF(w.wanted NOT LIKE 'VARCHAR%' AND s.COLUMN_NAME IS NOT NULL, 512, w.size)
         OR c.CHARACTER_SET_NAME <> 'utf8mb4')
), 'DO 0');
PREPARE mk_widen FROM @mk_ddl;
EXECUTE mk_widen;
DEALLOCATE PREPARE mk_widen;

SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE user_backup_path ', GROUP_CONCAT(CONCAT(
    'MODIFY `', c.COLUMN_NAME, '` ',
    CASE
      WHEN IF(w.wanted LIKE 'VARCHAR%', c.CHARACTER_MAXIMUM_LENGTH, c.CHARACTER_OCTET_LENGTH) >= w.size THEN c.COLUMN_TYPE
      WHEN w.wanted NOT LIKE 'VARCHAR%' AND s.COLUMN_NAME IS NOT NULL
        THEN CONCAT('VARCHAR(', GREATEST(512, c.CHARACTER_MAXIMUM_LENGTH), ')')
      ELSE w.wanted
    END,
    ' CHARACTER SET utf8mb4 COLLATE ', COALESCE(k.COLLATION_NAME, 'utf8mb4_general_ci'),
    IF(c.IS_NULLABLE = 'NO', ' NOT NULL', ' NULL'),
    CASE
      WHEN c.COLUMN_DEFAULT IS NULL OR c.COLUMN_DEFAULT = 'NULL' THEN ''
      WHEN VERSION() LIKE '%MariaDB%' THEN CONCAT(' DEFAULT ', c.COLUMN_DEFAULT)
      WHEN w.wanted LIKE 'VARCHAR%' THEN CONCAT(' DEFAULT ', QUOTE(c.COLUMN_DEFAULT))
      ELSE CONCAT(' DEFAULT (', QUOTE(c.COLUMN_DEFAULT), ')')
    END,
    IF(c.COLUMN_COMMENT = '', '', CONCAT(' COMMENT ', QUOTE(c.COLUMN_COMMENT)))
  ) ORDER BY c.ORDINAL_POSITION SEPARATOR ', '))
  FROM information_schema.COLUMNS c
  JOIN (
    SELECT 'bk_server' AS name, 'VARCHAR(255)' AS wanted, 255 AS size
    UNION ALL SELECT 'remote_server', 'VARCHAR(255)', 255
    UNION ALL SELECT 'real_path', 'TEXT', 65535
    UNION ALL SELECT 'tag', 'VARCHAR(255)', 255
  ) w ON CONVERT(c.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = w.name COLLATE utf8mb4_general_ci
  LEFT JOIN (
    SELECT DISTINCT COLUMN_NAME FROM information_schema.STATISTICS
    WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'user_backup_path'
  ) s ON CONVERT(s.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci
    = CONVERT(c.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci
    AND c.DATA_TYPE IN ('char', 'varchar')
  LEFT JOIN information_schema.COLLATIONS k
    ON CONVERT(k.COLLATION_NAME USING utf8mb4) COLLATE utf8mb4_general_ci
    = CONVERT(CONCAT('utf8mb4', SUBSTRING(c.COLLATION_NAME, LOCATE('_', c.COLLATION_NAME))) USING utf8mb4) COLLATE utf8mb4_general_ci
  WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'user_backup_path'
    AND (IF(w.wanted LIKE 'VARCHAR%' OR s.COLUMN_NAME IS NOT NULL, c.CHARACTER_MAXIMUM_LENGTH, c.CHARACTER_OCTET_LENGTH)
           < IF(w.wanted NOT LIKE 'VARCHAR%' AND s.COLUMN_NAME IS NOT NULL, 512, w.size)
         OR c.CHARACTER_SET_NAME <> 'utf8mb4')
), 'DO 0');
PREPARE mk_widen FROM @mk_ddl;
EXECUTE mk_widen;
DEALLOCATE PREPARE mk_widen;

SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE user_recover_info ', GROUP_CONCAT(CONCAT(
    'MODIFY `', c.COLUMN_NAME, '` ',
    CASE
      WHEN IF(w.wanted LIKE 'VARCHAR%', c.CHARACTER_MAXIMUM_LENGTH, c.CHARACTER_OCTET_LENGTH) >= w.size THEN c.COLUMN_TYPE
      WHEN w.wanted NOT LIKE 'VARCHAR%' AND s.COLUMN_NAME IS NOT NULL
        THEN CONCAT('VARCHAR(', GREATEST(512, c.CHARACTER_MAXIMUM_LENGTH), ')')
      ELSE w.wanted
    END,
    ' CHARACTER SET utf8mb4 COLLATE ', COALESCE(k.COLLATION_NAME, 'utf8mb4_general_ci'),
    IF(c.IS_NULLABLE = 'NO', ' NOT NULL', ' NULL'),
    CASE
      WHEN c.COLUMN_DEFAULT IS NULL OR c.COLUMN_DEFAULT = 'NULL' THEN ''
      WHEN VERSION() LIKE '%MariaDB%' THEN CONCAT(' DEFAULT ', c.COLUMN_DEFAULT)
      WHEN w.wanted LIKE 'VARCHAR%' THEN CONCAT(' DEFAULT ', QUOTE(c.COLUMN_DEFAULT))
      ELSE CONCAT(' DEFAULT (', QUOTE(c.COLUMN_DEFAULT), ')')
    END,
    IF(c.COLUMN_COMMENT = '', '', CONCAT(' COMMENT ', QUOTE(c.COLUMN_COMMENT)))
  ) ORDER BY c.ORDINAL_POSITION SEPARATOR ', '))
  FROM information_schema.COLUMNS c
  JOIN (
    SELECT 'bk_id' AS name, 'VARCHAR(36)' AS wanted, 36 AS size
    UNION ALL SELECT 'tag', 'VARCHAR(255)', 255
    UNION ALL SELECT 'backup_path', 'TEXT', 65535
    UNION ALL SELECT 'db', 'VARCHAR(255)', 255
  ) w ON CONVERT(c.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = w.name COLLATE utf8mb4_general_ci
  LEFT JOIN (
    SELECT DISTINCT COLUMN_NAME FROM information_schema.STATISTICS
    WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'user_recover_info'
  ) s ON CONVERT(s.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci
    = CONVERT(c.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci
    AND c.DATA_TYPE IN ('char', 'varchar')
  LEFT JOIN information_schema.COLLATIONS k
    ON CONVERT(k.COLLATION_NAME USING utf8mb4) COLLATE utf8mb4_general_ci
    = CONVERT(CONCAT('utf8mb4', SUBSTRING(c.COLLATION_NAME, LOCATE('_', c.COLLATION_NAME))) USING utf8mb4) COLLATE utf8mb4_general_ci
  WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'user_recover_info'
    AND (IF(w.wanted LIKE 'VARCHAR%' OR s.COLUMN_NAME IS NOT NULL, c.CHARACTER_MAXIMUM_LENGTH, c.CHARACTER_OCTET_LENGTH)
           < IF(w.wanted NOT LIKE 'VARCHAR%' AND s.COLUMN_NAME IS NOT NULL, 512, w.size)
         OR c.CHARACTER_SET_NAME <> 'utf8mb4')
), 'DO 0');
PREPARE mk_widen FROM @mk_ddl;
EXECUTE mk_widen;
DEALLOCATE PREPARE mk_widen;
