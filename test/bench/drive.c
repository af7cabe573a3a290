/*
 * drive: clients that claim and complete, for test/bench/bench.
 *
 *   drive [OPTION=VALUE]... SYSTEM_FILE CONNECTION_STRING
 *     clients=8
 *     batch=100
 *     configs=0            ends when so many are claimed; 0: all that is ready
 *     way=flushed          unflushed, one-trip, one-transaction (client.h)
 *     prepared=yes         no: statements are parsed and planned at each call
 *     completion=complete  store: with a result of 1 kB each; none: what was claimed stays claimed
 *     postmaster=0         the server's first process, so that the work of other programs can be told
 *     snapshot=none        held: a transaction holds an old snapshot all the while
 *
 * Every client is a thread with a session of its own.  After a warm-up all
 * begin at once.  Prints one JSON object: times are seconds (latencies
 * milliseconds), processor time and WAL are of the measured part alone.
 * Exits 1, with a message, where the database refuses anything, a config was
 * not completed once, or the system's own check finds anything.
 */
#define _GNU_SOURCE

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "counts.h"
#include "usage.h"

#define WARM_UP_ROUNDS 6

static const char *clients_option = "8";
static const char *batch_option = "100";
static const char *configs_option = "0";
static const char *way_option = "flushed";
static const char *prepared_option = "yes";
static const char *completion_option = "complete";
static const char *snapshot_option = "none";
static const char *postmaster_option = "0";

static const struct
{
	const char *name;
	const char **value;
} options[] = {
	{"clients=", &clients_option},
	{"batch=", &batch_option},
	{"configs=", &configs_option},
	{"way=", &way_option},
	{"prepared=", &prepared_option},
	{"completion=", &completion_option},
	{"snapshot=", &snapshot_option},
	{"postmaster=", &postmaster_option},
};

static Run	run;
static Client *clients;
static int	nclients;
static pthread_barrier_t barrier;

static Round *rounds;			/* of all clients, in the order of their ends */
static int	nrounds;
static double begun;

static void
set_option(const char *argument)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strncmp(argument, options[i].name, strlen(options[i].name)) == 0)
		{
			*options[i].value = argument + strlen(options[i].name);
			return;
		}
	die("unknown option %s", argument);
}

static Way
way_of(const char *name)
{
	for (Way way = 0; way < NUM_WAYS; way++)
		if (strcmp(name, way_names[way]) == 0)
			return way;
	die("unknown way %s", name);
}

static const Call *
completion_of(const char *name, const System *system)
{
	if (strcmp(name, "none") == 0)
		return NULL;
	return strcmp(name, "store") == 0 ? &system->store : &system->complete;
}

static void *
work(void *argument)
{
	Client	   *client = argument;

	client_warm_up(client, WARM_UP_ROUNDS);
	pthread_barrier_wait(&barrier);
	/* the main thread counts */
	pthread_barrier_wait(&barrier);
	client_work(client);
	pthread_barrier_wait(&barrier);
	return NULL;
}

/* Processor time of the clients' sessions. */
static double
sessions_seconds(void)
{
	double		seconds = 0;

	for (int i = 0; i < nclients; i++)
		seconds += process_seconds(PQbackendPID(clients[i].connection));
	return seconds;
}

/* The share of all processors that programs had which have nothing to do with this. */
static double
share_of_others(const Usage *before, const Usage *after)
{
	double		ours = after->server - before->server + after->own - before->own;

	return fmax(0, (after->busy - before->busy - ours) / (after->whole - before->whole));
}

/* --------------------------------------------------------------- what came of it */

static int
by_end(const void *a, const void *b)
{
	double		x = ((const Round *) a)->ended;
	double		y = ((const Round *) b)->ended;

	return (x > y) - (x < y);
}

