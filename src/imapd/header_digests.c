#include "imapd/header_digests.h"

#include <string.h>

#include "base/check.h"
#include "formats/header.h"
#include "imapd/session.h"

enum {
    HEADER_BYTES_MAX = 1 << 20, MESSAGE_ARENA_BYTES_MAX = 8 << 20,
    VALUE_BYTES_MAX = 4096,                  /* longer ones are read anew each time */
    BLOCK_BYTES_KEPT = 64 << 10,             /* of a reader's buffers, from one block to the next */
    DATE_BYTES = 5, HASH_BYTES = SORT_HASH_BITS / 8, COMING = 4,
};

#define SECONDS_BIAS ((int64_t)1 << 39)      /* the years 1 to 9999 are within it */

/* ---- values as strings ---- */

static void append_number(buf *b, uint64_t number, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) buf_append_byte(b, (char)(unsigned char)(number >> 8 * i));
}

static uint64_t number_at(const char *at, unsigned bytes)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < bytes; i++) number |= (uint64_t)(unsigned char)at[i] << 8 * i;
    return number;
}

static view *text_of(struct sort_values *v, unsigned need)
{
    switch (need) {
    case SORT_NEEDS_SUBJECT: return &v->subject;
    case SORT_NEEDS_FROM: return &v->from;
    case SORT_NEEDS_TO: return &v->to;
    case SORT_NEEDS_CC: return &v->cc;
    case SORT_NEEDS_DISPLAY_FROM: return &v->display_from;
    default: return &v->display_to;
    }
}

/* The id, the subject's hash with is_reply as its lowest bit, which is set in all that are not 0, and the references. */
static void append_thread(buf *b, const struct sort_values *v)
{
    append_number(b, v->message_id, HASH_BYTES);
    append_number(b, (v->subject_hash & ~(uint64_t)1) | v->is_reply, HASH_BYTES);
    for (size_t i = 0; i < v->reference_count; i++) append_number(b, v->references[i], HASH_BYTES);
}

static void set_thread(struct digest_reader *r, view stored, struct sort_values *v)
{
    uint64_t subject = number_at(stored.at + HASH_BYTES, HASH_BYTES);
    v->message_id = number_at(stored.at, HASH_BYTES);
    v->is_reply = subject & 1;
    v->subject_hash = subject > 1 ? subject | 1 : 0;
    v->reference_count = stored.len / HASH_BYTES - 2;
    v->references = r->references;
    for (size_t i = 0; i < v->reference_count; i++) r->references[i] = number_at(stored.at + (i + 2) * HASH_BYTES, HASH_BYTES);
}

/* Dates of mail have no fractions of seconds. */
static void append_date(buf *b, const struct sort_values *v)
{
    if (v->has_date) append_number(b, (uint64_t)(v->sent.ms / 1000 + SECONDS_BIAS), DATE_BYTES);
}

static void set_date(view stored, struct sort_values *v)
{
    v->has_date = stored.len == DATE_BYTES;
    if (v->has_date) v->sent.ms = ((int64_t)number_at(stored.at, DATE_BYTES) - SECONDS_BIAS) * 1000;
}

static void set_value(struct digest_reader *r, unsigned need, view stored, struct sort_values *v)
{
    if (need == SORT_NEEDS_DATE) set_date(stored, v);
    else if (need == SORT_NEEDS_THREAD) set_thread(r, stored, v);
    else *text_of(v, need) = stored;
}

static void append_value(buf *b, unsigned need, struct sort_values *v)
{
    if (need == SORT_NEEDS_DATE) append_date(b, v);
    else if (need == SORT_NEEDS_THREAD) append_thread(b, v);
    else buf_append(b, *text_of(v, need));
}

/* ---- blocks ---- */

static struct digest_key key_of(const struct digest_reader *r, unsigned kind)
{
    return (struct digest_key){.account = r->s->account_id, .mailbox = mailbox_view_mailbox(r->s->view), .kind = kind};
}

static void put_block(struct digest_reader *r)
{
    for (unsigned i = 0; i < DIGEST_KINDS && r->has_block; i++) {
        struct digest_key key = key_of(r, i);
        if (r->parts[i].is_changed) digest_columns_put(&r->s->home->digests, &key, r->block, r->command, buf_view(&r->parts[i].bytes));
    }
    r->has_block = false;
}

static void get_part(struct digest_reader *r, unsigned kind, uint32_t block)
{
    struct digest_key key = key_of(r, kind);
    buf bytes = r->parts[kind].bytes;
    if (bytes.capacity > BLOCK_BYTES_KEPT) buf_done(&bytes);
    buf_clear(&bytes);
    r->parts[kind] = (struct digest_block){.bytes = bytes};
    digest_columns_get(&r->s->home->digests, &key, block, r->command, &r->parts[kind].bytes);
}

