/*
 * claim_batch and claim_next: from what is due before it to the claim's own row.
 *
 * A claim takes ids from ready chunks (SKIP LOCKED: two claims never wait for
 * each other): lane.c those of a worker, urgent.c those without one.  take.c
 * makes those of them running that are still pending.
 *
 * The claim's row in benchorch.claims bears the token; it is written with the
 * claim, so a claim exists as a whole or not at all.
 *
 * claim_next completes a config first.  Where that was the only one of its
 * claim, the claim goes on with the next: it keeps its claim_id and its row,
 * which is then one small change instead of a row, with its index entries,
 * that goes and one that comes.  The token is the pair (config_id, claim_id),
 * and a pair is never used again: a config that was claimed before begins a
 * claim of its own (take.c).
 */
#include "benchorch.h"
#include "table.h"

#include "access/xact.h"
#include "commands/sequence.h"
#include "common/pg_prng.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(benchorch_claim_batch);
PG_FUNCTION_INFO_V1(benchorch_claim_runs);
PG_FUNCTION_INFO_V1(benchorch_claim_next);

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
int64
benchorch_new_claim_id(void)
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

/* -------------------------------------------------------- the claim's own row */

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

/* Does a claim of this worker, or of none, go on with what the completed config leaves? */
static bool
goes_on(const Claim *claim, const Handover *after)
{
	return after->has_row && !after->claim.restored && after->claim.has_worker == claim->has_worker &&
		(!claim->has_worker || memcmp(&after->claim.worker_id, &claim->worker_id, UUID_LEN) == 0);
}

/* Sets the row of the claim that goes on; false where it is gone. */
static bool
write_again(Table *claims, const Claim *claim)
{
	static const int columns[] = {CLAIM_CLAIMED_AT, CLAIM_CONFIGS};
	Datum		values[] = {
		TimestampTzGetDatum(claim->claimed_at), benchorch_int64_array(claim->ids, claim->taken)
	};

	return benchorch_update_row(claims, columns, values, lengthof(columns)) == TM_Ok ||
		(benchorch_lock_row(claims, true) &&
		 benchorch_update_row(claims, columns, values, lengthof(columns)) == TM_Ok);
}

static void
write_new(Table *claims, const Claim *claim)
{
	Datum		values[CLAIM_COLUMNS] = {0};
	bool		nulls[CLAIM_COLUMNS] = {false};

	values[CLAIM_ID - 1] = Int64GetDatum(claim->claim_id);
	values[CLAIM_WORKER - 1] = UUIDPGetDatum(&claim->worker_id);
	nulls[CLAIM_WORKER - 1] = !claim->has_worker;
	values[CLAIM_CLAIMED_AT - 1] = TimestampTzGetDatum(claim->claimed_at);
	values[CLAIM_RESTORED - 1] = BoolGetDatum(false);
	values[CLAIM_CONFIGS - 1] = benchorch_int64_array(claim->ids, claim->taken);
	benchorch_add_row(claims, values, nulls);
}

/* The claim's own row; what is left of earlier claims goes with a sweep, and that of the claim before in any case. */
static void
record(const Claim *claim, bool swept)
{
	Table	   *claims = benchorch_open_table("claims", "claims_worker", RowExclusiveLock);
	Handover   *after = claim->after;
	bool		left;

	if (swept && claim->has_worker)
		delete_finished(claims, &claim->worker_id);
	left = after && after->has_row &&
		benchorch_find_row_at(claims, &after->row, CLAIM_ID, Int64GetDatum(after->claim_id), int8eq);
	if (left && (claim->taken == 0 || claim->claim_id != after->claim_id))
	{
		benchorch_delete_row(claims);
		left = false;
	}
	if (claim->taken > 0)
	{
		if (!left || !write_again(claims, claim))
			write_new(claims, claim);
		benchorch_remember_claim(claim->claim_id, benchorch_written_address(claims));
	}
	benchorch_close_table(claims);
}

/*
 * Counts what was taken, and what was completed before.  Mostly both are of one
 * model: then that is one step, and its end has not come.
 */
static void
count(Claim *claim)
{
	Handover   *after = claim->after;

	if (after && claim->taken == 1 && memcmp(&after->model_version_id, &claim->models[0], UUID_LEN) == 0)
	{
		benchorch_count_move(&after->model_version_id, CONFIG_PENDING, CONFIG_COMPLETED, 1);
		return;
	}
	if (after)
	{
		ConfigTable *configs = benchorch_open_configs(NULL, 0);

		benchorch_count_move(&after->model_version_id, CONFIG_RUNNING, CONFIG_COMPLETED, 1);
		benchorch_check_endgames(&after->model_version_id, 1, configs, claim->has_worker);
		benchorch_close_configs(configs);
	}
	if (claim->taken > 0)
		benchorch_count_moves(claim->models, claim->taken, CONFIG_PENDING, CONFIG_RUNNING);
}

