#include "account/record.h"

#include <string.h>

#include "base/check.h"
#include "base/cursor.h"

enum {
    RECORD_VERSION = 1,
    RECORD_RANGES_MAX = 1 << 19,     /* a range takes two bytes or more, a record's meta at most 2^20 */
};

/* Bits of an append's first byte. */
enum { APPEND_CREATES = 1, APPEND_FALLS_BACK = 2, APPEND_IS_ALONE = 4, APPEND_REPLACES = 8, APPEND_IS_HIDDEN = 16 };

/* ---- what can be written down ---- */

static bool set_is_resolved(const struct imap_set *set)
{
    uint64_t lowest = 1;
    if (set->is_saved || set->count > RECORD_RANGES_MAX) return false;
    for (size_t i = 0; i < set->count; i++) {
        if (set->ranges[i].first < lowest || set->ranges[i].last < set->ranges[i].first) return false;
        lowest = (uint64_t)set->ranges[i].last + 2;
    }
    return true;
}

static bool flags_are_valid(const struct record_flags *flags)
{
    if (flags->keyword_count > RECORD_KEYWORDS_MAX || (flags->system & ~ROW_SYSTEM_FLAGS)) return false;
    for (size_t i = 0; i < flags->keyword_count; i++)
        if (flags->keywords[i].len == 0 || flags->keywords[i].len > ROW_KEYWORD_BYTES_MAX) return false;
    return true;
}

static bool entries_are_valid(const struct record *r)
{
    size_t bytes = 0;
    if (r->metadata.count > RECORD_ENTRIES_MAX) return false;
    for (size_t i = 0; i < r->metadata.count; i++) {
        const struct record_entry *e = &r->metadata.entries[i];
        if (e->name.len == 0 || e->name.len > RECORD_ENTRY_NAME_BYTES_MAX || e->value.len > RECORD_ENTRY_VALUE_BYTES_MAX) return false;
        if (e->removes && e->value.len) return false;
        bytes += e->name.len + e->value.len;
    }
    return bytes <= RECORD_ENTRIES_BYTES_MAX;
}

static bool name_is_valid(view name) { return name.len <= RECORD_NAME_BYTES_MAX; }

bool record_is_valid(const struct record *r)
{
    switch (r->kind) {
    case RECORD_APPEND:
        return name_is_valid(r->append.name) && r->append.uidl.len <= RECORD_UIDL_BYTES_MAX && flags_are_valid(&r->append.flags) &&
               !(r->append.is_hidden && r->append.replaces_uid);
    case RECORD_FLAGS:
        return set_is_resolved(&r->flags.uids) && flags_are_valid(&r->flags.flags) && (unsigned)r->flags.change <= FLAGS_REPLACE;
    case RECORD_COPY: return set_is_resolved(&r->copy.uids);
    case RECORD_EXPUNGE: return set_is_resolved(&r->expunge.uids);
    case RECORD_CREATE: return name_is_valid(r->create.name);
    case RECORD_RENAME: return name_is_valid(r->rename.name);
    case RECORD_SUBSCRIBE: return name_is_valid(r->subscribe.name);
    case RECORD_RESTORE: return set_is_resolved(&r->restore.uids) && name_is_valid(r->restore.into);
    case RECORD_REVEAL: return set_is_resolved(&r->restore.uids) && r->restore.uids.count && r->restore.into.len == 0 && r->restore.mailbox;
    case RECORD_METADATA: return entries_are_valid(r);
    case RECORD_DELETE:
    case RECORD_PURGE:
    case RECORD_MAILBOX: return true;
    }
    return false;
}

/* ---- encoding ---- */

static void put_sized(buf *into, view v)
{
    buf_append_varint(into, v.len);
    buf_append(into, v);
}

static void put_bool(buf *into, bool b) { buf_append_byte(into, b ? 1 : 0); }
static void put_time(buf *into, unix_ms t) { buf_append_le64(into, (uint64_t)t.ms); }

/* Each range as its distance from the smallest number that it could begin with, and its length less one. */
static void put_set(buf *into, const struct imap_set *set)
{
    uint64_t lowest = 1;
    buf_append_varint(into, set->count);
    for (size_t i = 0; i < set->count; i++) {
        struct imap_range r = set->ranges[i];
        buf_append_varint(into, r.first - lowest);
        buf_append_varint(into, r.last - r.first);
        lowest = (uint64_t)r.last + 2;
    }
}

