/* command_upkeep: the rounds of maintenance over all accounts: how far they are, and orders. */
#include <string.h>

#include "base/check.h"
#include "main/command.h"
#include "runtime/clock.h"
#include "upkeep/upkeep.h"

static const char *state_of(const struct upkeep_status *s)
{
    if (s->is_paused) return "paused";
    if (s->round == 0) return "none yet";
    return s->ended.ms ? "ended" : s->nodes > 0 ? "running" : "waiting";
}

static MAY_YIELD result show_damaged(struct command_call *call, const struct upkeep_damage *d)
{
    struct identity_account row;
    char id[ID_TEXT_LEN + 1];
    view name = id_text(d->account, id);
    if (identity_find_account(call->service->identity, d->account, command_deadline(), call->arena, &row, NULL) == OK) name = row.address;
    json_t *answer = json_pack("{s:s%, s:I}", "account", name.at, name.len, "problems", (json_int_t)d->problems);
    check(answer != NULL);
    return command_row(call, answer);
}

static MAY_YIELD result show(struct command_call *call, enum upkeep_round kind, struct fault *fault)
{
    struct upkeep_status s;
    result r = upkeep_read_status(call->service->engine, kind, command_deadline(), call->arena, &s, fault);
    if (r != OK) return r;
    json_t *row = json_pack("{s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "round", (json_int_t)s.round, "state", state_of(&s), "accounts",
                            (json_int_t)s.now.accounts, "of", (json_int_t)s.previous.accounts, "messages", (json_int_t)s.now.messages, "bytes",
                            (json_int_t)s.now.bytes, "objects", (json_int_t)s.now.objects, "garbage", (json_int_t)s.now.garbage, "tended",
                            (json_int_t)s.now.tended, "problems", (json_int_t)s.now.problems, "nodes", (json_int_t)s.nodes);
    check(row != NULL);
    if (s.round) json_object_set_new(row, "began", json_integer((json_int_t)s.began.ms));
    if (s.round && s.ended.ms) json_object_set_new(row, "ended", json_integer((json_int_t)s.ended.ms));
    r = command_row(call, row);
    for (size_t i = 0; r == OK && kind == ROUND_SCRUB && i < s.damaged_count; i++) r = show_damaged(call, &s.damaged[i]);
    return r;
}

static MAY_YIELD result run(struct command_call *call, enum upkeep_round kind, struct fault *fault)
{
    static const char *const orders[] = {[UPKEEP_START] = "start", [UPKEEP_PAUSE] = "pause", [UPKEEP_RESUME] = "resume"};
    view action = command_text(call, "action");
    if (action.len == 0 || view_equal(action, VIEW("status"))) return show(call, kind, fault);
    for (unsigned i = 0; i < sizeof orders / sizeof orders[0]; i++)
        if (view_equal(action, view_of(orders[i]))) return upkeep_order_round(call->service->engine, kind, i, command_deadline(), fault);
    return fail(fault, INVALID, "expected start, pause, resume or status");
}

result command_store_scrub(struct command_call *call, struct fault *fault)
{
    return run(call, ROUND_SCRUB, fault);
}

result command_store_upkeep(struct command_call *call, struct fault *fault)
{
    return run(call, ROUND_TEND, fault);
}
