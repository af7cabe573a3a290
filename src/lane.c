/*
 * Claims of workers: one lane, and a fair share of it.
 *
 * A batch comes from one lane, so that one warm engine serves it: the worker's
 * warm lane, or the one with the most urgent chunk that the worker fits.  It
 * takes chunk after chunk of it (SKIP LOCKED: two claims never wait for each
 * other) and no more than leaves enough for the other live workers.
 *
 * A chunk that is to avoid this worker is passed by as long as another live
 * worker fits it.
 */
#include "benchorch.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

/* ------------------------------------------------------------------ the worker */

/* The lease is locked before any config, as the sweep does. */
static Statement select_slot = {
	.sql = "SELECT w.hardware_config_id, w.framework_ids, w.gpus, w.state = 'active', coalesce(l.lane_id, 0),"
	" EXISTS (SELECT FROM benchorch.claims c WHERE c.worker_id = w.id),"
	" ARRAY(SELECT m.id FROM benchorch.model_versions m WHERE m.paused)"
	" FROM benchorch.workers w LEFT JOIN LATERAL ("
	"  SELECT s.lane_id FROM benchorch.worker_leases s WHERE s.worker_id = w.id FOR UPDATE) l ON true"
	" WHERE w.id = $1",
	.nargs = 1,
	.types = {UUIDOID}
};

Slot
benchorch_read_slot(const pg_uuid_t *worker_id)
{
	Datum		values[1] = {UUIDPGetDatum(worker_id)};
	Slot		slot;
	bool		isnull;

	if (benchorch_run(&select_slot, values, NULL) == 0)
		benchorch_no_such_worker(worker_id);
	slot.hardware_config_id = benchorch_column_int32(0, 1);
	slot.framework_ids = benchorch_column(0, 2, &isnull);
	slot.gpus = benchorch_column_int32(0, 3);
	slot.active = DatumGetBool(benchorch_column(0, 4, &isnull));
	slot.warm_lane = benchorch_column_int32(0, 5);
	slot.has_claims = DatumGetBool(benchorch_column(0, 6, &isnull));
	slot.paused_models = benchorch_column(0, 7, &isnull);
	return slot;
}

static Statement touch_lease = {
	.sql = "INSERT INTO benchorch.worker_leases (worker_id, expires_at, heartbeat_at, lane_id) VALUES ($1, $2, $3, $4)"
	" ON CONFLICT (worker_id) DO UPDATE SET expires_at = excluded.expires_at, heartbeat_at = excluded.heartbeat_at,"
	" lane_id = coalesce(excluded.lane_id, worker_leases.lane_id)",
	.nargs = 4,
	.types = {UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID}
};

/* Finished claims of the worker: nothing runs under them any more.  Nobody is waited for. */
static Statement delete_finished_claims = {
	.sql = "DELETE FROM benchorch.claims WHERE claim_id = ANY (ARRAY("
	" SELECT l.claim_id FROM benchorch.claims l WHERE l.worker_id = $1 AND NOT EXISTS ("
	"  SELECT FROM benchorch.benchmark_configs c WHERE c.id = ANY (l.config_ids) AND c.claim_id = l.claim_id"
	"  AND c.status = 'running') FOR UPDATE OF l SKIP LOCKED))",
	.nargs = 1,
	.types = {UUIDOID}
};

/* ------------------------------------------------------------------ which lane */

/*
 * What every look at lane chunks asks: $1 threshold, $2 framework ids, $3 GPUs
 * of the slot, $4 worker, $5 model version or NULL, $6 hardware, $7 lane, $8
 * paused models.
 */
#define FITTING " FROM benchorch.lane_chunks c" \
				" WHERE c.priority <= $1 AND c.framework_id = ANY ($2) AND c.gpus <= $3" \
				" AND ($5 IS NULL OR c.model_version_id = $5)"

#define FITTING_ARGS \
	.nargs = 8, .types = {INT4OID, INT4ARRAYOID, INT4OID, UUIDOID, UUIDOID, INT4OID, INT4OID, UUIDARRAYOID}

/* And what may be taken: not of a paused model, not to be avoided. */
#define TAKEABLE FITTING " AND c.avoid_worker_id IS DISTINCT FROM $4 AND c.model_version_id <> ALL ($8)"

#define OF_HARDWARE(hardware) \
	" AND c.hardware_config_id = " hardware " ORDER BY c.hardware_config_id, c.priority, c.work DESC, c.id"
