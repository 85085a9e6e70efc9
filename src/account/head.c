#include "account/head.h"

#include <string.h>

#include "base/check.h"
#include "base/cursor.h"
#include "base/feature.h"
#include "base/hash.h"

enum {
    HEAD_VERSION = 1,
    HEAD_VERSION_ORIGIN = 2,
    HEAD_VERSION_MAX = (int)FEATURE_LEVEL_MAX >= (int)FEATURE_HEAD_ORIGIN ? HEAD_VERSION_ORIGIN : HEAD_VERSION,
    RETIRED_BYTES = 1 + 16 + 8,
};

void head_encode(buf *into, const struct head *h)
{
    check(h->retired_count <= HEAD_RETIRED_MAX && (!h->directory_is_inline || h->directory.len <= HEAD_DIRECTORY_MAX_BYTES));
    size_t start = into->len;
    buf_append_byte(into, h->has_origin ? HEAD_VERSION_ORIGIN : HEAD_VERSION);
    buf_append(into, id_view(&h->snapshot));
    buf_append_le64(into, h->sequence);
    buf_append_le64(into, (uint64_t)h->swept.ms);
    buf_append_le64(into, h->purged_bytes);
    buf_append_le32(into, (uint32_t)h->retired_count);
    for (size_t i = 0; i < h->retired_count; i++) {
        buf_append_byte(into, h->retired[i].kind);
        buf_append(into, id_view(&h->retired[i].id));
        buf_append_le64(into, (uint64_t)h->retired[i].since.ms);
    }
    buf_append_byte(into, h->directory_is_inline);
    buf_append_le64(into, h->directory_offset);
    buf_append_le32(into, h->directory_is_inline ? (uint32_t)h->directory.len : h->directory_bytes);
    buf_append_le32(into, h->directory_crc);
    if (h->directory_is_inline) buf_append(into, h->directory);
    if (h->has_origin) {
        buf_append_le64(into, (uint64_t)h->written.ms);
        buf_append_byte(into, (char)strlen(h->origin));
        buf_append_cstr(into, h->origin);
    }
    buf_append_le32(into, crc32c(0, view_from(buf_view(into), start)));
}

static bool take_retired(struct cursor *c, struct arena *arena, struct head *h)
{
    uint32_t count;
    if (!take_le32(c, &count) || count > HEAD_RETIRED_MAX || c->rest.len < (size_t)count * RETIRED_BYTES) return false;
    h->retired = arena_array(arena, struct retired, count);
    h->retired_count = count;
    for (size_t i = 0; i < count; i++) {
        view kind;
        if (!take_bytes(c, 1, &kind) || !take_raw_id(c, &h->retired[i].id) || !take_unix_ms(c, &h->retired[i].since)) return false;
        h->retired[i].kind = kind.at[0];
        if (kind.at[0] != 'p' && kind.at[0] != 's' && kind.at[0] != 'i' && kind.at[0] != 'c') return false;
    }
    return true;
}

static bool take_directory(struct cursor *c, struct head *h)
{
    view is_inline;
    if (!take_bytes(c, 1, &is_inline) || (unsigned char)is_inline.at[0] > 1) return false;
    h->directory_is_inline = is_inline.at[0] == 1;
    if (!take_le64(c, &h->directory_offset) || !take_le32(c, &h->directory_bytes) || !take_le32(c, &h->directory_crc)) return false;
    return !h->directory_is_inline || (h->directory_bytes <= HEAD_DIRECTORY_MAX_BYTES && take_bytes(c, h->directory_bytes, &h->directory));
}

static bool take_origin(struct cursor *c, struct head *h)
{
    view len, name;
    if (!h->has_origin) return true;
    if (!take_unix_ms(c, &h->written) || !take_bytes(c, 1, &len) || (unsigned char)len.at[0] > HEAD_ORIGIN_MAX_BYTES) return false;
    if (!take_bytes(c, (unsigned char)len.at[0], &name) || (name.len && memchr(name.at, '\0', name.len))) return false;
    if (name.len) memcpy(h->origin, name.at, name.len);
    return true;
}

static bool take_head(struct cursor *c, struct arena *arena, struct head *h)
{
    return take_raw_id(c, &h->snapshot) && take_le64(c, &h->sequence) && take_unix_ms(c, &h->swept) && take_le64(c, &h->purged_bytes) &&
           take_retired(c, arena, h) && take_directory(c, h) && take_origin(c, h) && cursor_at_end(c);
}

result head_decode(view bytes, struct arena *arena, struct head *ret_head, struct fault *fault)
{
    if (bytes.len > 0 && (unsigned char)bytes.at[0] > HEAD_VERSION_MAX)
        return fail(fault, CORRUPT, "head of version %d: written by a newer version", (unsigned char)bytes.at[0]);
    if (bytes.len < 5 || bytes.at[0] == 0) return fail(fault, CORRUPT, "head of %zu bytes without a version", bytes.len);
    struct cursor c = cursor_of(view_slice(bytes, 1, bytes.len - 5)), end = cursor_of(view_from(bytes, bytes.len - 4));
    uint32_t crc = 0;
    if (!take_le32(&end, &crc) || crc != crc32c(0, view_slice(bytes, 0, bytes.len - 4))) return fail(fault, CORRUPT, "head fails its checksum");
    struct head h = {.has_origin = bytes.at[0] == HEAD_VERSION_ORIGIN};
    if (!take_head(&c, arena, &h)) return fail(fault, CORRUPT, "head breaks off or is malformed at byte %zu", cursor_position(&c) + 1);
    *ret_head = h;
    return OK;
}
