#include "engine/local/keys.h"

#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/cursor.h"

void put_be64(unsigned char *at, uint64_t n)
{
    for (int i = 7; i >= 0; i--, n >>= 8) at[i] = (unsigned char)n;
}

uint64_t get_be64(const void *at)
{
    uint64_t n = 0;
    for (int i = 0; i < 8; i++) n = n << 8 | ((const unsigned char *)at)[i];
    return n;
}

static void put_le(char *at, uint64_t n, int bytes)
{
    for (int i = 0; i < bytes; i++, n >>= 8) at[i] = (char)n;
}

struct record_key record_key(struct id journal, uint64_t sequence)
{
    struct record_key k;
    memcpy(k.bytes, journal.bytes, sizeof journal.bytes);
    put_be64(k.bytes + sizeof journal.bytes, sequence);
    return k;
}

bool record_key_parse(view key, struct id *ret_journal, uint64_t *ret_sequence)
{
    if (key.len != RECORD_KEY_BYTES) return false;
    memcpy(ret_journal->bytes, key.at, sizeof ret_journal->bytes);
    *ret_sequence = get_be64(key.at + sizeof ret_journal->bytes);
    return true;
}

void record_row_write(char *into, const struct record_row *row)
{
    into[0] = ROW_VERSION;
    into[1] = row->was_blind;
    put_le(into + 2, row->body_bytes, 4);
    memcpy(into + RECORD_VALUE_BYTES, row->meta.at, row->meta.len);
}

bool record_row_parse(view value, struct record_row *ret_row)
{
    struct cursor c = cursor_of(value);
    struct record_row row;
    view start;
    if (!take_bytes(&c, 2, &start) || start.at[0] != ROW_VERSION || !take_le32(&c, &row.body_bytes)) return false;
    row.was_blind = start.at[1] & 1;
    row.meta = c.rest;
    *ret_row = row;
    return true;
}

void head_row_write(char *into, const struct head_row *row)
{
    into[0] = ROW_VERSION;
    put_le(into + 1, row->epoch, 8);
    put_le(into + 9, row->folded, 8);
    memcpy(into + HEAD_VALUE_BYTES, row->head.at, row->head.len);
}

bool head_row_parse(view value, struct head_row *ret_row)
{
    struct cursor c = cursor_of(value);
    struct head_row row;
    if (!take_byte(&c, ROW_VERSION) || !take_le64(&c, &row.epoch) || !take_le64(&c, &row.folded)) return false;
    row.head = c.rest;
    *ret_row = row;
    return true;
}

void table_key_make(struct table_key *k, view table, uint32_t shard, view key)
{
    check(table.len <= ENGINE_TABLE_NAME_MAX_BYTES && key.len <= ENGINE_KEY_MAX_BYTES);
    memcpy(k->bytes, table.at, table.len);
    unsigned char *at = k->bytes + table.len;
    *at++ = 0;
    for (int i = 3; i >= 0; i--) *at++ = (unsigned char)(shard >> 8 * i);
    if (key.len) memcpy(at, key.at, key.len);
    k->len = table.len + 5 + key.len;
}
