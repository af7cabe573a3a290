/*
 * main.c: benchorch-engine.  One process runs one config and writes one JSON
 * object, or, as a runner, one after the other.
 *
 * Standard output carries results and nothing else; everything for people
 * goes to standard error.  A process that has nothing to run opens no library.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "options.h"
#include "session.h"
#include "stream.h"

/* all of it at once, when it is complete: a reader never sees half an object */
static enum engine_status
write_result(const char *output, const char *text, size_t length, struct engine_error *error)
{
	FILE	   *file = output == NULL ? stdout : fopen(output, "we");
	bool		written = file != NULL && fwrite(text, 1, length, file) == length;

	/* a full disk may show only here */
	if (file != NULL && fclose(file) != 0)
		written = false;
	if (!written)
		return engine_fail(error, ENGINE_INTERNAL, "could not write %s: %s",
						   output == NULL ? "standard output" : output, strerror(errno));
	return ENGINE_OK;
}

static enum engine_status
run(struct session *session, const struct options *options, double begin, struct engine_error *error)
{
	char	   *text = NULL;
	size_t		length = 0;
	FILE	   *out = open_memstream(&text, &length);
	enum engine_status status;

	if (out == NULL)
		return engine_fail(error, ENGINE_INTERNAL, "out of memory");
	if (options->action == ACTION_CALIBRATE)
		status = session_calibrate(session, &options->request, out, error);
	else
		status = session_run(session, &options->request, begin, out, error);
	if (fclose(out) != 0 && status == ENGINE_OK)
		status = engine_fail(error, ENGINE_INTERNAL, "out of memory");
	if (status == ENGINE_OK)
		status = write_result(options->output, text, length, error);
	free(text);
	return status;
}

static enum engine_status
run_once(const struct options *options, double begin, struct engine_error *error)
{
	struct session session;
	enum engine_status status = session_start(&session, options->backend, options->request.workload.precision,
											  &options->host, error);

	if (status != ENGINE_OK)
		return status;
	if (error->message[0] != 0)
		fprintf(stderr, ENGINE_TOOL ": using %s: %s\n", session.operations->name, error->message);
	status = run(&session, options, begin, error);
	session_end(&session);
	return status;
}

int
main(int argc, char **argv)
{
	double		begin = machine_now();
	struct engine_error error = {"", ""};
	struct options options;
	enum engine_status status = options_parse(argc, argv, &options, &error);

	if (status == ENGINE_OK && options.action == ACTION_STREAM)
		status = stream_run(&options, stdin, stdout, stderr, &error);
	else if (status == ENGINE_OK && options.action != ACTION_DONE)
		status = run_once(&options, begin, &error);
	if (status != ENGINE_OK && error.details[0] != 0)
		fprintf(stderr, "%s\n", error.details);
	if (status != ENGINE_OK)
		fprintf(stderr, ENGINE_TOOL ": %s\n", error.message);
	return status;
}
