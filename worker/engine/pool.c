/*
 * pool.c: a fixed set of threads that share out numbered items.
 *
 * The caller is thread 0 and works too.  Each thread has a share of items that
 * follow each other, so that what it reads does, too; who is through with its own
 * takes from the others', so that a thread that lost its CPU delays only the
 * item it holds.
 *
 * Waiting is passive: a thread looks for some microseconds, for the pauses
 * between two phases of a decode step are shorter than a wake-up, and then sleeps
 * on a futex.  On a machine whose CPUs are taken by others looking only steals
 * time from the thread that is waited for, so each thread halves its patience
 * whenever looking was in vain and doubles it when it was not.  The least of it
 * is longer than those pauses usually are: with less, one bad moment would let
 * the threads sleep at every phase from then on.
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
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* nanoseconds */
#define LEAST_PATIENCE 5000
#define MOST_PATIENCE 80000
#define PINNED_PATIENCE 50000000

struct waiter
{
	int64_t		patience;		/* nanoseconds before it sleeps */
	bool		steady;			/* always that many */
};

/* generation << 32 | items taken of a thread's share; of an earlier generation it means none */
struct share
{
	_Alignas(64) _Atomic uint64_t taken;
};

struct pool
{
	int			threads;
	bool		pinned;
	pool_work	work;
	void	   *argument;
	int			items;
	bool		stop;
	struct share *shares;		/* of each thread */
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

static int64_t
nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

/* looks at the word for as long as the waiter has patience; is it something else than value? */
static bool
changes_soon(_Atomic uint32_t *word, uint32_t value, const struct waiter *waiter)
{
	int64_t		end = nanoseconds() + waiter->patience;

	do
		for (int i = 0; i < 8; i++)
		{
			if (atomic_load(word) != value)
				return true;
			pause_cpu();
		}
	while (nanoseconds() < end);
	return false;
}

/* waits until the word is no longer value, and returns what it is then */
static uint32_t
wait_while(_Atomic uint32_t *word, uint32_t value, _Atomic int *sleepers,
		   struct waiter *waiter)
{
	uint32_t	seen = atomic_load(word);
	bool		soon;

	if (seen != value)
		return seen;
	soon = changes_soon(word, value, waiter);
	if (!waiter->steady && soon && waiter->patience < MOST_PATIENCE)
		waiter->patience *= 2;
	if (!waiter->steady && !soon && waiter->patience > LEAST_PATIENCE)
		waiter->patience /= 2;
	if (soon)
		return atomic_load(word);
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
	return pool->pinned ? (struct waiter){PINNED_PATIENCE, true} : (struct waiter){MOST_PATIENCE, false};
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

/* the next item of that thread's share, -1 if there is none left */
static int
take_item(struct pool *pool, uint32_t generation, int owner)
{
	_Atomic uint64_t *share = &pool->shares[owner].taken;
	int			first = (int) ((int64_t) pool->items * owner / pool->threads);
	int			end = (int) ((int64_t) pool->items * (owner + 1) / pool->threads);
	uint64_t	seen = atomic_load(share);

	for (;;)
	{
		uint32_t	taken = (uint32_t) (seen >> 32) == generation ? (uint32_t) seen : 0;

		if ((int) taken >= end - first)
			return -1;
		if (atomic_compare_exchange_weak(share, &seen, (uint64_t) generation << 32 | (taken + 1)))
			return first + (int) taken;
	}
}

/* the thread's own share, then what the others have left */
static void
take_items(struct pool *pool, uint32_t generation, int thread)
{
	for (int i = 0; i < pool->threads; i++)
	{
		int			owner = (thread + i) % pool->threads;
		int			item;

		while ((item = take_item(pool, generation, owner)) >= 0)
			pool->work(pool->argument, item, thread);
	}
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
		take_items(pool, generation, helper.thread);
		if (atomic_fetch_sub(&pool->busy, 1) == 1 && atomic_load(&pool->caller_sleeps) > 0)
			futex_wake_all(&pool->busy);
	}
}

/* lets the helpers look at what the caller has put into the pool; answers its generation */
static uint32_t
publish(struct pool *pool)
{
	uint32_t	generation = atomic_fetch_add(&pool->generation, 1) + 1;

	if (atomic_load(&pool->idle_sleepers) > 0)
		futex_wake_all(&pool->generation);
	return generation;
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
	pool->shares = aligned_alloc(64, (size_t) threads * sizeof(struct share));
	if (pool->shares != NULL)
		memset(pool->shares, 0, (size_t) threads * sizeof(struct share));
	while (pool->helpers != NULL && pool->shares != NULL && pool->threads < threads)
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
	if (pool->threads < threads || pool->helpers == NULL || pool->shares == NULL)
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
	free(pool->shares);
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
	atomic_store(&pool->busy, (uint32_t) pool->threads - 1);
	take_items(pool, publish(pool), 0);
	while ((busy = atomic_load(&pool->busy)) != 0)
		wait_while(&pool->busy, busy, &pool->caller_sleeps, &pool->caller);
}
