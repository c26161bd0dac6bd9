// SPDX-License-Identifier: GPL-2.0
/*
 * All fetches take the same time, so they arrive in the order in which they
 * began: a queue is enough for any number, and one thread at its head, while the
 * others deliver what has arrived.
 */
#include <err.h>
#include <pthread.h>
#include <time.h>
#include "delay.h"

/* Enough to keep the CPUs of the VM busy with writing. */
#define NR_THREADS	4

/* How late a timer of an emulated machine can be. */
#define LATE_NS		1000000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
/* A thread has the head, and waits until it arrives. */
static int watched;
static struct fetch *head, **tail = &head;
static uint64_t delay;
static void (*deliver)(struct fetch *fetch);

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void wait_until(uint64_t due)
{
	struct timespec early = {
		.tv_sec = (due - LATE_NS) / 1000000000,
		.tv_nsec = (due - LATE_NS) % 1000000000,
	};

	if (now_ns() + LATE_NS < due)
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &early, NULL);
	while (now_ns() < due)
		;
}

static struct fetch *next_arrival(void)
{
	struct fetch *fetch;

	pthread_mutex_lock(&lock);
	while (!head || watched)
		pthread_cond_wait(&changed, &lock);
	fetch = head;
	head = fetch->next;
	if (!head)
		tail = &head;
	watched = 1;
	pthread_mutex_unlock(&lock);

	wait_until(fetch->due);
	pthread_mutex_lock(&lock);
	watched = 0;
	if (head)
		pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
	return fetch;
}

static void *deliver_all(void *unused)
{
	(void)unused;
	for (;;)
		deliver(next_arrival());
	return NULL;
}

void delay_start(uint64_t delay_ns, void (*arrived)(struct fetch *fetch))
{
	pthread_t thread;

	delay = delay_ns;
	deliver = arrived;
	for (int i = 0; i < NR_THREADS; i++)
		if (pthread_create(&thread, NULL, deliver_all, NULL))
			errx(1, "no thread");
}

void delay_add(struct fetch *fetch)
{
	pthread_mutex_lock(&lock);
	fetch->due = now_ns() + delay;
	fetch->next = NULL;
	*tail = fetch;
	tail = &fetch->next;
	if (!watched)
		pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}
