-- The median run of each case, beside plain SKIP LOCKED in the same measure.
CREATE TEMPORARY VIEW median AS
SELECT *
FROM (SELECT r.*, count(*) OVER of_case AS runs, min(ordinality) OVER of_case AS position,
		row_number() OVER (PARTITION BY measure, system ORDER BY configs_per_s) AS place
	FROM (SELECT line, row_number() OVER () AS ordinality FROM run) AS lines,
		jsonb_to_record(line) AS r (measure text, system text, configs_per_s numeric, claim_p50_ms numeric, round_p50_ms numeric,
		round_p99_ms numeric, cpu_us numeric, wal_bytes numeric, hot_share numeric, relations_mb numeric, mean_batch numeric,
		empty_claims numeric, populated numeric, populate_s numeric, checkpoints numeric)
	WINDOW of_case AS (PARTITION BY measure, system)) AS numbered
WHERE place = (runs + 1) / 2;

SELECT m.measure, m.system, round(m.configs_per_s) AS "configs/s", round(m.configs_per_s / plain.configs_per_s, 2) AS "ratio",
	round(m.claim_p50_ms, 2) AS "claim p50 ms", round(m.round_p50_ms, 2) AS "p50 ms", round(m.round_p99_ms, 2) AS "p99 ms",
	round(m.cpu_us, 2) AS "cpu us", round(m.cpu_us / plain.cpu_us, 2) AS "ratio",
	round(m.wal_bytes) AS "WAL B", round(m.wal_bytes / plain.wal_bytes, 2) AS "ratio", round(100 * m.hot_share, 1) AS "HOT %",
	round(m.relations_mb, 1) AS "MB", round(m.mean_batch, 1) AS batch, m.empty_claims AS empty, round(m.populated / m.populate_s) AS "populate/s",
	CASE WHEN m.checkpoints > 0 THEN 'CHECKPOINT INSIDE' ELSE '' END AS " "
FROM median AS m LEFT JOIN median AS plain ON plain.measure = m.measure AND plain.system = 'skip-locked'
ORDER BY m.position;
