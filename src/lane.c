/*
 * Claims of workers: one lane, and a fair share of it.
 *
 * A batch comes from one lane, so that one warm engine serves it: the worker's
 * warm lane, or the one with the most urgent chunk that the worker fits.  It
 * takes chunk after chunk of it (what somebody else is at is passed by: two
 * claims never wait for each other) and no more than leaves enough for the
 * other live workers.
 *
 * A chunk that is to avoid this worker is passed by as long as another live
 * worker fits it.
 *
 * A chunk stands in the order of its indexes where its head (the next config)
 * belongs, or before that: who goes on in a lane leaves it where it stands,
 * which spares entries in all indexes.  So a scan looks at heads, and is over
 * where no chunk behind can have a better one.
 */
#include "benchorch.h"
#include "table.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

/* ------------------------------------------------------------------ the worker */

/* Where there is no lease yet, or somebody has put a trigger on the table. */
static Statement set_lease = {
	.sql = "INSERT INTO benchorch.worker_leases (worker_id, expires_at, heartbeat_at, lane_id) VALUES ($1, $2, $3, $4)"
	" ON CONFLICT (worker_id) DO UPDATE SET expires_at = excluded.expires_at, heartbeat_at = excluded.heartbeat_at,"
	" lane_id = excluded.lane_id",
	.nargs = 4,
	.types = {UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID}
};

/* The lane that the lease as it was found says its worker's engine is warm for, 0: none. */
static int32
warm_lane(Table *leases)
{
	bool		isnull;
	Datum		lane = benchorch_row_value(leases, LEASE_LANE, &isnull);

	return isnull ? 0 : DatumGetInt32(lane);
}

/*
 * Renews the lease and says which lane its worker is warm for: a claim begins
 * so, waiting for who is at the lease before it locks any config, as the sweep
 * does.  Where it has found another lane it ends so, too; 0: the one it has.
 */
static int32
renew_lease(const Claim *claim, int32 lane_id)
{
	static const int columns[] = {LEASE_EXPIRES_AT, LEASE_HEARTBEAT_AT, LEASE_LANE};
	static ItemPointerData written; /* where the session has left the last one */
	Table	   *leases = benchorch_open_table("worker_leases", "worker_leases_pkey", RowExclusiveLock);
	Datum		values[4] = {
		UUIDPGetDatum(&claim->worker_id),
		TimestampTzGetDatum(TimestampTzPlusMilliseconds(claim->claimed_at, benchorch_lease * INT64CONST(1000))),
		TimestampTzGetDatum(claim->claimed_at),
		Int32GetDatum(lane_id)
	};
	int			n = lane_id ? 3 : 2;
	bool		found = benchorch_find_row_at(leases, &written, LEASE_WORKER, values[0], uuid_eq) ||
		benchorch_find_row(leases, values[0], F_UUID_EQ);

	if (found && benchorch_is_plain(leases) && benchorch_update_row(leases, columns, values + 1, n) != TM_Ok)
		found = benchorch_lock_row(leases, true) && benchorch_update_row(leases, columns, values + 1, n) == TM_Ok;
	if (lane_id == 0 && found)
		lane_id = warm_lane(leases);
	if (!found || !benchorch_is_plain(leases))
		benchorch_run(&set_lease, (Datum[]){values[0], values[1], values[2], Int32GetDatum(lane_id)},
					  lane_id ? NULL : "   n");
	else
		written = benchorch_written_address(leases);
	benchorch_close_table(leases);
	return lane_id;
}

Slot
benchorch_read_slot(const Claim *claim)
{
	Slot		slot = {.worker = benchorch_kept_worker(&claim->worker_id)};

	if (slot.worker == NULL)
		benchorch_no_such_worker(&claim->worker_id);
	else if (slot.worker->active)
		slot.warm_lane = renew_lease(claim, 0);
	return slot;
}

/* ------------------------------------------------------------------ the chunks */

/* The order of chunks: the most urgent first, the longest first among equals. */
typedef struct Rank
{
	int32		priority;
	int32		work;
	int64		id;
} Rank;

static bool
precedes(const Rank *a, const Rank *b)
{
	if (a->priority != b->priority)
		return a->priority < b->priority;
	return a->work != b->work ? a->work > b->work : a->id < b->id;
}

