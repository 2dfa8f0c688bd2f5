-- The three tables of pybackup with its names and meanings. Times are wall-clock, 'YYYY-MM-DD HH:MM:SS'.
CREATE TABLE IF NOT EXISTS user_backup (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  bk_id TEXT NOT NULL COLLATE NOCASE UNIQUE,
  bk_server TEXT NOT NULL,
  start_time TEXT NOT NULL,
  end_time TEXT NOT NULL,
  elapsed_time INTEGER NOT NULL,
  backuped_db TEXT DEFAULT NULL,
  is_complete TEXT DEFAULT NULL,
  bk_size TEXT NOT NULL,
  bk_dir TEXT NOT NULL,
  transfer_start TEXT DEFAULT NULL,
  transfer_end TEXT DEFAULT NULL,
  transfer_elapsed INTEGER DEFAULT NULL,
  transfer_complete TEXT NOT NULL,
  remote_dest TEXT NOT NULL,
  master_status TEXT NOT NULL,
  slave_status TEXT NOT NULL,
  tool_version TEXT NOT NULL,
  server_version TEXT NOT NULL,
  pybackup_version TEXT DEFAULT NULL,
  bk_command TEXT DEFAULT NULL,
  tag TEXT NOT NULL DEFAULT 'N/A',
  is_deleted TEXT NOT NULL DEFAULT 'N',
  validate_status TEXT NOT NULL DEFAULT 'N/A'
);
CREATE INDEX IF NOT EXISTS idx_start_time ON user_backup (start_time);
CREATE INDEX IF NOT EXISTS idx_transfer_start ON user_backup (transfer_start);

CREATE TABLE IF NOT EXISTS user_backup_path (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  bk_server TEXT NOT NULL,
  remote_server TEXT NOT NULL,
  real_path TEXT NOT NULL,
  tag TEXT NOT NULL,
  is_offline TEXT NOT NULL DEFAULT 'N'
);

CREATE TABLE IF NOT EXISTS user_recover_info (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  bk_id TEXT NOT NULL COLLATE NOCASE,
  tag TEXT NOT NULL DEFAULT 'N/A',
  backup_path TEXT NOT NULL,
  db TEXT NOT NULL,
  start_time TEXT NOT NULL,
  end_time TEXT NOT NULL,
  elapsed_time INTEGER NOT NULL,
  recover_status TEXT DEFAULT NULL,
  validate_time TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
