#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"
#include "engine/local/archive.h"
#include "engine/local/local_private.h"
#include "engine/local/object_files.h"
#include "runtime/clock.h"

enum {
    WRITE_BYTES = 256 << 10,             /* gathered before a worker writes */
    QUICK_READ_MAX_BYTES = 512 << 10,    /* from the page cache, on the loop: 0.1 ms */
};

static result busy(result code, struct fault *fault)
{
    return code == OK ? OK : fail(fault, code, "too many changes of objects wait");
}

static result check_deadline(millis deadline, struct fault *fault)
{
    return millis_before(deadline, clock_now()) ? fail(fault, TIMEOUT, "the deadline passed before it was begun") : OK;
}

/* ---- which place -------------------------------------------------------------------------------------------- */

/* Where an object's file is, and under what name: the archive's have no prefix there. */
struct place { struct object_files *files; view name; };

static view name_in_place(view name) { return engine_is_cold(name) ? view_from(name, ENGINE_COLD_BYTES) : name; }

BLOCKS static result find_place(struct local *e, view name, struct place *ret_place, struct fault *fault)
{
    struct object_files *files = e->files;
    result code = engine_is_cold(name) ? archive_files(e->archive, &files, fault) : OK;
    if (code == OK) *ret_place = (struct place){files, name_in_place(name)};
    return code;
}

