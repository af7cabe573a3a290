/*
 * The machine: what it is called in the matrix, and what results say about it.
 */
#ifndef AGENT_HARDWARE_H
#define AGENT_HARDWARE_H

#include "buffer.h"

typedef struct Machine
{
	char	   *hardware;		/* its name in hardware_configs, from model and cores */
	char	   *host;
	char	   *cpu;
	char	   *kernel;
	int			cores;			/* that this process may use */
	int64_t		memory_bytes;
} Machine;

extern void hardware_detect(Machine *machine);
extern void hardware_free(Machine *machine);

/* The object that register_hardware() takes for it. */
extern void hardware_write_spec(const Machine *machine, const char *key, Buffer *json);
/* The "environment" of a result. */
extern void hardware_write_environment(const Machine *machine, const char *key, Buffer *json);

#endif							/* AGENT_HARDWARE_H */
