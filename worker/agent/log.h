/*
 * What the worker tells people and log collectors, and what it never tells.
 */
#ifndef AGENT_LOG_H
#define AGENT_LOG_H

#include "buffer.h"

typedef enum LogLevel
{
	LOG_INFO,
	LOG_WARNING,
	LOG_ERROR
} LogLevel;

/*
 * Events go to the file as JSON lines, without one (path NULL) to standard
 * error.  Where that is a terminal it shows a progress line instead, and
 * warnings and errors as text; beside a file, errors.  quiet: errors only on
 * standard error.  False, with errno set, where the file cannot be opened.
 */
extern bool log_open(const char *path, bool quiet);
extern void log_close(void);

/*
 * One event: log_begin, further members with json_*, log_end.  message is
 * what a person reads; it may be NULL.
 */
extern Buffer *log_begin(LogLevel level, const char *event, const char *message);
extern void log_end(void);
extern void log_message(LogLevel level, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The progress line of a terminal; nothing elsewhere. */
extern void log_progress(const char *text);

/* Keeps the values of variables whose names look like secrets ("NAME=value"), to mask them. */
extern void log_add_secret(const char *variable);
/* The same for a command's arguments: what follows --api-key and the like, or stands in --api-key=VALUE. */
extern void log_add_secret_arguments(char **argv);
/* Replaces every known secret in the buffer by ***. */
extern void log_mask(Buffer *buffer);

#endif							/* AGENT_LOG_H */
