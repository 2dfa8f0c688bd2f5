-- What belongs to a set: its files, its evidence, and its way to its destinations.
CREATE TABLE IF NOT EXISTS mk_file (
  bk_id CHAR(36) NOT NULL,
  number BIGINT NOT NULL,
  path TEXT NOT NULL,
  size_bytes BIGINT NOT NULL,
  blake3 CHAR(64) NOT NULL,
  plain_bytes BIGINT NOT NULL,
  data_rows BIGINT NULL,
  PRIMARY KEY (bk_id, number)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- JSON in parts, because one statement cannot be larger than max_allowed_packet.
CREATE TABLE IF NOT EXISTS mk_evidence (
  bk_id CHAR(36) NOT NULL,
  part BIGINT NOT NULL,
  json MEDIUMTEXT NOT NULL,
  PRIMARY KEY (bk_id, part)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Where a set should be and whether it is there: what the attempts in mk_transfer have come to, so that what is
-- pending among a million sets is found through an index. Its bk_id is joined to user_backup's and collates like it,
-- which is not the same everywhere: an adopted table keeps the site's collation.
CREATE TABLE IF NOT EXISTS mk_delivery (
  bk_id VARCHAR(36) COLLATE utf8mb4_general_ci NOT NULL,
  destination VARCHAR(100) NOT NULL,
  node VARCHAR(100) NOT NULL,
  arrived SMALLINT NOT NULL,
  ended_ms BIGINT NULL,
  PRIMARY KEY (bk_id, destination),
  KEY mk_delivery_due (node, destination, arrived, ended_ms)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

SET @mk_ddl = IFNULL((
  SELECT CONCAT('ALTER TABLE mk_delivery MODIFY bk_id VARCHAR(36) CHARACTER SET ', b.CHARACTER_SET_NAME,
    ' COLLATE ', b.COLLATION_NAME, ' NOT NULL')
  FROM information_schema.COLUMNS b
  JOIN information_schema.COLUMNS d ON d.TABLE_SCHEMA = b.TABLE_SCHEMA
  WHERE b.TABLE_SCHEMA = DATABASE() AND b.TABLE_NAME = 'user_backup' AND b.COLUMN_NAME = 'bk_id'
    AND d.TABLE_NAME = 'mk_delivery' AND d.COLUMN_NAME = 'bk_id' AND d.COLLATION_NAME <> b.COLLATION_NAME
), 'DO 0');
PREPARE mk_collate FROM @mk_ddl;
EXECUTE mk_collate;
DEALLOCATE PREPARE mk_collate;

CREATE TABLE IF NOT EXISTS mk_transfer (
  id CHAR(36) NOT NULL,
  run_id CHAR(36) NULL,
  bk_id CHAR(36) NOT NULL,
  node VARCHAR(100) NOT NULL,
  destination VARCHAR(100) NOT NULL,
  target TEXT NOT NULL,
  number BIGINT NOT NULL,
  purpose VARCHAR(16) NOT NULL,
  state VARCHAR(16) NOT NULL,
  reason MEDIUMTEXT NULL,
  sent_bytes BIGINT NULL,
  started_ms BIGINT NOT NULL,
  finished_ms BIGINT NULL,
  PRIMARY KEY (id),
  KEY mk_transfer_set (bk_id, started_ms),
  KEY mk_transfer_state (node, state, started_ms)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
