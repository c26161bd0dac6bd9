/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A cache on a disk of its own, three blobs, and a daemon that goes on when the
 * cache does not take what it has.
 */
#ifndef CACHEFILES_SELFTEST_DISKSCENE_H
#define CACHEFILES_SELFTEST_DISKSCENE_H

#include "cachefile.h"
#include "disk.h"
#include "image.h"
#include "odserver.h"

#define DS_BLOBS	3
#define DS_FILE		(512 << 10)
#define DS_HALF		(DS_FILE / 2)

struct disk_scene {
	struct cf_env		env;
	struct disk		disk;
	struct img		img[DS_BLOBS];
	struct od_server	srv;
	int			fill_error;	/* the latest; 0 if there was none */
	int			open_error;
	bool			asked[DS_BLOBS][1024];	/* granules, since the bind */
};

int ds_init(struct disk_scene *s, const char *ext4, const char *options);
void ds_fini(struct disk_scene *s);
int ds_bind(struct disk_scene *s);
int ds_unbind(struct disk_scene *s);
int ds_mount(struct disk_scene *s, int i);
int ds_umount(struct disk_scene *s, int i);
int ds_read(struct disk_scene *s, int i, __u64 off, size_t len);
int ds_remount(struct disk_scene *s, int i);
int ds_fetch(struct disk_scene *s, int i);
int ds_is_complete(struct disk_scene *s, int i);
int ds_fill(struct disk_scene *s, int i, __u64 off, size_t len);
int ds_fd(struct disk_scene *s, int i);
int ds_wait_present(struct disk_scene *s, int i, __u64 off, size_t len);
int ds_cachefile(struct disk_scene *s, int i);
bool ds_asked(struct disk_scene *s, int i, __u64 off, size_t len);
int ds_reader(struct disk_scene *s, int i, struct cf_task *t, int ms);

/* Positions are those in a blob's only file, which is here in the blob. */
static inline __u64 ds_pos(struct disk_scene *s, int i)
{
	return s->img[i].file[0].pos;
}

#endif /* CACHEFILES_SELFTEST_DISKSCENE_H */