static int
by_size(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

static void
collect_rounds(void)
{
	for (int i = 0; i < nclients; i++)
		nrounds += clients[i].nrounds;
	rounds = malloc(sizeof(Round) * (nrounds + 1));
	nrounds = 0;
	for (int i = 0; i < nclients; i++)
	{
		memcpy(rounds + nrounds, clients[i].rounds, sizeof(Round) * clients[i].nrounds);
		nrounds += clients[i].nrounds;
	}
	qsort(rounds, nrounds, sizeof(Round), by_end);
}

/* The value below which a share of the rounds from one to before another lie, in ms. */
static double
percentile(int from, int to, bool of_claims, double share)
{
	double	   *values = malloc(sizeof(double) * (to - from + 1));
	int			n = 0;
	double		value = NAN;

	for (int i = from; i < to; i++)
	{
		double		seconds = of_claims ? rounds[i].claim : rounds[i].both;

		if (!isnan(seconds))
			values[n++] = seconds * 1000;
	}
	qsort(values, n, sizeof(double), by_size);
	if (n > 0)
		value = values[(int) (share * (n - 1) + 0.5)];
	free(values);
	return value;
}

static void
print_number(const char *name, double value)
{
	if (isnan(value))
		printf("\"%s\": null, ", name);
	else
		printf("\"%s\": %.6g, ", name, value);
}

static int
configs_between(int from, int to)
{
	int			configs = 0;

	for (int i = from; i < to; i++)
		configs += rounds[i].configs;
	return configs;
}

/* The first and the last tenth of the configs: latency of a claim, and rate. */
static void
print_tenths(int64_t configs)
{
	int			first = 0;
	int			last = nrounds;

	for (int64_t n = 0; first < nrounds && n < configs / 10; first++)
		n += rounds[first].configs;
	for (int64_t n = 0; last > 0 && n < configs / 10; last--)
		n += rounds[last - 1].configs;
	if (first == 0 || last == nrounds || last == 0)
		return;
	print_number("claim_p50_first", percentile(0, first, true, 0.5));
	print_number("claim_p50_last", percentile(last, nrounds, true, 0.5));
	print_number("rate_first", configs_between(0, first) / (rounds[first - 1].ended - begun));
	print_number("rate_last", configs_between(last, nrounds) / (rounds[nrounds - 1].ended - rounds[last - 1].ended));
}

static void
report(double seconds, double cpu, const Usage *began, const Usage *ended, const Counts *before, const Counts *after)
{
	int64_t		configs = configs_between(0, nrounds);

	printf("{\"clients\": %d, \"batch\": %d, \"way\": \"%s\", \"prepared\": \"%s\", ", nclients, run.batch, way_option,
		   prepared_option);
	printf("\"completion\": \"%s\", \"snapshot\": \"%s\", ", completion_option, snapshot_option);
	print_number("configs", (double) configs);
	print_number("configs_per_s", configs / seconds);
	print_number("mean_batch", (double) configs / nrounds);
	print_number("claim_p50_ms", percentile(0, nrounds, true, 0.5));
	print_number("claim_p99_ms", percentile(0, nrounds, true, 0.99));
	print_number("round_p50_ms", percentile(0, nrounds, false, 0.5));
	print_number("round_p99_ms", percentile(0, nrounds, false, 0.99));
	print_tenths(configs);
	print_number("empty_claims", run.empty);
	print_number("cpu_us", cpu / configs * 1e6);
	print_number("driver_cpu_us", (ended->own - began->own) / configs * 1e6);
	print_number("others_share", share_of_others(began, ended));
	print_number("wal_bytes", (after->wal - before->wal) / configs);
	print_number("hot_share", (after->hot_updates - before->hot_updates) / (after->updates - before->updates));
	print_number("relations_mb", after->relations / 1e6);
	print_number("relations_mb_before", before->relations / 1e6);
	printf("\"checkpoints\": %.0f}\n", after->checkpoints - before->checkpoints);
}

/* Everything that was claimed is completed, and the system says that all is well. */
static void
check(PGconn *control)
{
	const System *system = run.system;
	PGresult   *result;

	if (run.completion && system->settled.sql)
	{
		double		settled = ask_number(control, system->settled.sql);

		if (settled != (double) run.claimed)
			die("%lld configs were claimed and %.0f are completed", (long long) run.claimed, settled);
	}
	if (system->check.sql == NULL)
		return;
	result = query(control, system->check.sql, 0, NULL);
	if (PQntuples(result) > 0)
		die("%d things are wrong after the run, the first: %s %s", PQntuples(result), PQgetvalue(result, 0, 0),
			PQnfields(result) > 1 ? PQgetvalue(result, 0, 1) : "");
	PQclear(result);
}

int
main(int argc, char **argv)
{
	System		system;
	PGconn	   *control;
	PGconn	   *holder = NULL;
	pthread_t  *threads;
	Counts		before;
	Counts		after;
	double		cpu;
	Usage		began;
	Usage		ended;
	double		seconds;
	long long	warmed;
	int64_t		ready;

	if (argc < 3)
		die("usage: drive [OPTION=VALUE]... SYSTEM_FILE CONNECTION_STRING");
	for (int i = 1; i < argc - 2; i++)
		set_option(argv[i]);
	system = read_system(argv[argc - 2], atoi(batch_option), strcmp(prepared_option, "no") != 0);
	control = connect_to(argv[argc - 1]);
	nclients = atoi(clients_option);
	run.system = &system;
	run.way = way_of(way_option);
	run.completion = completion_of(completion_option, &system);
	run.batch = atoi(batch_option);
	if (nclients < 1 || run.batch < 1)
		die("clients and batch are to be positive");
	ready = (int64_t) ask_number(control, system.ready.sql);

	if (strcmp(snapshot_option, "held") == 0)
	{
		holder = connect_to(argv[argc - 1]);
		PQclear(query(holder, "BEGIN ISOLATION LEVEL REPEATABLE READ", 0, NULL));
		free(ask(holder, "SELECT count(*) FROM pg_class"));
	}
	clients = calloc(nclients, sizeof(Client));
	threads = calloc(nclients, sizeof(pthread_t));
	for (int i = 0; i < nclients; i++)
		client_connect(&clients[i], &run, i, argv[argc - 1]);
	pthread_barrier_init(&barrier, NULL, nclients + 1);
	for (int i = 0; i < nclients; i++)
		pthread_create(&threads[i], NULL, work, &clients[i]);

	pthread_barrier_wait(&barrier);
	warmed = run.claimed;
	run.configs = atoll(configs_option) + warmed;
	if (run.configs == warmed || run.configs > ready)
		run.configs = ready;
	before = read_counts(control);
	cpu = sessions_seconds();
	began = measure_usage(atoi(postmaster_option));
	begun = now();
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	seconds = now() - begun;
	cpu = sessions_seconds() - cpu;
	ended = measure_usage(atoi(postmaster_option));

	for (int i = 0; i < nclients; i++)
	{
		pthread_join(threads[i], NULL);
		PQfinish(clients[i].connection);
	}
	if (holder)
		PQfinish(holder);
	wait_for_sessions(control);
	after = read_counts(control);
	collect_rounds();
	if (run.claimed - warmed != configs_between(0, nrounds))
		die("%lld configs were claimed, the rounds have %d", run.claimed - warmed, configs_between(0, nrounds));
	check(control);
	report(seconds, cpu, &began, &ended, &before, &after);
	PQfinish(control);
	return 0;
}