static void put_flags(buf *into, const struct record_flags *flags)
{
    buf_append_byte(into, (char)(flags->system & ROW_SYSTEM_FLAGS));
    buf_append_varint(into, flags->keyword_count);
    for (size_t i = 0; i < flags->keyword_count; i++) put_sized(into, flags->keywords[i]);
}

static void put_append(buf *into, const struct record *r)
{
    buf_append_byte(into, (char)((r->append.creates ? APPEND_CREATES : 0) | (r->append.falls_back ? APPEND_FALLS_BACK : 0) |
                                 (r->append.is_alone ? APPEND_IS_ALONE : 0) | (r->append.replaces_uid ? APPEND_REPLACES : 0) |
                                 (r->append.is_hidden ? APPEND_IS_HIDDEN : 0)));
    buf_append_varint(into, r->append.mailbox);
    put_sized(into, r->append.name);
    buf_append(into, id_view(&r->append.message));
    buf_append_varint(into, r->append.size_bytes);
    put_time(into, r->append.internal_date);
    put_time(into, r->append.save_date);
    put_flags(into, &r->append.flags);
    buf_append_varint(into, r->append.uid);
    put_sized(into, r->append.uidl);
    if (r->append.replaces_uid) {
        buf_append_varint(into, r->append.replaces_mailbox);
        buf_append_varint(into, r->append.replaces_uid);
    }
}

static void put_flags_record(buf *into, const struct record *r)
{
    buf_append_varint(into, r->flags.mailbox);
    put_set(into, &r->flags.uids);
    buf_append_byte(into, (char)r->flags.change);
    put_flags(into, &r->flags.flags);
    buf_append_varint(into, r->flags.unchanged_since);
}

static void put_restore(buf *into, const struct record *r)
{
    buf_append_varint(into, r->restore.mailbox);
    put_time(into, r->restore.since);
    put_time(into, r->restore.until);
    put_set(into, &r->restore.uids);
    put_sized(into, r->restore.into);
}

static void put_create(buf *into, const struct record *r)
{
    put_sized(into, r->create.name);
    buf_append_varint(into, r->create.special_use);
    buf_append_varint(into, r->create.uid_validity);
    put_bool(into, r->create.subscribes);
}

static void put_mailbox(buf *into, const struct record *r)
{
    buf_append_varint(into, r->mailbox.mailbox);
    put_bool(into, r->mailbox.sets_special_use);
    buf_append_varint(into, r->mailbox.special_use);
    buf_append_varint(into, r->mailbox.uid_validity);
    buf_append_varint(into, r->mailbox.uid_next);
}

/* Value lengths are one more than they are; 0: the annotation goes. */
static void put_metadata(buf *into, const struct record *r)
{
    buf_append_varint(into, r->metadata.mailbox);
    buf_append_varint(into, r->metadata.count);
    for (size_t i = 0; i < r->metadata.count; i++) {
        const struct record_entry *e = &r->metadata.entries[i];
        put_sized(into, e->name);
        buf_append_varint(into, e->removes ? 0 : e->value.len + 1);
        buf_append(into, e->value);
    }
}

void record_encode(buf *into, const struct record *r)
{
    check(record_is_valid(r));
    buf_append_byte(into, RECORD_VERSION);
    buf_append_byte(into, (char)r->kind);
    buf_append(into, id_view(&r->id));
    put_time(into, r->written);
    switch (r->kind) {
    case RECORD_APPEND: put_append(into, r); return;
    case RECORD_FLAGS: put_flags_record(into, r); return;
    case RECORD_COPY:
        buf_append_varint(into, r->copy.from);
        buf_append_varint(into, r->copy.to);
        put_set(into, &r->copy.uids);
        put_bool(into, r->copy.moves);
        return;
    case RECORD_EXPUNGE:
        buf_append_varint(into, r->expunge.mailbox);
        put_set(into, &r->expunge.uids);
        put_bool(into, r->expunge.only_deleted);
        return;
    case RECORD_CREATE: put_create(into, r); return;
    case RECORD_DELETE: buf_append_varint(into, r->delete.mailbox); return;
    case RECORD_RENAME:
        buf_append_varint(into, r->rename.mailbox);
        put_sized(into, r->rename.name);
        return;
    case RECORD_SUBSCRIBE:
        put_sized(into, r->subscribe.name);
        put_bool(into, r->subscribe.subscribes);
        return;
    case RECORD_RESTORE:
    case RECORD_REVEAL: put_restore(into, r); return;
    case RECORD_PURGE: put_time(into, r->purge.before); return;
    case RECORD_MAILBOX: put_mailbox(into, r); return;
    case RECORD_METADATA: put_metadata(into, r); return;
    }
    unreachable();
}

