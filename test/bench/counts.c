/*
 * What a run has cost the server.
 */
#define _GNU_SOURCE

#include "counts.h"

#include <stdlib.h>
#include <unistd.h>

#define PATIENCE 20.0			/* seconds */

Counts
read_counts(PGconn *connection)
{
	PGresult   *result = query(connection,
							 "SELECT pg_current_wal_insert_lsn() - '0/0',"
							 " (SELECT checkpoints_timed + checkpoints_req FROM pg_stat_bgwriter),"
							 " (SELECT sum(n_tup_upd) FROM pg_stat_user_tables),"
							 " (SELECT sum(n_tup_hot_upd) FROM pg_stat_user_tables),"
							 " (SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'i', 't'))",
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
