/*
 * What a program printed, in bounded memory: the head and the tail.
 */
#ifndef AGENT_CAPTURE_H
#define AGENT_CAPTURE_H

#include "buffer.h"

#define CAPTURE_HEAD (16 * 1024)
#define CAPTURE_TAIL (64 * 1024)

/* Zero-initialise it. */
typedef struct Capture
{
	uint64_t	total;			/* bytes seen */
	char		head[CAPTURE_HEAD];
	char		tail[CAPTURE_TAIL]; /* a ring: what follows the head */
} Capture;

extern void capture_append(Capture *capture, const void *bytes, size_t len);

/*
 * Appends head and tail to out.  Where bytes between them were dropped, both
 * are cut at line ends and a line between them says how many; returns that.
 */
extern uint64_t capture_render(const Capture *capture, Buffer *out);

/* Appends the last bytes, max at most, from a line's beginning where there is one. */
extern void capture_recent(const Capture *capture, size_t max, Buffer *out);

#endif							/* AGENT_CAPTURE_H */