/* False: only a worker can tell. */
static bool find_place_quickly(struct local *e, view name, struct place *ret_place)
{
    struct object_files *files = engine_is_cold(name) ? archive_files_now(e->archive) : e->files;
    if (files) *ret_place = (struct place){files, name_in_place(name)};
    return files != NULL;
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

struct writer {
    struct object_writer base;
    char name[ENGINE_NAME_MAX_BYTES];
    size_t name_bytes;
    struct place place;                  /* once something is written */
    char new_name[OBJECT_NEW_NAME_BYTES];
    int fd;                              /* -1: nothing written yet */
    bool has_failed;                     /* a write did: it cannot be committed any more */
    buf pending;
};

struct write_job {
    struct writer *writer;
    view bytes;                          /* after what is pending */
    bool is_last;
    millis deadline;
    result code;
    struct fault *fault;
};

static struct local *engine_of(const struct writer *w) { return local_of(w->base.engine); }

BLOCKS static result write_bytes(struct write_job *j)
{
    struct writer *w = j->writer;
    if (w->fd < 0) {
        result code = find_place(engine_of(w), view_make(w->name, w->name_bytes), &w->place, j->fault);
        if (code == OK) code = object_files_create(w->place.files, w->new_name, &w->fd, j->fault);
        if (code != OK) return code;
    }
    int error = files_write_all(w->fd, buf_view(&w->pending));
    if (!error) error = files_write_all(w->fd, j->bytes);
    buf_clear(&w->pending);
    if (!error && j->is_last && !engine_of(w)->options.never_sync && fdatasync(w->fd) != 0) error = errno;
    return error ? files_fail(error, j->fault, "write object %.*s", (int)w->name_bytes, w->name) : OK;
}

BLOCKS static void drop_file(struct writer *w)
{
    if (w->fd < 0) return;
    close(w->fd);
    object_files_discard(w->place.files, w->new_name);
    w->fd = -1;
}

BLOCKS static result publish(struct write_job *j)
{
    struct writer *w = j->writer;
    close(w->fd);
    w->fd = -1;
    return object_files_publish(w->place.files, w->new_name, w->place.name, j->fault);
}

static void run_write(void *argument)
{
    colour_pretend_worker();
    struct write_job *j = argument;
    j->code = check_deadline(j->deadline, j->fault);
    if (j->writer->has_failed) j->code = fail(j->fault, IO, "an earlier write of the object failed");
    if (j->code == OK) j->code = write_bytes(j);
    if (j->code == OK && j->is_last) j->code = publish(j);
    if (j->code == OK) return;
    j->writer->has_failed = true;
    drop_file(j->writer);
}

MAY_YIELD static result run_job(struct write_job *j)
{
    result code = busy(worker_run(WORKER_WRITE, run_write, j), j->fault);
    return code == OK ? j->code : code;
}

static result refuse_if_full(struct local *e, view name, struct fault *fault)
{
    if (!atomic_load(&e->is_full) || engine_is_cold(name)) return OK;
    result code = fail(fault, UNAVAILABLE, "the disk of %s is full", e->folder);
    fault_tell(fault, "The store is full");
    return code;
}

static void init_writer(struct writer *w, struct engine *base, view name)
{
    *w = (struct writer){.base.engine = base, .name_bytes = name.len, .fd = -1};
    memcpy(w->name, name.at, name.len);
}

result local_object_create(struct engine *base, view name, millis deadline, struct object_writer **ret_writer, struct fault *fault)
{
    result code = refuse_if_full(local_of(base), name, fault);
    if (code != OK) return code;
    struct writer *w = malloc(sizeof *w);
    check(w);
    init_writer(w, base, name);
    *ret_writer = &w->base;
    return OK;
}

result local_object_write(struct object_writer *base, view bytes, millis deadline, struct fault *fault)
{
    struct writer *w = container_of(base, struct writer, base);
    if (w->pending.len + bytes.len < WRITE_BYTES) {
        buf_append(&w->pending, bytes);
        return OK;
    }
    struct write_job j = {.writer = w, .bytes = bytes, .deadline = deadline, .fault = fault};
    return run_job(&j);
}

static void run_drop(void *argument)
{
    colour_pretend_worker();
    drop_file(argument);
}

MAY_YIELD static void free_writer(struct writer *w)
{
    /* Left to the next start, which empties the folder, if there is no worker. */
    if (w->fd >= 0 && worker_run(WORKER_WRITE, run_drop, w) != OK) close(w->fd);
    buf_done(&w->pending);
    free(w);
}

result local_object_commit(struct object_writer *base, millis deadline, struct fault *fault)
{
    struct writer *w = container_of(base, struct writer, base);
    struct write_job j = {.writer = w, .is_last = true, .deadline = deadline, .fault = fault};
    result code = run_job(&j);
    free_writer(w);
    return code;
}

void local_object_abort(struct object_writer *base) { free_writer(container_of(base, struct writer, base)); }

result local_object_put(struct engine *base, view name, view bytes, millis deadline, struct fault *fault)
{
    struct writer w;
    struct write_job j = {.writer = &w, .bytes = bytes, .is_last = true, .deadline = deadline, .fault = fault};
    init_writer(&w, base, name);
    result code = refuse_if_full(local_of(base), name, fault);
    return code == OK ? run_job(&j) : code;
}

/* ---- names ------------------------------------------------------------------------------------------------ */

struct name_job {
    struct local *engine;
    view from, to;
    result code;
    struct fault *fault;
    uint64_t bytes;
    size_t max, count;                   /* of a listing */
    buf names;
};

MAY_YIELD static result run_name_job(enum worker_class class, void (*run)(void *argument), struct name_job *j)
{
    result code = busy(worker_run(class, run, j), j->fault);
    return code == OK ? j->code : code;
}

static void run_copy(void *argument)
{
    colour_pretend_worker();
    struct name_job *j = argument;
    struct place p;
    j->code = find_place(j->engine, j->from, &p, j->fault);
    if (j->code == OK) j->code = object_files_link(p.files, p.name, name_in_place(j->to), j->fault);
}

result local_object_copy(struct engine *base, view from, view to, millis deadline, struct fault *fault)
{
    struct name_job j = {.engine = local_of(base), .from = from, .to = to, .fault = fault};
    return run_name_job(WORKER_WRITE, run_copy, &j);
}

static void run_remove(void *argument)
{
    colour_pretend_worker();
    struct name_job *j = argument;
    struct place p;
    j->code = find_place(j->engine, j->from, &p, j->fault);
    if (j->code == OK) j->code = object_files_remove(p.files, p.name, j->fault);
}

result local_object_remove(struct engine *base, view name, millis deadline, struct fault *fault)
{
    struct name_job j = {.engine = local_of(base), .from = name, .fault = fault};
    return run_name_job(WORKER_WRITE, run_remove, &j);
}

static void run_size(void *argument)
{
    colour_pretend_worker();
    struct name_job *j = argument;
    struct open_object o;
    struct place p;
    j->code = find_place(j->engine, j->from, &p, j->fault);
    if (j->code == OK) j->code = object_files_open_one(p.files, p.name, &o, j->fault);
    if (j->code != OK) return;
    j->bytes = o.bytes;
    object_files_put(p.files, &o);
}

result local_object_size(struct engine *base, view name, millis deadline, uint64_t *ret_bytes, struct fault *fault)
{
    struct name_job j = {.engine = local_of(base), .from = name, .fault = fault};
    struct open_object o;
    struct place p;
    if (find_place_quickly(j.engine, name, &p) && object_files_get(p.files, p.name, &o)) {
        *ret_bytes = o.bytes;
        object_files_put(p.files, &o);
        return OK;
    }
    result code = run_name_job(WORKER_READ, run_size, &j);
    if (code == OK) *ret_bytes = j.bytes;
    return code;
}

static void run_list(void *argument)
{
    colour_pretend_worker();
    struct name_job *j = argument;
    struct place p;
    j->code = find_place(j->engine, j->from, &p, j->fault);
    if (j->code == OK) j->code = object_files_list(p.files, p.name, name_in_place(j->to), j->max, &j->names, &j->count, j->fault);
}

/* Files of the archive get the prefix of their names back. */
static void prefix_names(struct name_job *j)
{
    buf all = BUF_INIT;
    if (!engine_is_cold(j->from)) return;
    for (view rest = buf_view(&j->names), name; view_cut(&rest, 0, &name);) {
        buf_append(&all, ENGINE_COLD);
        buf_append(&all, name);
        buf_append_byte(&all, 0);
    }
    buf_done(&j->names);
    j->names = all;
}

static result keep_names(struct name_job *j, struct arena *arena, view **ret_names, struct fault *fault)
{
    char *at;
    prefix_names(j);
    view *names = arena_try_alloc(arena, (j->count + 1) * sizeof *names);
    result code = names ? local_keep(arena, &j->names, &at, fault) : fail(fault, TOO_BIG, "no room for %zu names", j->count);
    if (code != OK) return code;
    for (size_t i = 0; i < j->count; i++) {
        names[i] = view_of(at);
        at += names[i].len + 1;
    }
    *ret_names = names;
    return OK;
}

result local_object_list(struct engine *base, view prefix, view after, size_t max, millis deadline, struct arena *arena, view **ret_names,
                         size_t *ret_count, struct fault *fault)
{
    struct name_job j = {.engine = local_of(base), .from = prefix, .to = after, .max = max, .fault = fault};
    result code = run_name_job(WORKER_READ, run_list, &j);
    if (code == OK) code = keep_names(&j, arena, ret_names, fault);
    if (code == OK) *ret_count = j.count;
    buf_done(&j.names);
    return code;
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

struct object_read_job {
    struct local *engine;
    view name;
    uint64_t offset;
    size_t len;
    buf *into;
    millis deadline;
    result code;
    struct fault *fault;
};

static size_t clamp(const struct open_object *o, uint64_t offset, size_t len)
{
    if (offset >= o->bytes) return 0;
    return len < o->bytes - offset ? len : (size_t)(o->bytes - offset);
}

BLOCKS static result read_file(struct object_read_job *j, const struct open_object *o)
{
    size_t left = clamp(o, j->offset, j->len);
    buf_reserve(j->into, left);
    while (left) {
        ssize_t n = pread(o->fd, j->into->at + j->into->len, left, (off_t)j->offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return files_fail(n == 0 ? EIO : errno, j->fault, "read object " VIEW_FMT, VIEW_ARG(j->name));
        j->into->len += (size_t)n;
        j->offset += (uint64_t)n;
        left -= (size_t)n;
    }
    return OK;
}

static void run_object_read(void *argument)
{
    colour_pretend_worker();
    struct object_read_job *j = argument;
    struct open_object o;
    struct place p;
    j->code = check_deadline(j->deadline, j->fault);
    if (j->code == OK) j->code = find_place(j->engine, j->name, &p, j->fault);
    if (j->code == OK) j->code = object_files_open_one(p.files, p.name, &o, j->fault);
    if (j->code != OK) return;
    j->code = read_file(j, &o);
    object_files_put(p.files, &o);
}

/* What the page cache has of an object that is open: true if that was all. */
static bool read_quickly(struct object_read_job *j)
{
    struct open_object o;
    struct place p;
    if (!find_place_quickly(j->engine, j->name, &p) || !object_files_get(p.files, p.name, &o)) return false;
    size_t left = clamp(&o, j->offset, j->len);
    if (left > QUICK_READ_MAX_BYTES) {
        object_files_put(p.files, &o);
        return false;
    }
    j->len = left;
    buf_reserve(j->into, left);
    while (j->len) {
        struct iovec piece = {j->into->at + j->into->len, j->len};
        ssize_t n = preadv2(o.fd, &piece, 1, (off_t)j->offset, RWF_NOWAIT);
        if (n <= 0) break;
        j->into->len += (size_t)n;
        j->offset += (uint64_t)n;
        j->len -= (size_t)n;
    }
    object_files_put(p.files, &o);
    return j->len == 0;
}

result local_object_read(struct engine *base, view name, uint64_t offset, size_t len, millis deadline, buf *into, struct fault *fault)
{
    struct object_read_job j = {.engine = local_of(base), .name = name, .offset = offset, .len = len, .into = into, .deadline = deadline,
                                .fault = fault};
    if (read_quickly(&j)) return OK;
    result code = worker_run(WORKER_READ, run_object_read, &j);
    return code == OK ? j.code : fail(fault, code, "too many reads wait");
}
