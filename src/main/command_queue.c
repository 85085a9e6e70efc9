/* command_queue: what waits to be sent, as operators see it. */
#include "base/map.h"
#include "flow/outbound.h"
#include "main/queue_words.h"
#include "runtime/clock.h"

enum { TOP_KEYS_MAX = 200000, TOP_DEFAULT = 20, TOP_ARENA_BYTES = 256 << 20, HEAD_BYTES = 16 << 10 };

/* ---- lists and sums ---- */

struct lister { struct command_call *call; result code; };

static MAY_YIELD bool show_line(void *argument, const struct queue_line *line)
{
    struct lister *l = argument;
    json_t *row = json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:i, s:s, s:o}", "message", queue_words_id(line->message), "tenant", queue_words_text(line->tenant), "sender",
                            queue_words_text(line->sender.len ? line->sender : VIEW("<>")), "recipient", queue_words_text(line->recipient), "bytes", (json_int_t)line->bytes,
                            "received", (json_int_t)line->received.ms, "next_try", (json_int_t)line->next_try.ms, "tries", (int)line->tries, "state",
                            line->is_held ? "held" : line->tries ? "deferred" : "waiting", "answer", queue_words_text(line->answer));
    l->code = command_row(l->call, row);
    return l->code == OK;
}

result command_queue_list(struct command_call *call, struct fault *fault)
{
    struct queue_filter f;
    struct lister l = {.call = call};
    result code = queue_words_read(call, &f, fault);
    if (code == OK) code = queue_list(call->service->queue, &f, command_deadline(), show_line, &l, fault);
    return code == OK ? l.code : code;
}

result command_queue_summary(struct command_call *call, struct fault *fault)
{
    struct queue_summary s;
    result code = queue_summarise(call->service->queue, command_deadline(), &s, fault);
    if (code != OK) return code;
    return command_row(call, json_pack("{s:I, s:I, s:I, s:I, s:i, s:I}", "messages", (json_int_t)s.messages, "recipients", (json_int_t)s.recipients, "bytes", (json_int_t)s.bytes,
                                       "held", (json_int_t)s.held, "shards", (int)s.shards, "oldest", (json_int_t)s.oldest.ms));
}

static void show_destination(void *argument, const struct outbound_line *line)
{
    json_t *rows = argument;
    json_array_append_new(rows, json_pack("{s:o, s:s, s:I, s:i, s:i, s:I, s:o}", "domain", queue_words_text(line->domain), "wish", line->wish, "waiting",
                                          (json_int_t)line->waiting, "connections",
                                          (int)line->connections, "limit", (int)line->connections_max, "rests", (json_int_t)(line->rests_ms / 1000), "reason",
                                          queue_words_text(line->reason)));
}

result command_queue_destinations(struct command_call *call, struct fault *fault)
{
    json_t *rows = json_array(), *row;
    size_t i;
    result code = OK;
    if (call->service->outbound) outbound_list(call->service->outbound, show_destination, rows);
    for (i = 0; code == OK && i < json_array_size(rows); i++) {
        row = json_incref(json_array_get(rows, i));
        code = command_row(call, row);
    }
    json_decref(rows);
    return code;
}

/* ---- one message ---- */

static result read_id(struct command_call *call, struct id *ret_id, struct fault *fault)
{
    view text = command_text(call, "message");
    return id_parse(text, ret_id) ? OK : fail(fault, INVALID, "not a message's id: " VIEW_FMT, VIEW_ARG(text));
}

