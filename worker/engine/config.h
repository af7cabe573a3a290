/*
 * config.h: what a user may ask for, and what of it can be run.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "engine.h"

/*
 * Reads an architecture from JSON text.  Unknown keys are ignored, missing
 * required ones are an error that names them all.  A mixture of experts is
 * read too: its parameters can be counted, though not run.
 */
extern enum engine_status config_read_architecture(const char *text,
												   struct architecture *architecture,
												   struct engine_error *error);

/* refuses what the engine cannot run, ENGINE_BAD_CONFIG with the reason */
extern enum engine_status config_check(const struct architecture *architecture,
									   const struct workload *workload,
									   struct engine_error *error);

#define CONFIG_MAX_BATCH 64
#define CONFIG_MAX_TOKENS (1 << 20) /* of one request, input and output */

#endif							/* CONFIG_H */