/* Where chunks of a hardware begin (heard.c): none stands before that. */
typedef struct Place
{
	uint64		generation;		/* in which that is believed */
	int32		hardware;
	Rank		rank;
} Place;

static Place own_place;			/* of the worker's hardware */
static Place any_place;			/* of those for any */

/* The chunk that this session has taken from last, while it has ids left. */
static struct
{
	uint64		generation;		/* in which it may be gone on with */
	int32		lane_id;
	int64		id;
	ItemPointerData address;
	Rank		bound;			/* as long as its head precedes that, it is its lane's best */
} own;

/* The parts of an index scan that begins in its midst. */
typedef enum Part
{
	FROM_PLACE,					/* its priority and work */
	LESS_WORK,					/* its priority */
	LESS_URGENT,
	WHOLE,						/* all of the hardware, or of the lane */
	NO_PART
} Part;

/* Chunks of a hardware or of a lane, in the order in which they stand. */
typedef struct Chunks
{
	Claim	   *claim;
	const Slot *slot;
	Table	   *of_hardware;	/* NULL until it is needed */
	Table	   *of_lanes;
	Table	   *table;			/* the one of them that is scanned */
	int32		key;			/* the hardware, or the lane */
	Part		part;
	Rank		from;			/* where the first part begins */
	Place	   *first;			/* to be noted with the first chunk; NULL: no more */
	uint64		generation;		/* in which that is believed */
	Rank		lane_bound;		/* what else the lane's scan has seen, and what is behind, has no head before that */
	uint64		lane_generation;	/* in which that is believed */
} Chunks;

static const Rank last_rank = {PG_INT32_MAX, PG_INT32_MIN, PG_INT64_MAX};

static void
open_chunks(Chunks *chunks, Claim *claim, const Slot *slot)
{
	*chunks = (Chunks){
		.claim = claim,
		.slot = slot,
		.of_lanes = benchorch_open_table("lane_chunks", "lane_chunks_lane", RowExclusiveLock)};
}

static void
close_chunks(Chunks *chunks)
{
	if (chunks->of_hardware)
		benchorch_close_table(chunks->of_hardware);
	benchorch_close_table(chunks->of_lanes);
}

#define INT4_KEY(key, column, how, operator, value) \
	ScanKeyInit(&(key), column, how, operator, Int32GetDatum(value))

/* All parts are seen under one snapshot, so that the scan can return to what it has passed. */
static void
scan_part(Chunks *chunks, bool first)
{
	const Rank *from = &chunks->from;
	ScanKeyData keys[4];
	int			n = 0;

	INT4_KEY(keys[n++], 1, BTEqualStrategyNumber, F_INT4EQ, chunks->key);
	if (chunks->part == FROM_PLACE || chunks->part == LESS_WORK)
		INT4_KEY(keys[n++], 2, BTEqualStrategyNumber, F_INT4EQ, from->priority);
	else
		INT4_KEY(keys[n++], 2, BTLessEqualStrategyNumber, F_INT4LE, chunks->claim->threshold);
	if (chunks->part == FROM_PLACE)
	{
		INT4_KEY(keys[n++], 3, BTEqualStrategyNumber, F_INT4EQ, from->work);
		ScanKeyInit(&keys[n++], 4, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(from->id));
	}
	else if (chunks->part == LESS_WORK)
		INT4_KEY(keys[n++], 3, BTLessStrategyNumber, F_INT4LT, from->work);
	else if (chunks->part == LESS_URGENT)
		INT4_KEY(keys[n++], 2, BTGreaterStrategyNumber, F_INT4GT, from->priority);
	if (first)
		benchorch_scan(chunks->table, keys, n);
	else
		benchorch_scan_on(chunks->table, keys, n);
}