static MAY_YIELD result show_envelope(struct command_call *call, const struct queue_message *m, view head)
{
    const struct queue_envelope *e = &m->envelope;
    size_t end = view_find_view(head, VIEW("\r\n\r\n"));
    json_t *row = json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:s, s:s}", "message", queue_words_id(e->message), "account", queue_words_id(e->account), "tenant",
                            queue_words_text(e->tenant), "sender", queue_words_text(e->sender.len ? e->sender : VIEW("<>")), "bytes", (json_int_t)e->bytes, "received",
                            (json_int_t)e->received.ms, "class", queue_class_name((enum queue_class)e->class), "standing", queue_standing_name((enum queue_standing)e->standing));
    if (e->envelope_id.len) json_object_set_new(row, "envelope_id", queue_words_text(e->envelope_id));
    if (e->not_before.ms) json_object_set_new(row, "not_before", json_integer(e->not_before.ms));
    if (e->deliver_by.ms) json_object_set_new(row, "deliver_by", json_integer(e->deliver_by.ms));
    if (e->priority) json_object_set_new(row, "priority", json_integer(e->priority));
    if (e->route.len) json_object_set_new(row, "route", queue_words_text(e->route));
    if (head.len) json_object_set_new(row, "header", queue_words_text(end == VIEW_NONE ? head : view_slice(head, 0, end + 2)));
    return command_row(call, row);
}

result command_queue_show(struct command_call *call, struct fault *fault)
{
    static const char *const states[] = {[QUEUED_WAITING] = "waiting", [QUEUED_SENDING] = "sending", [QUEUED_DONE] = "done"};
    struct id id;
    struct queue_message m;
    buf head CLEANUP(buf_done) = BUF_INIT;
    result code = read_id(call, &id, fault);
    if (code == OK) code = queue_show(call->service->queue, id, command_has(call, "header") ? HEAD_BYTES : 0, command_deadline(), call->arena, &m, &head, fault);
    if (code == OK) code = show_envelope(call, &m, buf_view(&head));
    for (size_t i = 0; code == OK && i < m.envelope.recipient_count; i++) {
        const struct queue_recipient_state *r = &m.recipients[i];
        json_t *row = json_pack("{s:o, s:s, s:i, s:I, s:I, s:o}", "recipient", queue_words_text(m.envelope.recipients[i].address), "state",
                                r->state == QUEUED_WAITING && m.is_held ? "held" : states[r->state], "tries", (int)r->tries, "tried", (json_int_t)r->tried.ms, "next_try",
                                (json_int_t)r->next_try.ms, "answer", queue_words_text(r->answer));
        if (m.envelope.recipients[i].original.len) json_object_set_new(row, "original", queue_words_text(m.envelope.recipients[i].original));
        code = command_row(call, row);
    }
    return code;
}

static const char *trace_what(const struct queue_trace *t)
{
    static const char *const orders[] = {"", "ordered to be held", "ordered to be released", "ordered to be tried now", "ordered to be given up", "ordered to be removed",
                                         "ordered to go elsewhere"};
    static const char *const outcomes[] = {"", "delivered", "failed", "deferred"};
    if (t->kind == QUEUE_ENQUEUE) return t->is_folded ? "taken (folded)" : "taken";
    if (t->kind == QUEUE_ATTEMPT) return t->is_folded ? "tried before (folded)" : outcomes[t->outcome];
    return orders[t->order];
}

result command_queue_trace(struct command_call *call, struct fault *fault)
{
    struct id id;
    struct queue_trace *entries;
    size_t count = 0;
    result code = read_id(call, &id, fault);
    if (code == OK) code = queue_trace(call->service->queue, id, command_deadline(), call->arena, &entries, &count, fault);
    for (size_t i = 0; code == OK && i < count; i++) {
        const struct queue_trace *t = &entries[i];
        code = command_row(call, json_pack("{s:I, s:s, s:o, s:i, s:o, s:o}", "at", (json_int_t)t->at.ms, "what", trace_what(t), "recipient",
                                           queue_words_text(t->target.len ? t->target : t->recipient), "status", (int)t->code, "host", queue_words_text(t->host), "answer",
                                           queue_words_text(t->answer)));
    }
    return code;
}

/* ---- who has most ---- */

struct sum { view key; uint64_t recipients, bytes; unix_ms oldest; };
struct topping {
    struct command_call *call;
    view by;
    struct arena *arena;
    struct map sums;
    struct sum others;                   /* what no longer found room */
};

