-- What benchorch-worker asks of the server for one config: a claim, start, and hand_in with the result.

-- @like benchorch-workers

-- @store
SELECT h.accepted FROM (SELECT ({ids}::bigint[])[1] AS id, ({tokens}::bigint[])[1] AS token, ({results}::text[])[1] AS result) AS c,
	LATERAL (SELECT benchorch.start(c.id, c.token)) AS started,
	LATERAL benchorch.hand_in(c.id, c.token, 'ok', pg_catalog.convert_to(c.result, 'UTF8')) AS h
