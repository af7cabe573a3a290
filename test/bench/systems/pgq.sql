-- PgQ (Debian's package): a log without priorities and without a state per job.  Each client has a queue of its own, for a
-- consumer is given every event of a queue; a batch is what lies between two ticks, here 100 events.

-- @schema
CREATE EXTENSION pgq;
SELECT pgq.create_queue('bench_' || n), pgq.register_consumer('bench_' || n, 'client')
FROM generate_series(0, 7) AS n;
CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$
DECLARE
	total	int := (SELECT count(*) FROM cells);
	shard	int;
	done	int := 0;
BEGIN
	CREATE TEMPORARY TABLE numbered AS
	SELECT row_number() OVER (ORDER BY priority) AS n, row_to_json(cells)::text AS data FROM cells;
	CREATE INDEX ON numbered (n);
	WHILE done < total LOOP
		shard := done / 100 % 8;
		PERFORM pgq.insert_event('bench_' || shard, 'bench', n.data) FROM numbered AS n WHERE n.n BETWEEN done + 1 AND done + 100;
		COMMIT;
		PERFORM pgq.force_tick('bench_' || shard), pgq.ticker('bench_' || shard);
		COMMIT;
		done := done + 100;
	END LOOP;
END
$$;

-- @populate
CALL fill();

-- @ready
SELECT count(*) FROM pgq.event_template

-- @claim
SELECT e.ev_id AS id, b.id AS token, e.*
FROM pgq.next_batch('bench_' || {client}::text, 'client') AS b (id), LATERAL pgq.get_batch_events(b.id) AS e
WHERE b.id IS NOT NULL

-- @complete
SELECT pgq.finish_batch(({tokens}::bigint[])[1])
