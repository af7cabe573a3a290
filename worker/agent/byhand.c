/*
 * One config run by hand: --run-one.
 *
 * The same run as a worker's, without claim, lease and spool: to see what a
 * framework's command does.  The result goes to standard output, the log and
 * what became of it to standard error.
 */
#include "byhand.h"

#include "calls.h"
#include "log.h"
#include "options.h"
#include "runner.h"

#include <stdio.h>
#include <string.h>

#define EXIT_RUN_FAILED 1

static Lane lane;
static Run	run;
static bool running;

void
byhand_on_stop(int count)
{
	(void) count;
	if (running)
		run_kill(&run);
	lane_kill(&lane);
}

static bool
stopped(void)
{
	return events_stop_signal() != 0;
}

static void
wait_for_lane(LaneState while_in)
{
	for (lane_step(&lane); lane.state == while_in && !(while_in == LANE_STARTING && stopped()); lane_step(&lane))
		events_wait(lane_due(&lane));
}

static void
run_config(const Config *config, const RunSettings *settings, Result *result)
{
	if (config->protocol != PROTOCOL_ONESHOT)
	{
		lane_open(&lane, config, settings);
		wait_for_lane(LANE_STARTING);
		if (lane.state != LANE_READY)
		{
			if (lane.state == LANE_FAILED)
				run_without_lane(config, &lane, settings, result);
			return;
		}
	}
	run_start(&run, config, &lane, settings);
	running = true;
	while (!run_done(&run))
		events_wait(EVENTS_NEVER);
	running = false;
	run_finish(&run, result);
}

static void
print(const Result *result)
{
	fwrite(result->log.data, 1, result->log.len, stderr);
	if (result->has_output)
		fwrite(result->output.data, 1, result->output.len, stdout);
	if (result->has_output && result->output.data[result->output.len - 1] != '\n')
		putchar('\n');
	fprintf(stderr, "config %s: %s after %.3f s", result->config_id, result->outcome, result->seconds);
	fprintf(stderr, result->message.len > 0 ? ": %s\n" : "%s\n", buffer_text(&result->message));
}

int
byhand_run(const char *config_id, const RunSettings *settings)
{
	Batch		batch = {0};
	Result		result = {0};
	int			code = EXIT_RUN_FAILED;
	DatabaseStatus status = call_describe(config_id, &batch);

	if (status != DATABASE_OK)
	{
		log_message(LOG_ERROR, "refused", "config %s cannot be run: %s", config_id, database_message());
		return status == DATABASE_AWAY ? EXIT_TEMPORARY : EXIT_BAD_CONFIG;
	}
	run_config(&batch.configs[0], settings, &result);
	if (result.config_id != NULL)
	{
		print(&result);
		if (strcmp(result.outcome, "ok") == 0)
			code = EXIT_DONE;
	}
	if (stopped())
		lane_kill(&lane);
	lane_close(&lane);
	wait_for_lane(LANE_CLOSING);
	result_free(&result);
	batch_free(&batch);
	return stopped() ? EXIT_SIGNALLED + events_stop_signal() : code;
}
