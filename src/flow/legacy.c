#include "flow/legacy.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "identity/row.h"
#include "runtime/clock.h"

/* ---- networks ---- */

static bool parse_network(view text, struct legacy_network *n)
{
    view address;
    uint32_t bits;
    if (!view_cut(&text, '/', &address) || !address_parse(address, &n->address)) return false;
    unsigned all = n->address.family == 4 ? 32 : 128;
    n->bits = all;
    if (text.len == 0) return true;
    if (!view_to_u32(text, &bits) || bits > all) return false;
    n->bits = bits;
    return true;
}

result legacy_networks_parse(view text, struct arena *arena, struct legacy_network **ret_networks, size_t *ret_count, struct fault *fault)
{
    struct legacy_network *networks = arena_array(arena, struct legacy_network, LEGACY_NETWORKS_MAX);
    size_t count = 0;
    view word;
    while (view_cut(&text, ' ', &word)) {
        if (word.len == 0) continue;
        if (count == LEGACY_NETWORKS_MAX) return fail(fault, INVALID, "more than %d networks", LEGACY_NETWORKS_MAX);
        if (!parse_network(word, &networks[count])) return fail(fault, INVALID, "\"" VIEW_FMT "\": expected a network such as 192.0.2.0/24", VIEW_ARG(word));
        count++;
    }
    *ret_networks = networks;
    *ret_count = count;
    return OK;
}

static bool is_in(const struct legacy_network *n, const struct address *peer)
{
    if (n->address.family != peer->family) return false;
    for (unsigned bit = 0; bit < n->bits; bit++) {
        unsigned mask = 0x80u >> bit % 8;
        if ((n->address.bytes[bit / 8] & mask) != (peer->bytes[bit / 8] & mask)) return false;
    }
    return true;
}

bool legacy_is_ours(const struct legacy_network *networks, size_t count, const struct address *peer)
{
    for (size_t i = 0; i < count; i++)
        if (is_in(&networks[i], peer)) return true;
    return false;
}

/* ---- rows ---- */

bool legacy_is_due(struct legacy_lately *lately, view key)
{
    uint64_t hash = hash_bytes(key) | 1;
    size_t i = hash / 2 % LEGACY_SLOTS;
    if (lately->slots[i].hash == hash && millis_before(clock_now(), lately->slots[i].until)) return false;
    lately->slots[i].hash = hash;
    lately->slots[i].until = clock_in(LEGACY_NOTE_MS);
    return true;
}

MAY_YIELD static result change_row(struct engine *e, view key, struct table_change *change, millis deadline, struct fault *fault)
{
    change->key = key;
    return table_batch(e, LEGACY_TABLE, table_shard_of(e, LEGACY_TABLE, key), change, 1, deadline, NULL, fault);
}

result legacy_note(struct engine *e, view key, view who, const struct address *peer, millis deadline, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 4 * ENGINE_VALUE_MAX_BYTES);
    char text[ADDRESS_TEXT_MAX];
    view before = VIEW_EMPTY;
    json_t *row CLEANUP(json_done) = NULL;
    result code = table_get(e, LEGACY_TABLE, table_shard_of(e, LEGACY_TABLE, key), key, deadline, arena, &before, fault);
    if (code != OK && code != NOT_FOUND) return code;
    if (code == NOT_FOUND || row_parse(LEGACY_TABLE, key, before, &row, NULL) != OK) {
        row = row_new();
        row_set_number(row, "first", (uint64_t)clock_wall().ms);
    }
    row_set_string(row, "account", who);
    row_set_string(row, "peer", address_text(peer, text));
    row_set_number(row, "last", (uint64_t)clock_wall().ms);
    row_set_number(row, "hours", (uint64_t)json_integer_value(json_object_get(row, "hours")) + 1);
    char *json = json_dumps(row, JSON_COMPACT);
    check(json);
    struct table_change change = {.what = TABLE_PUT, .value = view_of(json), .condition = before.len ? TABLE_IF_VALUE : TABLE_IF_ABSENT, .expected = before};
    code = change_row(e, key, &change, deadline, fault);
    free(json);
    return code == CONFLICT ? OK : code;
}

result legacy_forget(struct engine *e, view key, millis deadline, struct fault *fault)
{
    struct table_change change = {.what = TABLE_REMOVE};
    return change_row(e, key, &change, deadline, fault);
}