static void
scan_hardware(Chunks *chunks, int32 hardware)
{
	Place	   *place = hardware ? &own_place : &any_place;

	if (chunks->of_hardware == NULL)
		chunks->of_hardware = benchorch_open_table("lane_chunks", "lane_chunks_hardware", RowExclusiveLock);
	chunks->table = chunks->of_hardware;
	chunks->key = hardware;
	chunks->from = place->rank;
	chunks->generation = benchorch_generation(READINESS);
	chunks->part = WHOLE;
	if (place->generation == chunks->generation && place->hardware == hardware)
		chunks->part = place->rank.priority <= chunks->claim->threshold ? FROM_PLACE : NO_PART;
	chunks->first = chunks->part != NO_PART ? place : NULL;
	if (chunks->part != NO_PART)
		scan_part(chunks, true);
}

static void
scan_lane(Chunks *chunks, int32 lane_id)
{
	chunks->table = chunks->of_lanes;
	chunks->key = lane_id;
	chunks->first = NULL;
	chunks->lane_generation = benchorch_generation(READINESS);
	chunks->lane_bound = last_rank;
	chunks->part = WHOLE;
	scan_part(chunks, true);
}

static Datum
chunk_datum(const Chunks *chunks, int column)
{
	return benchorch_row_datum(chunks->table, column);
}

static Rank
standing(const Chunks *chunks)
{
	return (Rank){
		DatumGetInt32(chunk_datum(chunks, LANE_CHUNK_PRIORITY)), DatumGetInt32(chunk_datum(chunks, LANE_CHUNK_WORK)),
		DatumGetInt64(chunk_datum(chunks, LANE_CHUNK_ID))};
}

static int32
int32_at(const Chunks *chunks, int column, int position)
{
	const int32 *elements = (const int32 *) ARR_DATA_PTR(DatumGetArrayTypeP(chunk_datum(chunks, column)));

	return elements[position - 1];
}

/* Where it belongs. */
static Rank
head(const Chunks *chunks)
{
	int			next = DatumGetInt32(chunk_datum(chunks, LANE_CHUNK_NEXT));

	return (Rank){
		int32_at(chunks, LANE_CHUNK_PRIORITIES, next), int32_at(chunks, LANE_CHUNK_WORKS, next),
		DatumGetInt64(chunk_datum(chunks, LANE_CHUNK_ID))};
}

static bool
scans_lane(const Chunks *chunks)
{
	return chunks->table == chunks->of_lanes;
}

static void
bound_by(Chunks *chunks, const Rank *rank)
{
	if (scans_lane(chunks) && precedes(rank, &chunks->lane_bound))
		chunks->lane_bound = *rank;
}

/* Goes to the next chunk; false where there is none. */
static bool
next_chunk(Chunks *chunks)
{
	Rank		beyond = last_rank;

	while (chunks->part != NO_PART)
	{
		if (benchorch_next_row(chunks->table))
		{
			if (chunks->first)
				*chunks->first = (Place){chunks->generation, chunks->key, standing(chunks)};
			chunks->first = NULL;
			return true;
		}
		chunks->part = chunks->part < LESS_URGENT ? chunks->part + 1 : NO_PART;
		if (chunks->part != NO_PART)
			scan_part(chunks, false);
	}
	/* what is above the threshold was not looked at */
	if (chunks->claim->threshold < PG_INT32_MAX)
		beyond = (Rank){chunks->claim->threshold + 1, PG_INT32_MAX, 0};
	bound_by(chunks, &beyond);
	if (chunks->first)
		*chunks->first = (Place){chunks->generation, chunks->key, beyond};
	chunks->first = NULL;
	return false;
}

static bool
uuid_is(Datum datum, const pg_uuid_t *uuid)
{
	return memcmp(DatumGetUUIDP(datum), uuid, UUID_LEN) == 0;
}

/* Can the worker run the chunk's configs? */
static bool
fits(const Chunks *chunks)
{
	const Claim *claim = chunks->claim;
	const KeptWorker *worker = chunks->slot->worker;
	int32		framework = DatumGetInt32(chunk_datum(chunks, LANE_CHUNK_FRAMEWORK));

	if (head(chunks).priority > claim->threshold ||
		DatumGetInt32(chunk_datum(chunks, LANE_CHUNK_GPUS)) > worker->gpus ||
		(claim->has_model && !uuid_is(chunk_datum(chunks, LANE_CHUNK_MODEL), &claim->model_version_id)))
		return false;
	for (int i = 0; i < worker->nframeworks; i++)
		if (worker->framework_ids[i] == framework)
			return true;
	return false;
}

