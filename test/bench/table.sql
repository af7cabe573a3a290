-- What was measured, by its round.
CREATE TEMPORARY TABLE measured AS
SELECT line ->> 'measure' AS measure, line ->> 'system' AS system, (line ->> 'round')::int AS round, key,
	(line ->> 'cycle')::int AS cycle, (value #>> '{}')::numeric AS value, n
FROM (SELECT line, row_number() OVER () AS n FROM run) AS lines, jsonb_each(line)
WHERE jsonb_typeof(value) = 'number';

-- Every figure is the median of its rounds.
CREATE TEMPORARY TABLE figures AS
SELECT measure, system, key, percentile_disc(0.5) WITHIN GROUP (ORDER BY value) AS median, max(value) AS most,
	min(value) FILTER (WHERE cycle = 1) AS first, min(n) AS position
FROM measured GROUP BY 1, 2, 3;

CREATE FUNCTION pg_temp.figure(measure text, system text, key text) RETURNS numeric STABLE LANGUAGE sql
AS $$ SELECT median FROM figures AS f WHERE (f.measure, f.system, f.key) = ($1, $2, $3) $$;

-- How a figure compares with another one: each run with that of its own round, since the machine is never the same for long,
-- and of these quotients the median.  Of several systems the one with the most counts.
CREATE FUNCTION pg_temp.quotient(measure text, system text, key text, other_measure text, other_systems text[], other_key text)
RETURNS numeric STABLE LANGUAGE sql
AS $$
	SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY m.value / o.value)
	FROM measured AS m JOIN
		(SELECT round, max(value) AS value FROM measured AS o
		 WHERE o.measure = $4 AND o.system = ANY ($5) AND o.key = $6 GROUP BY round) AS o USING (round)
	WHERE (m.measure, m.system, m.key) = ($1, $2, $3)
$$;

-- that of another system in the same measure, and of the same system in another measure
CREATE FUNCTION pg_temp.to_system(other text, key text, measure text, system text) RETURNS numeric STABLE LANGUAGE sql
AS $$ SELECT pg_temp.quotient($3, $4, $2, $3, ARRAY[$1], $2) $$;

CREATE FUNCTION pg_temp.to_measure(other text, key text, measure text, system text) RETURNS numeric STABLE LANGUAGE sql
AS $$ SELECT pg_temp.quotient($3, $4, $2, $1, ARRAY[$4], $2) $$;

-- the last tenth of a run to its first
CREATE FUNCTION pg_temp.last_to_first(key text, measure text, system text) RETURNS numeric STABLE LANGUAGE sql
AS $$ SELECT pg_temp.quotient($2, $3, $1 || '_last', $2, ARRAY[$3], $1 || '_first') $$;

-- the rate of a system to that of the best of those that keep a state for each job, like for like
CREATE FUNCTION pg_temp.to_best_peer(base text, measure text, system text) RETURNS numeric STABLE LANGUAGE sql
AS $$ SELECT pg_temp.quotient($2, $3, 'configs_per_s', $1, '{skip-locked,graphile-worker,pg-boss}', 'configs_per_s') $$;

\echo
\echo 'Claim + complete.  The quotients are to plain SKIP LOCKED in the same measure and round; others: the share of all processors that'
\echo 'programs had which have nothing to do with this.'
SELECT measure, system, round(rate) AS "configs/s",
	round(pg_temp.to_system('skip-locked', 'configs_per_s', measure, system), 2) AS quotient,
	round(pg_temp.figure(measure, system, 'round_p50_ms'), 2) AS "p50 ms",
	round(pg_temp.figure(measure, system, 'round_p99_ms'), 2) AS "p99 ms",
	round(pg_temp.figure(measure, system, 'cpu_us'), 1) AS "CPU us",
	round(pg_temp.to_system('skip-locked', 'cpu_us', measure, system), 2) AS quotient,
	round(pg_temp.figure(measure, system, 'wal_bytes')) AS "WAL B",
	round(pg_temp.to_system('skip-locked', 'wal_bytes', measure, system), 2) AS quotient,
	round(100 * pg_temp.figure(measure, system, 'hot_share'), 1) AS "HOT %",
	round(pg_temp.figure(measure, system, 'relations_mb'), 1) AS "MB",
	round(pg_temp.figure(measure, system, 'mean_batch'), 1) AS batch,
	pg_temp.figure(measure, system, 'empty_claims') AS empty,
	pg_temp.figure(measure, system, 'populated_per_s') AS "populate/s",
	round(100 * pg_temp.figure(measure, system, 'others_share')) AS "others %",
	CASE WHEN pg_temp.figure(measure, system, 'checkpoints') > 0 THEN 'CHECKPOINT INSIDE' ELSE '' END AS " "
