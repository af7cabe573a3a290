/*
 * What a worker has done so far, as a person sees it: one line on a terminal,
 * written again every second and whenever something has changed.
 */
#include "progress.h"

#include "events.h"
#include "log.h"

#include <string.h>

#define RATE_AFTER_MINUTES 0.05

static const char *worker_name;
static const char *worker_hardware;
static double began, due;
static int	completed, failed, put_back;

void
progress_begin(const char *name, const char *hardware)
{
	worker_name = name;
	worker_hardware = hardware;
	began = events_now();
}

void
progress_count(const Receipt *receipt)
{
	if (!receipt->accepted)
		return;
	completed += strcmp(receipt->status, "completed") == 0;
	failed += strcmp(receipt->status, "failed") == 0;
	put_back += strcmp(receipt->status, "pending") == 0;
}

void
progress_show(const Config *running, const char *instead)
{
	Buffer		line = {0};
	double		minutes = (events_now() - began) / 60;

	due = events_now() + 1;
	buffer_printf(&line, "%s  ", worker_name);
	if (running != NULL)
	{
		buffer_printf(&line, "running %s/%s", running->hardware ? running->hardware : worker_hardware,
					  running->framework);
		if (running->workload != NULL)
			buffer_printf(&line, "/%s", running->workload);
		if (running->batch_size != NULL && running->sequence_length != NULL)
			buffer_printf(&line, " b%s s%s", running->batch_size, running->sequence_length);
	}
	else
		buffer_puts(&line, instead);
	buffer_printf(&line, "  %d done, %d failed", completed, failed);
	if (put_back > 0)
		buffer_printf(&line, ", %d put back", put_back);
	if (minutes > RATE_AFTER_MINUTES)
		buffer_printf(&line, "  %.1f/min", completed / minutes);
	log_progress(line.data);
	buffer_free(&line);
}

double
progress_due(void)
{
	return due;
}

void
progress_changed(void)
{
	due = 0;
}
