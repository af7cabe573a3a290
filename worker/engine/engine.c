/*
 * engine.c: what a failed function leaves behind.
 */
#include "engine.h"

#include <stdarg.h>
#include <stdio.h>

enum engine_status
engine_fail(struct engine_error *error, enum engine_status status,
			const char *format, ...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	return status;
}
