-- When a set was begun by the clock of the catalog's server, where that of the machine that made it was behind: retention goes by
-- the later of the two.
CREATE TABLE IF NOT EXISTS mk_set_clock (
  bk_id VARCHAR(36) NOT NULL PRIMARY KEY,
  begun_ms BIGINT NOT NULL
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
