/*
 * snapshot_block: the rows of a block as bytes: column by column, because a column's numbers are alike. doc/formats/snapshot.md
 */
#include <stdlib.h>
#include <string.h>

#include "account/snapshot_private.h"
#include "base/check.h"

enum { VARINT_MAX_BYTES = 10 };

/* ---- writing ---- */

static uint64_t zigzag(int64_t n) { return ((uint64_t)n << 1) ^ (uint64_t)(n >> 63); }
static int64_t unzigzag(uint64_t n) { return (int64_t)(n >> 1) ^ -(int64_t)(n & 1); }

/* Room was reserved. */
static inline void put(buf *b, uint64_t number)
{
    unsigned char *at = (unsigned char *)b->at + b->len;
    size_t len = 0;
    for (; number >= 0x80; number >>= 7) at[len++] = (unsigned char)(number | 0x80);
    at[len++] = (unsigned char)number;
    b->len += len;
}

static inline void put_difference(buf *b, uint64_t now, uint64_t before)
{
    put(b, zigzag((int64_t)(now - before)));
}

static void put_dates(buf *payload, const struct row *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        put_difference(payload, (uint64_t)rows[i].internal_date.ms, i ? (uint64_t)rows[i - 1].internal_date.ms : 0);
    for (uint32_t i = 0; i < count; i++)
        put_difference(payload, (uint64_t)rows[i].save_date.ms, (uint64_t)rows[i].internal_date.ms);
}

static void put_places(buf *payload, const struct row *rows, uint32_t count, struct row_place (*place)(const void *argument, const struct row *row), const void *argument)
{
    struct row_place before = {0, 0};
    for (uint32_t i = 0; i < count; i++) {
        struct row_place now = place(argument, &rows[i]);
        put_difference(payload, now.pack, before.pack);
        put_difference(payload, now.entry, (uint64_t)before.entry + 1);
        before = now;
    }
}

static void put_uidls(buf *payload, const struct block *b)
{
    buf_append_varint(payload, b->uidl_count);
    for (uint32_t i = 0; i < b->uidl_count; i++) {
        buf_append_varint(payload, b->uidls[i].row - (i ? b->uidls[i - 1].row : 0));
        buf_append_varint(payload, b->uidls[i].len);
        buf_append(payload, view_make(b->uidl_text.at + b->uidls[i].at, b->uidls[i].len));
    }
}

void block_encode(const struct block *b, struct row_place (*place)(const void *argument, const struct row *row), const void *argument, buf *payload)
{
    check(b->is_loaded && b->count <= BLOCK_ROWS);
    buf_reserve(payload, 16 + (size_t)b->count * (8 * VARINT_MAX_BYTES + sizeof(struct id)));
    struct row *copy = b->slim ? malloc(b->count * sizeof *copy) : NULL;
    const struct row *rows = b->slim ? copy : b->wide;
    check(rows != NULL || b->count == 0);
    if (copy) block_read_rows(b, 0, b->count, copy);
    put(payload, BLOCK_VERSION);
    put(payload, b->count);
    for (uint32_t i = 0; i < b->count; i++) put_difference(payload, rows[i].uid, i ? (uint64_t)rows[i - 1].uid + 1 : 0);
    for (uint32_t i = 0; i < b->count; i++) put(payload, rows[i].size_bytes);
    for (uint32_t i = 0; i < b->count; i++) put(payload, rows[i].flags);
    for (uint32_t i = 0; i < b->count; i++) put_difference(payload, rows[i].modseq, i ? rows[i - 1].modseq : 0);
    put_dates(payload, rows, b->count);
    for (uint32_t i = 0; i < b->count; i++) {
        memcpy(payload->at + payload->len, rows[i].message.bytes, sizeof(struct id));
        payload->len += sizeof(struct id);
    }
    put_places(payload, rows, b->count, place, argument);
    free(copy);
    put_uidls(payload, b);
}

/* ---- reading ---- */

/* Reads past the end give zeros and are found at the end. */
struct reader { const unsigned char *at, *end; bool is_bad; };

static inline uint64_t get(struct reader *r)
{
    if (r->at < r->end && *r->at < 0x80) return *r->at++;
    uint64_t number = 0;
    for (unsigned shift = 0; shift < 64 && r->at < r->end; shift += 7) {
        unsigned char byte = *r->at++;
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return number;
    }
    r->is_bad = true;
    return 0;
}

static inline uint64_t get_after(struct reader *r, uint64_t before) { return before + (uint64_t)unzigzag(get(r)); }

static inline uint32_t get32(struct reader *r, uint64_t number)
{
    if (number > UINT32_MAX) r->is_bad = true;
    return (uint32_t)number;
}

