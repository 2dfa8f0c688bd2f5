-- What a proof tells beyond its verdict, and its place among the proofs of its server. All of it is unknown for proofs
-- that were recorded before: a chain begins with the first that is recorded after.
-- Each ALTER is made from what is missing, so that it can be run again after it was cut off; nothing missing is 'DO 0'.
SET SESSION group_concat_max_len = 1000000;

SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE mk_proof ', GROUP_CONCAT(
    CONCAT('ADD COLUMN `', w.name, '` ', w.definition) ORDER BY w.position SEPARATOR ', '))
  FROM (
    SELECT 0 AS position, 'dumper_version' AS name, 'TEXT NULL' AS definition
    UNION ALL SELECT 1, 'source_version', 'TEXT NULL'
    UNION ALL SELECT 2, 'asserts_json', 'LONGTEXT NULL'
    UNION ALL SELECT 3, 'warnings_json', 'LONGTEXT NULL'
    UNION ALL SELECT 4, 'bytes_checked', 'BIGINT NULL'
    UNION ALL SELECT 5, 'bytes_loaded', 'BIGINT NULL'
    UNION ALL SELECT 6, 'load_ms', 'BIGINT NULL'
    UNION ALL SELECT 7, 'manifest_blake3', 'CHAR(64) NULL'
    UNION ALL SELECT 8, 'evidence_blake3', 'CHAR(64) NULL'
    UNION ALL SELECT 9, 'set_started_ms', 'BIGINT NULL'
    UNION ALL SELECT 10, 'chain', 'VARCHAR(255) NULL'
    UNION ALL SELECT 11, 'chain_number', 'BIGINT NULL'
    UNION ALL SELECT 12, 'previous_digest', 'CHAR(64) NULL'
    UNION ALL SELECT 13, 'digest', 'CHAR(64) NULL'
  ) w
  WHERE NOT EXISTS (
    SELECT 1 FROM information_schema.COLUMNS c
    WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'mk_proof'
      AND CONVERT(c.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = w.name COLLATE utf8mb4_general_ci)
), 'DO 0');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;

SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE mk_proof_database ', GROUP_CONCAT(
    CONCAT('ADD COLUMN `', w.name, '` ', w.definition) ORDER BY w.position SEPARATOR ', '))
  FROM (
    SELECT 0 AS position, 'tables_exact' AS name, 'BIGINT NULL' AS definition
    UNION ALL SELECT 1, 'tables_counted', 'BIGINT NULL'
  ) w
  WHERE NOT EXISTS (
    SELECT 1 FROM information_schema.COLUMNS c
    WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'mk_proof_database'
      AND CONVERT(c.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = w.name COLLATE utf8mb4_general_ci)
), 'DO 0');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;

-- Two who record at once cannot both follow the same proof.
SET @mk_ddl = IF(EXISTS (
  SELECT 1 FROM information_schema.STATISTICS s
  WHERE s.TABLE_SCHEMA = DATABASE() AND s.TABLE_NAME = 'mk_proof' AND s.INDEX_NAME = 'mk_proof_chain'
), 'DO 0', 'ALTER TABLE mk_proof ADD UNIQUE KEY mk_proof_chain (chain, chain_number)');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;

-- What the digest is of, word for word; in parts as mk_evidence.
CREATE TABLE IF NOT EXISTS mk_proof_document (
  proof_id CHAR(36) NOT NULL,
  part BIGINT NOT NULL,
  json MEDIUMTEXT NOT NULL,
  PRIMARY KEY (proof_id, part)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
