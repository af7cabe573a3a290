/*
 * engine.c: what a failed function leaves behind, and what it is called.
 */
#include "engine.h"

#include <stdarg.h>
#include <stdio.h>

enum engine_status
engine_fail(struct engine_error *error, enum engine_status status,
			const char *format, ...)
{
	va_list		args;

	error->details[0] = 0;
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	return status;
}

const char *
engine_outcome(enum engine_status status)
{
	switch (status)
	{
		case ENGINE_OK:
			return "ok";
		case ENGINE_USAGE:
		case ENGINE_BAD_CONFIG:
			return "bad_config";
		case ENGINE_UNSUPPORTED:
			return "unsupported";
		case ENGINE_GPU_OOM:
			return "gpu_oom";
		case ENGINE_HOST_OOM:
			return "host_oom";
		case ENGINE_NO_DEVICE:
			return "node_fault";
		case ENGINE_GPU_FAULT:
			return "gpu_fault";
		case ENGINE_INTERNAL:
			break;
	}
	return "crash";
}
