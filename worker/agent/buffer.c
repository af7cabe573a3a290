/*
 * Growing byte buffers and the JSON that is written into them.
 *
 * The lowest layer: knows nothing of the others.  Allocation never fails
 * towards the caller: a worker without memory can do nothing useful, so it
 * ends, and its lease gives its configs to others.
 */
#include "buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
out_of_memory(void)
{
	fprintf(stderr, "benchorch-worker: out of memory\n");
	exit(75);
}

void *
xcalloc(size_t n, size_t size)
{
	void	   *memory = calloc(n ? n : 1, size);

	if (memory == NULL)
		out_of_memory();
	return memory;
}

char *
xstrdup(const char *text)
{
	char	   *copy = strdup(text);

	if (copy == NULL)
		out_of_memory();
	return copy;
}

char *
xprintf(const char *format, ...)
{
	va_list		args;
	char	   *text;
	int			len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	if (len < 0)
		out_of_memory();
	return text;
}

/* Makes room for len more bytes and the NUL. */
static void
reserve(Buffer *buffer, size_t len)
{
	size_t		need = buffer->len + len + 1;
	size_t		size = buffer->size ? buffer->size : 128;

	if (need <= buffer->size)
		return;
	while (size < need)
		size *= 2;
	buffer->data = realloc(buffer->data, size);
	if (buffer->data == NULL)
		out_of_memory();
	buffer->size = size;
}

void
buffer_append(Buffer *buffer, const void *bytes, size_t len)
{
	reserve(buffer, len);
	if (len > 0)
		memcpy(buffer->data + buffer->len, bytes, len);
	buffer->len += len;
	buffer->data[buffer->len] = '\0';
}

void
buffer_puts(Buffer *buffer, const char *text)
{
	buffer_append(buffer, text, strlen(text));
}

void
buffer_printf(Buffer *buffer, const char *format, ...)
{
	va_list		args;
	int			len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len <= 0)
		return;
	reserve(buffer, len);
	va_start(args, format);
	vsnprintf(buffer->data + buffer->len, len + 1, format, args);
	va_end(args);
	buffer->len += len;
}

void
buffer_reset(Buffer *buffer)
{
	buffer->len = 0;
	if (buffer->data != NULL)
		buffer->data[0] = '\0';
}

void
buffer_cut(Buffer *buffer, size_t n)
{
	memmove(buffer->data, buffer->data + n, buffer->len - n + 1);
	buffer->len -= n;
}

void
buffer_free(Buffer *buffer)
{
	free(buffer->data);
	*buffer = (Buffer){0};
}

const char *
buffer_text(const Buffer *buffer)
{
	return buffer->data ? buffer->data : "";
}

/* The comma where one is due, and the key: whatever precedes tells which. */
static void
json_key(Buffer *buffer, const char *key)
{
	static const char before_first[] = "{[:,";

	if (buffer->len > 0 && strchr(before_first, buffer->data[buffer->len - 1]) == NULL)
		buffer_puts(buffer, ",");
	if (key != NULL)
	{
		json_string(buffer, NULL, key);
		buffer_puts(buffer, ":");
	}
}

void
json_open(Buffer *buffer, const char *key, char bracket)
{
	json_key(buffer, key);
	buffer_append(buffer, &bracket, 1);
}

void
json_close(Buffer *buffer, char bracket)
{
	buffer_append(buffer, &bracket, 1);
}

/* Length of the valid UTF-8 sequence at text, 0 where there is none. */
static size_t
utf8_length(const unsigned char *text)
{
	static const struct
	{
		unsigned char mask, bits;
		unsigned	least;
	} forms[] = {{0xE0, 0xC0, 0x80}, {0xF0, 0xE0, 0x800}, {0xF8, 0xF0, 0x10000}};

	for (size_t i = 0; i < 3; i++)
	{
		unsigned	code;

		if ((text[0] & forms[i].mask) != forms[i].bits)
			continue;
		code = text[0] & (unsigned char) ~forms[i].mask;
		for (size_t j = 1; j <= i + 1; j++)
		{
			if ((text[j] & 0xC0) != 0x80)
				return 0;
			code = code << 6 | (text[j] & 0x3F);
		}
		if (code < forms[i].least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
			return 0;
		return i + 2;
	}
	return 0;
}

void
json_string(Buffer *buffer, const char *key, const char *value)
{
	const unsigned char *c = (const unsigned char *) value;

	if (value == NULL)
	{
		json_null(buffer, key);
		return;
	}
	json_key(buffer, key);
	buffer_puts(buffer, "\"");
	while (*c != '\0')
	{
		size_t		len = 1;

		if (*c == '"' || *c == '\\')
			buffer_printf(buffer, "\\%c", *c);
		else if (*c == '\n')
			buffer_puts(buffer, "\\n");
		else if (*c == '\t')
			buffer_puts(buffer, "\\t");
		else if (*c < 0x20 || *c == 0x7F)
			buffer_printf(buffer, "\\u%04x", *c);
		else if (*c < 0x80)
			buffer_append(buffer, c, 1);
		else if ((len = utf8_length(c)) > 0)
			buffer_append(buffer, c, len);
		else
		{
			buffer_puts(buffer, "\xEF\xBF\xBD");
			len = 1;
		}
		c += len;
	}
	buffer_puts(buffer, "\"");
}

void
json_int(Buffer *buffer, const char *key, int64_t value)
{
	json_key(buffer, key);
	buffer_printf(buffer, "%lld", (long long) value);
}

void
json_number(Buffer *buffer, const char *key, double value, int decimals)
{
	json_key(buffer, key);
	buffer_printf(buffer, "%.*f", decimals, value);
}

void
json_bool(Buffer *buffer, const char *key, bool value)
{
	json_key(buffer, key);
	buffer_puts(buffer, value ? "true" : "false");
}

void
json_null(Buffer *buffer, const char *key)
{
	json_key(buffer, key);
	buffer_puts(buffer, "null");
}
