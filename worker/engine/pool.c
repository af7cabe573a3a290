/*
 * pool.c: a fixed set of threads that share out numbered items.
 *
 * The caller is thread 0 and works too.  Items are taken from one atomic
 * counter, so that a thread that lost its CPU delays only the item it holds.
 *
 * Waiting is passive: a thread spins for at most some microseconds, for the
 * pauses between two phases of a decode step are shorter than a wake-up, and
 * then sleeps on a futex.  On a machine whose CPUs are taken by others spinning
 * only steals time from the thread that is waited for, so each thread halves
 * its patience whenever spinning was in vain and doubles it when it was not.
 *
 * A pinned pool has each thread on a CPU of its own and may keep it busy: there
 * the patience is long and stays so.
 */
#define _GNU_SOURCE
#include "pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LEAST_SPIN 16
#define MOST_SPIN 1024
#define PINNED_SPIN (1 << 20)

struct waiter
{
	int			spin;			/* pauses before it sleeps */
	bool		patient;		/* always that many */
};

struct pool
{
	int			threads;
	bool		pinned;
	pool_work	work;
	void	   *argument;
	int			items;
	bool		stop;
	_Alignas(64) _Atomic int next;	/* the next item to be taken */
	_Alignas(64) _Atomic uint32_t generation;	/* counts calls of pool_run */
	_Atomic int idle_sleepers;	/* threads asleep on generation */
	_Alignas(64) _Atomic uint32_t busy; /* helpers still at work */
	_Atomic int caller_sleeps;	/* the caller is asleep on busy */
	struct waiter caller;
	pthread_t  *helpers;
};

struct helper
{
	struct pool *pool;
	int			thread;
};

static void
futex_wait(_Atomic uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void
futex_wake_all(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static inline void
pause_cpu(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb");
#endif
}

/* waits until the word is no longer value, and returns what it is then */
static uint32_t
wait_while(_Atomic uint32_t *word, uint32_t value, _Atomic int *sleepers,
		   struct waiter *waiter)
{
	uint32_t	seen;

	for (int i = 0; i < waiter->spin; i++)
	{
		seen = atomic_load(word);
		if (seen != value)
		{
			if (waiter->spin < MOST_SPIN && !waiter->patient)
				waiter->spin *= 2;
			return seen;
		}
		pause_cpu();
	}
	if (waiter->spin > LEAST_SPIN && !waiter->patient)
		waiter->spin /= 2;
	/* announced before the last look, so that no change goes unnoticed */
	atomic_fetch_add(sleepers, 1);
	while ((seen = atomic_load(word)) == value)
		futex_wait(word, value);
	atomic_fetch_sub(sleepers, 1);
	return seen;
}

static struct waiter
first_waiter(const struct pool *pool)
{
	return pool->pinned ? (struct waiter){PINNED_SPIN, true} : (struct waiter){MOST_SPIN, false};
}

/* the calling thread to the index-th CPU of those it may use, round about */
static void
pin_thread(int index)
{
	cpu_set_t	allowed;
	cpu_set_t	one;
	int			cpus;
	int			cpu = -1;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 || (cpus = CPU_COUNT(&allowed)) == 0)
		return;
	for (int left = index % cpus; left >= 0; left--)
		do
			cpu++;
		while (!CPU_ISSET(cpu, &allowed));
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void
take_items(struct pool *pool, int thread)
{
	int			item;

	while ((item = atomic_fetch_add(&pool->next, 1)) < pool->items)
		pool->work(pool->argument, item, thread);
}

static void *
helper_main(void *argument)
{
	struct helper helper = *(struct helper *) argument;
	struct pool *pool = helper.pool;
	struct waiter waiter = first_waiter(pool);
	uint32_t	generation = 0;

	free(argument);
	if (pool->pinned)
		pin_thread(helper.thread);
	for (;;)
	{
		generation = wait_while(&pool->generation, generation, &pool->idle_sleepers, &waiter);
		if (pool->stop)
			return NULL;
		take_items(pool, helper.thread);
		if (atomic_fetch_sub(&pool->busy, 1) == 1 && atomic_load(&pool->caller_sleeps) > 0)
			futex_wake_all(&pool->busy);
	}
}

/* lets the helpers look at what the caller has put into the pool */
static void
publish(struct pool *pool)
{
	atomic_fetch_add(&pool->generation, 1);
	if (atomic_load(&pool->idle_sleepers) > 0)
		futex_wake_all(&pool->generation);
}

struct pool *
pool_create(int threads, bool pinned)
{
	struct pool *pool = aligned_alloc(64, sizeof(struct pool));

	if (pool == NULL)
		return NULL;
	*pool = (struct pool){.threads = 1, .pinned = pinned};
	pool->caller = first_waiter(pool);
	pool->helpers = calloc((size_t) threads, sizeof(pthread_t));
	while (pool->helpers != NULL && pool->threads < threads)
	{
		struct helper *helper = malloc(sizeof(*helper));

		if (helper == NULL)
			break;
		*helper = (struct helper){pool, pool->threads};
		if (pthread_create(&pool->helpers[pool->threads], NULL, helper_main, helper) != 0)
		{
			free(helper);
			break;
		}
		pool->threads++;
	}
	/* after the helpers, which would inherit it */
	if (pinned)
		pin_thread(0);
	if (pool->threads < threads || pool->helpers == NULL)
	{
		pool_destroy(pool);
		return NULL;
	}
	return pool;
}

void
pool_destroy(struct pool *pool)
{
	if (pool == NULL)
		return;
	pool->stop = true;
	publish(pool);
	for (int i = 1; i < pool->threads; i++)
		pthread_join(pool->helpers[i], NULL);
	free(pool->helpers);
	free(pool);
}

int
pool_threads(const struct pool *pool)
{
	return pool->threads;
}

bool
pool_pinned(const struct pool *pool)
{
	return pool->pinned;
}

void
pool_run(struct pool *pool, pool_work work, void *argument, int items)
{
	uint32_t	busy;

	if (pool->threads == 1 || items == 1)
	{
		for (int i = 0; i < items; i++)
			work(argument, i, 0);
		return;
	}
	pool->work = work;
	pool->argument = argument;
	pool->items = items;
	atomic_store(&pool->next, 0);
	atomic_store(&pool->busy, (uint32_t) pool->threads - 1);
	publish(pool);
	take_items(pool, 0);
	while ((busy = atomic_load(&pool->busy)) != 0)
		wait_while(&pool->busy, busy, &pool->caller_sleeps, &pool->caller);
}
