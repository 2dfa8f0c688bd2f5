-- The three tables of pybackup as its documentation gives them. Where they exist already they stay as they are:
-- the next two migrations widen and extend them, whichever way they came to be.
-- MySQL commits each DDL statement by itself, so every migration here can be run again after a crash half way.
CREATE TABLE IF NOT EXISTS user_backup (
  id INT NOT NULL AUTO_INCREMENT,
  bk_id VARCHAR(36) NOT NULL,
  bk_server VARCHAR(15) NOT NULL,
  start_time DATETIME NOT NULL,
  end_time DATETIME NOT NULL,
  elapsed_time INT NOT NULL,
  backuped_db VARCHAR(2048) DEFAULT NULL,
  is_complete VARCHAR(200) DEFAULT NULL,
  bk_size VARCHAR(10) NOT NULL,
  bk_dir VARCHAR(200) NOT NULL,
  transfer_start DATETIME DEFAULT NULL,
  transfer_end DATETIME DEFAULT NULL,
  transfer_elapsed INT DEFAULT NULL,
  transfer_complete VARCHAR(20) NOT NULL,
  remote_dest VARCHAR(200) NOT NULL,
  master_status VARCHAR(200) NOT NULL,
  slave_status VARCHAR(200) NOT NULL,
  tool_version VARCHAR(200) NOT NULL,
  server_version VARCHAR(200) NOT NULL,
  pybackup_version VARCHAR(200) DEFAULT NULL,
  bk_command VARCHAR(2048) DEFAULT NULL,
  tag VARCHAR(200) NOT NULL DEFAULT 'N/A',
  is_deleted CHAR(1) NOT NULL DEFAULT 'N',
  validate_status VARCHAR(20) NOT NULL DEFAULT 'N/A',
  PRIMARY KEY (id),
  UNIQUE KEY bk_id (bk_id),
  KEY idx_start_time (start_time),
  KEY idx_transfer_start (transfer_start)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;

CREATE TABLE IF NOT EXISTS user_backup_path (
  id INT NOT NULL AUTO_INCREMENT,
  bk_server VARCHAR(15) NOT NULL,
  remote_server VARCHAR(15) NOT NULL,
  real_path VARCHAR(200) NOT NULL,
  tag VARCHAR(200) NOT NULL,
  is_offline CHAR(1) NOT NULL DEFAULT 'N',
  PRIMARY KEY (id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;

CREATE TABLE IF NOT EXISTS user_recover_info (
  id INT NOT NULL AUTO_INCREMENT,
  bk_id VARCHAR(36) NOT NULL,
  tag VARCHAR(200) NOT NULL DEFAULT 'N/A',
  backup_path VARCHAR(2000) NOT NULL,
  db VARCHAR(200) NOT NULL,
  start_time DATETIME NOT NULL,
  end_time DATETIME NOT NULL,
  elapsed_time INT NOT NULL,
  recover_status VARCHAR(20) DEFAULT NULL,
  validate_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
