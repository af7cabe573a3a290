/*
 * stream.h: the engine as a runner of the stream protocol (docs/runner-protocol.md).
 */
#ifndef STREAM_H
#define STREAM_H

#include <stdio.h>

#include "options.h"

/*
 * Answers configs from in on out until in ends, or until the device has failed,
 * which only another process can mend.  What people should see goes to log.
 */
extern enum engine_status stream_run(const struct options *options, FILE *in, FILE *out, FILE *log,
									 struct engine_error *error);

#endif							/* STREAM_H */
