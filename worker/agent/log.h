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
 * path NULL: JSON lines on standard error, or, where that is a terminal,
 * warnings and errors as text beside the progress line.  quiet: errors only.
 * False, with errno set, where the file cannot be opened.
 */
extern bool log_open(const char *path, bool quiet);
extern void log_close(void);

/*
 * One event: log_begin, further members with json_*, log_end.  message is
 * what a person reads; it may be NULL.
 */
extern Buffer *log_begin(LogLevel level, const char *event, const char *message);
extern void log_end(void);
extern void log_message(LogLevel level, const char *event, const char *format,...) __attribute__((format(printf, 3, 4)));

/* The progress line of a terminal; nothing elsewhere. */
extern void log_progress(const char *text);

/* Keeps the values of variables whose names look like secrets ("NAME=value"), to mask them. */
extern void log_add_secret(const char *variable);
/* Replaces every known secret in the buffer by ***. */
extern void log_mask(Buffer *buffer);

#endif							/* AGENT_LOG_H */