#define OF_LANE " AND c.lane_id = $7 ORDER BY c.lane_id, c.priority, c.work DESC, c.id"

/* The most urgent for this hardware, for any, and in the lane. */
static Statement select_heads = {
	.sql = "SELECT (SELECT c.priority" TAKEABLE OF_HARDWARE("$6") " LIMIT 1),"
	" (SELECT c.priority" TAKEABLE OF_HARDWARE("0") " LIMIT 1),"
	" (SELECT c.priority" TAKEABLE OF_LANE " LIMIT 1)",
	FITTING_ARGS
};

#define CHUNK "SELECT c.id, c.lane_id, c.next, c.ids, c.priorities, c.works, c.work_left"

static Statement best_chunk = {
	.sql = CHUNK TAKEABLE OF_HARDWARE("$6") " LIMIT 1 FOR UPDATE OF c SKIP LOCKED",
	FITTING_ARGS
};

static Statement lane_chunk = {
	.sql = CHUNK TAKEABLE OF_LANE " LIMIT 1 FOR UPDATE OF c SKIP LOCKED",
	FITTING_ARGS
};

/* Chunks that are to avoid this worker, and that no other live worker fits. */
static Statement free_avoided = {
	.sql = "UPDATE benchorch.lane_chunks SET avoid_worker_id = NULL WHERE id = ANY (ARRAY(SELECT c.id" FITTING
	" AND c.hardware_config_id IN (0, $6) AND c.avoid_worker_id = $4 AND NOT EXISTS ("
	"  SELECT FROM benchorch.workers w JOIN benchorch.worker_leases l ON l.worker_id = w.id"
	"  WHERE w.id <> $4 AND w.state = 'active' AND l.expires_at > pg_catalog.clock_timestamp()"
	"  AND c.hardware_config_id IN (0, w.hardware_config_id) AND c.framework_id = ANY (w.framework_ids)"
	"  AND c.gpus <= w.gpus) FOR UPDATE OF c SKIP LOCKED))",
	FITTING_ARGS
};

static Statement ready_chunks = {
	.sql = "SELECT pg_catalog.cardinality(c.ids) - c.next + 1, c.work_left" FITTING OF_HARDWARE("$6"),
	FITTING_ARGS
};

/* The arguments of FITTING. */
typedef struct Fitting
{
	Datum		values[8];
	const char *nulls;
} Fitting;

static Fitting
fitting(const Claim *claim, const Slot *slot, int32 hardware, int32 lane_id)
{
	return (Fitting){
		.values = {
			Int32GetDatum(claim->threshold), slot->framework_ids, Int32GetDatum(slot->gpus),
			UUIDPGetDatum(&claim->worker_id), UUIDPGetDatum(&claim->model_version_id),
			Int32GetDatum(hardware), Int32GetDatum(lane_id), slot->paused_models},
		.nulls = claim->has_model ? NULL : "    n   "};
}

/* The priority in a column of the heads; the maximum, which no config can have to lose by, where there is none. */
static int64
head(int column)
{
	bool		isnull;
	Datum		priority = benchorch_column(0, column, &isnull);

	return isnull ? PG_INT64_MAX : DatumGetInt32(priority);
}

/*
 * Which hardware's chunks to look at: the worker's own, or those for any (0),
 * whichever has the more urgent; -1 where neither has one.  The warm lane
 * wins unless the best is more urgent by more than the cost of a switch.
 */
static int32
choose(const Claim *claim, const Slot *slot, bool *warm)
{
	Fitting		args = fitting(claim, slot, slot->hardware_config_id, slot->warm_lane);
	int64		own;
	int64		any;
	int64		lane;

	benchorch_run(&select_heads, args.values, args.nulls);
	own = head(1);
	any = head(2);
	lane = head(3);
	*warm = lane != PG_INT64_MAX && lane - Min(own, any) <= benchorch_lane_switch_cost;
	if (Min(own, any) == PG_INT64_MAX)
		return -1;
	return any < own ? 0 : slot->hardware_config_id;
}

/* The same; where there is nothing else, what was to avoid this worker and suits nobody else. */
static int32
choose_at_last(const Claim *claim, const Slot *slot, bool *warm)
{
	int32		hardware = choose(claim, slot, warm);
	Fitting		args = fitting(claim, slot, slot->hardware_config_id, 0);

	if (hardware < 0 && benchorch_run(&free_avoided, args.values, args.nulls) > 0)
		hardware = choose(claim, slot, warm);
	return hardware;
}

