/*
 * The module: magic, settings.
 *
 * All settings of the extension are defined here and carry the prefix
 * benchorch.  They can be set for a database or a role by its owner's ALTER
 * DATABASE, and are read by name from SQL where SQL needs them.
 */
#include "benchorch.h"

#include "utils/guc.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

/* How long a worker's claims hold without a heartbeat. */
int			benchorch_lease;

/* How long the started config of a worker whose connection dropped is left to it. */
int			benchorch_presence_grace;

/* By how much another lane's best config must be more urgent before a worker leaves its warm lane. */
int			benchorch_lane_switch_cost;

/* Ready configs that one chunk holds. */
int			benchorch_chunk_size;

/*
 * The most that glibc's heap is to keep free of what a statement has used, in
 * bytes.  At first it gives back what is more than 128 kB, which a claim of
 * some dozens is, and asks for it again at the next: each time the system has
 * to change the map of the process and to clear the pages.
 */
#define KEPT_MEMORY (2 * 1024 * 1024)

/* Who frees a large block says by its size what the heap is to keep: twice as much. */
static void
keep_memory(void)
{
	pfree(palloc(KEPT_MEMORY / 2));
}

void
_PG_init(void)
{
	keep_memory();
	DefineCustomIntVariable("benchorch.lease",
							"How long a worker's claims hold without a heartbeat.",
							"Must be longer than the interval of the workers' heartbeats.",
							&benchorch_lease, 60, 1, 86400,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomIntVariable("benchorch.presence_grace",
							"How long a started config is left to a worker whose connection has dropped.",
							NULL,
							&benchorch_presence_grace, 15, 0, 86400,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomIntVariable("benchorch.lane_switch_cost",
							"Priority by which another lane must be more urgent before a worker leaves its warm lane.",
							NULL,
							&benchorch_lane_switch_cost, 1000, 0, PG_INT32_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("benchorch.chunk_size",
							"Ready configs that one chunk holds.",
							"More makes large claims cheaper, fewer makes small ones cheaper.",
							&benchorch_chunk_size, 30, 1, 500,
							PGC_SUSET, 0, NULL, NULL, NULL);

	MarkGUCPrefixReserved("benchorch");
}
