/*
 * pool: a pool of simulated workers, for test/bench/makespan.
 *
 *   pool RULE WORKERS BATCH POSTMASTER_PID CONNECTION_STRING
 *
 * One process holds a connection for each worker and speaks to the database
 * as benchorch-worker does, in the same statements: register, claim a batch,
 * then for each config start, run, hand in.  start is sent and not awaited: a
 * run begins with the sending.  A result is handed in while the next config
 * runs, behind its start; the next batch is claimed near the end of the last
 * config of a batch, as worker/agent/holdings.c tells it.  Nothing runs: a
 * config is a timer.  How long each lasts stands in the table makespan.configs
 * (id, seconds).
 *
 * RULE is benchorch, or replaced: fixed batches by plain SKIP LOCKED from the
 * table makespan.replaced, no prefetching, and each result saved before the
 * next run, as the replaced system's pods do.
 *
 * Before the clock starts the workers do as many configs of the model
 * "warm-up", which then are archived, so that neither what a new session costs
 * is counted nor what a new table does: a hundred sessions that make it grow at
 * the same moment stand in line for that.  Then all claim at once.
 * The clock stops when the last result is acknowledged.
 *
 * Prints one JSON object; times are seconds.  Exits 1, with a message, where
 * the database refuses anything or a config was not done exactly once.
 */
#define _GNU_SOURCE

#include <math.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "database.h"
#include "usage.h"

#define MAX_BATCH 500
#define AHEAD_AT 0.9			/* these two as in worker/agent/holdings.c */
#define AHEAD_AT_LEAST 0.5
#define MAX_FINISHED 2			/* results that wait; with more of them the next run waits, too */
#define PATIENCE 60.0			/* seconds without anything happening */
#define EMPTY_PAUSE 0.002		/* after a claim that was empty though work was left */

/* as in worker/agent/calls.c */
#define UNFLUSHED "pg_catalog.set_config('synchronous_commit', 'off', true)"
#define PATIENT "pg_catalog.set_config('lock_timeout', '2s', true)"
#define FIRST(settings, type) "CASE WHEN " settings " IS NOT NULL THEN $1::" type " END"

/* The statements of a rule; NULL: it has no such step. */
typedef struct Rule
{
	const char *name;
	const char *claim;			/* $1 batch size, $2 worker, $3 model or NULL */
	const char *start;			/* $1 config, $2 claim */
	const char *hand_in;		/* $1 config, $2 claim, $3 output */
	bool		ahead;			/* claims and hands in while something runs */
} Rule;

static const Rule rules[] = {
	{.name = "benchorch",
	 .claim = "SELECT * FROM benchorch.claim_runs(" FIRST(PATIENT " || " UNFLUSHED, "int") ", 1000, $2, $3)",
	 .start = "SELECT benchorch.start(" FIRST(PATIENT " || " UNFLUSHED, "bigint") ", $2)",
	 /* its bytes, which as text hold no backslash */
	 .hand_in = "SELECT accepted::int FROM benchorch.hand_in(" FIRST(PATIENT, "bigint") ", $2, 'ok', $3)",
	 .ahead = true},
	{
		.name = "replaced",
		.claim = "UPDATE makespan.replaced SET status = 'running', started_at = pg_catalog.now() WHERE id IN"
		" (SELECT id FROM makespan.replaced WHERE status = 'pending' AND $2::text IS NOT NULL AND $3::text IS NULL"
		"  ORDER BY priority, id LIMIT $1::int FOR UPDATE SKIP LOCKED)"
		" RETURNING id, 0",
		.hand_in = "WITH result AS (INSERT INTO makespan.results VALUES ($1::bigint, $3::jsonb))"
		" UPDATE makespan.replaced SET status = 'completed', completed_at = pg_catalog.now()"
		" WHERE id = $1::bigint AND $2::text IS NOT NULL AND status = 'running' RETURNING 1",
	}};

