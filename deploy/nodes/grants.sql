-- The catalog's database, and an account in it for each node: a password that leaks is changed on one host. The rights
-- are the same for every role; nothing but this database is touched.
CREATE DATABASE IF NOT EXISTS catalogdb CHARACTER SET utf8mb4;

-- A database host. Repeat for each, with its own name and address.
CREATE USER 'keeper_db1'@'10.0.0.11' IDENTIFIED BY 'password of db1';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON catalogdb.* TO 'keeper_db1'@'10.0.0.11';

-- The backup host.
CREATE USER 'keeper_vault'@'10.0.0.20' IDENTIFIED BY 'password of vault';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON catalogdb.* TO 'keeper_vault'@'10.0.0.20';

-- A host that proves.
CREATE USER 'keeper_prover'@'10.0.0.21' IDENTIFIED BY 'password of prover';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON catalogdb.* TO 'keeper_prover'@'10.0.0.21';
