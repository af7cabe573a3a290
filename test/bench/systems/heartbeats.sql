-- Not a queue: 1,000 registered workers of benchorch that say they are alive, 125 for each client in turns.

-- @like benchorch

-- @client
SELECT string_agg(benchorch.register_worker('worker ' || {client}::int || ' ' || n, 'bench', '{vLLM}')::text, ' ')
FROM generate_series(1, 125) AS n

-- @ready
SELECT 1000000000

-- @claim
SELECT 1 AS id FROM (SELECT count(*) FROM benchorch.heartbeat(
	(string_to_array({worker}, ' '))[1 + floor(random() * 125)::int]::uuid)) AS beaten

-- @claim unflushed
SELECT 1 AS id FROM (SELECT count(*) FROM set_config('synchronous_commit', 'off', true) AS unflushed, benchorch.heartbeat(
	(string_to_array({worker}, ' '))[1 + floor(random() * 125)::int]::uuid)) AS beaten