static const char output[] =
	"{\"backend\": \"vllm\", \"num_prompts\": 32, \"completed\": 32, \"duration\": 12.5, \"total_input_tokens\": 24576,"
	" \"total_output_tokens\": 8192, \"request_throughput\": 2.56, \"output_throughput\": 655.36,"
	" \"mean_ttft_ms\": 41.5, \"median_ttft_ms\": 40.1, \"p99_ttft_ms\": 80.2,"
	" \"mean_tpot_ms\": 11.2, \"median_tpot_ms\": 11.0, \"p99_tpot_ms\": 15.9}";

typedef struct Config
{
	char		id[24];
	char		claim_id[24];
	int			lane;
	double		work;			/* durations in a lane compare as it does; 0: unknown */
} Config;

typedef struct Batch
{
	int			n;
	Config		configs[MAX_BATCH];
} Batch;

typedef enum Call
{
	CALL_NONE,
	CALL_CLAIM,
	CALL_START,
	CALL_HAND_IN
} Call;

typedef struct Worker
{
	PGconn	   *connection;
	char		id[40];
	Call		call;			/* whose answer is awaited */
	Batch		batches[2];
	int			current;		/* which of the two */
	int			next;			/* position in the current batch */
	bool		running;		/* a config's timer is set */
	double		timer;			/* when the run, or the pause, ends; 0: none */
	double		ready_at;		/* since when nothing runs */
	double		ahead_at;		/* when to claim ahead; 0: not during this run */
	double		last_seconds;	/* that the run before took; 0: there was none */
	int			last_lane;		/* of that run */
	double		last_work;
	double		work_misleads;	/* over 0: runs took rather as long as the one before */
	double		claim_sent;
	double		claim_seconds;	/* that a claim takes, as far as is known */
	int			nfinished;
	Config		finished[MAX_FINISHED]; /* results that are not in yet, the oldest first */
	double		finished_at;	/* its last hand-in, or its last claim that brought nothing */
	double		calling;		/* seconds that nothing ran because a start or a result had to wait for its turn */
	double		claiming;		/* the same for claims, pauses included */
} Worker;

static const Rule *rule;
static const char *batch_size;
static const char *model;		/* NULL: any */
static Worker *workers;
static int	nworkers;
static double *seconds;			/* by config id */
static bool *done;
static int64_t first_id;
static int64_t last_id;
static int	nconfigs;
static int	unclaimed;
static int	undone;
static int	claims;				/* that brought something */
static int	empty_claims;		/* while something was left */
static int	vain_claims;		/* when nothing was left */

/* ------------------------------------------------------------------ what is to be done */

static int
position_of(const char *id)
{
	int64_t		number = strtoll(id, NULL, 10);

	if (number < first_id || number > last_id || isnan(seconds[number - first_id]))
		die("config %s is none of those that were to be claimed", id);
	return (int) (number - first_id);
}

static void
load_configs(PGconn *connection)
{
	PGresult   *result = query(connection, "SELECT id, seconds FROM makespan.configs ORDER BY id", 0, NULL);

	nconfigs = unclaimed = undone = PQntuples(result);
	if (nconfigs == 0)
		die("makespan.configs is empty");
	first_id = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	last_id = strtoll(PQgetvalue(result, nconfigs - 1, 0), NULL, 10);
	seconds = malloc(sizeof(double) * (last_id - first_id + 1));
	done = calloc(last_id - first_id + 1, sizeof(bool));
	for (int64_t i = 0; i <= last_id - first_id; i++)
		seconds[i] = NAN;
	for (int i = 0; i < nconfigs; i++)
		seconds[strtoll(PQgetvalue(result, i, 0), NULL, 10) - first_id] = strtod(PQgetvalue(result, i, 1), NULL);
	PQclear(result);
}

