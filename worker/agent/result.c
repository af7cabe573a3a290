/*
 * What is handed in for one config.
 */
#include "result.h"

#include <stdlib.h>

void
result_free(Result *result)
{
	free(result->config_id);
	free(result->claim_id);
	free(result->outcome);
	buffer_free(&result->output);
	buffer_free(&result->log);
	buffer_free(&result->details);
	buffer_free(&result->message);
	*result = (Result){0};
}
