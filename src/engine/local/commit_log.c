#include "engine/local/commit_log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "engine/local/files.h"
#include "runtime/point.h"
#include "runtime/random.h"

enum { FILL_BYTES = 1 << 20 };

/* ---- segment files ---------------------------------------------------------------------------------------- */

static const char *segment_name(unsigned index, char name[static 16])
{
    snprintf(name, 16, "%u.log", index);
    return name;
}

/* Direct where the file system can, so that a write is one command to the disk; else through the page cache. */
static result open_segment(struct commit_log *l, unsigned index, struct log_segment *ret_segment, struct fault *fault)
{
    char name[16];
    struct stat s;
    segment_name(index, name);
    int flags = O_RDWR | O_CLOEXEC | (l->never_sync ? 0 : O_DSYNC);
    int fd = openat(l->folder, name, flags | O_DIRECT);
    if (fd < 0 && errno == EINVAL) fd = openat(l->folder, name, flags);
    if (fd < 0) return errno == ENOENT ? NOT_FOUND : files_fail(errno, fault, "commit log %s", name);
    if (fstat(fd, &s) != 0) {
        int error = errno;
        close(fd);
        return files_fail(error, fault, "commit log %s", name);
    }
    *ret_segment = (struct log_segment){.fd = fd, .bytes = (uint64_t)s.st_size / LOG_ALIGN * LOG_ALIGN};
    return OK;
}

