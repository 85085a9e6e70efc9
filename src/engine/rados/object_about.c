#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/cursor.h"
#include "base/hash.h"
#include "engine/rados/objects_private.h"

enum { ABOUT_VERSION = 1 };

/* ---- the attribute ------------------------------------------------------------------------------------------ */

void object_about_write(const struct object_about *about, char into[static OBJECT_ABOUT_BYTES])
{
    CLEANUP(buf_done) buf bytes = BUF_INIT;
    buf_append_byte(&bytes, ABOUT_VERSION);
    buf_append(&bytes, id_view(&about->writer));
    buf_append_le64(&bytes, about->size);
    buf_append_le32(&bytes, about->piece_bytes);
    buf_append_le32(&bytes, crc32c(0, buf_view(&bytes)));
    check(bytes.len == OBJECT_ABOUT_BYTES);
    memcpy(into, bytes.at, bytes.len);
}

bool object_about_parse(view bytes, struct object_about *ret_about)
{
    struct cursor c = cursor_of(bytes);
    struct object_about about;
    view id;
    uint32_t sum;
    if (!take_byte(&c, ABOUT_VERSION) || !take_bytes(&c, sizeof about.writer.bytes, &id) || !take_le64(&c, &about.size) ||
        !take_le32(&c, &about.piece_bytes) || !take_le32(&c, &sum) || !cursor_at_end(&c))
        return false;
    if (sum != crc32c(0, view_slice(bytes, 0, OBJECT_ABOUT_BYTES - sizeof sum)) || !id_from_bytes(id, &about.writer)) return false;
    *ret_about = about;
    return true;
}

uint64_t object_about_pieces(const struct object_about *about)
{
    return about->piece_bytes ? about->size / about->piece_bytes + (about->size % about->piece_bytes != 0) : 0;
}

/* Names of objects have no tilde. */
view object_piece_name(view name, struct id writer, uint64_t piece, char into[static OBJECT_PIECE_NAME_BYTES])
{
    char text[ID_TEXT_LEN + 1];
    id_text(writer, text);
    return view_make(into, (size_t)snprintf(into, OBJECT_PIECE_NAME_BYTES, VIEW_FMT "~%s.%" PRIu64, VIEW_ARG(name), text, piece));
}

/* ---- the cache ---------------------------------------------------------------------------------------------- */

struct slot {
    char name[ENGINE_NAME_MAX_BYTES];
    size_t name_bytes;                   /* 0: empty */
    struct object_about about;
};
struct object_cache {
    pthread_mutex_t lock;
    struct slot slots[OBJECT_CACHE_SLOTS];
};

struct object_cache *object_cache_new(void)
{
    struct object_cache *c = calloc(1, sizeof *c);
    check(c);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void object_cache_free(struct object_cache *c)
{
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static struct slot *slot_of(struct object_cache *c, view name) { return &c->slots[hash_bytes(name) % OBJECT_CACHE_SLOTS]; }
static bool is_of(const struct slot *s, view name) { return s->name_bytes && view_equal(view_make(s->name, s->name_bytes), name); }

bool object_cache_find(struct object_cache *c, view name, struct object_about *ret_about)
{
    struct slot *s = slot_of(c, name);
    pthread_mutex_lock(&c->lock);
    bool is_there = is_of(s, name);
    if (is_there) *ret_about = s->about;
    pthread_mutex_unlock(&c->lock);
    return is_there;
}

void object_cache_keep(struct object_cache *c, view name, const struct object_about *about)
{
    struct slot *s = slot_of(c, name);
    pthread_mutex_lock(&c->lock);
    memcpy(s->name, name.at, name.len);
    s->name_bytes = name.len;
    s->about = *about;
    pthread_mutex_unlock(&c->lock);
}

void object_cache_forget(struct object_cache *c, view name)
{
    struct slot *s = slot_of(c, name);
    pthread_mutex_lock(&c->lock);
    if (is_of(s, name)) s->name_bytes = 0;
    pthread_mutex_unlock(&c->lock);
}
