/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a file system may ask of a cache in on-demand mode. */
#ifndef _LINUX_CACHEFILES_H
#define _LINUX_CACHEFILES_H

#include <linux/types.h>

struct file;

struct file *cachefiles_ondemand_open(const char *volume_key, const char *key);
ssize_t cachefiles_ondemand_read_blob(struct file *file, loff_t pos, void *buf, size_t len);
int cachefiles_ondemand_wait(struct file *file, loff_t pos, u64 len);
int cachefiles_ondemand_error(struct file *file, loff_t pos, u64 len);
bool cachefiles_ondemand_present(struct file *file, loff_t pos, u64 len);
bool cachefiles_ondemand_complete(struct file *file);
void cachefiles_ondemand_shutdown(struct file *file);
void cachefiles_ondemand_prefetch(struct file *file, loff_t pos, size_t len);

#endif /* _LINUX_CACHEFILES_H */
