/*
 * One client: claims a batch, completes it, and so on.
 */
#define _GNU_SOURCE

#include "client.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EMPTY_PAUSE 500			/* microseconds, after a claim that was empty though work was left */
#define PATIENCE 20.0			/* seconds of such claims */
#define RESULT_SIZE 1024

const char *const way_names[NUM_WAYS] = {"flushed", "unflushed", "one-trip", "one-transaction"};

/* As vllm bench serve prints them, and filled up with what it was given; quotes escaped for an array. */
static char *
make_result(void)
{
	static const char metrics[] =
		"{\\\"backend\\\": \\\"vllm\\\", \\\"num_prompts\\\": 32, \\\"completed\\\": 32, \\\"duration\\\": 12.5,"
		" \\\"total_input_tokens\\\": 24576, \\\"total_output_tokens\\\": 8192, \\\"request_throughput\\\": 2.56,"
		" \\\"output_throughput\\\": 655.36, \\\"total_token_throughput\\\": 2621.44, \\\"mean_ttft_ms\\\": 41.5,"
		" \\\"median_ttft_ms\\\": 40.1, \\\"p99_ttft_ms\\\": 80.2, \\\"mean_tpot_ms\\\": 11.2,"
		" \\\"median_tpot_ms\\\": 11.0, \\\"p99_tpot_ms\\\": 15.9, \\\"mean_itl_ms\\\": 11.2,"
		" \\\"median_itl_ms\\\": 10.9, \\\"p99_itl_ms\\\": 18.4, \\\"arguments\\\": [0";
	static const char end[] = "]}";
	int			escapes = 0;
	char	   *result;
	size_t		length;

	for (const char *p = metrics; *p; p++)
		escapes += *p == '\\';
	result = calloc(1, RESULT_SIZE + escapes + 32);
	length = sprintf(result, "%s", metrics);
	/* numbers that compress no better than arguments do */
	for (unsigned i = 1; length < (size_t) (RESULT_SIZE + escapes - 12); i++)
		length += sprintf(result + length, ", %u", i * 2654435761U % 1000003);
	sprintf(result + length, "%s", end);
	return result;
}

static char *
make_results(int n)
{
	char	   *result = make_result();
	size_t		length = strlen(result) + 3;
	char	   *array = malloc(n * length + 3);
	char	   *end = array;

	*end++ = '{';
	for (int i = 0; i < n; i++)
		end += sprintf(end, "%s\"%s\"", i ? "," : "", result);
	sprintf(end, "}");
	free(result);
	return array;
}

/* The values of a call's parameters, at the moment. */
static void
set_values(Client *client, const char **values)
{
	values[PARAMETER_BATCH] = client->batch;
	values[PARAMETER_CLIENT] = client->number;
	values[PARAMETER_WORKER] = client->worker;
	values[PARAMETER_IDS] = client->ids;
	values[PARAMETER_TOKENS] = client->tokens;
	values[PARAMETER_ID] = client->id;
	values[PARAMETER_TOKEN] = client->token;
	values[PARAMETER_RESULTS] = client->results;
}

/* A column of numbers as an array. */
static void
join(char **array, const PGresult *result, int column)
{
	int			n = column >= 0 ? PQntuples(result) : 0;
	size_t		size = 3;
	char	   *end;

	for (int i = 0; i < n; i++)
		size += PQgetlength(result, i, column) + 1;
	*array = end = realloc(*array, size);
	*end++ = '{';
	for (int i = 0; i < n; i++)
	{
		end = mempcpy(end, PQgetvalue(result, i, column), PQgetlength(result, i, column));
		*end++ = ',';
	}
	if (n > 0)
		end--;
	strcpy(end, "}");
}

/* The first value of a column; NULL where there is none. */
static char *
first_of(const PGresult *result, int column)
{
	return column >= 0 && PQntuples(result) > 0 ? strdup(PQgetvalue(result, 0, column)) : NULL;
}

/* Notes what a claim brought; the results to come are as many. */
static void
take(Client *client, const PGresult *result)
{
	int			n = PQntuples(result);

	join(&client->ids, result, PQfnumber(result, "id"));
	join(&client->tokens, result, PQfnumber(result, "token"));
	free(client->id);
	free(client->token);
	client->id = first_of(result, PQfnumber(result, "id"));
	client->token = first_of(result, PQfnumber(result, "token"));
	if (client->run->completion == &client->run->system->store && n != client->n)
	{
		free(client->results);
		client->results = make_results(n);
	}
	client->n = n;
	if (n == 0)
		atomic_fetch_add(&client->run->empty, 1);
	else
		atomic_fetch_add(&client->run->claimed, n);
}

static void
note(Client *client, double claim, double both, int configs)
{
	if ((client->nrounds & (client->nrounds - 1)) == 0)
		client->rounds = realloc(client->rounds, sizeof(Round) * (client->nrounds ? client->nrounds * 2 : 1));
	client->rounds[client->nrounds++] = (Round){.ended = now(), .claim = claim, .both = both, .configs = configs};
}

