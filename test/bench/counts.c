/*
 * What a run has cost the server.
 */
#define _GNU_SOURCE

#include "counts.h"

#include <stdlib.h>
#include <unistd.h>

#define PATIENCE 20.0			/* seconds */

#define COUNTS(checkpoints) \
	"SELECT pg_current_wal_insert_lsn() - '0/0', (SELECT " checkpoints ")," \
	" (SELECT sum(n_tup_upd) FROM pg_stat_user_tables)," \
	" (SELECT sum(n_tup_hot_upd) FROM pg_stat_user_tables)," \
	" (SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'i', 't'))"

Counts
read_counts(PGconn *connection)
{
	/* 17 counts checkpoints in a view of their own */
	PGresult   *result = query(connection,
							 PQserverVersion(connection) >= 170000
								 ? COUNTS("num_timed + num_requested FROM pg_stat_checkpointer")
								 : COUNTS("checkpoints_timed + checkpoints_req FROM pg_stat_bgwriter"),
							 0, NULL);
	Counts		counts = {
		.wal = strtod(PQgetvalue(result, 0, 0), NULL),
		.checkpoints = strtod(PQgetvalue(result, 0, 1), NULL),
		.updates = strtod(PQgetvalue(result, 0, 2), NULL),
		.hot_updates = strtod(PQgetvalue(result, 0, 3), NULL),
		.relations = strtod(PQgetvalue(result, 0, 4), NULL),
	};

	PQclear(result);
	return counts;
}

void
wait_for_sessions(PGconn *connection)
{
	double		begin = now();

	while (ask_number(connection, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
								  " AND datname = current_database() AND pid <> pg_backend_pid()") > 0)
	{
		if (now() - begin > PATIENCE)
			die("sessions of the clients are still there after %g s", PATIENCE);
		usleep(2000);
	}
}
