#include "engine/local/log_block.h"

#include <string.h>

#include "base/check.h"
#include "base/hash.h"

static const char magic[8] = "TYLOG\0\0\1";      /* the last byte is the version of the format */

static void put_le16(char *at, uint16_t n) { memcpy(at, (unsigned char[]){(unsigned char)n, (unsigned char)(n >> 8)}, 2); }

static void put_le32(char *at, uint32_t n)
{
    put_le16(at, (uint16_t)n);
    put_le16(at + 2, (uint16_t)(n >> 16));
}

static void put_le64(char *at, uint64_t n)
{
    put_le32(at, (uint32_t)n);
    put_le32(at + 4, (uint32_t)(n >> 32));
}

void log_block_begin(struct log_block *b)
{
    b->len = LOG_HEADER_BYTES;
    b->entries = 0;
}

bool log_block_has_room(const struct log_block *b, size_t entries, size_t key_and_value_bytes)
{
    return b->capacity - b->len >= entries * LOG_ENTRY_BYTES + key_and_value_bytes;
}

static char *add_entry(struct log_block *b, enum log_op op, uint8_t family, view key, size_t value_bytes)
{
    check(key.len <= LOG_KEY_MAX_BYTES && value_bytes <= LOG_VALUE_MAX_BYTES);
    check(log_block_has_room(b, 1, key.len + value_bytes));
    char *at = b->at + b->len;
    at[0] = (char)op;
    at[1] = (char)family;
    put_le16(at + 2, (uint16_t)key.len);
    put_le32(at + 4, (uint32_t)value_bytes);
    if (key.len) memcpy(at + LOG_ENTRY_BYTES, key.at, key.len);
    b->len += LOG_ENTRY_BYTES + key.len + value_bytes;
    b->entries++;
    return at + LOG_ENTRY_BYTES + key.len;
}

char *log_block_put(struct log_block *b, uint8_t family, view key, size_t value_bytes)
{
    return add_entry(b, LOG_PUT, family, key, value_bytes);
}

void log_block_remove(struct log_block *b, uint8_t family, view key) { add_entry(b, LOG_REMOVE, family, key, 0); }

void log_block_remove_range(struct log_block *b, uint8_t family, view from, view before)
{
    memcpy(add_entry(b, LOG_REMOVE_RANGE, family, from, before.len), before.at, before.len);
}

view log_block_payload(const struct log_block *b) { return view_make(b->at + LOG_HEADER_BYTES, b->len - LOG_HEADER_BYTES); }

view log_block_finish(struct log_block *b, struct log_header *header)
{
    view payload = log_block_payload(b);
    header->payload_bytes = (uint32_t)payload.len;
    header->entries = b->entries;
    header->payload_crc = crc32c(0, payload);
    char *at = b->at;
    memset(at, 0, LOG_HEADER_BYTES);
    memcpy(at, magic, sizeof magic);
    put_le64(at + 8, header->generation);
    put_le64(at + 16, header->number);
    put_le64(at + 24, header->replay_from);
    put_le64(at + 32, header->next_sequence);
    put_le32(at + 40, header->payload_bytes);
    put_le32(at + 44, header->entries);
    put_le32(at + 48, header->payload_crc);
    put_le64(at + 52, header->salt);
    put_le32(at + 60, crc32c(0, view_make(at, 60)));
    size_t whole = (size_t)log_block_bytes(header);
    check(whole <= b->capacity);
    memset(at + b->len, 0, whole - b->len);
    return view_make(at, whole);
}

result log_header_read(view bytes, struct log_header *ret_header)
{
    struct cursor c = cursor_of(view_slice(bytes, 0, LOG_HEADER_BYTES));
    struct log_header h;
    uint32_t crc;
    if (!take_view(&c, view_make(magic, sizeof magic)) || !take_le64(&c, &h.generation) || !take_le64(&c, &h.number) ||
        !take_le64(&c, &h.replay_from) || !take_le64(&c, &h.next_sequence) || !take_le32(&c, &h.payload_bytes) ||
        !take_le32(&c, &h.entries) || !take_le32(&c, &h.payload_crc) || !take_le64(&c, &h.salt) || !take_le32(&c, &crc))
        return CORRUPT;
    if (crc != crc32c(0, view_slice(bytes, 0, 60))) return CORRUPT;
    *ret_header = h;
    return OK;
}

uint64_t log_block_bytes(const struct log_header *header)
{
    return (LOG_HEADER_BYTES + (uint64_t)header->payload_bytes + LOG_ALIGN - 1) / LOG_ALIGN * LOG_ALIGN;
}

result log_payload_check(view block, const struct log_header *header, view *ret_payload)
{
    view payload = view_slice(block, LOG_HEADER_BYTES, header->payload_bytes);
    if (payload.len != header->payload_bytes || crc32c(0, payload) != header->payload_crc) return CORRUPT;
    *ret_payload = payload;
    return OK;
}

bool take_log_entry(struct cursor *c, struct log_entry *ret_entry)
{
    struct cursor at = *c;
    view start;
    uint16_t key_bytes;
    uint32_t value_bytes;
    struct log_entry entry;
    if (!take_bytes(&at, 2, &start) || !take_le16(&at, &key_bytes) || !take_le32(&at, &value_bytes)) return false;
    if (key_bytes > LOG_KEY_MAX_BYTES || value_bytes > LOG_VALUE_MAX_BYTES) return false;
    if (!take_bytes(&at, key_bytes, &entry.key) || !take_bytes(&at, value_bytes, &entry.value)) return false;
    entry.op = (enum log_op)(unsigned char)start.at[0];
    entry.family = (uint8_t)start.at[1];
    *ret_entry = entry;
    *c = at;
    return true;
}
