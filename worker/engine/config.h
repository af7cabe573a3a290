/*
 * config.h: what a user may ask for, and what of it can be run.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "engine.h"

/* the name by which results tell this program from others */
#define ENGINE_TOOL "benchorch-engine"

#define CONFIG_MAX_BATCH 64
#define CONFIG_MAX_TOKENS (1 << 20) /* of one request, input and output */
#define CONFIG_MOST_BUDGET 86400	/* seconds */

/* one config as it is asked for; the workload's numbers are -1 where they were not said */
struct request
{
	bool		has_architecture;
	struct architecture architecture;
	struct workload workload;
	uint64_t	weights_seed;
	double		budget;			/* seconds that it may take, all in all */
	char		model[256];		/* "" if it has no name */
};

/*
 * Reads an architecture from JSON text.  Unknown keys are ignored, missing
 * required ones are an error that names them all.  A mixture of experts is
 * read too: its parameters can be counted, though not run.
 */
extern enum engine_status config_read_architecture(const char *text,
												   struct architecture *architecture,
												   struct engine_error *error);

extern bool config_same_architecture(const struct architecture *a, const struct architecture *b);

/* ENGINE_UNSUPPORTED for a word that is none of ours */
extern enum engine_status config_read_precision(const char *text, enum precision *precision,
												struct engine_error *error);

/*
 * Reads one line of the stream protocol over what request says already.  Members
 * that it does not know are passed over, and so are null ones.
 */
extern enum engine_status config_read_line(const char *line, struct request *request,
										   struct engine_error *error);

/* refuses what makes no sense, and what the engine cannot run, with the reason */
extern enum engine_status config_check(const struct architecture *architecture,
									   const struct workload *workload,
									   struct engine_error *error);

#endif							/* CONFIG_H */
