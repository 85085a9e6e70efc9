/*
 * keys: how journals and tables are laid out in the families of RocksDB. doc/formats/local-engine.md
 *
 * A journal's rows stand side by side: its head first (sequence 0), then its records. Sequences are of the whole
 * store and only grow, so that appending needs no read.
 */
#pragma once

#include "base/id.h"
#include "base/view.h"
#include "engine/engine.h"

enum { FAMILY_STATE, FAMILY_RECORDS, FAMILY_BODIES, FAMILY_TABLES, FAMILY_COUNT };

enum {
    RECORD_KEY_BYTES = 24,
    RECORD_VALUE_BYTES = 6,          /* before the meta */
    HEAD_VALUE_BYTES = 17,           /* before the head */
    TABLE_KEY_MAX_BYTES = ENGINE_TABLE_NAME_MAX_BYTES + 1 + 4 + ENGINE_KEY_MAX_BYTES,
    ROW_VERSION = 1,
};

#define STATE_SEQUENCE_KEY VIEW("sequence")          /* its value: the next sequence, as 8 bytes, big-endian */

struct record_key { unsigned char bytes[RECORD_KEY_BYTES]; };
struct record_key record_key(struct id journal, uint64_t sequence);
static inline view record_key_view(const struct record_key *k) { return view_make(k->bytes, sizeof k->bytes); }
bool record_key_parse(view key, struct id *ret_journal, uint64_t *ret_sequence);

struct record_row {
    bool was_blind;                  /* appended without knowing the journal's state: whoever reads it may teach the committer */
    uint32_t body_bytes;
    view meta;
};
void record_row_write(char *into, const struct record_row *row);         /* RECORD_VALUE_BYTES + meta.len bytes */
bool record_row_parse(view value, struct record_row *ret_row);

struct head_row {
    uint64_t epoch, folded;          /* sequence of the last record that it swallowed */
    view head;
};
void head_row_write(char *into, const struct head_row *row);             /* HEAD_VALUE_BYTES + head.len bytes */
bool head_row_parse(view value, struct head_row *ret_row);

struct table_key { unsigned char bytes[TABLE_KEY_MAX_BYTES]; size_t len; };
void table_key_make(struct table_key *k, view table, uint32_t shard, view key);
static inline view table_key_view(const struct table_key *k) { return view_make(k->bytes, k->len); }

void put_be64(unsigned char *at, uint64_t n);
uint64_t get_be64(const void *at);

/*
 * A position's offset is what stands between the head and it, so that whoever knows a position knows how much the journal has
 * grown: the bytes of meta and body in the upper 40 bits, the records in the lower 24.
 */
static inline uint64_t offset_add(uint64_t offset, uint64_t bytes) { return offset + (bytes << 24) + 1; }
static inline uint64_t offset_bytes(uint64_t offset) { return offset >> 24; }
static inline uint64_t offset_records(uint64_t offset) { return offset & 0xffffff; }