/* ---- decoding ---- */

static bool take_bool(struct cursor *c, bool *ret_b)
{
    if (take_byte(c, 0)) {
        *ret_b = false;
        return true;
    }
    if (!take_byte(c, 1)) return false;
    *ret_b = true;
    return true;
}

static bool take_octet(struct cursor *c, unsigned max, unsigned *ret_octet)
{
    int octet = cursor_peek(c);
    if (octet < 0 || (unsigned)octet > max) return false;
    *ret_octet = (unsigned)octet;
    return take_byte(c, (char)octet);
}

static bool take_unsigned(struct cursor *c, unsigned *ret_number)
{
    uint32_t number;
    if (!take_varint32(c, &number)) return false;
    *ret_number = number;
    return true;
}

static bool take_set(struct cursor *c, struct arena *arena, struct imap_set *ret_set)
{
    uint64_t count, lowest = 1;
    if (!take_varint(c, &count) || count > RECORD_RANGES_MAX || count > c->rest.len / 2) return false;
    struct imap_set set = {.count = (size_t)count};
    if (count) set.ranges = arena_try_alloc(arena, (size_t)count * sizeof *set.ranges);
    if (count && !set.ranges) return false;
    for (size_t i = 0; i < set.count; i++) {
        uint32_t gap, more;
        if (!take_varint32(c, &gap) || !take_varint32(c, &more)) return false;
        uint64_t first = lowest + gap, last = first + more;
        if (last > UINT32_MAX) return false;
        set.ranges[i] = (struct imap_range){(uint32_t)first, (uint32_t)last};
        lowest = last + 2;
    }
    *ret_set = set;
    return true;
}

static bool take_flags(struct cursor *c, struct arena *arena, struct record_flags *ret_flags)
{
    struct record_flags flags = {0};
    unsigned system;
    uint64_t count;
    if (!take_octet(c, ROW_SYSTEM_FLAGS, &system) || !take_varint(c, &count) || count > RECORD_KEYWORDS_MAX) return false;
    flags.system = system;
    flags.keyword_count = (size_t)count;
    if (count) flags.keywords = arena_try_alloc(arena, flags.keyword_count * sizeof *flags.keywords);
    if (count && !flags.keywords) return false;
    for (size_t i = 0; i < flags.keyword_count; i++)
        if (!take_sized(c, ROW_KEYWORD_BYTES_MAX, &flags.keywords[i]) || flags.keywords[i].len == 0) return false;
    *ret_flags = flags;
    return true;
}

static bool take_append(struct cursor *c, struct arena *arena, struct record *r)
{
    unsigned bits;
    if (!take_octet(c, APPEND_CREATES | APPEND_FALLS_BACK | APPEND_IS_ALONE | APPEND_REPLACES | APPEND_IS_HIDDEN, &bits)) return false;
    if ((bits & APPEND_REPLACES) && (bits & APPEND_IS_HIDDEN)) return false;
    r->append.is_hidden = bits & APPEND_IS_HIDDEN;
    r->append.creates = bits & APPEND_CREATES;
    r->append.falls_back = bits & APPEND_FALLS_BACK;
    r->append.is_alone = bits & APPEND_IS_ALONE;
    bool is_good = take_varint32(c, &r->append.mailbox) && take_sized(c, RECORD_NAME_BYTES_MAX, &r->append.name) &&
           take_raw_id(c, &r->append.message) && take_varint32(c, &r->append.size_bytes) && take_unix_ms(c, &r->append.internal_date) &&
           take_unix_ms(c, &r->append.save_date) && take_flags(c, arena, &r->append.flags) && take_varint32(c, &r->append.uid) &&
           take_sized(c, RECORD_UIDL_BYTES_MAX, &r->append.uidl);
    if (!is_good || !(bits & APPEND_REPLACES)) return is_good;
    return take_varint32(c, &r->append.replaces_mailbox) && take_varint32(c, &r->append.replaces_uid) && r->append.replaces_uid != 0;
}

static bool take_flags_record(struct cursor *c, struct arena *arena, struct record *r)
{
    unsigned change;
    if (!take_varint32(c, &r->flags.mailbox) || !take_set(c, arena, &r->flags.uids) || !take_octet(c, FLAGS_REPLACE, &change))
        return false;
    r->flags.change = (enum flags_change)change;
    return take_flags(c, arena, &r->flags.flags) && take_varint(c, &r->flags.unchanged_since);
}