static view key_of(const struct topping *t, const struct queue_line *line, char digits[static ID_TEXT_LEN + 1])
{
    size_t at = view_find_last(line->recipient, '@');
    if (view_equal(t->by, VIEW("account"))) return id_text(line->account, digits);
    if (view_equal(t->by, VIEW("tenant"))) return line->tenant;
    if (view_equal(t->by, VIEW("answer"))) return line->answer;
    if (view_equal(t->by, VIEW("sender"))) return line->sender.len ? line->sender : VIEW("<>");
    return at == VIEW_NONE ? line->recipient : view_from(line->recipient, at + 1);
}

static MAY_YIELD bool add_line(void *argument, const struct queue_line *line)
{
    struct topping *t = argument;
    char digits[ID_TEXT_LEN + 1];
    view key = key_of(t, line, digits);
    struct sum *sum = map_get(&t->sums, key);
    if (!sum && t->sums.count < TOP_KEYS_MAX && (sum = arena_try_alloc(t->arena, sizeof *sum + key.len))) {
        sum->key = arena_keep(t->arena, key);
        map_put(&t->sums, sum->key, sum);
    }
    if (!sum) sum = &t->others;
    sum->recipients++;
    sum->bytes += line->bytes;
    if (sum->oldest.ms == 0 || line->received.ms < sum->oldest.ms) sum->oldest = line->received;
    return true;
}

static MAY_YIELD result show_sum(struct topping *t, const struct sum *sum)
{
    struct id account;
    struct identity_account row;
    struct fault ignored = {0};
    view key = sum->key;
    if (view_equal(t->by, VIEW("account")) && id_parse(key, &account) &&
        identity_find_account(t->call->service->identity, account, command_deadline(), t->arena, &row, &ignored) == OK)
        key = row.address;
    return command_row(t->call, json_pack("{s:o, s:I, s:I, s:I}", "key", queue_words_text(key), "recipients", (json_int_t)sum->recipients, "bytes",
                                          (json_int_t)sum->bytes, "oldest", (json_int_t)sum->oldest.ms));
}

/* The largest first; few are asked for. */
static MAY_YIELD result show_top(struct topping *t, uint64_t limit)
{
    result code = OK;
    for (uint64_t n = 0; n < limit && code == OK; n++) {
        struct sum *most = NULL;
        size_t at = 0;
        for (struct map_slot *slot; (slot = map_next(&t->sums, &at));) {
            struct sum *sum = slot->value;
            if (sum->recipients > 0 && (!most || sum->recipients > most->recipients)) most = sum;
        }
        if (!most) break;
        code = show_sum(t, most);
        most->recipients = 0;
    }
    t->others.key = VIEW("(others)");
    return code == OK && t->others.recipients ? show_sum(t, &t->others) : code;
}

result command_queue_top(struct command_call *call, struct fault *fault)
{
    static const char *const kinds[] = {"sender", "account", "tenant", "destination", "answer"};
    struct queue_filter f;
    struct topping t = {.call = call, .by = command_has(call, "by") ? command_text(call, "by") : VIEW("sender")};
    bool is_known = false;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) is_known |= view_equal(t.by, view_of(kinds[i]));
    if (!is_known) return fail(fault, INVALID, "\"" VIEW_FMT "\": expected sender, account, tenant, destination or answer", VIEW_ARG(t.by));
    uint64_t limit = command_has(call, "limit") ? command_number(call, "limit") : TOP_DEFAULT;
    result code = queue_words_read(call, &f, fault);
    if (code != OK) return code;
    t.arena = arena_new(NULL, TOP_ARENA_BYTES);
    code = queue_list(call->service->queue, &f, command_deadline(), add_line, &t, fault);
    if (code == OK) code = show_top(&t, limit > 1000 ? 1000 : limit);
    map_done(&t.sums);
    arena_free(t.arena);
    return code;
}
