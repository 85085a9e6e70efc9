/* command_pool: the addresses that mail leaves from, what they have sent, and where they are refused. */
#include <inttypes.h>

#include "flow/egress.h"
#include "flow/egress_row.h"
#include "main/command.h"
#include "main/queue_words.h"
#include "runtime/clock.h"

enum { DAY_MS = 24 * 3600 * 1000, ROW_ARENA_BYTES = 4 << 20 };

/* Calls show() for each address of each pool of the configuration, with its row. */
static MAY_YIELD result each_address(struct command_call *call, MAY_YIELD result (*show)(struct command_call *call, const struct egress_pool *pool, const struct egress_address *a,
                                                                                        const struct egress_row *row),
                                     struct fault *fault)
{
    const struct config *c = call->service->config;
    for (size_t p = 0; p < c->egress_count; p++)
        for (size_t i = 0; i < c->egress[p].address_count; i++) {
            struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, ROW_ARENA_BYTES);
            struct egress_row row;
            result code = egress_row_read(call->service->engine, &c->egress[p].addresses[i].address, command_deadline(), arena, &row, fault);
            if (code == OK) code = show(call, &c->egress[p], &c->egress[p].addresses[i], &row);
            if (code != OK) return code;
        }
    return OK;
}

static MAY_YIELD result show_address(struct command_call *call, const struct egress_pool *pool, const struct egress_address *a, const struct egress_row *row)
{
    char text[ADDRESS_TEXT_MAX];
    uint64_t limit = egress_day_limit(a, clock_wall());
    bool is_of_today = row->day == clock_wall().ms / DAY_MS;
    json_t *json = json_pack("{s:o, s:o, s:o, s:I, s:I}", "pool", queue_words_text(pool->name), "address", queue_words_text(address_text(&a->address, text)), "hello",
                             queue_words_text(a->hello), "sent", (json_int_t)(is_of_today ? row->sent : 0), "refused", (json_int_t)row->block_count);
    if (limit != UINT64_MAX) json_object_set_new(json, "limit", json_integer((json_int_t)limit));
    return command_row(call, json);
}

static MAY_YIELD result show_blocks(struct command_call *call, const struct egress_pool *pool, const struct egress_address *a, const struct egress_row *row)
{
    char text[ADDRESS_TEXT_MAX];
    result code = OK;
    for (size_t i = 0; i < row->block_count && code == OK; i++) {
        const struct egress_block *b = &row->blocks[i];
        code = command_row(call, json_pack("{s:o, s:o, s:o, s:I, s:I, s:o}", "pool", queue_words_text(pool->name), "address", queue_words_text(address_text(&a->address, text)),
                                           "destination", command_json_text(b->hosts), "since", (json_int_t)b->since.ms, "until", (json_int_t)b->until.ms, "answer",
                                           command_json_text(b->answer)));
    }
    return code;
}

result command_pool_list(struct command_call *call, struct fault *fault) { return each_address(call, show_address, fault); }
result command_pool_refused(struct command_call *call, struct fault *fault) { return each_address(call, show_blocks, fault); }

struct clearing { view destination; uint64_t cleared; };

static bool clear_blocks(void *argument, struct egress_row *row)
{
    struct clearing *c = argument;
    size_t kept = 0;
    for (size_t i = 0; i < row->block_count; i++) {
        bool goes = c->destination.len == 0 || view_find_nocase(row->blocks[i].hosts, c->destination) != VIEW_NONE;
        if (!goes) row->blocks[kept++] = row->blocks[i];
    }
    c->cleared = row->block_count - kept;
    row->block_count = kept;
    return c->cleared > 0;
}

result command_pool_clear(struct command_call *call, struct fault *fault)
{
    struct clearing c = {.destination = command_text(call, "destination")};
    struct address a;
    struct egress_row row;
    if (!address_parse(command_text(call, "address"), &a)) return fail(fault, INVALID, "\"" VIEW_FMT "\": expected an address", VIEW_ARG(command_text(call, "address")));
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 8 * ROW_ARENA_BYTES);
    result code = egress_row_change(call->service->engine, &a, clear_blocks, &c, command_deadline(), arena, &row, fault);
    if (code != OK) return code;
    return command_row(call, json_pack("{s:I}", "cleared", (json_int_t)c.cleared));
}