static bool take_restore(struct cursor *c, struct arena *arena, struct record *r)
{
    bool taken = take_varint32(c, &r->restore.mailbox) && take_unix_ms(c, &r->restore.since) && take_unix_ms(c, &r->restore.until) &&
                 take_set(c, arena, &r->restore.uids) && take_sized(c, RECORD_NAME_BYTES_MAX, &r->restore.into);
    return taken && (r->kind == RECORD_RESTORE || record_is_valid(r));
}

static bool take_entry(struct cursor *c, struct record_entry *e)
{
    uint64_t len;
    if (!take_sized(c, RECORD_ENTRY_NAME_BYTES_MAX, &e->name) || !take_varint(c, &len) || len > RECORD_ENTRY_VALUE_BYTES_MAX + 1) return false;
    e->removes = len == 0;
    e->value = VIEW_EMPTY;
    return e->removes || take_bytes(c, (size_t)len - 1, &e->value);
}

static bool take_metadata(struct cursor *c, struct arena *arena, struct record *r)
{
    uint64_t count;
    if (!take_varint32(c, &r->metadata.mailbox) || !take_varint(c, &count) || count > RECORD_ENTRIES_MAX || count > c->rest.len / 3) return false;
    r->metadata.count = (size_t)count;
    if (count) r->metadata.entries = arena_try_alloc(arena, r->metadata.count * sizeof *r->metadata.entries);
    if (count && !r->metadata.entries) return false;
    for (size_t i = 0; i < r->metadata.count; i++)
        if (!take_entry(c, &r->metadata.entries[i])) return false;
    return record_is_valid(r);
}

static bool take_kind(struct cursor *c, struct arena *arena, struct record *r)
{
    switch (r->kind) {
    case RECORD_APPEND: return take_append(c, arena, r);
    case RECORD_FLAGS: return take_flags_record(c, arena, r);
    case RECORD_COPY:
        return take_varint32(c, &r->copy.from) && take_varint32(c, &r->copy.to) && take_set(c, arena, &r->copy.uids) &&
               take_bool(c, &r->copy.moves);
    case RECORD_EXPUNGE:
        return take_varint32(c, &r->expunge.mailbox) && take_set(c, arena, &r->expunge.uids) &&
               take_bool(c, &r->expunge.only_deleted);
    case RECORD_CREATE:
        return take_sized(c, RECORD_NAME_BYTES_MAX, &r->create.name) && take_unsigned(c, &r->create.special_use) &&
               take_varint32(c, &r->create.uid_validity) && take_bool(c, &r->create.subscribes);
    case RECORD_DELETE: return take_varint32(c, &r->delete.mailbox);
    case RECORD_RENAME: return take_varint32(c, &r->rename.mailbox) && take_sized(c, RECORD_NAME_BYTES_MAX, &r->rename.name);
    case RECORD_SUBSCRIBE: return take_sized(c, RECORD_NAME_BYTES_MAX, &r->subscribe.name) && take_bool(c, &r->subscribe.subscribes);
    case RECORD_RESTORE:
    case RECORD_REVEAL: return take_restore(c, arena, r);
    case RECORD_METADATA: return take_metadata(c, arena, r);
    case RECORD_PURGE: return take_unix_ms(c, &r->purge.before);
    case RECORD_MAILBOX:
        return take_varint32(c, &r->mailbox.mailbox) && take_bool(c, &r->mailbox.sets_special_use) &&
               take_unsigned(c, &r->mailbox.special_use) && take_varint32(c, &r->mailbox.uid_validity) &&
               take_varint32(c, &r->mailbox.uid_next);
    }
    return false;
}

result record_decode(view meta, struct arena *arena, struct record *ret_record, struct fault *fault)
{
    struct cursor c = cursor_of(meta);
    struct record r = {0};
    unsigned version, kind;
    if (!take_octet(&c, UINT8_MAX, &version) || !take_octet(&c, UINT8_MAX, &kind))
        return fail(fault, CORRUPT, "record of %zu bytes", meta.len);
    if (version > RECORD_VERSION || kind > RECORD_REVEAL)
        return fail(fault, CORRUPT, "record of version %u, kind %u: written by a newer version", version, kind);
    r.kind = (enum record_kind)kind;
    if (version == 0 || kind == 0 || !take_raw_id(&c, &r.id) || !take_unix_ms(&c, &r.written) || !take_kind(&c, arena, &r) ||
        !cursor_at_end(&c))
        return fail(fault, CORRUPT, "record of kind %u: bad at byte %zu of %zu", kind, cursor_position(&c), meta.len);
    *ret_record = r;
    return OK;
}
