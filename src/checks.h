/*
 * One result under its checks: what checks.c and physics.c share.
 */
#ifndef BENCHORCH_CHECKS_H
#define BENCHORCH_CHECKS_H

#include "benchorch.h"

#include "lib/stringinfo.h"

typedef struct Case
{
	Metrics    *metrics;
	const Subject *subject;		/* NULL: nothing is known of what was asked */
	Jsonb	   *environment;	/* NULL: nothing of the run */
	MemoryContext result_context;	/* where what stays in metrics lives */

	/* what the check at hand says: members of an object, and sentences */
	bool		is_wrong;
	StringInfoData wrong;
	StringInfoData lacking;
} Case;

extern void benchorch_wrong(Case *c, const char *format, ...) pg_attribute_printf(2, 3);
extern void benchorch_lacking(Case *c, const char *format, ...) pg_attribute_printf(2, 3);

/* Bytes of one number in a precision, NaN for a word that is none, and what it computes in: bf16, fp8, nvfp4, fp32. */
extern double benchorch_number_size(const char *word, const char **compute);

extern void benchorch_check_physics(Case *c);

#endif							/* BENCHORCH_CHECKS_H */