/* One config of the model "warm-up". */
static void
warm_up(Worker *worker, const char *warm_up_model)
{
	const char *claim[] = {rule->start ? "1" : "0", worker->id, rule->start ? warm_up_model : NULL};
	PGresult   *result = query(worker->connection, rule->claim, 3, claim);
	const char *pair[] = {"0", "0", output};

	if (rule->start)
	{
		if (PQntuples(result) != 1)
			die("there is no config to warm up with");
		pair[0] = PQgetvalue(result, 0, 0);
		pair[1] = PQgetvalue(result, 0, 1);
		PQclear(query(worker->connection, rule->start, 2, pair));
	}
	PQclear(query(worker->connection, rule->hand_in, 3, pair));
	PQclear(result);
}

static void
prepare_workers(PGconn *control, const char *conninfo)
{
	char	   *warm_up_model = ask(control, "SELECT id FROM benchorch.model_versions WHERE name = 'warm-up'");

	workers = calloc(nworkers, sizeof(Worker));
	for (int i = 0; i < nworkers; i++)
	{
		char		name[32];
		const char *params[] = {name};
		PGresult   *result;

		workers[i].connection = connect_to(conninfo);
		snprintf(name, sizeof(name), "worker %d", i);
		result = query(workers[i].connection,
					   "SELECT benchorch.register_worker($1, 'makespan', ARRAY(SELECT name FROM benchorch.frameworks WHERE enabled))",
					   1, params);
		snprintf(workers[i].id, sizeof(workers[i].id), "%s", PQgetvalue(result, 0, 0));
		PQclear(result);
	}
	/* room in the tables; then, for a vacuum makes sessions plan anew, once more for the sessions */
	for (int i = 0; i < nconfigs; i++)
		warm_up(&workers[i % nworkers], warm_up_model);
	free(ask(control, "DELETE FROM benchorch.benchmark_configs WHERE status = 'completed'"));
	free(ask(control, "DELETE FROM makespan.results"));
	free(ask(control, "VACUUM (TRUNCATE off)"));
	for (int i = 0; i < nworkers; i++)
	{
		warm_up(&workers[i], warm_up_model);
		PQsetnonblocking(workers[i].connection, 1);
	}
	/* what is left of it is out of the way, and its ranking is done */
	free(ask(control, "SELECT benchorch.cancel(id) FROM benchorch.model_versions WHERE name = 'warm-up'"));
	free(ask(control, "SELECT benchorch.reset_stale()"));
	free(ask(control, "DELETE FROM makespan.results"));
	free(warm_up_model);
}

/* --------------------------------------------------------------------- a worker */

static void
send_call(Worker *worker, Call call, const char *sql, int nparams, const char *const *params)
{
	if (!PQsendQueryParams(worker->connection, sql, nparams, NULL, params, NULL, NULL, 0) ||
		PQflush(worker->connection) < 0)
		die("%s", PQerrorMessage(worker->connection));
	worker->call = call;
}

static void
send_claim(Worker *worker)
{
	const char *params[] = {batch_size, worker->id, model};

	worker->claim_sent = now();
	send_call(worker, CALL_CLAIM, rule->claim, 3, params);
}

static Config *
current_config(Worker *worker)
{
	return &worker->batches[worker->current].configs[worker->next];
}

static Batch *
next_batch(Worker *worker)
{
	return &worker->batches[1 - worker->current];
}

static void
hand_in(Worker *worker)
{
	const char *params[] = {worker->finished[0].id, worker->finished[0].claim_id, output};

	send_call(worker, CALL_HAND_IN, rule->hand_in, 3, params);
}

/* These two as in worker/agent/holdings.c. */
static double
scaled_seconds(const Worker *worker, const Config *config)
{
	bool		compares = config->lane == worker->last_lane && config->work > 0 && worker->last_work > 0;

	return compares ? worker->last_seconds * config->work / worker->last_work : worker->last_seconds;
}

/* Seconds after a run's beginning. */
static double
claim_ahead_after(const Worker *worker, const Config *config)
{
	double		expected = worker->work_misleads > 0 ? worker->last_seconds : scaled_seconds(worker, config);

	return fmax(AHEAD_AT_LEAST * expected, fmin(AHEAD_AT * expected, expected - worker->claim_seconds));
}