bool
benchorch_lane_is_left(const Claim *claim, const Slot *slot)
{
	bool		warm;

	return choose_at_last(claim, slot, &warm) >= 0;
}

/* -------------------------------------------------------------------- how much */

static Statement count_workers = {
	.sql = "SELECT pg_catalog.count(*) FROM benchorch.workers w JOIN benchorch.worker_leases l ON l.worker_id = w.id"
	" WHERE w.hardware_config_id = $1 AND w.state = 'active' AND w.framework_ids && $2"
	" AND l.expires_at > pg_catalog.clock_timestamp()",
	.nargs = 2,
	.types = {INT4OID, INT4ARRAYOID}
};

/* How much a claim may take. */
typedef struct Share
{
	int			configs;
	int64		work;
} Share;

/* Parts of what is ready, for each worker, of which a claim takes one. */
#define SHARES_PER_WORKER 2

/*
 * Where there is enough for this many rounds of full batches, the worker's next
 * claims in this session do not count again for a while.
 */
#define PLENTY_ROUNDS 4
#define PLENTY_MS 1000

typedef struct Plenty
{
	TimestampTz until;
	pg_uuid_t	worker_id;
	int			wanted;
	int			threshold;
} Plenty;

static Plenty plenty = {0};

static bool
is_plenty(const Claim *claim)
{
	return claim->claimed_at < plenty.until && memcmp(&plenty.worker_id, &claim->worker_id, UUID_LEN) == 0 &&
		claim->wanted <= plenty.wanted && claim->threshold >= plenty.threshold && !claim->has_model;
}

/* Chunks are counted until that is known. */
#define CHUNKS_AT_ONCE 32

/*
 * As much as leaves enough for the other live workers, so that the pool ends
 * together: guided self-scheduling, half of an even share of what is ready.
 * The share is one of configs and one of expected work, and a batch exceeds
 * neither: where longer ones go first, a share of configs alone would be far
 * more than a share of the time.
 */
static Share
fair_share(const Claim *claim, const Slot *slot, int32 hardware)
{
	Share		share = {claim->wanted, PG_INT64_MAX};
	Datum		values[2] = {Int32GetDatum(slot->hardware_config_id), slot->framework_ids};
	Fitting		args = fitting(claim, slot, hardware, 0);
	int64		configs = 0;
	int64		work = 0;
	int64		shares;
	Portal		portal;

	if (claim->wanted == 1 || is_plenty(claim))
		return share;
	benchorch_run(&count_workers, values, NULL);
	shares = benchorch_column_int64(0, 1) * SHARES_PER_WORKER;
	if (shares <= SHARES_PER_WORKER)
		return share;
	portal = benchorch_open(&ready_chunks, args.values, args.nulls);
	do
	{
		SPI_cursor_fetch(portal, true, CHUNKS_AT_ONCE);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			configs += benchorch_column_int32(i, 1);
			work += benchorch_column_int64(i, 2);
		}
	} while (SPI_processed == CHUNKS_AT_ONCE && configs < claim->wanted * shares * PLENTY_ROUNDS);
	SPI_cursor_close(portal);
	if (configs >= claim->wanted * shares * PLENTY_ROUNDS)
	{
		if (!claim->has_model)
			plenty = (Plenty){TimestampTzPlusMilliseconds(claim->claimed_at, PLENTY_MS), claim->worker_id,
							  claim->wanted, claim->threshold};
		return share;
	}
	share.configs = Max(1, Min(claim->wanted, (configs + shares - 1) / shares));
	share.work = (work + shares - 1) / shares;
	return share;
}

/* ------------------------------------------------------------------ the chunks */

static Statement delete_lane_chunk = {
	.sql = "DELETE FROM benchorch.lane_chunks WHERE id = $1",
	.nargs = 1,
	.types = {INT8OID}
};

static Statement advance_lane_chunk = {
	.sql = "UPDATE benchorch.lane_chunks SET next = $2, priority = $3, work = $4, work_left = $5 WHERE id = $1",
	.nargs = 5,
	.types = {INT8OID, INT4OID, INT4OID, INT4OID, INT8OID}
};

/*
 * Takes hints off one chunk of the lane (0: the best of the hardware) into ids
 * and priorities, and what they are off the share; their number, or -1.  The
 * first config of a claim is taken whatever work it is.
 */