/* And may it take them: not of a paused model, not to be avoided? */
static bool
is_takeable(const Chunks *chunks)
{
	bool		isnull;
	Datum		avoided = benchorch_row_value(chunks->table, LANE_CHUNK_AVOID_WORKER, &isnull);

	return fits(chunks) && (isnull || !uuid_is(avoided, &chunks->claim->worker_id)) &&
		!benchorch_is_paused(chunks->claim, DatumGetUUIDP(chunk_datum(chunks, LANE_CHUNK_MODEL)));
}

/* ------------------------------------------------------------------ which lane */

/*
 * Goes to the chunk that may be taken, is not held by others (if it is to be
 * free) and has the best head; false where there is none.
 */
static bool
best_chunk(Chunks *chunks, bool free)
{
	ItemPointerData address;
	Rank		best = last_rank;
	bool		found = false;

	while (next_chunk(chunks))
	{
		Rank		stands = standing(chunks);
		Rank		rank = head(chunks);

		if (found && !precedes(&stands, &best))
		{
			bound_by(chunks, &stands);
			break;
		}
		if (!precedes(&rank, &best) || !is_takeable(chunks) || (free && benchorch_is_held(chunks->table)))
		{
			bound_by(chunks, &rank);
			continue;
		}
		bound_by(chunks, &best);
		best = rank;
		address = benchorch_row_address(chunks->table);
		found = true;
		if (!precedes(&stands, &rank))
		{
			bound_by(chunks, &stands);
			return true;		/* none behind it can be better */
		}
	}
	if (found)
		benchorch_go_to_row(chunks->table, &address);
	return found;
}

/* The most urgent priority of what may be taken, where the scan then stands; where nothing may, the maximum. */
static int64
most_urgent(Chunks *chunks)
{
	return best_chunk(chunks, false) ? head(chunks).priority : PG_INT64_MAX;
}

/* Which hardware's chunks are the most urgent: the worker's own, or those for any (0); -1 where neither has one. */
static int32
choose_hardware(Chunks *chunks, int64 *priority)
{
	int32		hardware = chunks->slot->worker->hardware_config_id;
	int64		own;
	int64		any;

	scan_hardware(chunks, hardware);
	own = most_urgent(chunks);
	scan_hardware(chunks, 0);
	any = most_urgent(chunks);
	*priority = Min(own, any);
	if (*priority == PG_INT64_MAX)
		return -1;
	return any < own ? 0 : hardware;
}

/* No chunk of the hardware is more urgent than that, as far as the session knows. */
static int64
known_bound(const Place *place, int32 hardware)
{
	bool		believed = place->generation == benchorch_generation(READINESS) && place->hardware == hardware;

	return believed ? place->rank.priority : PG_INT32_MIN;
}

/* Goes to the session's own chunk, where it is the best of the lane. */
static bool
own_chunk(Chunks *chunks, int32 lane_id)
{
	Rank		rank;

	chunks->table = chunks->of_lanes;
	if (own.generation != benchorch_generation(READINESS) || own.lane_id != lane_id ||
		!benchorch_find_row_at(chunks->table, &own.address, LANE_CHUNK_ID, Int64GetDatum(own.id), int8eq))
		return false;
	rank = head(chunks);
	chunks->lane_generation = own.generation;
	chunks->lane_bound = own.bound;
	return precedes(&rank, &own.bound) && is_takeable(chunks);
}

/*
 * Which hardware's chunks to look at, -1 where there is nothing.  The warm lane
 * wins unless the best is more urgent by more than the cost of a switch; its
 * scan stands at its best chunk then.
 */
static int32
choose(Chunks *chunks, bool *warm)
{
	const Slot *slot = chunks->slot;
	int64		lane = PG_INT64_MAX;
	int64		best;
	int32		hardware;

	if (slot->warm_lane && own_chunk(chunks, slot->warm_lane))
		lane = head(chunks).priority;
	else if (slot->warm_lane)
	{
		scan_lane(chunks, slot->warm_lane);
		lane = most_urgent(chunks);
	}
	if (lane != PG_INT64_MAX)
	{
		/* mostly there is no need to look at the others */
		best = Min(known_bound(&own_place, slot->worker->hardware_config_id), known_bound(&any_place, 0));
		hardware = DatumGetInt32(chunk_datum(chunks, LANE_CHUNK_HARDWARE));
		*warm = lane - best <= benchorch_lane_switch_cost;
		if (*warm)
			return hardware;
	}
	hardware = choose_hardware(chunks, &best);
	*warm = lane != PG_INT64_MAX && lane - best <= benchorch_lane_switch_cost;
	return hardware;
}

