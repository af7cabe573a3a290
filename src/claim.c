/*
 * claim_batch: which configs a claim gets.
 *
 * A claim takes ids from ready chunks (SKIP LOCKED: two claims never wait for
 * each other); take.c makes those of them running that are still pending.
 *
 * Without a worker: priority chunks, most urgent first.  A chunk is locked
 * only when its turn comes, so a claim holds no more of them than it uses.
 * With a worker: one chunk after the other of one lane, the worker's warm
 * lane if it can, and no more configs than leave enough for the other live
 * workers.
 *
 * The claim's row in benchorch.claims bears the token; it is written with the
 * claim, so a claim exists as a whole or not at all.
 */
#include "benchorch.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(benchorch_claim_batch);

/* How often a claim looks again while others hold the chunks; the pauses double, two seconds in all. */
#define EMPTY_TRIES 12
#define FIRST_PAUSE_US 500

/* What a worker can run. */
typedef struct Slot
{
	int32		hardware_config_id;
	Datum		framework_ids;
	int32		gpus;
	int32		warm_lane;		/* 0: none */
	bool		active;
} Slot;

static Statement next_token = {
	.sql = "SELECT pg_catalog.nextval('benchorch.claim_seq')",
	.nargs = 0
};

/*
 * A number that was never handed out: a sequence in the lower 32 bits, which
 * alone could repeat itself after a crash or a restore, and 21 random bits
 * above.  Below 2^53, so that JSON keeps it.
 */
