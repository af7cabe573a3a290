/*
 * Claims without a worker: what is most urgent, of any hardware.
 *
 * Priority chunks are taken in order; what somebody else is at is passed by.  A
 * chunk is taken only when its turn comes, so a claim holds no more of them
 * than it uses.  A session that has left ids in one goes on with it as long as
 * nothing is more urgent: among equals it has no need to look for the first.
 */
#include "benchorch.h"
#include "table.h"

#include "common/pg_prng.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"

/* Where the chunks begin (heard.c). */
static struct
{
	uint64		generation;		/* in which that is believed */
	int32		priority;
	int64		id;
} place;

/* The chunk that this session has taken from last, while it has ids left. */
static struct
{
	int64		id;				/* 0: none */
	ItemPointerData address;
} own;

/*
 * Further chunks that are as urgent as the first, for claims of a few: taken in
 * any order, so that sessions seldom come for the same one.  Which of them are
 * still there is seen when their turn comes.
 */
#define UPCOMING 64
#define UPCOMING_TRIES 4
#define FEW 8

typedef struct Upcoming
{
	int64		id;
	ItemPointerData address;
} Upcoming;

static struct
{
	int32		priority;
	int			n;
	Upcoming	chunks[UPCOMING];
} upcoming;

/* The parts of the scan of all models; that of one has but the last. */
typedef enum Part
{
	FROM_PLACE,					/* the priority of the place */
	LESS_URGENT,
	WHOLE,
	NO_PART
} Part;

/* Chunks, the most urgent first. */
typedef struct Chunks
{
	const Claim *claim;
	Table	   *table;
	Part		part;
	bool		note;			/* the first chunk is the new place */
	uint64		generation;
} Chunks;

static void
scan_part(Chunks *chunks)
{
	const Claim *claim = chunks->claim;
	ScanKeyData keys[2];
	int			n = 0;
	int			column = 1;		/* of the priority in the index */

	if (claim->has_model)
		ScanKeyInit(&keys[n++], column++, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(&claim->model_version_id));
	if (chunks->part == FROM_PLACE)
	{
		ScanKeyInit(&keys[n++], column, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(place.priority));
		ScanKeyInit(&keys[n++], column + 1, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(place.id));
	}
	else
		ScanKeyInit(&keys[n++], column, BTLessEqualStrategyNumber, F_INT4LE, Int32GetDatum(claim->threshold));
	if (chunks->part == LESS_URGENT)
		ScanKeyInit(&keys[n++], column, BTGreaterStrategyNumber, F_INT4GT, Int32GetDatum(place.priority));
	benchorch_scan(chunks->table, keys, n);
}

static void
open_chunks(Chunks *chunks, const Claim *claim)
{
	*chunks = (Chunks){
		.claim = claim,
		.table = benchorch_open_table("priority_chunks",
									  claim->has_model ? "priority_chunks_model" : "priority_chunks_priority",
									  RowExclusiveLock),
		.generation = benchorch_generation(READINESS)};
}

/* Is what the scan has behind the chunks taken to be noted? */
static bool
notes_upcoming(const Claim *claim)
{
	return claim->wanted <= FEW && !claim->has_model;
}

static void
scan_chunks(Chunks *chunks)
{
	const Claim *claim = chunks->claim;

	if (notes_upcoming(claim))
		benchorch_want_entries(chunks->table);
	chunks->part = WHOLE;
	chunks->note = !claim->has_model;
	if (!claim->has_model && place.generation == chunks->generation)
		chunks->part = place.priority <= claim->threshold ? FROM_PLACE : NO_PART;
	if (chunks->part != NO_PART)
		scan_part(chunks);
}

static bool
is_takeable(const Chunks *chunks)
{
	return !benchorch_is_paused(chunks->claim, DatumGetUUIDP(benchorch_row_datum(chunks->table, PRIORITY_CHUNK_MODEL)));
}

/* Goes to a chunk that the session has seen there, where it is among the most urgent. */
static bool
find_urgent(Chunks *chunks, int64 id, ItemPointer address)
{
	return benchorch_find_row_at(chunks->table, address, PRIORITY_CHUNK_ID, Int64GetDatum(id), int8eq) &&
		DatumGetInt32(benchorch_row_datum(chunks->table, PRIORITY_CHUNK_PRIORITY)) == place.priority &&
		is_takeable(chunks);
}

/* Goes to a chunk without a scan: the session's own, or one of the upcoming. */
static bool
known_chunk(Chunks *chunks)
{
	if (chunks->claim->has_model ||
		place.generation != chunks->generation || place.priority > chunks->claim->threshold)
		return false;
	if (own.id != 0 && find_urgent(chunks, own.id, &own.address))
		return true;
	for (int i = 0; i < UPCOMING_TRIES && upcoming.n > 0 && upcoming.priority == place.priority; i++)
	{
		int			at = pg_prng_uint64_range(&pg_global_prng_state, 0, upcoming.n - 1);
		Upcoming	chunk = upcoming.chunks[at];

		upcoming.chunks[at] = upcoming.chunks[--upcoming.n];
		if (find_urgent(chunks, chunk.id, &chunk.address))
			return true;
	}
	return false;
}