/* Zeros are really written: a later write must find its blocks there, not make them. Under another name until it is whole. */
static result fill_segment(struct commit_log *l, unsigned index, struct fault *fault)
{
    char name[16];
    segment_name(index, name);
    int fd = openat(l->folder, "new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return files_fail(errno, fault, "make commit log %s", name);
    char *zeros = calloc(1, FILL_BYTES);
    check(zeros);
    int error = 0;
    for (uint64_t at = 0; at < l->segment_bytes && !error; at += FILL_BYTES) error = files_write_all(fd, view_make(zeros, FILL_BYTES));
    free(zeros);
    if (!error && fdatasync(fd) != 0) error = errno;
    close(fd);
    if (!error && renameat(l->folder, "new", l->folder, name) != 0) error = errno;
    if (!error && fsync(l->folder) != 0) error = errno;
    if (error) unlinkat(l->folder, "new", 0);
    return error ? files_fail(error, fault, "make commit log %s", name) : OK;
}

static result read_at(const struct log_segment *s, uint64_t at, char *into, size_t len, struct fault *fault)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(s->fd, into + done, len - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return files_fail(n == 0 ? EIO : errno, fault, "read commit log at %" PRIu64, at);
        done += (size_t)n;
    }
    return OK;
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

enum { WINDOW_BYTES = 8 << 20 };
static_assert((int)WINDOW_BYTES >= (int)LOG_BLOCK_MAX_BYTES, "a block fits in a window");

struct reader {
    const struct log_segment *segment;       /* whose bytes are in the window; NULL: none */
    uint64_t start;
    size_t len;
    char *window;
};

/* Bytes of the segment that are there: a window from `at` on, or, where that cannot be read, just those wanted. */
static view look(struct reader *r, const struct log_segment *s, uint64_t at, size_t len)
{
    if (at + len > s->bytes) return VIEW_EMPTY;
    if (r->segment != s || at < r->start || at + len > r->start + r->len) {
        size_t more = s->bytes - at < WINDOW_BYTES ? (size_t)(s->bytes - at) : WINDOW_BYTES;
        r->segment = NULL;
        if (read_at(s, at, r->window, more, NULL) != OK) {
            more = len;
            if (read_at(s, at, r->window, more, NULL) != OK) return VIEW_EMPTY;
        }
        r->segment = s;
        r->start = at;
        r->len = more;
    }
    return view_make(r->window + (at - r->start), len);
}

/* The block at `at`, whatever its salt: CORRUPT if there is no valid one. */
static result read_any_block(struct reader *r, const struct log_segment *s, uint64_t at, struct log_header *ret_header, view *ret_payload)
{
    struct log_header h;
    if (log_header_read(look(r, s, at, LOG_ALIGN), &h) != OK) return CORRUPT;
    uint64_t whole = log_block_bytes(&h);
    if (whole > LOG_BLOCK_MAX_BYTES) return CORRUPT;
    result code = log_payload_check(look(r, s, at, (size_t)whole), &h, ret_payload);
    if (code == OK) *ret_header = h;
    return code;
}

static result read_block(struct reader *r, const struct log_segment *s, uint64_t at, struct log_header *ret_header, view *ret_payload)
{
    struct log_header h;
    result code = read_any_block(r, s, at, &h, ret_payload);
    if (code != OK || h.salt != s->salt) return CORRUPT;
    *ret_header = h;
    return OK;
}

/* Where no segment has a first block to tell: of the first one that is there. */
static uint64_t find_any_salt(struct reader *r, const struct log_segment *s)
{
    struct log_header h;
    view payload;
    for (uint64_t at = LOG_ALIGN; at < s->bytes; at += LOG_ALIGN)
        if (read_any_block(r, s, at, &h, &payload) == OK) return h.salt;
    return 0;
}

/*
 * At its beginning there is a block in every segment that was used, and nothing else was ever there: so that one is believed. All have
 * the same salt but those from before there was one; a segment whose first block is damaged has it from the others.
 */
static void find_salts(struct commit_log *l, struct reader *r)
{
    struct log_header h;
    view payload;
    bool is_read[LOG_SEGMENTS_MAX] = {0};
    uint64_t newest = 0;
    l->salt = 0;
    for (unsigned i = 0; i < l->count; i++) {
        struct log_segment *s = &l->segments[i];
        is_read[i] = read_any_block(r, s, 0, &h, &payload) == OK;
        if (!is_read[i]) continue;
        s->salt = h.salt;
        if (h.salt == 0 || h.generation < newest) continue;
        newest = h.generation;
        l->salt = h.salt;
    }
    for (unsigned i = 0; i < l->count; i++)
        if (!is_read[i]) l->segments[i].salt = l->salt ? l->salt : find_any_salt(r, &l->segments[i]);
    while (l->salt == 0) l->salt = random_u64();
}

/* The next valid block of the segment at or after `at`; false: none. */
static bool find_block(struct reader *r, const struct log_segment *s, uint64_t *at, struct log_header *ret_header)
{
    view payload;
    for (; *at < s->bytes; *at += LOG_ALIGN)
        if (read_block(r, s, *at, ret_header, &payload) == OK) return true;
    return false;
}

/* As the first block says; where it is damaged, the newest behind it. 0: none. */
static uint64_t find_generation(struct reader *r, const struct log_segment *s)
{
    struct log_header h;
    view payload;
    if (read_block(r, s, 0, &h, &payload) == OK) return h.generation;
    uint64_t newest = 0;
    for (uint64_t at = LOG_ALIGN; find_block(r, s, &at, &h); at += log_block_bytes(&h))
        if (h.generation > newest) newest = h.generation;
    return newest;
}

static struct log_segment *segment_of(struct commit_log *l, uint64_t generation)
{
    struct log_segment *found = NULL;
    pthread_mutex_lock(&l->lock);
    for (unsigned i = 0; i < l->count; i++)
        if (l->segments[i].generation == generation) found = &l->segments[i];
    pthread_mutex_unlock(&l->lock);
    return found;
}

/* Makes the newest segment the active one, at the end of its last block. False: the log is empty. */
static bool find_end(struct commit_log *l, struct reader *r)
{
    struct log_header h, last = {0};
    find_salts(l, r);
    for (unsigned i = 0; i < l->count; i++) {
        struct log_segment *s = &l->segments[i];
        s->generation = find_generation(r, s);
        if (s->generation && (!l->active || s->generation > l->active->generation)) l->active = s;
    }
    if (!l->active) return false;
    for (uint64_t at = 0; find_block(r, l->active, &at, &h); at += log_block_bytes(&h)) {
        if (h.generation != l->active->generation) continue;
        last = h;
        l->at = at + log_block_bytes(&h);
    }
    l->generation = last.generation;
    l->number = last.number + 1;
    l->next_sequence = last.next_sequence;
    l->durable_replay_from = last.replay_from;
    return true;
}

struct replay {
    struct commit_log *log;
    struct reader reader;
    result (*apply)(void *context, view payload, struct fault *fault);
    void *context;
    struct log_damage damage;
    uint64_t number;                 /* of the next block; 0: any */
};

static void tell_damage(struct replay *p, uint64_t generation, uint64_t at, uint64_t lost)
{
    if (p->damage.generation == 0) p->damage = (struct log_damage){.generation = generation, .at = at};
    if (lost) p->damage.lost_blocks += lost;
    else p->damage.is_torn = true;
}

/* A block was begun at the end of the log whose payload did not get there. */
static bool is_torn_at(struct replay *p, const struct log_segment *s, uint64_t at)
{
    struct log_header h;
    return log_header_read(look(&p->reader, s, at, LOG_ALIGN), &h) == OK && h.generation == s->generation && h.salt == s->salt;
}

static result replay_segment(struct replay *p, const struct log_segment *s, struct fault *fault)
{
    struct log_header h;
    view payload;
    uint64_t at = 0, end = 0;
    for (; find_block(&p->reader, s, &at, &h); at += log_block_bytes(&h)) {
        if (h.generation != s->generation) continue;
        if (p->number && h.number > p->number) tell_damage(p, s->generation, end, h.number - p->number);
        p->number = h.number + 1;
        end = at + log_block_bytes(&h);
        check(read_block(&p->reader, s, at, &h, &payload) == OK);
        result code = p->apply(p->context, payload, fault);
        if (code != OK) return code;
    }
    if (s == p->log->active && is_torn_at(p, s, end)) tell_damage(p, s->generation, end, 0);
    return OK;
}

static result replay_all(struct replay *p, uint64_t from, struct fault *fault)
{
    result code = OK;
    for (uint64_t g = from; g <= p->log->generation && code == OK; g++) {
        struct log_segment *s = segment_of(p->log, g);
        if (s) code = replay_segment(p, s, fault);
        else tell_damage(p, g, 0, 1);
    }
    return code;
}

result commit_log_replay(struct commit_log *l, result (*apply)(void *context, view payload, struct fault *fault), void *context,
                         struct log_damage *ret_damage, struct fault *fault)
{
    struct replay p = {.log = l, .apply = apply, .context = context};
    p.reader.window = aligned_alloc(LOG_ALIGN, WINDOW_BYTES);
    check(p.reader.window);
    l->active = NULL;
    l->number = l->next_sequence = l->durable_replay_from = 1;
    result code = find_end(l, &p.reader) ? replay_all(&p, l->durable_replay_from, fault) : OK;
    free(p.reader.window);
    if (code != OK) return code;
    /* What comes next goes into a segment of its own: the caller flushes the tables, and this one is not needed any more. */
    l->released = l->generation;
    l->is_ended = true;
    *ret_damage = p.damage;
    return OK;
}

result commit_log_replay_again(struct commit_log *l, result (*apply)(void *context, view payload, struct fault *fault), void *context,
                               struct fault *fault)
{
    struct replay p = {.log = l, .apply = apply, .context = context};
    p.reader.window = aligned_alloc(LOG_ALIGN, WINDOW_BYTES);
    check(p.reader.window);
    result code = replay_all(&p, l->released + 1, fault);
    free(p.reader.window);
    return code;
}

/* ---- opening ---------------------------------------------------------------------------------------------- */

result commit_log_open(struct commit_log *l, const char *folder, uint64_t segment_bytes, bool never_sync, struct fault *fault)
{
    *l = (struct commit_log){.never_sync = never_sync};
    l->segment_bytes = (segment_bytes + FILL_BYTES - 1) / FILL_BYTES * FILL_BYTES;
    if (l->segment_bytes < LOG_SEGMENT_MIN_BYTES) l->segment_bytes = LOG_SEGMENT_MIN_BYTES;
    l->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l->folder < 0) return files_fail(errno, fault, "commit log in %s", folder);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    result code = OK;
    while (l->count < LOG_SEGMENTS_MAX && (code = open_segment(l, l->count, &l->segments[l->count], fault)) == OK) l->count++;
    if (code == OK || code == NOT_FOUND) return OK;
    commit_log_close(l);
    return code;
}

