#include "base/buf.h"
#include "engine/rados/layout.h"

static const view first_line = VIEW_INIT("tayori rados engine 1");

static uint32_t or_default(uint32_t shards, uint32_t otherwise) { return shards ? shards : otherwise; }

void rados_layout_print(const struct rados_layout *layout, buf *into)
{
    buf_appendf(into, VIEW_FMT "\ntable-shards %u\nindex-shards %u\n", VIEW_ARG(first_line),
                or_default(layout->table_shards, RADOS_DEFAULT_TABLE_SHARDS), or_default(layout->index_shards, RADOS_DEFAULT_INDEX_SHARDS));
}

static bool are_shards(uint32_t shards) { return shards >= RADOS_SHARDS_MIN && shards <= RADOS_SHARDS_MAX; }

static result parse_line(view line, struct rados_layout *layout, struct fault *fault)
{
    view name, value = line;
    if (!view_cut(&value, ' ', &name)) return OK;
    uint32_t *number = view_equal(name, VIEW("table-shards"))   ? &layout->table_shards
                       : view_equal(name, VIEW("index-shards")) ? &layout->index_shards
                                                                : NULL;
    if (!number) return OK;
    if (view_to_u32(value, number) && are_shards(*number)) return OK;
    return fail(fault, INVALID, "the layout of the store says \"" VIEW_FMT "\"", VIEW_ARG(line));
}

result rados_layout_parse(view text, struct rados_layout *ret_layout, struct fault *fault)
{
    struct rados_layout layout = {0};
    view line = VIEW_EMPTY;
    if (!view_cut(&text, '\n', &line) || !view_equal(line, first_line))
        return fail(fault, INVALID, "the layout of the store says \"" VIEW_FMT "\": not a store that this version can read",
                    VIEW_ARG(view_slice(line, 0, 100)));
    while (view_cut(&text, '\n', &line)) {
        result code = parse_line(line, &layout, fault);
        if (code != OK) return code;
    }
    if (!layout.table_shards || !layout.index_shards) return fail(fault, INVALID, "the layout of the store lacks its numbers of shards");
    *ret_layout = layout;
    return OK;
}