/* --------------------------------------------------------------------- a claim */

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

/* Completes the config that a call begins with; false where it is so already. */
static bool
complete(int64 config_id, int64 claim_id, Handover *handover)
{
	bool		done = benchorch_complete_for_next(config_id, claim_id, handover);

	if (!done && !benchorch_is_completed(config_id, claim_id))
		benchorch_stale_claim(config_id, claim_id);
	ForceSyncCommit();
	return done;
}

/*
 * What all calls are.  first: their argument priority_threshold, which is
 * followed by worker_id and model_version_id.  has_config: the two before it
 * are a config and its claim, to be completed.
 */
static Datum
claim_for(FunctionCallInfo fcinfo, int first, int wanted, bool has_config, PutTaken put)
{
	Claim	   *claim = palloc0(sizeof(Claim));
	Handover	handover;
	Slot		slot;
	long		pause = FIRST_PAUSE_US;
	int			swept;

	benchorch_require(fcinfo, first, "priority_threshold");
	claim->wanted = wanted;
	claim->threshold = PG_GETARG_INT32(first);
	claim->ids = palloc(sizeof(int64) * wanted);
	claim->models = palloc(sizeof(pg_uuid_t) * wanted);
	claim->has_worker = !PG_ARGISNULL(first + 1);
	if (claim->has_worker)
		claim->worker_id = *PG_GETARG_UUID_P(first + 1);
	claim->has_model = !PG_ARGISNULL(first + 2);
	if (claim->has_model)
		claim->model_version_id = *PG_GETARG_UUID_P(first + 2);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	claim->rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	claim->put = put;

	SPI_connect();
	benchorch_lock_configs_table();
	if (claim->has_model)
		benchorch_require_model(&claim->model_version_id);
	/* what its transaction did before, it may hold */
	claim->holds = TransactionIdIsValid(GetTopTransactionIdIfAny());
	slot = begin_try(claim);
	/* behind the lease, for which a claim waits */
	if (has_config)
	{
		claim->holds = true;
		if (complete(PG_GETARG_INT64(0), PG_GETARG_INT64(1), &handover))
			claim->after = &handover;
	}
	claim->claim_id = claim->after && goes_on(claim, claim->after) ? claim->after->claim_id : benchorch_new_claim_id();
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
	if (claim->taken > 0 || claim->after)
	{
		record(claim, swept >= 0);
		count(claim);
	}
	/* last, since who opens configs of a model waits for the row that this locks */
	benchorch_finalize_due();
	SPI_finish();
	PG_RETURN_NULL();
}

/* ------------------------------------------------------------------- the calls */

static int
batch_size_argument(FunctionCallInfo fcinfo)
{
	int			batch_size;

	benchorch_require(fcinfo, 0, "batch_size");
	batch_size = PG_GETARG_INT32(0);
	if (batch_size < 1 || batch_size > BENCHORCH_MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch_size must be between 1 and %d", BENCHORCH_MAX_BATCH),
				 errdetail("It is %d.", batch_size)));
	return batch_size;
}

static Datum
claim_batch(PG_FUNCTION_ARGS)
{
	return claim_for(fcinfo, 1, batch_size_argument(fcinfo), false, benchorch_put_claimed);
}

Datum
benchorch_claim_batch(PG_FUNCTION_ARGS)
{
	return benchorch_by_index(claim_batch, fcinfo);
}

static Datum
claim_runs(PG_FUNCTION_ARGS)
{
	return claim_for(fcinfo, 1, batch_size_argument(fcinfo), false, benchorch_put_run);
}

Datum
benchorch_claim_runs(PG_FUNCTION_ARGS)
{
	return benchorch_by_index(claim_runs, fcinfo);
}

/* claim_next(config_id, claim_id, priority_threshold, worker_id, model_version_id) */
static Datum
claim_next(PG_FUNCTION_ARGS)
{
	bool		has_config = !PG_ARGISNULL(0);

	if (has_config == PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be NULL", has_config ? "claim_id" : "config_id"),
				 errhint("Give both, to complete the config first, or neither, only to claim one.")));
	return claim_for(fcinfo, 2, 1, has_config, benchorch_put_claimed);
}

Datum
benchorch_claim_next(PG_FUNCTION_ARGS)
{
	return benchorch_by_index(claim_next, fcinfo);
}
