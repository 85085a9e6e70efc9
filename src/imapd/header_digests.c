#include "imapd/header_digests.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "formats/header.h"
#include "imapd/session.h"

enum { HEADER_BYTES_MAX = 1 << 20, TEXTS = 6, SLAB_BYTES = 256 << 10, TABLE_FIRST = 1024, PLACE_BYTES = 8, DIGEST_BYTES_MAX = SLAB_BYTES / 2, COMING = 4 };

/* Followed by the references and the texts. Of a multiple of PLACE_BYTES; 0 bytes: the slab ends here. */
struct digest {
    uint32_t bytes;
    bool has_date, is_reply;
    uint8_t reference_count;
    uint16_t lens[TEXTS];
    struct id message;
    unix_ms sent;
    uint64_t message_id, subject_hash;
    uint64_t references[];
};

/* ---- generations ---- */

static void free_generation(struct digest_generation *g)
{
    for (size_t i = 0; i < g->slab_count; i++) free(g->slabs[i]);
    free(g->slabs);
    free(g->table);
    *g = (struct digest_generation){0};
}

void header_digests_done(struct header_digests *d)
{
    free_generation(&d->young);
    free_generation(&d->old);
}

static struct digest *digest_at(const struct digest_generation *g, uint32_t place)
{
    size_t offset = (size_t)(place - 1) * PLACE_BYTES;
    return (struct digest *)(void *)(g->slabs[offset / SLAB_BYTES] + offset % SLAB_BYTES);
}

/* Ids are random but for their first bytes. */
static size_t slot_of(const struct digest_generation *g, struct id message)
{
    uint64_t random;
    memcpy(&random, message.bytes + sizeof message.bytes - sizeof random, sizeof random);
    size_t i = (size_t)random & (g->capacity - 1);
    while (g->table[i] && !id_equal(digest_at(g, g->table[i])->message, message)) i = (i + 1) & (g->capacity - 1);
    return i;
}

static struct digest *look_up(const struct digest_generation *g, struct id message)
{
    uint32_t place = g->count ? g->table[slot_of(g, message)] : 0;
    return place ? digest_at(g, place) : NULL;
}

static void grow_table(struct digest_generation *g)
{
    struct digest_generation larger = *g;
    larger.capacity = g->capacity ? 2 * g->capacity : TABLE_FIRST;
    larger.table = calloc(larger.capacity, sizeof *larger.table);
    check(larger.table != NULL);
    for (size_t i = 0; i < g->capacity; i++)
        if (g->table[i]) larger.table[slot_of(&larger, digest_at(g, g->table[i])->message)] = g->table[i];
    free(g->table);
    *g = larger;
}

static bool has_room(const struct digest_generation *g, size_t bytes)
{
    return g->slab_count > 0 && g->used + bytes + sizeof(uint32_t) <= SLAB_BYTES;
}

/* Room behind the last; what follows a digest in its slab is one, or zeros. */
static struct digest *add_digest(struct digest_generation *g, struct id message, size_t bytes)
{
    if (!has_room(g, bytes)) {
        g->slabs = realloc(g->slabs, (g->slab_count + 1) * sizeof *g->slabs);
        check(g->slabs != NULL);
        g->slabs[g->slab_count] = malloc(SLAB_BYTES);
        check(g->slabs[g->slab_count] != NULL);
        g->slab_count++;
        g->used = 0;
    }
    if (g->count * 2 >= g->capacity) grow_table(g);
    size_t offset = (g->slab_count - 1) * SLAB_BYTES + g->used;
    struct digest *d = (struct digest *)(void *)(g->slabs[g->slab_count - 1] + g->used);
    g->used += bytes;
    memset((char *)d + bytes, 0, sizeof(uint32_t));
    d->message = message;
    g->table[slot_of(g, message)] = (uint32_t)(offset / PLACE_BYTES) + 1;
    g->count++;
    return d;
}

/* ---- between values and digests ---- */

static view *text_of(struct sort_values *v, unsigned i)
{
    view *const texts[TEXTS] = {&v->subject, &v->from, &v->to, &v->cc, &v->display_from, &v->display_to};
    return texts[i];
}

static size_t bytes_of(struct sort_values *v)
{
    size_t bytes = sizeof(struct digest) + v->reference_count * sizeof(uint64_t);
    for (unsigned i = 0; i < TEXTS; i++) bytes += text_of(v, i)->len;
    return (bytes + PLACE_BYTES - 1) & ~(size_t)(PLACE_BYTES - 1);
}

