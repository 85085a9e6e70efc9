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
