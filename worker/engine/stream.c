/*
 * stream.c: the engine as a runner of the stream protocol, version 1
 * (docs/runner-protocol.md): a config line in, a result line or an error line
 * out, while the weights stay.
 *
 * The command line says what the process is loaded with, and what the lines do
 * not say.  A model that is named there is loaded before "ready", outside of
 * any config's time.
 */
#define _GNU_SOURCE
#include "stream.h"

#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "session.h"

/* a line that is no result; what it says must stay on it */
static void
write_failure(FILE *out, enum engine_status status, char *message)
{
	for (char *at = message; (at = strpbrk(at, "\r\n")) != NULL;)
		*at = ' ';
	fprintf(out, "error %s %s\n", engine_outcome(status), message);
}

static enum engine_status
answer(struct session *session, const struct options *options, const char *line, FILE *out, FILE *log,
	   struct engine_error *error)
{
	double		begin = machine_now();
	struct request request = options->request;
	char	   *result = NULL;
	size_t		length = 0;
	FILE	   *buffer = open_memstream(&result, &length);
	enum engine_status status = ENGINE_INTERNAL;

	if (buffer == NULL)
		engine_fail(error, status, "out of memory");
	else
	{
		status = config_read_line(line, &request, error);
		if (status == ENGINE_OK)
			status = session_run(session, &request, begin, buffer, error);
		/* a result that is not whole is none */
		if (fclose(buffer) != 0 && status == ENGINE_OK)
			status = engine_fail(error, ENGINE_INTERNAL, "out of memory");
	}
	if (status == ENGINE_OK)
		fwrite(result, 1, length, out);
	else
	{
		if (error->details[0] != 0)
			fprintf(log, "%s\n", error->details);
		write_failure(out, status, error->message);
	}
	free(result);
	return status;
}

static enum engine_status
flushed(FILE *out, struct engine_error *error)
{
	if (fflush(out) != 0 || ferror(out))
		return engine_fail(error, ENGINE_INTERNAL, "could not write to standard output");
	return ENGINE_OK;
}

static enum engine_status
answer_all(struct session *session, const struct options *options, FILE *in, FILE *out, FILE *log,
		   struct engine_error *error)
{
	char	   *line = NULL;
	size_t		size = 0;
	enum engine_status answered = ENGINE_OK;
	enum engine_status status;

	fprintf(out, "ready 1\n");
	status = flushed(out, error);
	while (status == ENGINE_OK && answered != ENGINE_GPU_FAULT && getline(&line, &size, in) != -1)
	{
		answered = answer(session, options, line, out, log, error);
		status = flushed(out, error);
	}
	free(line);
	return status;
}

enum engine_status
stream_run(const struct options *options, FILE *in, FILE *out, FILE *log, struct engine_error *error)
{
	struct session session;
	enum engine_status status = session_start(&session, options->backend, options->request.workload.precision,
											  &options->host, error);

	if (status != ENGINE_OK)
		return status;
	if (error->message[0] != 0)
		fprintf(log, ENGINE_TOOL ": using %s: %s\n", session.operations->name, error->message);
	/* a model that is wrong or too large is each config's answer, not the end */
	if (options->request.has_architecture &&
		session_warm(&session, &options->request, error) != ENGINE_OK)
		fprintf(log, ENGINE_TOOL ": no model is loaded: %s\n", error->message);
	status = answer_all(&session, options, in, out, log, error);
	session_end(&session);
	return status;
}