static void digest_put(struct digest *d, struct sort_values *v)
{
    d->has_date = v->has_date;
    d->is_reply = v->is_reply;
    d->sent = v->sent;
    d->message_id = v->message_id;
    d->subject_hash = v->subject_hash;
    d->reference_count = (uint8_t)v->reference_count;
    if (v->reference_count) memcpy(d->references, v->references, v->reference_count * sizeof(uint64_t));
    char *to = (char *)(d->references + v->reference_count);
    for (unsigned i = 0; i < TEXTS; i++) {
        view text = *text_of(v, i);
        d->lens[i] = (uint16_t)text.len;
        if (text.len) memcpy(to, text.at, text.len);
        to += text.len;
    }
}

static void digest_get(const struct digest *d, struct sort_values *v)
{
    v->has_date = d->has_date;
    v->is_reply = d->is_reply;
    v->sent = d->sent;
    v->message_id = d->message_id;
    v->subject_hash = d->subject_hash;
    v->references = d->references;
    v->reference_count = d->reference_count;
    const char *at = (const char *)(d->references + d->reference_count);
    for (unsigned i = 0; i < TEXTS; i++) {
        *text_of(v, i) = view_make(at, d->lens[i]);
        at += d->lens[i];
    }
}

/* ---- both generations ---- */

static void rotate(struct header_digests *all)
{
    free_generation(&all->old);
    all->old = all->young;
    all->young = (struct digest_generation){0};
    if (all->expects_old) all->expected = NULL;
    all->expects_old = true;
}

/* `may_rotate`: the values are of none that is kept. */
static void keep(struct header_digests *all, struct id message, struct sort_values *v, bool may_rotate)
{
    size_t bytes = bytes_of(v);
    if (bytes > DIGEST_BYTES_MAX || look_up(&all->young, message)) return;      /* another session was faster */
    if (!has_room(&all->young, bytes) && (all->young.slab_count + 1) * SLAB_BYTES > HEADER_DIGESTS_BYTES_MAX / 2) {
        if (!may_rotate) return;
        rotate(all);
    }
    struct digest *d = add_digest(&all->young, message, bytes);
    d->bytes = (uint32_t)bytes;
    digest_put(d, v);
}

/* Good until the generations rotate. */
static const struct digest *find(struct header_digests *all, struct id message)
{
    struct digest *d = all->expected;
    if (!d || d->bytes == 0 || !id_equal(d->message, message)) {
        d = look_up(&all->young, message);
        all->expects_old = !d;
        if (!d) d = look_up(&all->old, message);
    }
    all->expected = d ? (struct digest *)(void *)((char *)d + d->bytes) : NULL;
    return d;
}

uint64_t header_digests_coming(const struct header_digests *all)
{
    const struct digest *d = all->expected;
    for (unsigned i = 0; i < COMING && d && d->bytes; i++) d = (const struct digest *)(const void *)((const char *)d + d->bytes);
    return d && d->bytes ? d->message_id : 0;
}

static bool get_known(struct header_digests *all, struct id message, struct sort_values *ret_values)
{
    const struct digest *d = find(all, message);
    if (!d) return false;
    digest_get(d, ret_values);
    if (all->expects_old) keep(all, message, ret_values, false);
    return true;
}

/* ---- reading ---- */

MAY_YIELD static result read_header(struct session *s, const struct row *row, struct message *message, struct arena *arena,
                                    struct sort_values *ret_values, struct fault *fault)
{
    view bytes, header, body;
    size_t want = message_size(message) < HEADER_BYTES_MAX ? (size_t)message_size(message) : HEADER_BYTES_MAX;
    result code = message_read(message, 0, want, session_store_deadline(s), &bytes, fault);
    if (code != OK) return code;
    header_split(bytes, &header, &body);
    sort_values_read(header, SORT_NEEDS_ALL, arena, ret_values);
    keep(&s->home->digests, row->message, ret_values, true);
    return OK;
}

result header_digest_read(struct session *s, const struct row *row, struct arena *arena, struct sort_values *ret_values, struct fault *fault)
{
    struct message *message;
    if (get_known(&s->home->digests, row->message, ret_values)) return OK;
    arena_reset(arena);
    view header;
    bool is_plain;
    if (message_summary(s->account, row, SUMMARY_HEADER, session_store_deadline(s), &header, &is_plain) == OK) {
        sort_values_read(header, SORT_NEEDS_ALL, arena, ret_values);
        keep(&s->home->digests, row->message, ret_values, true);
        return OK;
    }
    result code = message_open(s->account, mailbox_view_mailbox(s->view), row, session_store_deadline(s), &message, fault);
    if (code != OK) return code;
    code = read_header(s, row, message, arena, ret_values, fault);
    message_close(message);
    return code;
}