/* Begins the next config of the batch; its start is on its way. */
static void
run(Worker *worker)
{
	Config	   *config = current_config(worker);
	const char *params[] = {config->id, config->claim_id};

	worker->calling += now() - worker->ready_at;
	if (rule->start)
		send_call(worker, CALL_START, rule->start, 2, params);
	worker->running = true;
	worker->timer = now() + seconds[position_of(config->id)];
	worker->ahead_at = 0;
	if (rule->ahead && worker->last_seconds > 0 && worker->next == worker->batches[worker->current].n - 1)
		worker->ahead_at = now() + claim_ahead_after(worker, config);
}

/* What to send, where nothing is awaited: what runs next comes first. */
static void
go_on(Worker *worker)
{
	Batch	   *batch = &worker->batches[worker->current];

	if (worker->next == batch->n && next_batch(worker)->n > 0)
	{
		batch->n = 0;
		worker->current = 1 - worker->current;
		worker->next = 0;
		batch = &worker->batches[worker->current];
	}
	if (!worker->running && worker->next < batch->n && worker->nfinished < (rule->ahead ? MAX_FINISHED : 1))
		run(worker);
	else if (!worker->running && worker->next == batch->n && unclaimed > 0 && worker->timer == 0 &&
			 (rule->ahead || worker->nfinished == 0))
		send_claim(worker);
	else if (worker->nfinished > 0)
		hand_in(worker);
	else if (worker->ahead_at > 0 && now() >= worker->ahead_at && unclaimed > 0)
	{
		worker->ahead_at = 0;
		send_claim(worker);
	}
}

static void
end_run(Worker *worker)
{
	Config	   *config = current_config(worker);

	double		lasted = seconds[position_of(config->id)];

	worker->finished[worker->nfinished++] = *config;
	if (worker->last_seconds > 0)
		worker->work_misleads = (worker->work_misleads + fabs(log(lasted / scaled_seconds(worker, config))) -
								 fabs(log(lasted / worker->last_seconds))) /
			2;
	worker->last_seconds = lasted;
	worker->last_lane = config->lane;
	worker->last_work = config->work;
	worker->ahead_at = 0;
	worker->running = false;
	worker->timer = 0;
	worker->ready_at = now();
	worker->next++;
}

static void
take_batch(Worker *worker, PGresult *result)
{
	Batch	   *batch = next_batch(worker);
	int			lane = PQfnumber(result, "lane");
	int			work = PQfnumber(result, "work");

	if (worker->running)
		worker->claim_seconds = (worker->claim_seconds + now() - worker->claim_sent) / 2;
	batch->n = PQntuples(result);
	for (int i = 0; i < batch->n; i++)
	{
		position_of(PQgetvalue(result, i, 0));
		snprintf(batch->configs[i].id, sizeof(batch->configs[i].id), "%s", PQgetvalue(result, i, 0));
		snprintf(batch->configs[i].claim_id, sizeof(batch->configs[i].claim_id), "%s", PQgetvalue(result, i, 1));
		batch->configs[i].lane = lane < 0 ? 0 : atoi(PQgetvalue(result, i, lane));
		batch->configs[i].work = work < 0 ? 0 : strtod(PQgetvalue(result, i, work), NULL);
	}
	if (batch->n > 0)
		claims++;
	else if (unclaimed > 0)
		empty_claims++;
	else
		vain_claims++;
	unclaimed -= batch->n;
	if (worker->running)
		return;
	worker->claiming += now() - worker->ready_at;
	worker->ready_at = now();
	if (batch->n == 0 && unclaimed > 0)
	{
		worker->timer = now() + EMPTY_PAUSE;
		worker->claiming += EMPTY_PAUSE;
		worker->ready_at = worker->timer;
	}
}

static void
note_done(Worker *worker, PGresult *result)
{
	int			position = position_of(worker->finished[0].id);

	if (PQntuples(result) != 1 || strcmp(PQgetvalue(result, 0, 0), "1") != 0 || done[position])
		die("the result of config %s was not accepted", worker->finished[0].id);
	done[position] = true;
	undone--;
	worker->finished_at = now();
	worker->nfinished--;
	memmove(&worker->finished[0], &worker->finished[1], sizeof(Config) * worker->nfinished);
}