/* The scan has brought what was needed: notes what it has behind that. */
static void
note_upcoming(const Chunks *chunks)
{
	Datum		columns[2];		/* priority, id */
	ItemPointerData address;

	upcoming.priority = place.priority;
	upcoming.n = 0;
	while (upcoming.n < UPCOMING && benchorch_next_entry(chunks->table, columns, &address) &&
		   DatumGetInt32(columns[0]) == place.priority)
		upcoming.chunks[upcoming.n++] = (Upcoming){DatumGetInt64(columns[1]), address};
}

/* Goes to the next chunk of a model that is not paused; false where there is none. */
static bool
next_chunk(Chunks *chunks)
{
	while (chunks->part != NO_PART)
	{
		while (benchorch_next_row(chunks->table))
		{
			if (chunks->note)
			{
				place.generation = chunks->generation;
				place.priority = DatumGetInt32(benchorch_row_datum(chunks->table, PRIORITY_CHUNK_PRIORITY));
				place.id = DatumGetInt64(benchorch_row_datum(chunks->table, PRIORITY_CHUNK_ID));
				chunks->note = false;
			}
			if (is_takeable(chunks))
				return true;
		}
		chunks->part = chunks->part == FROM_PLACE ? LESS_URGENT : NO_PART;
		if (chunks->part != NO_PART)
			scan_part(chunks);
	}
	return false;
}

/* What a claim has taken off the chunks, and has not yet looked for. */
typedef struct Hints
{
	int			n;
	int64		ids[BENCHORCH_MAX_BATCH];
	int32		priorities[BENCHORCH_MAX_BATCH];
} Hints;

/* Takes up to as many hints as are needed off the chunk as it was found; TM_Ok, or nothing has changed. */
static TM_Result
take_hints(const Chunks *chunks, Hints *hints, int need)
{
	static const int columns[] = {PRIORITY_CHUNK_NEXT};
	Table	   *chunk = chunks->table;
	int			length;
	int64	   *ids = benchorch_array_int64(benchorch_row_datum(chunk, PRIORITY_CHUNK_IDS), &length);
	int32		priority = DatumGetInt32(benchorch_row_datum(chunk, PRIORITY_CHUNK_PRIORITY));
	int			start = DatumGetInt32(benchorch_row_datum(chunk, PRIORITY_CHUNK_NEXT)) - 1;
	int			next = Min(length, start + need - hints->n);
	TM_Result	result;

	if (next == length)
		result = benchorch_delete_row(chunk);
	else
		result = benchorch_update_row(chunk, columns, (Datum[]){Int32GetDatum(next + 1)}, 1);
	if (result != TM_Ok)
		return result;
	own.id = 0;
	if (next < length)
	{
		own.id = DatumGetInt64(benchorch_row_datum(chunk, PRIORITY_CHUNK_ID));
		own.address = benchorch_written_address(chunk);
	}
	for (int i = start; i < next; i++)
	{
		hints->ids[hints->n] = ids[i];
		hints->priorities[hints->n++] = priority;
	}
	return TM_Ok;
}

/* The same where somebody may have come first. */
static void
take_chunk(const Chunks *chunks, Hints *hints, int need)
{
	if (!benchorch_is_held(chunks->table) &&
		benchorch_is_free_now(chunks->table, take_hints(chunks, hints, need)))
		take_hints(chunks, hints, need);
}

/* One pass over the chunks that nobody else is at. */
void
benchorch_claim_most_urgent(Claim *claim)
{
	Hints	   *hints = palloc(sizeof(Hints));
	bool		more = true;

	while (more && claim->taken < claim->wanted)
	{
		int			need = claim->wanted - claim->taken;
		Chunks		chunks;

		/* collect as many ids as are needed ... */
		hints->n = 0;
		open_chunks(&chunks, claim);
		if (known_chunk(&chunks))
			take_chunk(&chunks, hints, need);
		if (hints->n < need)
		{
			scan_chunks(&chunks);
			while (hints->n < need && (more = next_chunk(&chunks)))
				take_chunk(&chunks, hints, need);
			if (more && notes_upcoming(claim))
				note_upcoming(&chunks);
		}
		benchorch_close_table(chunks.table);
		/* ... and take what of them is pending; stale ones call for another round */
		if (hints->n > 0 && !benchorch_take(claim, hints->ids, hints->priorities, hints->n, 0))
			break;
		CHECK_FOR_INTERRUPTS();
	}
}

bool
benchorch_urgent_is_left(const Claim *claim)
{
	Chunks		chunks;
	bool		left;

	open_chunks(&chunks, claim);
	scan_chunks(&chunks);
	left = next_chunk(&chunks);
	benchorch_close_table(chunks.table);
	return left;
}