FROM (SELECT measure, system, median AS rate, position FROM figures
	WHERE key = 'configs_per_s' AND (measure ~ '^(batch|results)-')) AS f
ORDER BY position;

\echo 'As it grows.  First and last are tenths of the configs of a run.'
SELECT measure, system, round(pg_temp.figure(measure, system, 'claim_p50_ms'), 3) AS "claim p50 ms",
	round(pg_temp.figure(measure, system, 'cpu_us'), 1) AS "CPU us",
	round(pg_temp.figure(measure, system, 'claim_p50_first'), 3) AS "first",
	round(pg_temp.figure(measure, system, 'claim_p50_last'), 3) AS "last ms",
	round(pg_temp.last_to_first('claim_p50', measure, system), 2) AS quotient,
	round(pg_temp.figure(measure, system, 'rate_first')) AS "first",
	round(pg_temp.figure(measure, system, 'rate_last')) AS "last configs/s",
	round(pg_temp.last_to_first('rate', measure, system), 2) AS quotient,
	round(100 * pg_temp.figure(measure, system, 'others_share')) AS "others %"
FROM (SELECT measure, system, position FROM figures
	WHERE key = 'configs_per_s' AND (measure ~ '^(pending|held|in-flight)-')) AS f
ORDER BY position;

\echo 'What else is asked of it.'
SELECT measure, key AS figure, first, median, most
FROM figures
WHERE (measure ~ '^populate' AND key IN ('populated_per_s', 'selected_per_s', 'copied_per_s', 'share', 'cpu_share', 'cells'))
	OR (measure ~ '^progress' AND key = 'progress_p50_ms')
	OR (measure IN ('worker-calls', 'heartbeats') AND key IN ('configs_per_s', 'cpu_us', 'wal_bytes', 'round_p50_ms', 'round_p99_ms'))
	OR (measure = 'cycles' AND key IN ('hot_mb', 'configs_per_s', 'populated_per_s'))
ORDER BY position, key;

\echo 'The goals.  (a) is benchorch without worker, (b) with eight registered workers.  What was not measured is left out.  A peer is asked for'
\echo 'a number of rows that is a parameter; what plain SKIP LOCKED does with a constant number stands above.'
SELECT what, goal, round(figure, 2) AS figure,
	CASE WHEN figure = bound OR (figure > bound) = (goal LIKE '>=%') THEN 'reached' ELSE 'MISSED' END AS " "
