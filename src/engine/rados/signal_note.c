#include "engine/rados/signal_note.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/cursor.h"

enum { VERSION = 1, FLAG_EVERYTHING = 1 };

void note_append(buf *into, const struct note *n)
{
    buf_append_byte(into, VERSION);
    buf_append_byte(into, (char)n->kind);
    buf_append_le16(into, n->is_everything ? FLAG_EVERYTHING : 0);
    buf_append_le32(into, (uint32_t)note_count(n));
    buf_append_le64(into, n->sequence);
    buf_append(into, id_view(&n->node));
    buf_append(into, n->ids);
}

bool note_parse(view bytes, struct note *ret_note)
{
    struct cursor c = cursor_of(bytes);
    struct note n = {0};
    view start, node;
    uint16_t flags;
    uint32_t count;
    if (!take_bytes(&c, 2, &start) || start.at[0] != VERSION || (unsigned char)start.at[1] > NOTE_LEAVING) return false;
    if (!take_le16(&c, &flags) || !take_le32(&c, &count) || count > NOTE_IDS_MAX || !take_le64(&c, &n.sequence)) return false;
    if (!take_bytes(&c, sizeof n.node, &node) || !id_from_bytes(node, &n.node)) return false;
    if (!take_bytes(&c, count * sizeof(struct id), &n.ids) || !cursor_at_end(&c)) return false;
    n.kind = start.at[1] == NOTE_LEAVING ? NOTE_LEAVING : NOTE_CHANGED;
    n.is_everything = flags & FLAG_EVERYTHING;
    *ret_note = n;
    return true;
}

struct id note_id(const struct note *n, size_t index)
{
    struct id i;
    check(index < note_count(n));
    memcpy(i.bytes, n->ids.at + index * sizeof i, sizeof i);
    return i;
}

/* ---- the others ------------------------------------------------------------------------------------------- */

void peers_done(struct peers *p)
{
    free(p->at);
    *p = (struct peers){0};
}

static struct peer *find(struct peers *p, struct id node)
{
    for (size_t i = 0; i < p->count; i++)
        if (id_equal(p->at[i].node, node)) return &p->at[i];
    return NULL;
}

static void forget(struct peers *p, struct peer *one) { *one = p->at[--p->count]; }

bool peers_heard(struct peers *p, const struct note *n, millis now)
{
    struct peer *one = find(p, n->node);
    bool has_gap = one && one->sequence && n->sequence > one->sequence + 1;
    if (n->kind == NOTE_LEAVING) {
        if (one) forget(p, one);
        return !has_gap;
    }
    if (!one) {
        if (p->count == PEERS_MAX) return true;
        p->at = realloc(p->at, (p->count + 1) * sizeof *p->at);
        check(p->at);
        one = &p->at[p->count++];
        *one = (struct peer){.node = n->node};
    }
    if (n->sequence > one->sequence) one->sequence = n->sequence;
    one->heard = now;
    return !has_gap;
}

size_t peers_forget(struct peers *p, millis before)
{
    size_t forgotten = 0;
    for (size_t i = p->count; i > 0; i--) {
        if (!millis_before(p->at[i - 1].heard, before)) continue;
        forget(p, &p->at[i - 1]);
        forgotten++;
    }
    return forgotten;
}

void peers_expect_any(struct peers *p)
{
    for (size_t i = 0; i < p->count; i++) p->at[i].sequence = 0;
}