static int64
new_claim_id(void)
{
	uint32		random;
	int64		sequence;

	if (!pg_strong_random(&random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random claim_id")));
	benchorch_run(&next_token, NULL, NULL);
	sequence = benchorch_column_int64(0, 1);
	return ((int64) (random >> 11 | 1) << 32) | (sequence & 0xFFFFFFFF);
}

/* ------------------------------------------------------ without a worker */

static Statement priority_chunks = {
	.sql = "SELECT id, priority, next, ids FROM benchorch.priority_chunks c"
	" WHERE priority <= $1"
	" AND NOT coalesce((SELECT m.paused FROM benchorch.model_versions m WHERE m.id = c.model_version_id), false)"
	" ORDER BY priority, id FOR UPDATE OF c SKIP LOCKED",
	.nargs = 1,
	.types = {INT4OID}
};

static Statement model_priority_chunks = {
	.sql = "SELECT id, priority, next, ids FROM benchorch.priority_chunks c"
	" WHERE priority <= $1 AND model_version_id = $2"
	" AND NOT coalesce((SELECT m.paused FROM benchorch.model_versions m WHERE m.id = c.model_version_id), false)"
	" ORDER BY priority, id FOR UPDATE OF c SKIP LOCKED",
	.nargs = 2,
	.types = {INT4OID, UUIDOID}
};

static Statement any_priority_chunk = {
	.sql = "SELECT 1 FROM benchorch.priority_chunks c WHERE priority <= $1 AND ($2 IS NULL OR model_version_id = $2)"
	" AND NOT coalesce((SELECT m.paused FROM benchorch.model_versions m WHERE m.id = c.model_version_id), false) LIMIT 1",
	.nargs = 2,
	.types = {INT4OID, UUIDOID}
};

static Statement delete_priority_chunks = {
	.sql = "DELETE FROM benchorch.priority_chunks WHERE id = ANY ($1)",
	.nargs = 1,
	.types = {INT8ARRAYOID}
};

static Statement advance_priority_chunk = {
	.sql = "UPDATE benchorch.priority_chunks SET next = $2 WHERE id = $1",
	.nargs = 2,
	.types = {INT8OID, INT4OID}
};

/* One pass over the chunks that nobody else holds. */
static void
claim_by_priority(Claim *claim)
{
	Datum		values[2] = {Int32GetDatum(claim->threshold), UUIDPGetDatum(&claim->model_version_id)};
	Portal		portal = benchorch_open(claim->has_model ? &model_priority_chunks : &priority_chunks, values, NULL);
	bool		more = true;

	while (more && claim->taken < claim->wanted)
	{
		int64		ids[BENCHORCH_MAX_BATCH];
		int32		priorities[BENCHORCH_MAX_BATCH];
		int64	   *spent = NULL;
		int			nspent = 0;
		int			n = 0;
		int			need = claim->wanted - claim->taken;

		/* collect as many ids as are needed ... */
		while (n < need)
		{
			int64		chunk_id;
			int32		priority;
			int			next;
			int64	   *chunk_ids;
			int			length;
			bool		isnull;

			SPI_cursor_fetch(portal, true, 1);
			if (SPI_processed == 0)
			{
				more = false;
				break;
			}
			chunk_id = benchorch_column_int64(0, 1);
			priority = benchorch_column_int32(0, 2);
			next = benchorch_column_int32(0, 3) - 1;
			chunk_ids = benchorch_array_int64(benchorch_column(0, 4, &isnull), &length);
			while (next < length && n < need)
			{
				ids[n] = chunk_ids[next++];
				priorities[n++] = priority;
			}
			if (next == length)
			{
				spent = spent ? repalloc(spent, sizeof(int64) * (nspent + 1)) : palloc(sizeof(int64));
				spent[nspent++] = chunk_id;
			}
			else
			{
				Datum		advance[2] = {Int64GetDatum(chunk_id), Int32GetDatum(next + 1)};

				benchorch_run(&advance_priority_chunk, advance, NULL);
				/* the portal would show the old row again only to another fetch: there is none */
			}
		}
		if (nspent > 0)
		{
			Datum		chunk[1] = {benchorch_int64_array(spent, nspent)};

			benchorch_run(&delete_priority_chunks, chunk, NULL);
		}
		/* ... and take what of them is pending; stale ones call for another round */
		if (n > 0 && !benchorch_take(claim, ids, priorities, n, 0))
			break;
		if (n == need && claim->taken < claim->wanted && more)
		{
			/* the last chunk may have more than was needed then: start over with what is left */
			SPI_cursor_close(portal);
			portal = benchorch_open(claim->has_model ? &model_priority_chunks : &priority_chunks, values, NULL);
		}
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
}

static bool
others_hold_priority_chunks(Claim *claim)
{
	Datum		values[2] = {Int32GetDatum(claim->threshold), UUIDPGetDatum(&claim->model_version_id)};

	return benchorch_run(&any_priority_chunk, values, claim->has_model ? NULL : " n") > 0;
}

/* --------------------------------------------------------- with a worker */

static Statement select_worker = {
	.sql = "SELECT w.hardware_config_id, w.framework_ids, w.gpus, w.state = 'active'"
	" FROM benchorch.workers w WHERE w.id = $1",
	.nargs = 1,
	.types = {UUIDOID}
};

/* The lease is locked before any config, as the sweep does. */
static Statement lock_lease = {
	.sql = "SELECT coalesce(lane_id, 0) FROM benchorch.worker_leases WHERE worker_id = $1 FOR UPDATE",
	.nargs = 1,
	.types = {UUIDOID}
};

/*
 * What every choice of a lane chunk asks: $1 threshold, $2 framework ids,
 * $3 GPUs of the slot, $4 worker, $5 model version or NULL, $6 hardware or
 * lane.
 */
#define FITTING " FROM benchorch.lane_chunks c" \
				" WHERE c.priority <= $1 AND c.framework_id = ANY ($2) AND c.gpus <= $3" \
				" AND ($5 IS NULL OR c.model_version_id = $5)"

/* And what may be taken: not of a paused model; a chunk that is to avoid this worker is left to another live one. */
#define TAKEABLE \
	FITTING \
	" AND (c.avoid_worker_id IS DISTINCT FROM $4 OR NOT EXISTS (" \
	"  SELECT FROM benchorch.workers w JOIN benchorch.worker_leases l ON l.worker_id = w.id" \
	"  WHERE w.id <> $4 AND w.state = 'active' AND l.expires_at > pg_catalog.clock_timestamp()" \
	"  AND c.hardware_config_id IN (0, w.hardware_config_id) AND c.framework_id = ANY (w.framework_ids) AND c.gpus <= w.gpus))" \
	" AND NOT coalesce((SELECT m.paused FROM benchorch.model_versions m WHERE m.id = c.model_version_id), false)"

#define FITTING_ARGS .nargs = 6, .types = {INT4OID, INT4ARRAYOID, INT4OID, UUIDOID, UUIDOID, INT4OID}

static Statement best_priority = {
	.sql = "SELECT c.priority" TAKEABLE
	" AND c.hardware_config_id = $6 ORDER BY c.hardware_config_id, c.priority LIMIT 1",
	FITTING_ARGS
};

static Statement lane_priority = {
	.sql = "SELECT c.priority" TAKEABLE " AND c.lane_id = $6 ORDER BY c.lane_id, c.priority LIMIT 1",
	FITTING_ARGS
};

static Statement best_chunk = {
	.sql = "SELECT c.id, c.lane_id, c.next, c.ids, c.priorities, c.works, c.work_left" TAKEABLE
	" AND c.hardware_config_id = $6 ORDER BY c.hardware_config_id, c.priority, c.work DESC, c.id LIMIT 1 FOR UPDATE OF c SKIP LOCKED",
	FITTING_ARGS
};

static Statement lane_chunk = {
	.sql = "SELECT c.id, c.lane_id, c.next, c.ids, c.priorities, c.works, c.work_left" TAKEABLE
	" AND c.lane_id = $6 ORDER BY c.lane_id, c.priority, c.work DESC, c.id LIMIT 1 FOR UPDATE OF c SKIP LOCKED",
	FITTING_ARGS
};

/* How much there is for workers of this kind, as far as the first chunks tell. */
static Statement count_ready = {
	.sql = "SELECT coalesce(pg_catalog.sum(n), 0)::bigint, coalesce(pg_catalog.sum(work_left), 0)::bigint FROM ("
	" SELECT pg_catalog.cardinality(c.ids) - c.next + 1 AS n, c.work_left" FITTING
	" AND c.hardware_config_id = $6 ORDER BY c.hardware_config_id, c.priority, c.work DESC, c.id LIMIT 64) AS first_chunks",
	FITTING_ARGS
};

static Statement count_workers = {
	.sql = "SELECT pg_catalog.count(*) FROM benchorch.workers w JOIN benchorch.worker_leases l ON l.worker_id = w.id"
	" WHERE w.hardware_config_id = $1 AND w.state = 'active' AND w.framework_ids && $2"
	" AND l.expires_at > pg_catalog.clock_timestamp()",
	.nargs = 2,
	.types = {INT4OID, INT4ARRAYOID}
};

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

static Slot
read_slot(const pg_uuid_t *worker_id)
{
	Datum		values[1] = {UUIDPGetDatum(worker_id)};
	Slot		slot;
	bool		isnull;

	if (benchorch_run(&select_worker, values, NULL) == 0)
		benchorch_no_such_worker(worker_id);
	slot.hardware_config_id = benchorch_column_int32(0, 1);
	slot.framework_ids = benchorch_column(0, 2, &isnull);
	slot.gpus = benchorch_column_int32(0, 3);
	slot.active = DatumGetBool(benchorch_column(0, 4, &isnull));
	slot.warm_lane = benchorch_run(&lock_lease, values, NULL) > 0 ? benchorch_column_int32(0, 1) : 0;
	return slot;
}

/* Runs one of the plans above that ask for FITTING. */
static uint64
run_fitting(Statement *statement, const Claim *claim, const Slot *slot, int32 hardware_or_lane)
{
	Datum		values[6];

	values[0] = Int32GetDatum(claim->threshold);
	values[1] = slot->framework_ids;
	values[2] = Int32GetDatum(slot->gpus);
	values[3] = UUIDPGetDatum(&claim->worker_id);
	values[4] = UUIDPGetDatum(&claim->model_version_id);
	values[5] = Int32GetDatum(hardware_or_lane);
	return benchorch_run(statement, values, claim->has_model ? NULL : "    n ");
}

/*
 * Which hardware's chunks to look at: the worker's own, or those for any (0),
 * whichever has the more urgent; -1 where neither has one.  The warm lane
 * wins unless the best is more urgent by more than the cost of a switch.
 */
static int32
choose(const Claim *claim, const Slot *slot, bool *warm)
{
	int32		own = PG_INT32_MAX;
	int32		any = PG_INT32_MAX;
	bool		has_own = run_fitting(&best_priority, claim, slot, slot->hardware_config_id) > 0;
	bool		has_any;

	*warm = false;
	if (has_own)
		own = benchorch_column_int32(0, 1);
	has_any = run_fitting(&best_priority, claim, slot, 0) > 0;
	if (has_any)
		any = benchorch_column_int32(0, 1);
	if (!has_own && !has_any)
		return -1;
	if (slot->warm_lane && run_fitting(&lane_priority, claim, slot, slot->warm_lane) > 0)
		*warm = (int64) benchorch_column_int32(0, 1) - Min(own, any) <= benchorch_lane_switch_cost;
	return !has_own || any < own ? 0 : slot->hardware_config_id;
}

/* How much a claim may take. */
typedef struct Share
{
	int			configs;
	int64		work;
} Share;

/*
 * As much as leaves enough for the other live workers, so that the pool ends
 * together: guided self-scheduling, a third of an even share of what is ready.
 * The share is one of configs and one of expected work, and a batch exceeds
 * neither: where longer ones go first, a share of configs alone would be far
 * more than a share of the time.
 */
#define SHARES_PER_WORKER 3

static Share
fair_share(const Claim *claim, const Slot *slot, int32 hardware)
{
	Datum		values[2] = {Int32GetDatum(slot->hardware_config_id), slot->framework_ids};
	int64		configs;
	int64		work;
	int64		shares;

	run_fitting(&count_ready, claim, slot, hardware);
	configs = benchorch_column_int64(0, 1);
	work = benchorch_column_int64(0, 2);
	benchorch_run(&count_workers, values, NULL);
	shares = benchorch_column_int64(0, 1) * SHARES_PER_WORKER;
	if (shares <= SHARES_PER_WORKER)
		return (Share){claim->wanted, PG_INT64_MAX};
	return (Share){Max(1, Min(claim->wanted, (configs + shares - 1) / shares)), (work + shares - 1) / shares};
}

/*
 * Takes hints off one chunk of the lane (0: the best of the hardware) into ids
 * and priorities, and what they are off the share; their number, or -1.  The
 * first config of a claim is taken whatever work it is.
 */
static int
pop_lane_chunk(Claim *claim, const Slot *slot, int32 hardware, int32 *lane_id, int64 *ids, int32 *priorities,
			   bool first, Share *share)
{
	bool		isnull;
	int64		chunk_id;
	int			start;
	int			next;
	int			length;
	int64	   *chunk_ids;
	int32	   *chunk_priorities;
	int32	   *works;
	int64		work = 0;

	if ((*lane_id ? run_fitting(&lane_chunk, claim, slot, *lane_id)
				  : run_fitting(&best_chunk, claim, slot, hardware)) == 0)
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

			hardware = choose(claim, slot, &warm);
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

/* ------------------------------------------------------------ claim_batch */

static Statement insert_claim = {
	.sql = "INSERT INTO benchorch.claims (claim_id, worker_id, claimed_at, config_ids) VALUES ($1, $2, $3, $4)",
	.nargs = 4,
	.types = {INT8OID, UUIDOID, TIMESTAMPTZOID, INT8ARRAYOID}
};

static int
by_uuid(const void *a, const void *b)
{
	return memcmp(a, b, UUID_LEN);
}

/* The claim's own row, and the counts of what it took. */
static void
record(Claim *claim)
{
	Datum		values[4];
	int			end;

	values[0] = Int64GetDatum(claim->claim_id);
	values[1] = UUIDPGetDatum(&claim->worker_id);
	values[2] = TimestampTzGetDatum(claim->claimed_at);
	values[3] = benchorch_int64_array(claim->ids, claim->taken);
	benchorch_run(&insert_claim, values, claim->has_worker ? NULL : " n  ");

	qsort(claim->models, claim->taken, sizeof(pg_uuid_t), by_uuid);
	for (int start = 0; start < claim->taken; start = end)
	{
		for (end = start + 1; end < claim->taken && by_uuid(&claim->models[end], &claim->models[start]) == 0; end++)
			;
		benchorch_count_move(&claim->models[start], CONFIG_PENDING, CONFIG_RUNNING, end - start);
	}
}

static void
claim_with_worker(Claim *claim, Slot *slot)
{
	Datum		values[4];
	int32		lane_id = claim_lane(claim, slot);

	if (claim->taken > 0)
		benchorch_run(&delete_finished_claims, (Datum[]){UUIDPGetDatum(&claim->worker_id)}, NULL);
	values[0] = UUIDPGetDatum(&claim->worker_id);
	values[1] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(claim->claimed_at, benchorch_lease * INT64CONST(1000)));
	values[2] = TimestampTzGetDatum(claim->claimed_at);
	values[3] = Int32GetDatum(lane_id);
	benchorch_run(&touch_lease, values, lane_id ? NULL : "   n");
}

Datum
benchorch_claim_batch(PG_FUNCTION_ARGS)
{
	Claim	   *claim = palloc0(sizeof(Claim));
	Slot		slot = {0};
	long		pause = FIRST_PAUSE_US;
	int			swept;

	benchorch_require(fcinfo, 0, "batch_size");
	benchorch_require(fcinfo, 1, "priority_threshold");
	claim->wanted = PG_GETARG_INT32(0);
	claim->threshold = PG_GETARG_INT32(1);
	if (claim->wanted < 1 || claim->wanted > BENCHORCH_MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch_size must be between 1 and %d", BENCHORCH_MAX_BATCH),
				 errdetail("It is %d.", claim->wanted)));
	claim->has_worker = !PG_ARGISNULL(2);
	if (claim->has_worker)
		claim->worker_id = *PG_GETARG_UUID_P(2);
	claim->has_model = !PG_ARGISNULL(3);
	if (claim->has_model)
		claim->model_version_id = *PG_GETARG_UUID_P(3);
	InitMaterializedSRF(fcinfo, 0);
	claim->rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	SPI_connect();
	if (claim->has_model)
		benchorch_require_model(&claim->model_version_id);
	if (claim->has_worker)
		slot = read_slot(&claim->worker_id);
	claim->claim_id = new_claim_id();
	claim->claimed_at = GetCurrentTimestamp();
	claim->holds = benchorch_wake_delayed() > 0;
	swept = benchorch_sweep_now_and_then(&claim->holds);
	benchorch_finalize_due();

	for (int try = 0; try < EMPTY_TRIES; try++)
	{
		bool		more;

		if (claim->has_worker)
		{
			if (!slot.active)
				break;
			claim_with_worker(claim, &slot);
		}
		else
			claim_by_priority(claim);
		if (claim->taken > 0)
			break;

		/* empty: has a lease run out? or do others hold the chunks for a moment? */
		if (swept < 0)
		{
			swept = benchorch_sweep_leases(BENCHORCH_MAX_BATCH, &claim->holds);
			if (swept > 0)
				continue;
		}
		if (claim->has_worker)
		{
			bool		warm;

			more = choose(claim, &slot, &warm) >= 0;
		}
		else
			more = others_hold_priority_chunks(claim);
		if (!more)
			break;
		pg_usleep(pause);
		pause *= 2;
		CHECK_FOR_INTERRUPTS();
		claim->claimed_at = GetCurrentTimestamp();
	}
	if (claim->taken > 0)
		record(claim);
	SPI_finish();
	PG_RETURN_NULL();
}
