/* powercut - what the preload layer writes down, and what powercut_apply.py reads.
 *
 * The journal (POWERCUT_JOURNAL/journal) is a row of records: a fixed head, two names, old bytes. A
 * record is written before its act where the act destroys something (writes over old bytes, unlink,
 * rename), after it where it only adds (create, mkdir), and after it for syncs. So a process that
 * is killed between the two leaves a record of an act that was not done, and undoing such a one
 * changes nothing; or an act without a record that nobody was told of.
 *
 * Files are named by inode. An inode whose last name goes away gets a link in
 * POWERCUT_JOURNAL/kept/<seq>, so that its number is not used again and the name can come back.
 */
#ifndef CLUSTER_TEST_POWERCUT_H
#define CLUSTER_TEST_POWERCUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define POWERCUT_MAGIC 0x70774331u

enum powercut_act {
    POWERCUT_WRITE = 1,  /* ino, offset, length, old_size; old bytes where it overwrites */
    POWERCUT_RESIZE = 2, /* ino, offset = new size, old_size; old bytes that are cut off */
    POWERCUT_SYNC = 3,   /* ino; everything of it before `covers` is durable; a file's name too */
    POWERCUT_SYNC_ALL = 4,
    POWERCUT_CREATE = 5, /* ino, dir, name */
    POWERCUT_MKDIR = 6,  /* ino, dir, name */
    POWERCUT_UNLINK = 7, /* ino, dir, name; kept/<seq> */
    POWERCUT_RMDIR = 8,  /* ino, dir, name */
    POWERCUT_RENAME = 9, /* ino, dir, name -> dir2, name2; old_ino: what name2 was, kept/<seq> */
};

struct powercut_record {
    uint32_t magic, act;
    uint64_t seq, covers;
    uint64_t ino, dir, dir2, old_ino;
    uint64_t offset, length, old_size;
    uint32_t name_n, name2_n;
    uint64_t old_n; /* old bytes after the names */
};

/* A name in a directory that is watched. */
struct powercut_place {
    int dir_fd; /* -1: not watched */
    uint64_t dir_ino;
    char name[256];
};

/* powercut_track.c */

/* Is this descriptor a watched file or directory? size and ino are those of now. */
struct powercut_file {
    uint64_t ino, size;
    bool is_dir, is_synced; /* opened with O_DSYNC or O_SYNC */
};
bool powercut_seen(int fd, struct powercut_file *out);
void powercut_watch(int fd, int flags);
void powercut_copy(int from, int to);
void powercut_forget(int fd);

/* Where a path leads; false when that is not in a watched directory. Then release the place. */
bool powercut_place(int at, const char *path, struct powercut_place *out);
void powercut_release(struct powercut_place *p);

/* Acts on one inode are one after the other, and so are acts on names. */
void powercut_lock(uint64_t ino);
void powercut_unlock(uint64_t ino);
void powercut_lock_names(void);
void powercut_unlock_names(void);

/* Numbers the record, appends it. Returns its number. */
uint64_t powercut_put(struct powercut_record *r, const char *name, const char *name2,
                      const void *old);
/* A number that all acts so far are below. */
uint64_t powercut_now(void);
/* Keeps what the place names reachable as kept/<seq>. The number must then be used for the record.
 */
uint64_t powercut_keep(const struct powercut_place *p);
void powercut_put_as(uint64_t seq, struct powercut_record *r, const char *name, const char *name2);

_Noreturn void powercut_give_up(const char *what);
/* fsync and its like are not carried out, only written down (POWERCUT_FAST=1). */
bool powercut_is_fast(void);

#endif