static void get_columns(struct reader *r, struct row *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) rows[i].uid = get32(r, get_after(r, i ? (uint64_t)rows[i - 1].uid + 1 : 0));
    for (uint32_t i = 0; i < count; i++) rows[i].size_bytes = get32(r, get(r));
    for (uint32_t i = 0; i < count; i++) rows[i].flags = get(r);
    for (uint32_t i = 0; i < count; i++) rows[i].modseq = get_after(r, i ? rows[i - 1].modseq : 0);
    for (uint32_t i = 0; i < count; i++) rows[i].internal_date.ms = (int64_t)get_after(r, i ? (uint64_t)rows[i - 1].internal_date.ms : 0);
    for (uint32_t i = 0; i < count; i++) rows[i].save_date.ms = (int64_t)get_after(r, (uint64_t)rows[i].internal_date.ms);
    if ((size_t)(r->end - r->at) < (size_t)count * sizeof(struct id)) {
        r->is_bad = true;
        return;
    }
    for (uint32_t i = 0; i < count; i++, r->at += sizeof(struct id)) memcpy(rows[i].message.bytes, r->at, sizeof(struct id));
    struct row_place before = {0, 0};
    for (uint32_t i = 0; i < count; i++) {
        rows[i].pack = before.pack = get32(r, get_after(r, before.pack));
        rows[i].entry = before.entry = get32(r, get_after(r, (uint64_t)before.entry + 1));
    }
}

/* The UIDL of row `index`, if the next one in the list is its. */
struct uidl_reader { struct reader *r; uint64_t left, row; };

static view get_uidl(struct uidl_reader *u, uint32_t index)
{
    if (u->left == 0 || u->row != index) return VIEW_EMPTY;
    uint64_t len = get(u->r);
    if (len == 0 || len > RECORD_UIDL_BYTES_MAX || len > (uint64_t)(u->r->end - u->r->at)) {
        u->r->is_bad = true;
        return VIEW_EMPTY;
    }
    view uidl = view_make(u->r->at, (size_t)len);
    u->r->at += len;
    if (--u->left) {
        uint64_t step = get(u->r);
        if (step == 0 || step > BLOCK_ROWS) u->r->is_bad = true;
        u->row += step;
    }
    return uidl;
}

static struct uidl_reader begin_uidls(struct reader *r)
{
    struct uidl_reader u = {.r = r, .left = get(r)};
    if (u.left) u.row = get(r);
    return u;
}

result block_decode(view payload, struct block_pool *pool, struct block *into, struct fault *fault)
{
    struct reader r = {(const unsigned char *)payload.at, (const unsigned char *)payload.at + payload.len, false};
    uint64_t version = get(&r), count = get(&r);
    if (version > BLOCK_VERSION) return fail(fault, CORRUPT, "block of version %llu: written by a newer version", (unsigned long long)version);
    if (r.is_bad || version == 0 || count == 0 || count > BLOCK_ROWS || payload.len < count * sizeof(struct id))
        return fail(fault, CORRUPT, "block of %zu bytes: bad header", payload.len);
    struct row *rows = malloc(count * sizeof *rows);
    check(rows != NULL);
    get_columns(&r, rows, (uint32_t)count);
    struct uidl_reader u = begin_uidls(&r);
    if (r.is_bad) free(rows);
    else block_set_rows(pool, into, rows, (uint32_t)count);
    for (uint32_t i = 0; i < count && u.left && !r.is_bad; i++) {
        view uidl = get_uidl(&u, i);
        if (uidl.len) block_add_uidl(pool, into, i, uidl);
    }
    if (r.is_bad || u.left || r.at != r.end) return fail(fault, CORRUPT, "block of %zu bytes: bad rows", payload.len);
    return OK;
}

/* ---- frames ---- */

void frame_write(ZSTD_CCtx *compressor, view bytes, buf *frame)
{
    size_t bound = ZSTD_compressBound(bytes.len);
    buf_reserve(frame, bound);
    size_t len = ZSTD_compressCCtx(compressor, frame->at + frame->len, bound, bytes.at, bytes.len, SNAPSHOT_COMPRESSION);
    check(!ZSTD_isError(len));
    frame->len += len;
}

bool frame_read(view frame, size_t max, buf *ret_bytes)
{
    unsigned long long size = ZSTD_getFrameContentSize(frame.at, frame.len);
    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > max) return false;
    buf_reserve(ret_bytes, (size_t)size + 1);
    size_t len = ZSTD_decompress(ret_bytes->at, (size_t)size, frame.at, frame.len);
    if (ZSTD_isError(len) || len != size) return false;
    ret_bytes->len = len;
    return true;
}
