#include "imapd/header_digests.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "formats/header.h"
#include "imapd/session.h"

enum { HEADER_BYTES_MAX = 1 << 20, TEXTS = 6 };

/* One allocation: this, the references, the texts. */
struct digest {
    struct id message;                   /* the map's key points here */
    struct digest *next;                 /* the one that came after it: whoever sorts a mailbox again asks in the same order */
    uint32_t bytes, generation;
    bool has_date, is_reply;
    uint8_t reference_count;
    uint16_t lens[TEXTS];
    unix_ms sent;
    uint64_t message_id;
    uint64_t references[];
};

static void free_generation(struct map *m)
{
    size_t position = 0;
    for (struct map_slot *slot; (slot = map_next(m, &position));) free(slot->value);
    map_done(m);
    *m = MAP_INIT;
}

void header_digests_done(struct header_digests *d)
{
    free_generation(&d->young);
    free_generation(&d->old);
}

static view *text_of(struct sort_values *v, unsigned i)
{
    view *const texts[TEXTS] = {&v->subject, &v->from, &v->to, &v->cc, &v->display_from, &v->display_to};
    return texts[i];
}

/* ---- between values and digests ---- */

static struct digest *digest_new(struct id message, struct sort_values *v)
{
    size_t bytes = sizeof(struct digest) + v->reference_count * sizeof(uint64_t);
    for (unsigned i = 0; i < TEXTS; i++) bytes += text_of(v, i)->len;
    struct digest *d = calloc(1, bytes);
    check(d != NULL);
    *d = (struct digest){.message = message, .bytes = (uint32_t)bytes, .has_date = v->has_date, .is_reply = v->is_reply,
                         .reference_count = (uint8_t)v->reference_count, .sent = v->sent, .message_id = v->message_id};
    memcpy(d->references, v->references, v->reference_count * sizeof(uint64_t));
    char *to = (char *)(d->references + v->reference_count);
    for (unsigned i = 0; i < TEXTS; i++) {
        view text = *text_of(v, i);
        d->lens[i] = (uint16_t)text.len;
        if (text.len) memcpy(to, text.at, text.len);
        to += text.len;
    }
    return d;
}

static void digest_get(const struct digest *d, struct sort_values *v)
{
    *v = (struct sort_values){.has_date = d->has_date, .is_reply = d->is_reply, .sent = d->sent, .message_id = d->message_id,
                              .reference_count = d->reference_count};
    memcpy(v->references, d->references, d->reference_count * sizeof(uint64_t));
    const char *at = (const char *)(d->references + d->reference_count);
    for (unsigned i = 0; i < TEXTS; i++) {
        *text_of(v, i) = view_make(at, d->lens[i]);
        at += d->lens[i];
    }
}

/* Nothing that came into a generation goes before what came into it earlier, or into one before. */
static void keep(struct header_digests *all, struct digest *d)
{
    if (map_get(&all->young, id_view(&d->message))) {        /* another session was faster */
        free(d);
        return;
    }
    if (all->young_bytes + d->bytes > HEADER_DIGESTS_BYTES_MAX / 2) {
        free_generation(&all->old);
        all->old = all->young;
        all->young = MAP_INIT;
        all->young_bytes = 0;
        all->generation++;
        all->last = all->expected = NULL;
    }
    all->young_bytes += d->bytes + sizeof(struct map_slot);
    map_put(&all->young, id_view(&d->message), d);
    d->generation = all->generation;
    d->next = NULL;
    if (all->last) all->last->next = d;
    all->last = d;
}

static struct digest *find(struct header_digests *all, struct id message)
{
    struct digest *d = all->expected;
    if (!d || d->generation != all->generation || !id_equal(d->message, message)) d = map_get(&all->young, id_view(&message));
    if (!d) {
        d = map_remove(&all->old, id_view(&message));
        if (d) keep(all, d);
    }
    all->expected = d ? d->next : NULL;
    return d;
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
    sort_values_read(header, arena, ret_values);
    keep(&s->home->digests, digest_new(row->message, ret_values));
    return OK;
}

result header_digest_read(struct session *s, const struct row *row, struct arena *arena, struct sort_values *ret_values, struct fault *fault)
{
    struct message *message;
    const struct digest *known = find(&s->home->digests, row->message);
    if (known) {
        digest_get(known, ret_values);
        return OK;
    }
    view header;
    bool is_plain;
    if (message_summary(s->account, row, SUMMARY_HEADER, session_store_deadline(s), &header, &is_plain) == OK) {
        sort_values_read(header, arena, ret_values);
        keep(&s->home->digests, digest_new(row->message, ret_values));
        return OK;
    }
    result code = message_open(s->account, mailbox_view_mailbox(s->view), row, session_store_deadline(s), &message, fault);
    if (code != OK) return code;
    code = read_header(s, row, message, arena, ret_values, fault);
    message_close(message);
    return code;
}
