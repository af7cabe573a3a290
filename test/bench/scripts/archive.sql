-- The end of a cycle: everything is archived; how large what is left is.
SELECT benchorch.reset_stale() \g /dev/null
SELECT benchorch.archive_completed('0') AS archived \gset
VACUUM;
SELECT json_build_object('archived', :archived, 'hot_mb', round(sum(bytes) / 1e6, 2), 'hot', json_object_agg(relname, bytes))
FROM (SELECT relname, pg_total_relation_size(oid) AS bytes FROM pg_class
	WHERE relnamespace = 'benchorch'::regnamespace AND relkind = 'r'
		AND relname IN ('benchmark_configs', 'lane_chunks', 'priority_chunks', 'delayed_configs', 'claims', 'worker_leases',
			'progress_deltas', 'endgames')) AS hot;