static void
take_answer(Worker *worker)
{
	PGresult   *result;
	PGresult   *more;
	Call		call = worker->call;

	if (PQflush(worker->connection) < 0 || !PQconsumeInput(worker->connection))
		die("%s", PQerrorMessage(worker->connection));
	if (PQisBusy(worker->connection))
		return;
	result = PQgetResult(worker->connection);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		die("%s", PQerrorMessage(worker->connection));
	while ((more = PQgetResult(worker->connection)) != NULL)
		PQclear(more);
	worker->call = CALL_NONE;
	switch (call)
	{
		case CALL_CLAIM:
			take_batch(worker, result);
			break;
		case CALL_START:
			break;
		case CALL_HAND_IN:
			note_done(worker, result);
			break;
		case CALL_NONE:
			break;
	}
	PQclear(result);
	go_on(worker);
}

/* ---------------------------------------------------------------------- the pool */

/* One round: waits for an answer or a timer, and serves what has come. */
static void
step(struct pollfd *polls)
{
	double		until = now() + PATIENCE;
	double		pause;
	struct timespec timeout;
	int			ready;

	for (int i = 0; i < nworkers; i++)
	{
		bool		waits = workers[i].call != CALL_NONE;

		polls[i] = (struct pollfd){.fd = waits ? PQsocket(workers[i].connection) : -1, .events = POLLIN};
		if (workers[i].timer > 0)
			until = fmin(until, workers[i].timer);
		if (workers[i].ahead_at > 0 && !waits)
			until = fmin(until, workers[i].ahead_at);
	}
	pause = fmax(until - now(), 0);
	timeout.tv_sec = (time_t) pause;
	timeout.tv_nsec = (long) ((pause - (double) timeout.tv_sec) * 1e9);
	ready = ppoll(polls, nworkers, &timeout, NULL);
	if (ready == 0 && pause >= PATIENCE)
		die("nothing has happened for %g s; %d configs are left", PATIENCE, undone);
	for (int i = 0; i < nworkers; i++)
	{
		Worker	   *worker = &workers[i];

		if (worker->timer > 0 && now() >= worker->timer)
		{
			if (worker->running)
				end_run(worker);
			worker->timer = 0;
		}
		else if (worker->ahead_at == 0 || now() < worker->ahead_at)
			continue;
		/* a connection does one thing at a time */
		if (worker->call == CALL_NONE)
			go_on(worker);
	}
	for (int i = 0; i < nworkers; i++)
		if (polls[i].fd >= 0 && polls[i].revents)
			take_answer(&workers[i]);
}

static int
by_length(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x < y) - (x > y);
}

/* When a pool that costs nothing, whose idle workers take one config at a time in this order, would be done. */
static double
one_at_a_time(const double *durations, int n)
{
	double	   *free_at = calloc(nworkers, sizeof(double));
	double		end = 0;

	for (int i = 0; i < n; i++)
	{
		int			first = 0;

		for (int j = 1; j < nworkers; j++)
			if (free_at[j] < free_at[first])
				first = j;
		free_at[first] += durations[i];
		end = fmax(end, free_at[first]);
	}
	free(free_at);
	return end;
}

static void
print_number(const char *name, double value)
{
	if (isnan(value))
		printf("\"%s\": null, ", name);
	else
		printf("\"%s\": %.6f, ", name, value);
}

