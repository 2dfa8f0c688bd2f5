-- SQLite has no columns that are not seen, and pybackup never wrote into one. The number is kept in step with MySQL's.
SELECT 1;