static void go_to(struct digest_reader *r, uint32_t uid)
{
    uint32_t block = uid / DIGEST_BLOCK_UIDS;
    bool is_other = !r->has_block || r->block != block;
    if (is_other) put_block(r);
    for (unsigned i = 0; i < DIGEST_KINDS; i++) {
        if (!(r->needs & 1u << i)) continue;
        if (is_other) get_part(r, i, block);
        digest_block_seek(&r->parts[i], uid % DIGEST_BLOCK_UIDS);
    }
    r->block = block;
    r->has_block = true;
}

void digest_reader_init(struct digest_reader *r, struct session *s, unsigned needs)
{
    *r = (struct digest_reader){.s = s, .needs = needs, .command = digest_columns_begin(&s->home->digests), .arena = arena_new(NULL, MESSAGE_ARENA_BYTES_MAX)};
}

void digest_reader_done(struct digest_reader *r)
{
    put_block(r);
    for (unsigned i = 0; i < DIGEST_KINDS; i++) buf_done(&r->parts[i].bytes);
    buf_done(&r->value);
    arena_free(r->arena);
}

uint64_t digest_reader_coming(const struct digest_reader *r)
{
    struct digest_block part = r->parts[__builtin_ctz(SORT_NEEDS_THREAD)];
    view stored = VIEW_EMPTY;
    for (unsigned i = 0; i < COMING && part.at < part.bytes.len; i++) part.at += digest_block_entry(&part, &stored);
    return part.at < part.bytes.len && digest_block_value(&part, &stored) ? number_at(stored.at, HASH_BYTES) : 0;
}

/* ---- reading ---- */

/* The values that are known; which are not. */
static unsigned take_known(struct digest_reader *r, struct sort_values *v)
{
    unsigned missing = 0;
    view stored;
    *v = (struct sort_values){0};
    for (unsigned i = 0; i < DIGEST_KINDS; i++) {
        if (!(r->needs & 1u << i)) continue;
        if (digest_block_value(&r->parts[i], &stored)) set_value(r, 1u << i, stored, v);
        else missing |= 1u << i;
    }
    return missing;
}

/* Adds them to the block, and to the values that were known. */
static void take_fresh(struct digest_reader *r, unsigned missing, struct sort_values *fresh, struct sort_values *v)
{
    for (unsigned i = 0; i < DIGEST_KINDS; i++) {
        if (!(missing & 1u << i)) continue;
        buf_clear(&r->value);
        append_value(&r->value, 1u << i, fresh);
        if (r->value.len <= VALUE_BYTES_MAX) digest_block_add(&r->parts[i], buf_view(&r->value));
    }
    if (missing & SORT_NEEDS_DATE) {
        v->has_date = fresh->has_date;
        v->sent = fresh->sent;
    }
    for (unsigned need = SORT_NEEDS_SUBJECT; need < SORT_NEEDS_THREAD; need <<= 1)
        if (missing & need) *text_of(v, need) = *text_of(fresh, need);
    if (!(missing & SORT_NEEDS_THREAD)) return;
    v->message_id = fresh->message_id;
    v->subject_hash = fresh->subject_hash;
    v->is_reply = fresh->is_reply;
    v->references = fresh->references;
    v->reference_count = fresh->reference_count;
}

MAY_YIELD static result read_message(struct digest_reader *r, const struct row *row, view *ret_header, struct message **ret_message, struct fault *fault)
{
    struct session *s = r->s;
    view bytes, body;
    result code = message_open(s->account, mailbox_view_mailbox(s->view), row, session_store_deadline(s), ret_message, fault);
    if (code != OK) return code;
    size_t want = message_size(*ret_message) < HEADER_BYTES_MAX ? (size_t)message_size(*ret_message) : HEADER_BYTES_MAX;
    code = message_read(*ret_message, 0, want, session_store_deadline(s), &bytes, fault);
    if (code == OK) header_split(bytes, ret_header, &body);
    return code;
}

MAY_YIELD static result read_fresh(struct digest_reader *r, const struct row *row, unsigned missing, struct sort_values *ret_fresh, struct fault *fault)
{
    struct session *s = r->s;
    struct message *message = NULL;
    view header = VIEW_EMPTY;
    bool is_plain;
    result code = message_summary(s->account, row, SUMMARY_HEADER, session_store_deadline(s), &header, &is_plain);
    if (code != OK) code = read_message(r, row, &header, &message, fault);
    if (code == OK) sort_values_read(header, missing, r->arena, ret_fresh);
    if (message) message_close(message);
    return code;
}

result digest_reader_read(struct digest_reader *r, const struct row *row, struct sort_values *ret_values, struct fault *fault)
{
    struct sort_values fresh;
    go_to(r, row->uid);
    unsigned missing = take_known(r, ret_values);
    if (!missing) return OK;
    arena_reset(r->arena);
    result code = read_fresh(r, row, missing, &fresh, fault);
    if (code == OK) take_fresh(r, missing, &fresh, ret_values);
    else *ret_values = (struct sort_values){0};
    return code;
}
