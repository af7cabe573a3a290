/*
 * pool.h: a fixed set of threads that share out numbered items.
 */
#ifndef POOL_H
#define POOL_H

#include <stdbool.h>

struct		pool;

/* work on one item; thread is from 0 to the pool's size - 1 */
typedef void (*pool_work)(void *argument, int item, int thread);

/* NULL when the threads cannot be started; threads includes the caller */
extern struct pool *pool_create(int threads, bool pinned);
extern void pool_destroy(struct pool *pool);
extern int pool_threads(const struct pool *pool);
extern bool pool_pinned(const struct pool *pool);

/* does items 0 .. items - 1, in any order, and returns when all are done */
extern void pool_run(struct pool *pool, pool_work work, void *argument, int items);

#endif							/* POOL_H */