static int
pop_lane_chunk(Claim *claim, const Slot *slot, int32 hardware, int32 *lane_id, int64 *ids, int32 *priorities,
			   bool first, Share *share)
{
	Fitting		args = fitting(claim, slot, hardware, *lane_id);
	bool		isnull;
	int64		chunk_id;
	int			start;
	int			next;
	int			length;
	int64	   *chunk_ids;
	int32	   *chunk_priorities;
	int32	   *works;
	int64		work = 0;

	if (benchorch_run(*lane_id ? &lane_chunk : &best_chunk, args.values, args.nulls) == 0)
		return -1;
	chunk_id = benchorch_column_int64(0, 1);
	*lane_id = benchorch_column_int32(0, 2);
	start = next = benchorch_column_int32(0, 3) - 1;
	chunk_ids = benchorch_array_int64(benchorch_column(0, 4, &isnull), &length);
	chunk_priorities = benchorch_array_int32(benchorch_column(0, 5, &isnull), &length);
	works = benchorch_array_int32(benchorch_column(0, 6, &isnull), &length);
	while (next < length && next - start < share->configs && chunk_priorities[next] <= claim->threshold &&
		   (work + works[next] <= share->work || (first && next == start)))
		work += works[next++];
	share->configs -= next - start;
	share->work -= work;
	if (next < length && chunk_priorities[next] <= claim->threshold && works[next] > share->work)
		share->configs = 0;
	if (next == start)
		return 0;
	memcpy(ids, chunk_ids + start, sizeof(int64) * (next - start));
	memcpy(priorities, chunk_priorities + start, sizeof(int32) * (next - start));
	if (next == length)
		benchorch_run(&delete_lane_chunk, (Datum[]){Int64GetDatum(chunk_id)}, NULL);
	else
	{
		Datum		advance[5] = {
			Int64GetDatum(chunk_id), Int32GetDatum(next + 1), Int32GetDatum(chunk_priorities[next]),
			Int32GetDatum(works[next]), Int64GetDatum(benchorch_column_int64(0, 7) - work)
		};

		benchorch_run(&advance_lane_chunk, advance, NULL);
	}
	return next - start;
}

/*
 * One pass over the chunks that nobody else holds; the lane that it took from,
 * or 0.  The hints are collected first and taken at once, in id order: a claim
 * that already held configs while it waited for more could be waited for.
 */
static int32
claim_lane(Claim *claim, const Slot *slot)
{
	int32		hardware = 0;
	int32		lane_id = 0;
	int			wanted = 1;
	Share		share = {0};

	while (claim->taken < wanted)
	{
		int64		ids[BENCHORCH_MAX_BATCH];
		int32		priorities[BENCHORCH_MAX_BATCH];
		int			before = claim->taken;
		int			popped = 1;
		int			n = 0;

		/* until something is taken the choice is open: what the chunks promised may have been spent */
		if (claim->taken == 0)
		{
			bool		warm;

			hardware = choose_at_last(claim, slot, &warm);
			if (hardware < 0)
				break;
			share = fair_share(claim, slot, hardware);
			wanted = share.configs;
			lane_id = warm ? slot->warm_lane : 0;
			if (warm && (n = pop_lane_chunk(claim, slot, hardware, &lane_id, ids, priorities, true, &share)) < 0)
				lane_id = n = 0;	/* others hold the warm lane's chunks */
		}
		while (popped > 0 && share.configs > 0)
		{
			popped = pop_lane_chunk(claim, slot, hardware, &lane_id, ids + n, priorities + n,
									claim->taken + n == 0, &share);
			n += Max(popped, 0);
		}
		if (n == 0 || !benchorch_take(claim, ids, priorities, n, lane_id))
			break;				/* others hold the chunks, or some of the configs */
		if (claim->taken == before + n)
			break;				/* nothing was spent: that was the share, or all there is */
		share.configs = wanted - claim->taken;
		CHECK_FOR_INTERRUPTS();
	}
	return claim->taken > 0 ? lane_id : 0;
}

void
benchorch_claim_lane(Claim *claim, const Slot *slot)
{
	Datum		values[4];
	int32		lane_id = claim_lane(claim, slot);

	if (claim->taken > 0 && slot->has_claims)
		benchorch_run(&delete_finished_claims, (Datum[]){UUIDPGetDatum(&claim->worker_id)}, NULL);
	values[0] = UUIDPGetDatum(&claim->worker_id);
	values[1] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(claim->claimed_at, benchorch_lease * INT64CONST(1000)));
	values[2] = TimestampTzGetDatum(claim->claimed_at);
	values[3] = Int32GetDatum(lane_id);
	benchorch_run(&touch_lease, values, lane_id ? NULL : "   n");
}