static void
report(double begin, double end, const Usage *before, const Usage *after)
{
	double		makespan = end - begin;
	double		capacity = makespan * nworkers;
	double		total = 0;
	double		longest = 0;
	double		shortest = INFINITY;
	double		calling = 0;
	double		claiming = 0;
	double		ending = 0;
	double		ideal;
	double	   *durations = malloc(sizeof(double) * nconfigs);
	int			n = 0;

	for (int64_t i = 0; i <= last_id - first_id; i++)
	{
		if (isnan(seconds[i]))
			continue;
		durations[n++] = seconds[i];
		total += seconds[i];
		longest = fmax(longest, seconds[i]);
		shortest = fmin(shortest, seconds[i]);
	}
	for (int i = 0; i < nworkers; i++)
	{
		calling += workers[i].calling;
		claiming += workers[i].claiming;
		ending += end - fmax(workers[i].finished_at, begin);
	}
	/* equal ones come in whole configs */
	ideal = fmax(total / nworkers, longest);
	if (longest == shortest)
		ideal = ceil((double) n / nworkers) * longest;

	printf("{\"rule\": \"%s\", \"workers\": %d, \"configs\": %d, \"batch_size\": %s, ",
		   rule->name, nworkers, n, batch_size);
	print_number("makespan", makespan);
	print_number("ideal", ideal);
	print_number("ratio", makespan / ideal);
	print_number("queue_ratio", one_at_a_time(durations, n) / ideal);
	qsort(durations, n, sizeof(double), by_length);
	print_number("sorted_queue_ratio", one_at_a_time(durations, n) / ideal);
	print_number("total", total);
	print_number("longest", longest);
	printf("\"claims\": %d, \"empty_claims\": %d, \"vain_claims\": %d, ", claims, empty_claims, vain_claims);
	print_number("mean_batch", (double) n / claims);
	print_number("idle", 1 - total / capacity);
	print_number("idle_calls", calling / capacity);
	print_number("idle_claims", claiming / capacity);
	print_number("idle_end", ending / capacity);
	print_number("server_cpu", after->server - before->server);
	print_number("server_cpu_waited", after->server_waited - before->server_waited);
	print_number("pool_cpu", after->own - before->own);
	printf("\"cpu_busy\": %.4f}\n", (after->busy - before->busy) / (after->whole - before->whole));
	free(durations);
}

static void
check(PGconn *control)
{
	static const char ours[] =
		"SELECT pg_catalog.concat_ws(' ', i) FROM benchorch.check_invariants() AS i"
		" UNION ALL SELECT 'config ' || id || ' is ' || status FROM makespan.configs"
		" JOIN benchorch.benchmark_configs USING (id) WHERE status <> 'completed'";
	static const char theirs[] =
		"SELECT 'config ' || id || ' is ' || status FROM makespan.replaced WHERE status <> 'completed'";
	char	   *wrong = ask(control, strcmp(rule->name, "benchorch") == 0 ? ours : theirs);

	if (*wrong != '\0')
		die("%s", wrong);
	free(wrong);
}

int
main(int argc, char **argv)
{
	PGconn	   *control;
	struct pollfd *polls;
	int			postmaster;
	double		begin;
	double		end;
	Usage		before;
	Usage		after;

	if (argc != 6)
		die("usage: pool benchorch|replaced WORKERS BATCH POSTMASTER_PID CONNECTION_STRING");
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (strcmp(argv[1], rules[i].name) == 0)
			rule = &rules[i];
	nworkers = atoi(argv[2]);
	batch_size = argv[3];
	postmaster = atoi(argv[4]);
	if (rule == NULL || nworkers < 1 || atoi(batch_size) < 1 || atoi(batch_size) > MAX_BATCH)
		die("unknown rule, or a number out of range");

	control = connect_to(argv[5]);
	load_configs(control);
	prepare_workers(control, argv[5]);
	polls = calloc(nworkers, sizeof(struct pollfd));

	before = measure_usage(postmaster);
	begin = now();
	for (int i = 0; i < nworkers; i++)
	{
		workers[i].ready_at = begin;
		send_claim(&workers[i]);
	}
	while (undone > 0)
		step(polls);
	end = now();
	after = measure_usage(postmaster);

	/* answers that are still on their way say nothing any more */
	for (int i = 0; i < nworkers; i++)
		PQfinish(workers[i].connection);
	check(control);
	report(begin, end, &before, &after);
	PQfinish(control);
	free(polls);
	free(workers);
	free(seconds);
	free(done);
	return 0;
}