FROM (VALUES
	('(b) batch 100, like for like / best peer with a state per job', '>= 2',
		pg_temp.to_best_peer('batch-100', 'batch-100', 'benchorch-workers')),
	('(b) batch 100, own way, claim not flushed / the same peer', '>= 2.5',
		pg_temp.to_best_peer('batch-100', 'batch-100-own', 'benchorch-workers')),
	('(b) batch 100, own way, claim not flushed / SKIP LOCKED in the same way', '>= 2.5',
		pg_temp.to_system('skip-locked', 'configs_per_s', 'batch-100-own', 'benchorch-workers')),
	('(b) batch 100, own way in one transaction / the same peer', '>= 2.5',
		pg_temp.to_best_peer('batch-100', 'batch-100-once', 'benchorch-workers')),
	('(b) batch 100, own way in one transaction / SKIP LOCKED in the same way', '>= 2.5',
		pg_temp.to_system('skip-locked', 'configs_per_s', 'batch-100-once', 'benchorch-workers')),
	('(a) batch 100, like for like / best peer', '>= 1.5',
		pg_temp.to_best_peer('batch-100', 'batch-100', 'benchorch')),
	('(b) batch 1, like for like / best peer', '>= 1.4',
		pg_temp.to_best_peer('batch-1', 'batch-1', 'benchorch-workers')),
	('(a) batch 1, like for like / best peer', '>= 1.4',
		pg_temp.to_best_peer('batch-1', 'batch-1', 'benchorch')),
	('(b) batch 1, own way, claim not flushed / the same peer', '>= 2.5',
		pg_temp.to_best_peer('batch-1', 'batch-1-own', 'benchorch-workers')),
	('(a) batch 1, own way, claim not flushed / the same peer', '>= 2.5',
		pg_temp.to_best_peer('batch-1', 'batch-1-own', 'benchorch')),
	('(b) batch 1, own way in one transaction, by claim_next / the same peer', '>= 2.5',
		pg_temp.to_best_peer('batch-1', 'batch-1-once', 'benchorch-workers')),
	('(a) batch 1, own way in one transaction, by claim_next / the same peer', '>= 2.5',
		pg_temp.to_best_peer('batch-1', 'batch-1-once', 'benchorch')),
	('(b) batch 100, WAL per config / SKIP LOCKED', '<= 0.60',
		pg_temp.to_system('skip-locked', 'wal_bytes', 'batch-100', 'benchorch-workers')),
	('(b) batch 100, server CPU per config / SKIP LOCKED', '<= 0.50',
		pg_temp.to_system('skip-locked', 'cpu_us', 'batch-100', 'benchorch-workers')),
	('(a) batch 100, server CPU per config / SKIP LOCKED', '<= 0.50',
		pg_temp.to_system('skip-locked', 'cpu_us', 'batch-100', 'benchorch')),
	('(a) claim p50, 5,000,000 pending / 10,000', '<= 1.2',
		pg_temp.to_measure('pending-10k', 'claim_p50_ms', 'pending-5m', 'benchorch')),
	('(a) the same in server CPU per config', '<= 1.2',
		pg_temp.to_measure('pending-10k', 'cpu_us', 'pending-5m', 'benchorch')),
	('(b) claim p50, 5,000,000 pending / 10,000', '<= 1.2',
		pg_temp.to_measure('pending-10k', 'claim_p50_ms', 'pending-5m', 'benchorch-workers')),
	('(b) the same in server CPU per config', '<= 1.2',
		pg_temp.to_measure('pending-10k', 'cpu_us', 'pending-5m', 'benchorch-workers')),
	('(a) claim latency with a snapshot held, last tenth / first', '<= 1.25',
		pg_temp.last_to_first('claim_p50', 'held-snapshot', 'benchorch')),
	('(b) claim latency with a snapshot held, last tenth / first', '<= 1.25',
		pg_temp.last_to_first('claim_p50', 'held-snapshot', 'benchorch-workers')),
	('(a) claims left in flight, batch 100: claim rate, last tenth / first', '>= 0.8',
		pg_temp.last_to_first('rate', 'in-flight-100', 'benchorch')),
	('(b) claims left in flight, batch 100: claim rate, last tenth / first', '>= 0.8',
		pg_temp.last_to_first('rate', 'in-flight-100', 'benchorch-workers')),
	('(a) claims left in flight, batch 1: claim rate, last tenth / first', '>= 0.8',
		pg_temp.last_to_first('rate', 'in-flight-1', 'benchorch')),
	('(b) claims left in flight, batch 1: claim rate, last tenth / first', '>= 0.8',
		pg_temp.last_to_first('rate', 'in-flight-1', 'benchorch-workers')),
	('populate in one call / INSERT ... SELECT', '>= 0.8', pg_temp.figure('populate', 'benchorch', 'share')),
	('the same in CPU time of the server process', '>= 0.8', pg_temp.figure('populate', 'benchorch', 'cpu_share')),
	('populate of 100,080 cells / INSERT ... SELECT', '>= 0.8', pg_temp.figure('populate-100k', 'benchorch', 'share')),
	('the same in CPU time of the server process', '>= 0.8', pg_temp.figure('populate-100k', 'benchorch', 'cpu_share')),
	('progress, 1,000,000 configs, 20,000 transactions after the last sweep, ms', '<= 5',
		pg_temp.figure('progress-1m', 'benchorch', 'progress_p50_ms')),
	('progress, 10,000 configs, ms', '<= 1', pg_temp.figure('progress-10k', 'benchorch', 'progress_p50_ms')),
	('hot tables, the largest after 20 cycles / after the first', '<= 1.5',
		(SELECT most / first FROM figures WHERE measure = 'cycles' AND key = 'hot_mb'))
	) AS goals (what, goal, figure), LATERAL (SELECT substr(goal, 4)::numeric) AS b (bound)
WHERE figure IS NOT NULL;
