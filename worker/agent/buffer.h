/*
 * Growing byte buffers and the JSON that is written into them.
 */
#ifndef AGENT_BUFFER_H
#define AGENT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise it; once something was appended, data ends with a NUL that len does not count. */
typedef struct Buffer
{
	char	   *data;
	size_t		len;
	size_t		size;
} Buffer;

extern void buffer_append(Buffer *buffer, const void *bytes, size_t len);
extern void buffer_puts(Buffer *buffer, const char *text);
extern void buffer_printf(Buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
extern void buffer_reset(Buffer *buffer);	/* empty, memory kept */
extern void buffer_cut(Buffer *buffer, size_t n);	/* without its first n bytes */
extern void buffer_free(Buffer *buffer);
extern const char *buffer_text(const Buffer *buffer);	/* "" where nothing was appended */

/* Memory that cannot be had ends the process with exit code 75. */
extern void *xcalloc(size_t n, size_t size);
extern char *xstrdup(const char *text);
extern char *xprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * JSON: each call adds one member, or one element where key is NULL, with the
 * comma that it needs.  Bytes that are not UTF-8, and NUL, become U+FFFD, so
 * that what any program printed is valid input for jsonb.  NULL is null.
 */
extern void json_open(Buffer *buffer, const char *key, char bracket);	/* '{' or '[' */
extern void json_close(Buffer *buffer, char bracket);	/* '}' or ']' */
extern void json_string(Buffer *buffer, const char *key, const char *value);
extern void json_int(Buffer *buffer, const char *key, int64_t value);
extern void json_number(Buffer *buffer, const char *key, double value, int decimals);
extern void json_bool(Buffer *buffer, const char *key, bool value);
extern void json_null(Buffer *buffer, const char *key);

#endif							/* AGENT_BUFFER_H */
