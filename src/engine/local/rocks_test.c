/* RocksDB as it is used here, where it surprises. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/test.h"
#include "engine/local/local_test.h"
#include "engine/local/rocks.h"

enum { FILES = 60 };          /* of which RocksDB opens sixteen at a start */

static size_t key_of(unsigned number, char key[static 16])
{
    return (size_t)snprintf(key, 16, "row%03u", number);
}

BLOCKS static void put_into_a_file(struct rocks *s, unsigned number)
{
    char key[16], *error = NULL;
    size_t len = key_of(number, key);
    rocksdb_writeoptions_t *write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(write, 1);
    rocksdb_put_cf(s->db, write, s->families[FAMILY_TABLES], key, len, "value", 5, &error);
    rocksdb_writeoptions_destroy(write);
    REQUIRE(!error);
    REQUIRE(rocks_flush(s, NULL) == OK);
}

TEST(rocks_never_takes_a_row_for_empty_because_its_file_is_not_open)
{
    struct rocks s;
    struct fault fault = {0};
    char folder[LOCAL_TEST_FOLDER_BYTES], key[16], *error = NULL;
    const char *name = "disable_auto_compactions", *value = "true";
    colour_pretend_worker();
    struct rocks_options options = {.folder = test_make_folder(folder), .cache_bytes = 4 << 20, .memory_bytes = 8 << 20};
    REQUIRE(rocks_open(&s, &options, &fault) == OK);
    rocksdb_set_options_cf(s.db, s.families[FAMILY_TABLES], 1, &name, &value, &error);
    REQUIRE(!error);
    for (unsigned i = 0; i < FILES; i++) put_into_a_file(&s, i);
    rocks_close(&s);
    REQUIRE(rocks_open(&s, &options, &fault) == OK);
    for (unsigned i = 0; i < FILES; i++) {
        buf row CLEANUP(buf_done) = BUF_INIT;
        view wanted = view_make(key, key_of(i, key));
        result code = rocks_get(&s, FAMILY_TABLES, wanted, 0, SIZE_MAX, true, &row, &fault);
        EXPECT(code == OK || code == BUSY);
        if (code == BUSY) EXPECT(rocks_get(&s, FAMILY_TABLES, wanted, 0, SIZE_MAX, false, &row, &fault) == OK);
        EXPECT_VIEW(buf_view(&row), VIEW("value"));
    }
    rocks_close(&s);
    test_remove_folder(folder);
}

enum { MANY_KEYS = 200000, KEYS_READ = 200, READ_BYTES_MAX = 64 << 10, PERF_OFF = 1, PERF_COUNTS = 2 };

BLOCKS static void put_many(struct rocks *s)
{
    char key[16], *error = NULL;
    rocksdb_writeoptions_t *write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(write, 1);
    for (unsigned i = 0; i < MANY_KEYS && !error; i++) {
        size_t len = (size_t)snprintf(key, sizeof key, "key%06u", i);
        rocksdb_put_cf(s->db, write, s->families[FAMILY_BODIES], key, len, "value", 5, &error);
    }
    rocksdb_writeoptions_destroy(write);
    REQUIRE(!error && rocks_flush(s, NULL) == OK);
    rocksdb_compact_range_cf(s->db, s->families[FAMILY_BODIES], NULL, 0, NULL, 0);       /* those of fresh files are kept in any case */
}

/* The index and the filter of such a file are larger than what the cache has room for: a read must need pieces of them only. */
TEST(rocks_reads_little_of_a_file_with_many_keys)
{
    struct rocks s;
    struct fault fault = {0};
    char folder[LOCAL_TEST_FOLDER_BYTES], key[16];
    colour_pretend_worker();
    struct rocks_options options = {.folder = test_make_folder(folder), .cache_bytes = 128 << 10, .memory_bytes = 64 << 20};
    REQUIRE(rocks_open(&s, &options, &fault) == OK);
    put_many(&s);
    rocksdb_set_perf_level(PERF_COUNTS);
    rocksdb_perfcontext_t *counts = rocksdb_perfcontext_create();
    rocksdb_perfcontext_reset(counts);
    for (unsigned i = 0; i < KEYS_READ; i++) {
        buf row CLEANUP(buf_done) = BUF_INIT;
        size_t len = (size_t)snprintf(key, sizeof key, "key%06u", i * (MANY_KEYS / KEYS_READ));
        REQUIRE(rocks_get(&s, FAMILY_BODIES, view_make(key, len), 0, SIZE_MAX, false, &row, &fault) == OK);
        EXPECT_VIEW(buf_view(&row), VIEW("value"));
    }
    uint64_t bytes = rocksdb_perfcontext_metric(counts, rocksdb_block_read_byte);
    EXPECT(bytes > 0 && bytes / KEYS_READ < READ_BYTES_MAX);
    rocksdb_perfcontext_destroy(counts);
    rocksdb_set_perf_level(PERF_OFF);
    rocks_close(&s);
    test_remove_folder(folder);
}
