#include "runtime/wire_zip.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/check.h"

enum {
    UNPACK_WINDOW_BITS = 15,             /* the peer chooses: all must be understood */
    PACK_WINDOW_BITS = 13,               /* ours: 32 KiB for window and chains */
    PACK_MEMORY_LEVEL = 6,               /* and 32 KiB for the rest */
    PACK_LEVEL = 3,
    PIECE_BYTES = 16 * 1024,
    PACK_ROOM_BYTES = 64,                /* at the least, for what a flush adds */
};

struct wire_zip {
    z_stream in, out;
    bool is_packing;                     /* `out` is there */
    bool has_ended;                      /* the peer's stream */
    bool was_full;                       /* the last piece filled its room: there may be more */
    buf arrived;
    size_t used;                         /* of arrived */
};

struct wire_zip *wire_zip_new(void)
{
    struct wire_zip *z = calloc(1, sizeof *z);
    check(z != NULL);
    check(inflateInit2(&z->in, -UNPACK_WINDOW_BITS) == Z_OK);
    return z;
}

void wire_zip_rest(struct wire_zip *z)
{
    if (z->is_packing) (void)deflateEnd(&z->out);
    z->is_packing = false;
    if (wire_zip_has_more(z)) return;
    buf_done(&z->arrived);
    z->used = 0;
}

void wire_zip_free(struct wire_zip *z)
{
    if (!z) return;
    wire_zip_rest(z);
    (void)inflateEnd(&z->in);
    buf_done(&z->arrived);
    free(z);
}

buf *wire_zip_arrived(struct wire_zip *z)
{
    buf_consume(&z->arrived, z->used);
    z->used = 0;
    return &z->arrived;
}

bool wire_zip_has_more(const struct wire_zip *z)
{
    return z->has_ended || z->was_full || z->used < z->arrived.len;
}

result wire_zip_unpack(struct wire_zip *z, buf *into)
{
    buf_reserve(into, PIECE_BYTES);
    z->in.next_in = z->arrived.len ? (Bytef *)z->arrived.at + z->used : (Bytef *)"";
    z->in.avail_in = (uInt)(z->arrived.len - z->used);
    z->in.next_out = (Bytef *)into->at + into->len;
    z->in.avail_out = PIECE_BYTES;
    int code = inflate(&z->in, Z_SYNC_FLUSH);
    z->used = z->arrived.len - z->in.avail_in;
    z->was_full = z->in.avail_out == 0;
    into->len += PIECE_BYTES - z->in.avail_out;
    z->has_ended = code == Z_STREAM_END;
    if (z->has_ended) return END;
    return code == Z_OK || code == Z_BUF_ERROR ? OK : INVALID;
}

void wire_zip_pack(struct wire_zip *z, view bytes, buf *into)
{
    if (!z->is_packing) {
        z->out = (z_stream){0};
        check(deflateInit2(&z->out, PACK_LEVEL, Z_DEFLATED, -PACK_WINDOW_BITS, PACK_MEMORY_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK);
        z->is_packing = true;
    }
    check(bytes.len <= UINT32_MAX);
    z->out.next_in = bytes.len ? (Bytef *)bytes.at : (Bytef *)"";
    z->out.avail_in = (uInt)bytes.len;
    do {
        size_t room = z->out.avail_in / 2 + PACK_ROOM_BYTES;
        buf_reserve(into, room);
        z->out.next_out = (Bytef *)into->at + into->len;
        z->out.avail_out = (uInt)room;
        (void)deflate(&z->out, Z_SYNC_FLUSH);
        into->len += room - z->out.avail_out;
    } while (z->out.avail_out == 0);
}
