/*
 * state_digest: the value of a state as 32 bytes, the same whatever its blocks and wherever bytes are kept.
 */
#include <openssl/evp.h>
#include <string.h>

#include "account/state_private.h"
#include "base/check.h"

struct digest {
    EVP_MD_CTX *context;
    buf bytes;                           /* gathered, and hashed when it is long enough */
};

enum { DIGEST_CHUNK_BYTES = 64 << 10 };

static void flush(struct digest *d)
{
    check(EVP_DigestUpdate(d->context, d->bytes.at, d->bytes.len) == 1);
    buf_clear(&d->bytes);
}

static void put(struct digest *d, uint64_t number) { buf_append_le64(&d->bytes, number); }

static void put_text(struct digest *d, view text)
{
    put(d, text.len);
    buf_append(&d->bytes, text);
}

static void put_row(struct digest *d, const struct row *row, view uidl)
{
    uint64_t numbers[] = {row->uid, row->size_bytes, row->flags, row->modseq, (uint64_t)row->internal_date.ms, (uint64_t)row->save_date.ms};
    for (size_t i = 0; i < array_size(numbers); i++) put(d, numbers[i]);
    buf_append(&d->bytes, id_view(&row->message));
    put_text(d, uidl);
    if (d->bytes.len >= DIGEST_CHUNK_BYTES) flush(d);
}

static void put_grave(struct digest *d, const struct grave *g)
{
    check(g->block->is_loaded);
    uint32_t row = 0;
    for (uint32_t i = 0; i < g->run_count; row += g->runs[i++].count) {
        if (g->runs[i].is_dead) continue;
        for (uint32_t k = row; k < row + g->runs[i].count; k++) {
            put(d, (uint64_t)g->runs[i].expunged.ms);
            put(d, g->runs[i].modseq);
            struct row one = block_row(g->block, k);
            put_row(d, &one, block_uidl(g->block, k));
        }
    }
}

/* Nothing when there are none: a state without has the digest that it had before there were annotations. */
static void put_metadata(struct digest *d, const struct metadata *m)
{
    if (m->count) put(d, m->count);
    for (size_t i = 0; i < m->count; i++) {
        put_text(d, m->at[i].name);
        put_text(d, m->at[i].value);
    }
}

static void put_mailbox(struct digest *d, const struct mailbox *m)
{
    uint64_t expunged = 0;
    put(d, m->number);
    put_text(d, m->name);
    put(d, (uint64_t)m->is_gone | (uint64_t)m->is_selectable << 1);
    uint64_t numbers[] = {m->special_use, m->uid_validity, m->uid_next, m->highest_modseq, m->exists, m->unseen, m->deleted, m->size_bytes};
    for (size_t i = 0; i < array_size(numbers); i++) put(d, numbers[i]);
    put(d, m->keyword_count);
    for (uint32_t i = 0; i < m->keyword_count; i++) put_text(d, m->keywords[i]);
    for (uint32_t i = 0; i < m->block_count; i++) {
        const struct block *b = m->blocks[i];
        check(b->is_loaded);
        for (uint32_t k = 0; k < b->count; k++) {
            struct row row = block_row(b, k);
            put_row(d, &row, b->uidl_count ? block_uidl(b, k) : VIEW_EMPTY);
        }
    }
    for (uint32_t i = 0; i < m->grave_count; i++) expunged += m->graves[i]->live;
    put(d, expunged);
    for (uint32_t i = 0; i < m->grave_count; i++) put_grave(d, m->graves[i]);
    put_metadata(d, &m->metadata);
}

static void put_recent(struct digest *d, const struct recent *l)
{
    put(d, l->count);
    for (uint32_t i = l->first; i < l->first + l->count; i++) {
        put(d, l->ids[i]);
        put(d, (uint64_t)l->written_ms[i]);
        put(d, l->codes[i]);
    }
}

void state_digest(struct state *s, unsigned char digest[static 32])
{
    struct digest d = {EVP_MD_CTX_new(), BUF_INIT};
    unsigned len = 0;
    check(d.context != NULL && EVP_DigestInit_ex(d.context, EVP_sha256(), NULL) == 1);
    put_text(&d, VIEW("tayori state 1"));
    put(&d, s->sequence);
    put(&d, s->next_number);
    put(&d, s->last_uid_validity);
    put_recent(&d, &s->recent);
    put(&d, s->subscription_count);
    for (size_t i = 0; i < s->subscription_count; i++) put_text(&d, s->subscriptions[i]);
    put(&d, s->mailbox_count);
    for (size_t i = 0; i < s->mailbox_count; i++) put_mailbox(&d, s->mailboxes[i]);
    put_metadata(&d, &s->metadata);
    flush(&d);
    check(EVP_DigestFinal_ex(d.context, digest, &len) == 1 && len == 32);
    EVP_MD_CTX_free(d.context);
    buf_done(&d.bytes);
}
