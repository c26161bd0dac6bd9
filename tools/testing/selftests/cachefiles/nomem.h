/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory that runs out: the Nth allocation of a task fails, for all N, until
 * what is tried has fewer than N.
 *
 *	for (nomem_first(&nm, 1); nomem_next(&nm); ) {
 *		nomem_begin(&nm);
 *		... what is tried ...
 *		nomem_end(&nm);
 *	}
 */
#ifndef CACHEFILES_SELFTEST_NOMEM_H
#define CACHEFILES_SELFTEST_NOMEM_H

#include <stdbool.h>
#include <sys/types.h>

#define NOMEM_WORKERS	256

struct nomem {
	int	fd;		/* of the task that has called nomem_init() */
	int	nth;
	int	nr_faults;
	int	nr_calm;	/* how many in a row met none */
	int	calm;		/* so many are the end */
	bool	fault;		/* did the last one meet one? */
	int	nr_workers;
	int	worker[NOMEM_WORKERS];
};

int nomem_init(struct nomem *nm);
void nomem_first(struct nomem *nm, int calm);
bool nomem_next(struct nomem *nm);
void nomem_begin(struct nomem *nm);
void nomem_end(struct nomem *nm);
void nomem_workers_begin(struct nomem *nm);
void nomem_workers_end(struct nomem *nm);

#endif /* CACHEFILES_SELFTEST_NOMEM_H */
