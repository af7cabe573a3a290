-- One call of populate_matrix, beside the same rows through INSERT ... SELECT and COPY into a table with the same columns,
-- indexes and fillfactor and no triggers; by the clock, and by the CPU time of the server process (nanoseconds).
SELECT pg_backend_pid() AS pid \gset
\setenv SERVER_PROCESS :pid
\set cpu_begun `cut -d" " -f1 /proc/$SERVER_PROCESS/schedstat`
SELECT clock_timestamp() AS begun \gset
SELECT created FROM benchorch.populate_matrix((SELECT id FROM benchorch.model_versions), template => 'bench') \gset
SELECT clock_timestamp() AS populated \gset
\set cpu_populated `cut -d" " -f1 /proc/$SERVER_PROCESS/schedstat`
SELECT reloptions[1] AS fillfactor FROM pg_class WHERE oid = 'benchorch.benchmark_configs'::regclass \gset
CREATE TABLE selected (LIKE benchorch.benchmark_configs INCLUDING INDEXES) WITH (:fillfactor);
CREATE TABLE copied (LIKE benchorch.benchmark_configs INCLUDING INDEXES) WITH (:fillfactor);
\set file :directory /rows
COPY benchorch.benchmark_configs TO :'file';
\set cpu_ready `cut -d" " -f1 /proc/$SERVER_PROCESS/schedstat`
SELECT clock_timestamp() AS ready \gset
INSERT INTO selected SELECT * FROM benchorch.benchmark_configs;
SELECT clock_timestamp() AS selected \gset
\set cpu_selected `cut -d" " -f1 /proc/$SERVER_PROCESS/schedstat`
COPY copied FROM :'file';
SELECT clock_timestamp() AS copied \gset
SELECT json_build_object('cells', :created,
	'populated_per_s', round(:created / extract(epoch FROM :'populated'::timestamptz - :'begun')),
	'selected_per_s', round(:created / extract(epoch FROM :'selected'::timestamptz - :'ready')),
	'copied_per_s', round(:created / extract(epoch FROM :'copied'::timestamptz - :'selected')),
	'share', round(extract(epoch FROM :'selected'::timestamptz - :'ready') / extract(epoch FROM :'populated'::timestamptz - :'begun'), 3),
	'cpu_share', round((:cpu_selected - :cpu_ready)::numeric / (:cpu_populated - :cpu_begun), 3));