static void
claim_by(Client *client, const Call *call)
{
	const char *values[NUM_PARAMETERS];
	PGresult   *result;

	set_values(client, values);
	result = run_call(client->connection, call, values);
	take(client, result);
	PQclear(result);
}

static void
claim(Client *client)
{
	const Run  *run = client->run;
	bool		unflushed = run->way == WAY_UNFLUSHED || run->way == WAY_ONE_TRIP;

	claim_by(client, unflushed ? &run->system->claim_unflushed : &run->system->claim);
}

static void
complete(Client *client)
{
	const char *values[NUM_PARAMETERS];

	set_values(client, values);
	PQclear(run_call(client->connection, client->run->completion, values));
}

/* Reads what one part of a pipeline has brought: a result, or the end of a transaction. */
static PGresult *
next_result(Client *client)
{
	PGresult   *result = PQgetResult(client->connection);
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_PIPELINE_SYNC && status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		die("%s in a pipeline", PQerrorMessage(client->connection));
	if (status != PGRES_PIPELINE_SYNC && PQgetResult(client->connection) != NULL)
		die("a pipeline has brought more than one result for a call");
	return result;
}

/* Completes what is held and claims more, without waiting in between. */
static void
complete_and_claim(Client *client)
{
	const Run  *run = client->run;
	PGconn	   *connection = client->connection;
	bool		one_transaction = run->way == WAY_ONE_TRANSACTION;
	const char *values[NUM_PARAMETERS];
	PGresult   *result;

	set_values(client, values);
	if (!PQenterPipelineMode(connection))
		die("%s", PQerrorMessage(connection));
	send_call(connection, run->completion, values);
	if (!one_transaction && !PQpipelineSync(connection))
		die("%s", PQerrorMessage(connection));
	send_call(connection, one_transaction ? &run->system->claim : &run->system->claim_unflushed, values);
	if (!PQpipelineSync(connection))
		die("%s", PQerrorMessage(connection));

	PQclear(next_result(client));
	if (!one_transaction)
		PQclear(next_result(client));
	result = next_result(client);
	PQclear(next_result(client));
	if (!PQexitPipelineMode(connection))
		die("%s", PQerrorMessage(connection));
	take(client, result);
	PQclear(result);
}

/* Whether the client is to claim again; waits a little where its last claim brought nothing. */
static bool
goes_on(Client *client, double *fed_at)
{
	if (atomic_load(&client->run->claimed) >= client->run->configs)
		return false;
	if (client->n > 0)
		*fed_at = now();
	else if (now() - *fed_at > PATIENCE)
		die("claims have brought nothing for %g s; %lld of %lld configs were claimed", PATIENCE,
			(long long) atomic_load(&client->run->claimed), (long long) client->run->configs);
	else
		usleep(EMPTY_PAUSE);
	return true;
}

/* Two round trips. */
static void
work_apart(Client *client)
{
	double		fed_at = now();

	client->n = 1;
	while (goes_on(client, &fed_at))
	{
		double		begin = now();
		double		claimed;

		claim(client);
		claimed = now();
		if (client->n == 0)
			continue;
		if (client->run->completion)
			complete(client);
		note(client, claimed - begin, now() - begin, client->n);
	}
}

/* One round trip. */
static void
work_joined(Client *client)
{
	const Run  *run = client->run;
	bool		by_next = run->way == WAY_ONE_TRANSACTION && run->system->next.sql &&
		run->completion != &run->system->store;
	double		fed_at = now();

	claim(client);
	while (goes_on(client, &fed_at))
	{
		double		begin = now();
		int			n = client->n;

		if (n == 0)
			claim(client);
		else
		{
			if (by_next)
				claim_by(client, &run->system->next);	/* which completes what is held */
			else
				complete_and_claim(client);
			note(client, NAN, now() - begin, n);
		}
	}
	if (client->n > 0)
	{
		double		begin = now();

		complete(client);
		note(client, NAN, now() - begin, client->n);
	}
}

void
client_connect(Client *client, Run *run, int number, const char *conninfo)
{
	const System *system = run->system;
	const char *values[NUM_PARAMETERS];

	*client = (Client){.run = run, .connection = connect_to(conninfo)};
	sprintf(client->number, "%d", number);
	sprintf(client->batch, "%d", run->batch);
	if (system->client.sql)
	{
		PGresult   *result;

		set_values(client, values);
		result = run_call(client->connection, &system->client, values);
		client->worker = strdup(PQgetvalue(result, 0, 0));
		PQclear(result);
	}
	prepare_call(client->connection, &system->claim);
	prepare_call(client->connection, &system->claim_unflushed);
	prepare_call(client->connection, &system->complete);
	prepare_call(client->connection, &system->next);
	prepare_call(client->connection, &system->store);
}

void
client_warm_up(Client *client, int rounds)
{
	for (int i = 0; i < rounds; i++)
	{
		claim(client);
		if (client->n > 0 && client->run->completion)
			complete(client);
	}
}

void
client_work(Client *client)
{
	client->nrounds = 0;
	if (client->run->completion && client->run->way >= WAY_ONE_TRIP)
		work_joined(client);
	else
		work_apart(client);
}
