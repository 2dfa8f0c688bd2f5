-- TEXT has no width: there is nothing to widen here. The number is kept in step with MySQL's.
SELECT 1;
