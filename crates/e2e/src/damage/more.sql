-- What the sample lacks: two columns of one type that could take each other's place, a table whose rows may be there
-- twice, one with numbers that were given away and one that has nothing else, a sequence, two triggers of one kind on a
-- table, an account of its own for definers, an event that is disabled.
CREATE USER 'app'@'%';
GRANT ALL PRIVILEGES ON shop.* TO 'app'@'%';
USE shop;
-- Each set is read and loaded again and again.
DELETE FROM orders WHERE id > 2000;
CREATE TABLE twins (id INT NOT NULL PRIMARY KEY, bought INT NOT NULL, sold INT NOT NULL, ratio FLOAT, day DATE) ENGINE=InnoDB;
INSERT INTO twins SELECT seq, seq * 3, seq * 5, seq / 8, IF(seq % 2, '0000-00-00', '2024-02-29') FROM seq_1_to_100;
CREATE TABLE log_lines (line VARCHAR(80) NOT NULL, note VARCHAR(20) DEFAULT NULL) ENGINE=InnoDB;
INSERT INTO log_lines SELECT CONCAT('line ', seq), IF(seq % 10, '', NULL) FROM seq_1_to_200;
CREATE TABLE counters (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, note TEXT) ENGINE=InnoDB AUTO_INCREMENT=5000;
INSERT INTO counters (id) VALUES (1), (2), (3);
CREATE TABLE vouchers (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY) ENGINE=InnoDB AUTO_INCREMENT=5000;
CREATE SEQUENCE tickets START WITH 7 INCREMENT BY 2 CACHE 10;
DO NEXTVAL(tickets);
CREATE DEFINER='app'@'%' VIEW app_orders AS SELECT id FROM orders;
CREATE TRIGGER twins_first BEFORE INSERT ON twins FOR EACH ROW SET NEW.bought = NEW.bought;
CREATE TRIGGER twins_second BEFORE INSERT ON twins FOR EACH ROW FOLLOWS twins_first SET NEW.sold = NEW.sold;
CREATE EVENT report ON SCHEDULE EVERY 2 HOUR STARTS '2031-01-01 00:00:00' DISABLE DO SET @reported = 1;