/* Chunks that are to avoid this worker, and that no other live worker fits. */
static Statement free_avoided = {
	.sql = "UPDATE benchorch.lane_chunks SET avoid_worker_id = NULL WHERE id = ANY (ARRAY(SELECT c.id"
	" FROM benchorch.lane_chunks c WHERE c.priority <= $1 AND c.priorities[c.next] <= $1"
	" AND c.framework_id = ANY ($2) AND c.gpus <= $3 AND ($5 IS NULL OR c.model_version_id = $5)"
	" AND c.hardware_config_id IN (0, $6) AND c.avoid_worker_id = $4 AND NOT EXISTS ("
	"  SELECT FROM benchorch.workers w JOIN benchorch.worker_leases l ON l.worker_id = w.id"
	"  WHERE w.id <> $4 AND w.state = 'active' AND l.expires_at > pg_catalog.clock_timestamp()"
	"  AND c.hardware_config_id IN (0, w.hardware_config_id) AND c.framework_id = ANY (w.framework_ids)"
	"  AND c.gpus <= w.gpus) FOR UPDATE OF c SKIP LOCKED))",
	.nargs = 6,
	.types = {INT4OID, INT4ARRAYOID, INT4OID, UUIDOID, UUIDOID, INT4OID}
};

/* The same; where there is nothing else, what was to avoid this worker and suits nobody else. */
static int32
choose_at_last(Chunks *chunks, bool *warm)
{
	const Claim *claim = chunks->claim;
	const KeptWorker *worker = chunks->slot->worker;
	int32		hardware = choose(chunks, warm);

	if (hardware < 0)
	{
		Datum		values[6] = {
			Int32GetDatum(claim->threshold), benchorch_int32_array(worker->framework_ids, worker->nframeworks),
			Int32GetDatum(worker->gpus), UUIDPGetDatum(&claim->worker_id),
			UUIDPGetDatum(&claim->model_version_id), Int32GetDatum(worker->hardware_config_id)
		};

		if (benchorch_run(&free_avoided, values, claim->has_model ? NULL : "    n ") > 0)
			hardware = choose(chunks, warm);
	}
	return hardware;
}

bool
benchorch_lane_is_left(Claim *claim, const Slot *slot)
{
	Chunks		chunks;
	bool		warm;
	bool		left;

	open_chunks(&chunks, claim, slot);
	left = choose_at_last(&chunks, &warm) >= 0;
	close_chunks(&chunks);
	return left;
}

/* -------------------------------------------------------------------- how much */

/* Live workers of the hardware that share a framework with this one, itself included. */
static int64
count_workers(const KeptWorker *own)
{
	Table	   *leases = benchorch_open_table("worker_leases", NULL, AccessShareLock);
	TimestampTz now = GetCurrentTimestamp();
	int64		workers = 0;

	benchorch_scan(leases, NULL, 0);
	while (benchorch_next_row(leases))
	{
		const KeptWorker *worker;
		bool		shares = false;

		if (DatumGetTimestampTz(benchorch_row_datum(leases, LEASE_EXPIRES_AT)) <= now)
			continue;
		worker = benchorch_kept_worker(DatumGetUUIDP(benchorch_row_datum(leases, LEASE_WORKER)));
		if (worker == NULL || !worker->active || worker->hardware_config_id != own->hardware_config_id)
			continue;
		for (int i = 0; i < worker->nframeworks && !shares; i++)
			for (int j = 0; j < own->nframeworks && !shares; j++)
				shares = worker->framework_ids[i] == own->framework_ids[j];
		workers += shares;
	}
	benchorch_close_table(leases);
	return workers;
}

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