void commit_log_close(struct commit_log *l)
{
    for (unsigned i = 0; i < l->count; i++) close(l->segments[i].fd);
    close(l->folder);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static bool can_settle(const struct commit_log *l) { return l->active && l->at + LOG_ALIGN <= l->active->bytes; }

/*
 * Under the lock. After commit_log_abandon() the tables have all in files, but no block can be written any more that says so: the oldest segment.
 * A replay that begins behind it ends in the same state.
 */
static struct log_segment *find_given_up(struct commit_log *l)
{
    struct log_segment *oldest = NULL;
    for (unsigned i = 0; l->count == LOG_SEGMENTS_MAX && i < l->count; i++)
        if (!oldest || l->segments[i].generation < oldest->generation) oldest = &l->segments[i];
    return oldest;
}

/* Under the lock. A segment that no replay will need, or of which that can be written down first. */
static struct log_segment *find_free(struct commit_log *l)
{
    for (unsigned i = 0; i < l->count; i++) {
        struct log_segment *s = &l->segments[i];
        if (s != l->active && (s->generation < l->durable_replay_from || (s->generation <= l->released && can_settle(l)))) return s;
    }
    return l->active ? NULL : find_given_up(l);
}

BLOCKS static result add_segment(struct commit_log *l, unsigned index, struct fault *fault)
{
    struct log_segment made;
    result code = fill_segment(l, index, fault);
    if (code == OK) code = open_segment(l, index, &made, fault);
    pthread_mutex_lock(&l->lock);
    if (code == OK) l->segments[l->count++] = made;
    l->spare_failed = code != OK;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    return code;
}

result commit_log_make_spare(struct commit_log *l, struct fault *fault)
{
    enum { AT_LEAST = 2 };           /* one is written while the other is flushed */
    result code = OK;
    while (code == OK) {
        pthread_mutex_lock(&l->lock);
        bool is_enough = (l->count >= AT_LEAST && find_free(l)) || l->count == LOG_SEGMENTS_MAX;
        unsigned index = l->count;
        pthread_mutex_unlock(&l->lock);
        if (is_enough) break;
        code = add_segment(l, index, fault);
    }
    return code;
}

void commit_log_expect_spare(struct commit_log *l)
{
    pthread_mutex_lock(&l->lock);
    l->spare_failed = false;
    pthread_mutex_unlock(&l->lock);
}

/* One block more always fits: the one that says what the log does not need any more. */
bool commit_log_fits(const struct commit_log *l, const struct log_block *b)
{
    uint64_t whole = (b->len + LOG_ALIGN - 1) / LOG_ALIGN * LOG_ALIGN;
    return l->active && !l->is_ended && l->at + whole + LOG_ALIGN <= l->active->bytes;
}

static result write_at(struct log_segment *s, uint64_t at, view bytes, struct fault *fault)
{
    for (size_t done = 0; done < bytes.len;) {
        ssize_t n = pwrite(s->fd, bytes.at + done, bytes.len - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return files_fail(n == 0 ? EIO : errno, fault, "write commit log at %" PRIu64, at);
        done += (size_t)n;
    }
    return OK;
}

static result write_block(struct commit_log *l, struct log_block *b, struct fault *fault)
{
    pthread_mutex_lock(&l->lock);
    uint64_t replay_from = l->released + 1;
    pthread_mutex_unlock(&l->lock);
    struct log_header h = {.generation = l->generation, .number = l->number++, .replay_from = replay_from, .next_sequence = l->next_sequence,
                           .salt = l->active->salt};
    view whole = log_block_finish(b, &h);
    result code = POINT_FAILS("commit_log.write");
    if (code != OK) return fail(fault, code, "write commit log: armed");
    code = write_at(l->active, l->at, whole, fault);
    if (code != OK) return code;
    pthread_mutex_lock(&l->lock);
    l->at += whole.len;
    l->durable_replay_from = replay_from;
    pthread_mutex_unlock(&l->lock);
    l->written_bytes += whole.len;
    l->blocks++;
    return OK;
}

result commit_log_write(struct commit_log *l, struct log_block *b, uint64_t next_sequence, struct fault *fault)
{
    check(commit_log_fits(l, b));
    l->next_sequence = next_sequence;
    return write_block(l, b, fault);
}

result commit_log_settle(struct commit_log *l, struct fault *fault)
{
    if (l->durable_replay_from > l->released || !can_settle(l)) return OK;
    struct log_block b = {.at = aligned_alloc(LOG_ALIGN, LOG_ALIGN), .capacity = LOG_ALIGN};
    check(b.at);
    log_block_begin(&b);
    result code = write_block(l, &b, fault);
    free(b.at);
    return code;
}

/* With the lock held: a segment is being flushed, and then free. */
static bool has_pending(const struct commit_log *l)
{
    bool any = false;
    for (unsigned i = 0; i < l->count; i++) any = any || (&l->segments[i] != l->active && l->segments[i].generation > l->released);
    return any;
}

/* With the lock held. NULL: nobody will free or make one. */
static struct log_segment *wait_for_free(struct commit_log *l)
{
    struct log_segment *s;
    while (!(s = find_free(l)) && !l->flush_failed && (has_pending(l) || !l->spare_failed)) pthread_cond_wait(&l->changed, &l->lock);
    return s;
}

result commit_log_advance(struct commit_log *l, uint64_t *ret_full, struct fault *fault)
{
    pthread_mutex_lock(&l->lock);
    struct log_segment *next = wait_for_free(l);
    bool must_settle = next && next->generation >= l->durable_replay_from;
    pthread_mutex_unlock(&l->lock);
    if (!next) return fail(fault, UNAVAILABLE, "the commit log is full and the tables cannot be written");
    result code = must_settle ? commit_log_settle(l, fault) : OK;
    if (code != OK) return code;
    pthread_mutex_lock(&l->lock);
    *ret_full = l->active ? l->generation : 0;
    l->active = next;
    l->is_ended = false;
    l->at = 0;
    next->generation = ++l->generation;
    next->salt = l->salt;
    pthread_mutex_unlock(&l->lock);
    return OK;
}

void commit_log_abandon(struct commit_log *l)
{
    pthread_mutex_lock(&l->lock);
    l->released = l->generation;
    l->active = NULL;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

void commit_log_release(struct commit_log *l, uint64_t generation)
{
    pthread_mutex_lock(&l->lock);
    if (generation > l->released) l->released = generation;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

void commit_log_set_flush_failed(struct commit_log *l, bool failed)
{
    pthread_mutex_lock(&l->lock);
    l->flush_failed = failed;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}
