/*
 * log_block: what one synced write of the commit log holds. Pure: bytes and structs.
 *
 * A block is a header, entries, and zeros up to a multiple of LOG_ALIGN. Entries are effects (put this, remove that) and not
 * intents: applying all blocks in order again ends in the same state, from whatever earlier state. doc/formats/local-engine.md
 */
#pragma once

#include <stdint.h>

#include "base/cursor.h"
#include "base/result.h"
#include "base/view.h"

enum {
    LOG_ALIGN = 4096,                    /* of direct writes, and of the first byte that a torn write may spoil */
    LOG_HEADER_BYTES = 64,
    LOG_ENTRY_BYTES = 8,                 /* before key and value */
    LOG_KEY_MAX_BYTES = 1200,            /* a table's name, its shard and ENGINE_KEY_MAX_BYTES */
    LOG_VALUE_MAX_BYTES = (1 << 20) + 64,
};

struct log_header {
    uint64_t generation;                 /* grows by one with each (re-)use of a segment file */
    uint64_t number;                     /* grows by one with each block of the log */
    uint64_t replay_from;                /* generations before this one are in the tables for good */
    uint64_t next_sequence;              /* the first that no record has after this block */
    uint64_t salt;                       /* of the store: what mail holds cannot pass for a block. 0: written before there was one */
    uint32_t payload_bytes, entries;
    uint32_t payload_crc;
};

enum log_op { LOG_PUT = 1, LOG_REMOVE = 2, LOG_REMOVE_RANGE = 3 };       /* of a range: [key, value) */

struct log_entry {
    enum log_op op;
    uint8_t family;
    view key, value;
};

/* A block in the making: memory of the caller, aligned for direct writes. */
struct log_block {
    char *at;
    size_t len, capacity;
    uint32_t entries;
};
void log_block_begin(struct log_block *b);
bool log_block_has_room(const struct log_block *b, size_t entries, size_t key_and_value_bytes);
/* Room must be there. The caller fills the value. */
char *log_block_put(struct log_block *b, uint8_t family, view key, size_t value_bytes);
void log_block_remove(struct log_block *b, uint8_t family, view key);
void log_block_remove_range(struct log_block *b, uint8_t family, view from, view before);
view log_block_payload(const struct log_block *b);
/* Writes header and padding; the bytes to write. payload_bytes, entries and payload_crc of `header` are filled in. */
view log_block_finish(struct log_block *b, struct log_header *header);

/* The header at the front of `bytes`: CORRUPT if there is none. The payload is not looked at. */
NODISCARD result log_header_read(view bytes, struct log_header *ret_header);
/* Of the block with its padding. */
uint64_t log_block_bytes(const struct log_header *header);
/* `block` is all of the block: CORRUPT if the payload is not as the header says. */
NODISCARD result log_payload_check(view block, const struct log_header *header, view *ret_payload);
/* One entry from the front of a payload. False: malformed. Ops and families that are not known are the caller's to refuse. */
bool take_log_entry(struct cursor *c, struct log_entry *ret_entry);
