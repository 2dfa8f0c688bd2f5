-- When a set was begun by the clock of the catalog's server, where that of the machine that made it was behind: retention goes by
-- the later of the two. An embedded catalog has no clock of its own, and a row is never written here.
CREATE TABLE IF NOT EXISTS mk_set_clock (
  bk_id TEXT NOT NULL PRIMARY KEY,
  begun_ms INTEGER NOT NULL
) WITHOUT ROWID;
