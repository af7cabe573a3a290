/*
 * claim_batch: from what is due before it to the claim's own row.
 *
 * A claim takes ids from ready chunks (SKIP LOCKED: two claims never wait for
 * each other): lane.c those of a worker, urgent.c those without one.  take.c
 * makes those of them running that are still pending.
 *
 * The claim's row in benchorch.claims bears the token; it is written with the
 * claim, so a claim exists as a whole or not at all.
 */
#include "benchorch.h"
#include "table.h"

#include "access/xact.h"
#include "commands/sequence.h"
#include "common/pg_prng.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(benchorch_claim_batch);
PG_FUNCTION_INFO_V1(benchorch_claim_runs);

/* How often a claim looks again while others hold the chunks; the pauses double, two seconds in all. */
#define EMPTY_TRIES 12
#define FIRST_PAUSE_US 500

/* A session takes so many numbers from the sequence at once. */
#define NUMBERS 32

/*
 * A number that was never handed out: 32 bits of a sequence, which alone could
 * repeat themselves after a crash or a restore, and 21 random bits below.
 * Below 2^53, so that JSON keeps it.  Later ones are mostly greater: their
 * entries in the index stand together.
 */
static int64
new_claim_id(void)
{
	static pg_prng_state random;
	static bool seeded = false;
	static int64 number = 0;	/* the next of the session's own; the first of a row is taken anew */

	if (!seeded && !pg_prng_strong_seed(&random))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random claim_id")));
	seeded = true;
	if (number % NUMBERS == 0)
		number = nextval_internal(benchorch_oid("claim_seq"), false) * NUMBERS;
	return (number++ & 0xFFFFFFFF) << CLAIM_RANDOM_BITS | (pg_prng_uint32(&random) >> (32 - CLAIM_RANDOM_BITS) | 1);
}

/* ------------------------------------------------------------ claim_batch */

/* With a sweep, as many earlier claims of a worker are looked at for those that are over. */
#define CLAIMS_LOOKED_AT 8

/* Does anything run under it still? */
static bool
is_over(Table *claims)
{
	int64		claim_id = DatumGetInt64(benchorch_row_datum(claims, CLAIM_ID));
	int			n;
	int64	   *ids = benchorch_array_int64(benchorch_row_datum(claims, CLAIM_CONFIGS), &n);
	ConfigTable *configs;
	bool		over = true;

	qsort(ids, n, sizeof(int64), benchorch_compare_int64);
	configs = benchorch_open_configs(ids, n);
	for (int i = 0; i < n && over; i++)
		over = !benchorch_is_held_by(benchorch_read_next(configs), claim_id);
	benchorch_close_configs(configs);
	return over;
}

/* Deletes earlier claims of the worker that are over.  Nobody is waited for. */
static void
delete_finished(Table *claims, const pg_uuid_t *worker_id)
{
	bool		found = benchorch_find_row(claims, UUIDPGetDatum(worker_id), F_UUID_EQ);

	for (int i = 0; found && i < CLAIMS_LOOKED_AT; i++, found = benchorch_next_row(claims))
		if (is_over(claims))
			benchorch_delete_row(claims);
}

/* The claim's own row, and the counts of what it took; what is left of earlier claims goes with a sweep. */
static void
record(Claim *claim, bool swept)
{
	Table	   *claims = benchorch_open_table("claims", "claims_worker", RowExclusiveLock);
	Datum		values[CLAIM_COLUMNS] = {0};
	bool		nulls[CLAIM_COLUMNS] = {false};

	if (swept && claim->has_worker)
		delete_finished(claims, &claim->worker_id);
	values[CLAIM_ID - 1] = Int64GetDatum(claim->claim_id);
	values[CLAIM_WORKER - 1] = UUIDPGetDatum(&claim->worker_id);
	nulls[CLAIM_WORKER - 1] = !claim->has_worker;
	values[CLAIM_CLAIMED_AT - 1] = TimestampTzGetDatum(claim->claimed_at);
	values[CLAIM_RESTORED - 1] = BoolGetDatum(false);
	values[CLAIM_CONFIGS - 1] = benchorch_int64_array(claim->ids, claim->taken);
	benchorch_add_row(claims, values, nulls);
	benchorch_remember_claim(claim->claim_id, benchorch_written_address(claims));
	benchorch_close_table(claims);

	benchorch_count_moves(claim->models, claim->taken, CONFIG_PENDING, CONFIG_RUNNING);
}

/* What is looked at anew with each try. */
static Slot
begin_try(Claim *claim)
{
	Slot		slot = {0};

	claim->claimed_at = GetCurrentTimestamp();
	benchorch_begin_reference();
	claim->paused = benchorch_kept_paused(&claim->npaused);
	if (claim->has_worker)
		slot = benchorch_read_slot(claim);
	return slot;
}

/* What both calls are. */
static Datum
claim_for(FunctionCallInfo fcinfo, PutTaken put)
{
	Claim	   *claim = palloc0(sizeof(Claim));
	Slot		slot;
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
	claim->ids = palloc(sizeof(int64) * claim->wanted);
	claim->models = palloc(sizeof(pg_uuid_t) * claim->wanted);
	claim->has_worker = !PG_ARGISNULL(2);
	if (claim->has_worker)
		claim->worker_id = *PG_GETARG_UUID_P(2);
	claim->has_model = !PG_ARGISNULL(3);
	if (claim->has_model)
		claim->model_version_id = *PG_GETARG_UUID_P(3);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	claim->rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	claim->put = put;
	/* what its transaction did before, it may hold */
	claim->holds = TransactionIdIsValid(GetTopTransactionIdIfAny());

	SPI_connect();
	benchorch_lock_configs_table();
	if (claim->has_model)
		benchorch_require_model(&claim->model_version_id);
	claim->claim_id = new_claim_id();
	slot = begin_try(claim);
	benchorch_wake_delayed(&claim->holds);
	swept = benchorch_sweep_now_and_then(&claim->holds);

	for (int try = 0; try < EMPTY_TRIES; try++)
	{
		bool		more;

		if (slot.worker)
		{
			if (!slot.worker->active)
				break;
			benchorch_claim_lane(claim, &slot);
		}
		else
			benchorch_claim_most_urgent(claim);
		if (claim->taken > 0)
			break;

		/* empty: has a lease run out? or do others hold the chunks for a moment? */
		if (swept < 0)
		{
			swept = benchorch_sweep_leases(BENCHORCH_MAX_BATCH, &claim->holds);
			if (swept > 0)
				continue;
		}
		more = claim->has_worker ? benchorch_lane_is_left(claim, &slot) : benchorch_urgent_is_left(claim);
		if (!more)
			break;
		pg_usleep(pause);
		pause *= 2;
		CHECK_FOR_INTERRUPTS();
		slot = begin_try(claim);
	}
	if (claim->taken > 0)
		record(claim, swept >= 0);
	/* last, since who opens configs of a model waits for the row that this locks */
	benchorch_finalize_due();
	SPI_finish();
	PG_RETURN_NULL();
}

static Datum
claim_batch(PG_FUNCTION_ARGS)
{
	return claim_for(fcinfo, benchorch_put_claimed);
}

Datum
benchorch_claim_batch(PG_FUNCTION_ARGS)
{
	return benchorch_by_index(claim_batch, fcinfo);
}

static Datum
claim_runs(PG_FUNCTION_ARGS)
{
	return claim_for(fcinfo, benchorch_put_run);
}

Datum
benchorch_claim_runs(PG_FUNCTION_ARGS)
{
	return benchorch_by_index(claim_runs, fcinfo);
}