/* How many configs a chunk has left. */
static int
configs_left(const Chunks *chunks)
{
	ArrayType  *ids = DatumGetArrayTypeP(chunk_datum(chunks, LANE_CHUNK_IDS));

	return ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids)) - DatumGetInt32(chunk_datum(chunks, LANE_CHUNK_NEXT)) + 1;
}

/*
 * As much as leaves enough for the other live workers, so that the pool ends
 * together: guided self-scheduling, half of an even share of what is ready.
 * The share is one of configs and one of expected work, and a batch exceeds
 * neither: where longer ones go first, a share of configs alone would be far
 * more than a share of the time.
 */
static Share
fair_share(Chunks *chunks, int32 hardware)
{
	const Claim *claim = chunks->claim;
	Share		share = {claim->wanted, PG_INT64_MAX};
	int64		configs = 0;
	int64		work = 0;
	int64		shares;
	int64		enough;

	if (claim->wanted == 1 || is_plenty(claim))
		return share;
	shares = count_workers(chunks->slot->worker) * SHARES_PER_WORKER;
	if (shares <= SHARES_PER_WORKER)
		return share;
	enough = claim->wanted * shares * PLENTY_ROUNDS;
	scan_hardware(chunks, hardware);
	while (configs < enough && next_chunk(chunks))
		if (fits(chunks))
		{
			configs += configs_left(chunks);
			work += DatumGetInt64(chunk_datum(chunks, LANE_CHUNK_WORK_LEFT));
		}
	if (configs >= enough)
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

/* ---------------------------------------------------------------------- hints */

/* Claims of one that go on in a chunk find this many configs with one look at the index, if they stand side by side. */
#define READ_AHEAD 32

/* What a claim has taken off the chunks, and has not yet looked for. */
typedef struct Hints
{
	int			n;
	int64		ids[BENCHORCH_MAX_BATCH];
	int32		priorities[BENCHORCH_MAX_BATCH];
} Hints;

/*
 * Takes hints off the chunk as it was found, and what they are off the share;
 * TM_Ok, or nothing has changed.  The first config of a claim is taken whatever
 * work it is.
 */
static TM_Result
take_hints(Chunks *chunks, Hints *hints, Share *share)
{
	static const int columns[] = {LANE_CHUNK_NEXT, LANE_CHUNK_WORK_LEFT, LANE_CHUNK_PRIORITY, LANE_CHUNK_WORK};
	bool		goes_on = scans_lane(chunks);
	int32		threshold = chunks->claim->threshold;
	bool		first = chunks->claim->taken + hints->n == 0;
	int			length;
	int64	   *ids = benchorch_array_int64(chunk_datum(chunks, LANE_CHUNK_IDS), &length);
	int32	   *priorities = benchorch_array_int32(chunk_datum(chunks, LANE_CHUNK_PRIORITIES), &length);
	int32	   *works = benchorch_array_int32(chunk_datum(chunks, LANE_CHUNK_WORKS), &length);
	int			start = DatumGetInt32(chunk_datum(chunks, LANE_CHUNK_NEXT)) - 1;
	int			next = start;
	int64		work = 0;
	TM_Result	result = TM_Ok;

	while (next < length && next - start < share->configs && priorities[next] <= threshold &&
		   (work + works[next] <= share->work || (first && next == start)))
		work += works[next++];
	if (next == length)
		result = benchorch_delete_row(chunks->table);
	else if (next > start)
	{
		Datum		advanced[4] = {
			Int32GetDatum(next + 1), Int64GetDatum(DatumGetInt64(chunk_datum(chunks, LANE_CHUNK_WORK_LEFT)) - work),
			Int32GetDatum(priorities[next]), Int32GetDatum(works[next])
		};

		result = benchorch_update_row(chunks->table, columns, advanced, goes_on ? 2 : 4);
	}
	if (result != TM_Ok)
		return result;
	own.generation = 0;
	chunks->claim->ahead = 0;
	if (goes_on && start < next && next < length)
	{
		own.generation = chunks->lane_generation;
		own.lane_id = DatumGetInt32(chunk_datum(chunks, LANE_CHUNK_LANE));
		own.id = DatumGetInt64(chunk_datum(chunks, LANE_CHUNK_ID));
		own.address = benchorch_written_address(chunks->table);
		own.bound = chunks->lane_bound;
		if (chunks->claim->wanted == 1 && ids[next] > ids[start])
			chunks->claim->ahead = ids[start] + READ_AHEAD;
	}
	memcpy(hints->ids + hints->n, ids + start, sizeof(int64) * (next - start));
	memcpy(hints->priorities + hints->n, priorities + start, sizeof(int32) * (next - start));
	hints->n += next - start;
	share->configs -= next - start;
	share->work -= work;
	if (next < length && priorities[next] <= threshold && works[next] > share->work)
		share->configs = 0;
	return TM_Ok;
}

/* The same where somebody may have come first; the chunk's lane, or 0 where it is not to be had. */
static int32
take_chunk(Chunks *chunks, Hints *hints, Share *share)
{
	TM_Result	result;

	if (benchorch_is_held(chunks->table))
		return 0;
	result = take_hints(chunks, hints, share);
	if (benchorch_is_free_now(chunks->table, result) && is_takeable(chunks))
		result = take_hints(chunks, hints, share);
	return result == TM_Ok ? DatumGetInt32(chunk_datum(chunks, LANE_CHUNK_LANE)) : 0;
}

/* Takes hints off the best chunk of the scan that may be taken and that nobody is at; its lane, or 0. */
static int32
pop_chunk(Chunks *chunks, Hints *hints, Share *share)
{
	int32		lane_id = 0;

	while (lane_id == 0 && best_chunk(chunks, true))
	{
		Rank		rank = head(chunks);

		lane_id = take_chunk(chunks, hints, share);
		if (lane_id == 0)
			bound_by(chunks, &rank);
	}
	return lane_id;
}

/*
 * One pass over the chunks that nobody else holds; the lane that it took from,
 * or 0.  The hints are collected first and taken at once, in id order: a claim
 * that already held configs while it waited for more could be waited for.
 */
static int32
claim_lane(Chunks *chunks, Claim *claim)
{
	Hints	   *hints = palloc(sizeof(Hints));
	int32		lane_id = 0;
	int			wanted = 1;
	Share		share = {0};

	while (claim->taken < wanted)
	{
		int			before = claim->taken;
		int32		popped = -1;

		hints->n = 0;
		/* until something is taken the choice is open: what the chunks promised may have been spent */
		if (claim->taken == 0)
		{
			bool		warm;
			int32		hardware = choose_at_last(chunks, &warm);
			int64		priority;

			if (hardware < 0)
				break;
			share = fair_share(chunks, hardware);
			wanted = share.configs;
			lane_id = 0;
			if (warm)
			{
				chunks->table = chunks->of_lanes;
				lane_id = take_chunk(chunks, hints, &share);
				if (lane_id == 0)
				{
					scan_lane(chunks, chunks->slot->warm_lane);
					lane_id = pop_chunk(chunks, hints, &share);
				}
				if (lane_id == 0)	/* others hold the warm lane's chunks */
					hardware = choose_hardware(chunks, &priority);
			}
			if (lane_id == 0 && hardware >= 0)
			{
				scan_hardware(chunks, hardware);
				popped = lane_id = pop_chunk(chunks, hints, &share);
			}
		}
		while (popped && share.configs > 0)
		{
			int			had = hints->n;

			scan_lane(chunks, lane_id);
			popped = pop_chunk(chunks, hints, &share);
			if (hints->n == had)
				break;
		}
		if (hints->n == 0 || !benchorch_take(claim, hints->ids, hints->priorities, hints->n, lane_id))
			break;				/* others hold the chunks, or some of the configs */
		if (claim->taken == before + hints->n)
			break;				/* nothing was spent: that was the share, or all there is */
		share.configs = wanted - claim->taken;
		CHECK_FOR_INTERRUPTS();
	}
	return claim->taken > 0 ? lane_id : 0;
}

void
benchorch_claim_lane(Claim *claim, const Slot *slot)
{
	Chunks		chunks;
	int32		lane_id;

	open_chunks(&chunks, claim, slot);
	lane_id = claim_lane(&chunks, claim);
	close_chunks(&chunks);
	if (lane_id && lane_id != slot->warm_lane)
		renew_lease(claim, lane_id);
}
