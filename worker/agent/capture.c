/*
 * What a program printed, in bounded memory: the head and the tail.
 *
 * The first error of a run is often early and its last words late, so both
 * ends are kept and the middle is dropped.  Cuts are at line ends: half a
 * line could be half a secret that masking no longer finds, or half a
 * character.
 */
#include "capture.h"

#include <string.h>

void
capture_append(Capture *capture, const void *bytes, size_t len)
{
	const char *from = bytes;

	if (len == 0)
		return;
	if (capture->total < CAPTURE_HEAD)
	{
		size_t		n = CAPTURE_HEAD - capture->total;

		n = n < len ? n : len;
		memcpy(capture->head + capture->total, from, n);
		capture->total += n;
		from += n;
		len -= n;
	}
	if (len > CAPTURE_TAIL)
	{
		capture->total += len - CAPTURE_TAIL;
		from += len - CAPTURE_TAIL;
		len = CAPTURE_TAIL;
	}
	while (len > 0)
	{
		size_t		at = (capture->total - CAPTURE_HEAD) % CAPTURE_TAIL;
		size_t		n = CAPTURE_TAIL - at < len ? CAPTURE_TAIL - at : len;

		memcpy(capture->tail + at, from, n);
		capture->total += n;
		from += n;
		len -= n;
	}
}

/* Appends the last len bytes of the ring; it holds that many. */
static void
append_tail(const Capture *capture, size_t len, Buffer *out)
{
	size_t		at = (capture->total - CAPTURE_HEAD - len) % CAPTURE_TAIL;
	size_t		n = CAPTURE_TAIL - at < len ? CAPTURE_TAIL - at : len;

	buffer_append(out, capture->tail + at, n);
	buffer_append(out, capture->tail, len - n);
}

/* Removes what stands in out between from and the end of its first line. */
static size_t
cut_first_line(Buffer *out, size_t from)
{
	char	   *start = out->data + from;
	char	   *end = memchr(start, '\n', out->len - from);
	size_t		cut = end ? (size_t) (end - start) + 1 : 0;

	memmove(start, start + cut, out->len - from - cut);
	out->len -= cut;
	out->data[out->len] = '\0';
	return cut;
}

uint64_t
capture_render(const Capture *capture, Buffer *out)
{
	uint64_t	dropped;
	size_t		head_end = CAPTURE_HEAD;
	Buffer		tail = {0};

	if (capture->total <= CAPTURE_HEAD)
	{
		buffer_append(out, capture->head, capture->total);
		return 0;
	}
	if (capture->total <= CAPTURE_HEAD + CAPTURE_TAIL)
	{
		buffer_append(out, capture->head, CAPTURE_HEAD);
		append_tail(capture, capture->total - CAPTURE_HEAD, out);
		return 0;
	}

	dropped = capture->total - CAPTURE_HEAD - CAPTURE_TAIL;
	while (head_end > 0 && capture->head[head_end - 1] != '\n')
		head_end--;
	if (head_end == 0)
		head_end = CAPTURE_HEAD;	/* one endless line: cut it anywhere */
	dropped += CAPTURE_HEAD - head_end;
	append_tail(capture, CAPTURE_TAIL, &tail);
	dropped += cut_first_line(&tail, 0);

	buffer_append(out, capture->head, head_end);
	if (capture->head[head_end - 1] != '\n')
		buffer_puts(out, "\n");
	buffer_printf(out, "[... %llu bytes dropped ...]\n", (unsigned long long) dropped);
	buffer_append(out, tail.data, tail.len);
	buffer_free(&tail);
	return dropped;
}

void
capture_recent(const Capture *capture, size_t max, Buffer *out)
{
	size_t		from = out->len;
	size_t		in_tail;

	if (capture->total <= CAPTURE_HEAD)
	{
		size_t		n = capture->total < max ? capture->total : max;

		buffer_append(out, capture->head + capture->total - n, n);
		if (n < capture->total)
			cut_first_line(out, from);
		return;
	}
	in_tail = capture->total - CAPTURE_HEAD;
	in_tail = in_tail < CAPTURE_TAIL ? in_tail : CAPTURE_TAIL;
	append_tail(capture, in_tail < max ? in_tail : max, out);
	cut_first_line(out, from);
}
