/*
 * An adapter as its rows say it: what adapters.c loads and normalize.c
 * evaluates.
 */
#ifndef BENCHORCH_ADAPTERS_H
#define BENCHORCH_ADAPTERS_H

#include "benchorch.h"

#include "utils/array.h"

typedef struct AdapterRow
{
	int			target;			/* a Metric, or METRICS + a Fact */
	Datum		path;			/* jsonpath */
	int			nkeys;			/* a plain $.a.b is read key by key; 0: it is not plain */
	JsonbValue *keys;			/* strings */
	double		scale;
	ArrayType  *method;			/* text[] */
	char	   *min_version;	/* NULL: any */
	char	   *max_version;
} AdapterRow;

struct Adapter
{
	const char *name;
	Datum		no_vars;		/* '{}' */
	bool		has_requests;
	Datum		requests;		/* jsonpath that finds something where there are single requests */
	int			n;
	AdapterRow	rows[FLEXIBLE_ARRAY_MEMBER];
};

/* The metric of a name, or METRICS + the fact; -1 where it is none. */
extern int benchorch_target(const char *name);
/* What the path finds, as a JSON array; errors of the path find nothing. */
extern Jsonb *benchorch_find(Jsonb *raw, Datum path, Datum no_vars);
/* The one value that the row's path finds; NULL where it finds none or several. */
extern JsonbValue *benchorch_find_one(Jsonb *raw, const AdapterRow *row, Datum no_vars, JsonbValue *buffer);

#endif							/* BENCHORCH_ADAPTERS_H */
