// SPDX-License-Identifier: GPL-2.0
/*
 * All fetches take the same time, so they arrive in the order in which they
 * began: a queue with a few threads at its head is enough for any number.
 */
#include <err.h>
#include <pthread.h>
#include <time.h>
#include "delay.h"

/* Enough to keep the CPUs of the VM busy with writing. */
#define NR_THREADS	4

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static struct fetch *head, **tail = &head;
static uint64_t delay;
static void (*deliver)(struct fetch *fetch);

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static struct fetch *next_arrival(void)
{
	struct fetch *fetch;

	pthread_mutex_lock(&lock);
	while (!head || head->due > now_ns()) {
		if (head) {
			struct timespec due = {
				.tv_sec = head->due / 1000000000,
				.tv_nsec = head->due % 1000000000,
			};

			pthread_cond_timedwait(&changed, &lock, &due);
		} else {
			pthread_cond_wait(&changed, &lock);
		}
	}
	fetch = head;
	head = fetch->next;
	if (!head)
		tail = &head;
	else
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
	pthread_condattr_t attr;
	pthread_t thread;

	delay = delay_ns;
	deliver = arrived;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&changed, &attr);
	for (int i = 0; i < NR_THREADS; i++)
		if (pthread_create(&thread, NULL, deliver_all, NULL))
			errx(1, "no thread");
}

void delay_add(struct fetch *fetch)
{
	pthread_mutex_lock(&lock);
	fetch->due = now_ns() + delay;
	fetch->next = NULL;
	if (tail == &head)
		pthread_cond_signal(&changed);
	*tail = fetch;
	tail = &fetch->next;
	pthread_mutex_unlock(&lock);
}
