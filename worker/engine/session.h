/*
 * session.h: one backend with one warm model, and the configs that it runs.
 */
#ifndef SESSION_H
#define SESSION_H

#include <stdio.h>

#include "backend.h"
#include "config.h"
#include "roofline.h"

struct session
{
	const struct backend_operations *operations;
	struct backend_options options;
	struct backend *backend;	/* NULL while no model is loaded */
	struct request loaded;		/* whose architecture, precision and weights are */
	struct ceilings ceilings;	/* the device's own, that no config changes */
};

/*
 * Finds the backend; loads nothing yet.  "auto" is the CPU for precisions that
 * only it has, so that the defaults run everywhere.
 */
extern enum engine_status session_start(struct session *session, const char *backend,
										enum precision precision,
										const struct backend_options *options,
										struct engine_error *error);

/*
 * Loads the request's model where it fits with a workload of one token, so that
 * a first config finds it warm; the request's own workload does not matter.
 */
extern enum engine_status session_warm(struct session *session, const struct request *request,
									   struct engine_error *error);

/*
 * Measures the request and writes the result, one line.  begin is when the
 * request came, on machine_now()'s clock; its budget counts from there.
 */
extern enum engine_status session_run(struct session *session, const struct request *request,
									  double begin, FILE *out, struct engine_error *error);

/* measures only the device, over the request's footprint */
extern enum engine_status session_calibrate(struct session *session, const struct request *request,
											FILE	   *out, struct engine_error *error);

extern void session_end(struct session *session);

#endif							/* SESSION_H */
