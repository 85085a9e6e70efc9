#include "engine/rados/frame.h"

#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "engine/engine.h"

static const unsigned char magic[4] = {'T', 'J', 1, 0};      /* the third byte is the version of the format */
enum { AT_META = 4, AT_BODY = 8, AT_CRC = 12, AT_ID = 16 };

static void put_le32(char *at, uint32_t n)
{
    memcpy(at, (unsigned char[]){(unsigned char)n, (unsigned char)(n >> 8), (unsigned char)(n >> 16), (unsigned char)(n >> 24)}, 4);
}

static uint32_t get_le32(const char *at)
{
    const unsigned char *b = (const unsigned char *)at;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

void journal_put_be64(char *at, uint64_t number)
{
    for (int i = 0; i < 8; i++) at[i] = (char)(number >> (56 - 8 * i));
}

uint64_t journal_take_be64(const char *at)
{
    uint64_t number = 0;
    for (int i = 0; i < 8; i++) number = number << 8 | (unsigned char)at[i];
    return number;
}

uint64_t journal_frame_id_at(const char *at) { return journal_take_be64(at); }

/* Over what stands before it, the id and the meta. */
static uint32_t header_crc(const char *at, view meta)
{
    uint32_t crc = crc32c(0, view_make(at, AT_CRC));
    crc = crc32c(crc, view_make(at + AT_ID, FRAME_ID_BYTES));
    return crc32c(crc, meta);
}

void journal_frame_write(char *into, uint64_t append_id, view meta, view body)
{
    check(append_id != 0 && meta.len <= ENGINE_META_MAX_BYTES && body.len <= ENGINE_BODY_MAX_BYTES);
    memcpy(into, magic, sizeof magic);
    put_le32(into + AT_META, (uint32_t)meta.len);
    put_le32(into + AT_BODY, (uint32_t)body.len);
    journal_put_be64(into + AT_ID, append_id);
    put_le32(into + AT_CRC, header_crc(into, meta));
    char *at = into + FRAME_HEADER_BYTES;
    if (meta.len) memcpy(at, meta.at, meta.len);
    at += meta.len;
    if (body.len) memcpy(at, body.at, body.len);
    at += body.len;
    put_le32(at, crc32c(0, body));
    journal_put_be64(at + FRAME_BODY_CRC_BYTES, append_id);
}

enum frame_state journal_frame_read(view bytes, struct frame *ret_frame, size_t *ret_needed)
{
    *ret_needed = FRAME_HEADER_BYTES;
    if (bytes.len < FRAME_HEADER_BYTES) return FRAME_CUT;
    size_t meta_bytes = get_le32(bytes.at + AT_META), body_bytes = get_le32(bytes.at + AT_BODY);
    if (memcmp(bytes.at, magic, sizeof magic) != 0 || meta_bytes > ENGINE_META_MAX_BYTES || body_bytes > ENGINE_BODY_MAX_BYTES) return FRAME_BROKEN;
    *ret_needed = journal_frame_bytes(meta_bytes, body_bytes);
    if (bytes.len < *ret_needed) return FRAME_CUT;
    struct frame f = {.meta = view_make(bytes.at + FRAME_HEADER_BYTES, meta_bytes), .append_id = journal_take_be64(bytes.at + AT_ID),
                      .body_bytes = (uint32_t)body_bytes, .bytes = *ret_needed};
    if (f.append_id == 0 || get_le32(bytes.at + AT_CRC) != header_crc(bytes.at, f.meta)) return FRAME_BROKEN;
    if (journal_frame_id_at(bytes.at + f.bytes - FRAME_ID_BYTES) != f.append_id) return FRAME_BROKEN;
    *ret_frame = f;
    return FRAME_WHOLE;
}

bool journal_frame_body_is_good(view body_and_crc)
{
    if (body_and_crc.len < FRAME_BODY_CRC_BYTES) return false;
    view body = view_slice(body_and_crc, 0, body_and_crc.len - FRAME_BODY_CRC_BYTES);
    return get_le32(body.at + body.len) == crc32c(0, body);
}
