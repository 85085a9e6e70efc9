/* What is stored as bytes of our own: the layout of a store, the attribute of an object. What is taken is written again as it was. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/rados/objects_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_layout(view text)
{
    struct rados_layout layout, again;
    CLEANUP(buf_done) buf printed = BUF_INIT;
    if (rados_layout_parse(text, &layout, NULL) != OK) return;
    rados_layout_print(&layout, &printed);
    check(rados_layout_parse(buf_view(&printed), &again, NULL) == OK);
    check(again.table_shards == layout.table_shards && again.index_shards == layout.index_shards);
}

static void try_about(view bytes)
{
    struct object_about about;
    char written[OBJECT_ABOUT_BYTES];
    if (!object_about_parse(bytes, &about)) return;
    object_about_write(&about, written);
    check(view_equal(view_make(written, sizeof written), bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_layout(view_make(data, size));
    try_about(view_make(data, size));
    return 0;
}
