#include "account/test_records.h"

#include <string.h>

#include "base/check.h"
#include "base/test.h"

struct author author_new(void)
{
    struct author a = {.arena = arena_new(NULL, 256 << 20), .now_ms = AUTHOR_BEGINS_MS};
    a.state = state_new(author_id(&a));
    return a;
}

void author_done(struct author *a)
{
    state_free(a->state);
    arena_free(a->arena);
}

struct id author_id(struct author *a)
{
    struct id id = ID_NONE;
    a->ids++;
    for (size_t i = 0; i < 6; i++) id.bytes[i] = (unsigned char)((uint64_t)a->now_ms >> (8 * (5 - i)));
    for (size_t i = 0; i < 8; i++) id.bytes[8 + i] = (unsigned char)(a->ids >> (8 * (7 - i)));
    return id;
}

result author_apply(struct author *a, struct record *r)
{
    colour_pretend_coroutine();
    a->now_ms += 1000;
    r->written = (unix_ms){a->now_ms};
    if (id_is_none(r->id)) r->id = author_id(a);
    buf meta = BUF_INIT;
    struct record again;
    record_encode(&meta, r);
    result decoded = record_decode(buf_view(&meta), a->arena, &again, NULL);
    check(decoded == OK);
    struct record_place place = {.at = {1, a->ids, a->ids}, .body_offset = a->ids, .body_bytes = r->kind == RECORD_APPEND ? r->append.size_bytes : 0};
    if (a->turns) state_apply_in_turns(a->state, &again, place, a->arena, &a->outcome, a->turns);
    else state_apply(a->state, &again, place, a->arena, &a->outcome);
    buf_done(&meta);
    return a->outcome.code;
}

result author_deliver(struct author *a, uint32_t mailbox, uint64_t flags, uint32_t size_bytes)
{
    struct record r = {.kind = RECORD_APPEND, .append = {.mailbox = mailbox, .message = author_id(a), .size_bytes = size_bytes, .flags.system = flags,
                                                         .internal_date = {a->now_ms}, .save_date = {a->now_ms + 1}}};
    return author_apply(a, &r);
}

result author_deliver_hidden(struct author *a, uint32_t mailbox, uint64_t flags, uint32_t size_bytes)
{
    struct record r = {.kind = RECORD_APPEND, .append = {.mailbox = mailbox, .message = author_id(a), .size_bytes = size_bytes, .flags.system = flags,
                                                         .internal_date = {a->now_ms}, .save_date = {a->now_ms + 1}, .is_hidden = true}};
    return author_apply(a, &r);
}

static struct imap_set range_set(struct author *a, uint32_t first, uint32_t last)
{
    struct imap_set set = {.ranges = arena_array(a->arena, struct imap_range, 1), .count = 1};
    set.ranges[0] = (struct imap_range){first, last};
    return set;
}

result author_flag(struct author *a, uint32_t mailbox, uint32_t first, uint32_t last, enum flags_change change, uint64_t flags)
{
    struct record r = {.kind = RECORD_FLAGS, .flags = {.mailbox = mailbox, .uids = range_set(a, first, last), .change = change, .flags.system = flags,
                                                       .unchanged_since = UINT64_MAX}};
    return author_apply(a, &r);
}

result author_copy(struct author *a, uint32_t from, uint32_t to, uint32_t first, uint32_t last, bool moves)
{
    struct record r = {.kind = RECORD_COPY, .copy = {.from = from, .to = to, .uids = range_set(a, first, last), .moves = moves}};
    return author_apply(a, &r);
}

result author_expunge(struct author *a, uint32_t mailbox, uint32_t first, uint32_t last, bool only_deleted)
{
    struct record r = {.kind = RECORD_EXPUNGE, .expunge = {.mailbox = mailbox, .uids = range_set(a, first, last), .only_deleted = only_deleted}};
    return author_apply(a, &r);
}

result author_create(struct author *a, const char *name)
{
    struct record r = {.kind = RECORD_CREATE, .create = {.name = view_of(name)}};
    return author_apply(a, &r);
}

uint32_t author_number(struct author *a, const char *name)
{
    return author_info(a, name).number;
}

struct mailbox_info author_info(struct author *a, const char *name)
{
    struct mailbox_info info = {0};
    struct mailbox *m = state_find(a->state, view_of(name));
    if (m) mailbox_read_info(m, a->arena, &info);
    return info;
}

result author_delete(struct author *a, const char *name)
{
    struct record r = {.kind = RECORD_DELETE, .delete.mailbox = author_number(a, name)};
    return author_apply(a, &r);
}

result author_rename(struct author *a, const char *name, const char *to)
{
    struct record r = {.kind = RECORD_RENAME, .rename = {.mailbox = author_number(a, name), .name = view_of(to)}};
    return author_apply(a, &r);
}

result author_annotate(struct author *a, uint32_t mailbox, const char *name, const char *value)
{
    struct record_entry entry = {.name = view_of(name), .value = value ? view_of(value) : VIEW_EMPTY, .removes = !value};
    struct record r = {.kind = RECORD_METADATA, .metadata = {mailbox, &entry, 1}};
    return author_apply(a, &r);
}

result author_reveal(struct author *a, uint32_t mailbox, uint32_t first, uint32_t last)
{
    struct record r = {.kind = RECORD_REVEAL, .restore = {.mailbox = mailbox, .since = {INT64_MIN}, .until = {INT64_MAX}, .uids = range_set(a, first, last)}};
    return author_apply(a, &r);
}
