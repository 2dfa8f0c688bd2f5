-- Sample data for deploy/quickstart.sh and the end-to-end tests: small, but of every kind that has ever gone
-- wrong in a backup. The same on every machine: nothing here depends on the clock or on chance.
--
-- @mykeeper_orders: rows of shop.orders; 20000 unless set before.
-- @mykeeper_note_bytes: bytes of text in each of them; 64 unless set before.

SET @mykeeper_orders = COALESCE(@mykeeper_orders, 20000);
SET @mykeeper_note_bytes = COALESCE(@mykeeper_note_bytes, 64);
SET NAMES utf8mb4;
SET SESSION sql_mode = 'NO_ENGINE_SUBSTITUTION';
SET SESSION time_zone = '+00:00';

-- The shop: what most databases look like.
CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
USE shop;

CREATE TABLE customers (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(60) NOT NULL,
  city VARCHAR(60) CHARACTER SET latin1 COLLATE latin1_swedish_ci DEFAULT NULL,
  born DATE NOT NULL DEFAULT '0000-00-00',
  UNIQUE KEY by_name (name)
) ENGINE=InnoDB COMMENT='people; it''s "quoted"';
INSERT INTO customers (name, city, born)
  SELECT CONCAT('customer ', seq, ELT(1 + seq % 3, '', ' 王', ' Ünal')), ELT(1 + seq % 4, 'Köln', 'Malmö', NULL, 'O''Hara\\City'),
         IF(seq % 5 = 0, '0000-00-00', DATE_ADD('1950-01-01', INTERVAL seq DAY))
  FROM seq_1_to_500;

CREATE TABLE orders (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  customer_id INT UNSIGNED NOT NULL,
  amount DECIMAL(12,2) NOT NULL,
  vat DECIMAL(12,2) GENERATED ALWAYS AS (ROUND(amount * 0.19, 2)) STORED,
  label VARCHAR(40) GENERATED ALWAYS AS (CONCAT('order ', amount)) VIRTUAL,
  state ENUM('new','paid','sent') NOT NULL DEFAULT 'new',
  placed_at DATETIME(6) NOT NULL,
  shipped_on DATE NOT NULL DEFAULT '0000-00-00',
  attributes JSON DEFAULT NULL,
  flags BIT(12) NOT NULL DEFAULT b'0',
  receipt BLOB DEFAULT NULL,
  note TEXT DEFAULT NULL,
  KEY by_customer (customer_id),
  CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers (id)
) ENGINE=InnoDB;
INSERT INTO orders (customer_id, amount, state, placed_at, shipped_on, attributes, flags, receipt, note)
  SELECT 1 + seq % 500, seq * 1.37, ELT(1 + seq % 3, 'new', 'paid', 'sent'),
         TIMESTAMPADD(MICROSECOND, seq * 7919000 + seq, '2024-03-30 22:00:00'),
         IF(seq % 7 = 0, '0000-00-00', '2024-04-01'),
         IF(seq % 11 = 0, NULL, JSON_OBJECT('n', seq, 'tags', JSON_ARRAY('a"b', '数', seq / 4))),
         seq % 4096, IF(seq % 13 = 0, NULL, UNHEX(SHA2(seq, 256))),
         -- Digests hardly compress: the set's size is what the number of rows says.
         LEFT(REPEAT(SHA2(seq + 7, 512), 1 + @mykeeper_note_bytes DIV 128), @mykeeper_note_bytes)
  FROM seq_1_to_10000000 WHERE seq <= @mykeeper_orders;

CREATE TABLE order_items (
  order_id BIGINT UNSIGNED NOT NULL,
  item SMALLINT NOT NULL,
  year SMALLINT NOT NULL,
  quantity INT NOT NULL,
  PRIMARY KEY (order_id, item, year)
) ENGINE=InnoDB
  PARTITION BY RANGE (year) (
    PARTITION p2022 VALUES LESS THAN (2023),
    PARTITION p2023 VALUES LESS THAN (2024),
    PARTITION rest VALUES LESS THAN MAXVALUE
  );
INSERT INTO order_items SELECT seq, seq % 3, 2022 + seq % 4, seq % 90 FROM seq_1_to_3000;

CREATE TABLE audit (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, order_id BIGINT UNSIGNED, what VARCHAR(80)) ENGINE=InnoDB;

CREATE TABLE visits (at DATETIME NOT NULL, path VARCHAR(200) NOT NULL, KEY by_at (at)) ENGINE=MyISAM;
INSERT INTO visits SELECT TIMESTAMPADD(SECOND, seq, '2024-01-01'), CONCAT('/p/', seq % 17, '?q=%25\t\n') FROM seq_1_to_1000;

CREATE TABLE pictures (id INT NOT NULL PRIMARY KEY, body LONGBLOB NOT NULL) ENGINE=InnoDB;
INSERT INTO pictures
  SELECT seq, CONCAT(UNHEX('00010A0D1A22275C25FFFE80'), UNHEX(REPEAT(SHA2(seq, 512), 40))) FROM seq_1_to_40;

