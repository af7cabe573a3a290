/*
 * Fault points: see ../faults.h.
 */
#ifndef BENCHORCH_FAULTS
#define BENCHORCH_FAULTS
#endif
#include "../faults.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

void
fault_point(const char *name)
{
	static int	passed;
	const char *wanted = getenv("BENCHORCH_FAULT");
	size_t		len = strlen(name);

	if (wanted == NULL || strncmp(wanted, name, len) != 0 || (wanted[len] != '\0' && wanted[len] != ':'))
		return;
	if (++passed >= (wanted[len] == ':' ? atoi(wanted + len + 1) : 1))
		raise(SIGKILL);
}

void
fault_sent(const char *sql)
{
	if (strstr(sql, "benchorch.claim_runs(") != NULL)
		fault_point("after_claim_sent");
	else if (strstr(sql, "benchorch.start(") != NULL)
		fault_point("after_start_sent");
	else if (strstr(sql, "benchorch.hand_in(") != NULL)
		fault_point("after_hand_in_sent");
}