CREATE TABLE shapes (id INT NOT NULL PRIMARY KEY, spot POINT NOT NULL, ratio DOUBLE NOT NULL, tiny FLOAT, y YEAR, t TIME(3)) ENGINE=InnoDB;
INSERT INTO shapes SELECT seq, POINT(seq, -seq / 3), 1 / seq, 0.1 * seq, 2000 + seq, SEC_TO_TIME(seq * 61.125) FROM seq_1_to_50;

-- Two tables that refer to each other: neither can come first.
CREATE TABLE teams (id INT NOT NULL PRIMARY KEY, lead_id INT DEFAULT NULL) ENGINE=InnoDB;
CREATE TABLE members (id INT NOT NULL PRIMARY KEY, team_id INT NOT NULL,
  CONSTRAINT member_team FOREIGN KEY (team_id) REFERENCES teams (id)) ENGINE=InnoDB;
ALTER TABLE teams ADD CONSTRAINT team_lead FOREIGN KEY (lead_id) REFERENCES members (id);
INSERT INTO teams SELECT seq, NULL FROM seq_1_to_5;
INSERT INTO members SELECT seq, 1 + seq % 5 FROM seq_1_to_20;
UPDATE teams SET lead_id = (SELECT MIN(members.id) FROM members WHERE members.team_id = teams.id);

CREATE VIEW paid_orders AS SELECT id, customer_id, amount FROM orders WHERE state = 'paid';
CREATE VIEW best_customers AS
  SELECT c.name, SUM(p.amount) AS total FROM customers c JOIN paid_orders p ON p.customer_id = c.id GROUP BY c.id;

DELIMITER //
CREATE TRIGGER orders_audit AFTER UPDATE ON orders FOR EACH ROW
BEGIN
  -- a semicolon; within
  INSERT INTO audit (order_id, what) VALUES (NEW.id, CONCAT(OLD.state, ' -> ', NEW.state));
END//
CREATE TRIGGER customers_trim BEFORE INSERT ON customers FOR EACH ROW SET NEW.name = TRIM(NEW.name)//
CREATE PROCEDURE settle(IN which BIGINT) MODIFIES SQL DATA
BEGIN
  UPDATE orders SET state = 'paid' WHERE id = which;
END//
CREATE FUNCTION gross(net DECIMAL(12,2)) RETURNS DECIMAL(12,2) DETERMINISTIC RETURN ROUND(net * 1.19, 2)//
CREATE EVENT sweep ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO
BEGIN
  DELETE FROM audit WHERE id < 0;
END//
DELIMITER ;

-- Names that file names, regular expressions and option files stumble over.
CREATE DATABASE `shop.eu` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE `shop.eu`.`order lines.2017` (`a b` INT NOT NULL PRIMARY KEY, `c.d` VARCHAR(20)) ENGINE=InnoDB;
INSERT INTO `shop.eu`.`order lines.2017` SELECT seq, CONCAT('line ', seq) FROM seq_1_to_200;
CREATE VIEW `shop.eu`.`lines view` AS SELECT `a b` FROM `shop.eu`.`order lines.2017`;

CREATE DATABASE `shop_old` CHARACTER SET latin1 COLLATE latin1_swedish_ci;
CREATE TABLE `shop_old`.`orders` (id INT NOT NULL PRIMARY KEY, note VARCHAR(40)) ENGINE=InnoDB;
INSERT INTO `shop_old`.`orders` SELECT seq, CONCAT('süß ', seq) FROM seq_1_to_100;

CREATE DATABASE `日志 库-1` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
CREATE TABLE `日志 库-1`.`价格$-a b` (id INT NOT NULL PRIMARY KEY, 种类 ENUM('苹果','香蕉','樱桃') NOT NULL, 备注 TEXT) ENGINE=InnoDB;
INSERT INTO `日志 库-1`.`价格$-a b` SELECT seq, 1 + seq % 3, REPEAT('备份😀', seq % 9) FROM seq_1_to_300;

CREATE DATABASE `pay$roll` CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
CREATE TABLE `pay$roll`.`grade-a` (id INT NOT NULL PRIMARY KEY, pay DECIMAL(10,4) NOT NULL) ENGINE=InnoDB;
INSERT INTO `pay$roll`.`grade-a` SELECT seq, seq / 7 FROM seq_1_to_50;

CREATE DATABASE `my-schema` CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
CREATE TABLE `my-schema`.`t-schema` (id INT NOT NULL PRIMARY KEY) ENGINE=InnoDB;
INSERT INTO `my-schema`.`t-schema` SELECT seq FROM seq_1_to_10;

CREATE DATABASE union_log_ad_201711_db CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
CREATE TABLE union_log_ad_201711_db.log (id INT NOT NULL PRIMARY KEY, line VARCHAR(100)) ENGINE=InnoDB;
INSERT INTO union_log_ad_201711_db.log SELECT seq, SHA1(seq) FROM seq_1_to_500;
CREATE DATABASE union_log_ad_201712_db CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
CREATE TABLE union_log_ad_201712_db.log LIKE union_log_ad_201711_db.log;
INSERT INTO union_log_ad_201712_db.log SELECT seq, MD5(seq) FROM seq_1_to_500;

CREATE DATABASE empty_one CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
