/* APPEND and import: messages into an open account, one at a time or pipelined. */
#include <stdlib.h>

#include "account/draft.h"
#include "account/home.h"
#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/random.h"

static void fill_record(struct record *r, struct draft *d, const struct append_options *options)
{
    unix_ms now = clock_wall();
    *r = (struct record){
        .kind = RECORD_APPEND,
        .id = random_id(),
        .written = now,
        .append = {.mailbox = options->mailbox, .message = draft_message(d), .size_bytes = (uint32_t)draft_bytes(d), .is_alone = !draft_is_inline(d),
                   .internal_date = options->internal_date.ms ? options->internal_date : now,
                   .save_date = options->save_date.ms ? options->save_date : now, .flags = options->flags, .uid = options->uid, .uidl = options->uidl,
                   .replaces_mailbox = options->replaces_mailbox, .replaces_uid = options->replaces_uid, .is_hidden = options->is_hidden},
    };
}

result account_append(struct account *a, struct draft *d, const struct append_options *options, struct arena *arena, struct outcome *ret_outcome,
                      millis deadline, struct fault *fault)
{
    struct record r;
    result code = draft_seal(d, 1, deadline, fault);
    fill_record(&r, d, options);
    if (code == OK && r.append.is_alone) code = draft_place(d, a->id, (uint32_t)(r.written.ms / 1000), deadline, fault);
    /* The bytes came to nothing that a row names: certainly not done. */
    if (code == UNKNOWN_OUTCOME) code = fail(fault, UNAVAILABLE, "placing the message: outcome unknown");
    if (code == OK && r.append.is_alone && !millis_before(clock_now(), deadline)) code = fail(fault, UNAVAILABLE, "placing the message took too long");
    if (code != OK) return code;
    return account_append_record(a, &r, r.append.is_alone ? VIEW_EMPTY : draft_body(d), arena, ret_outcome, deadline, fault);
}

/* ---- pipelined ----------------------------------------------------------------------------------------- */

struct started_append {
    struct own_append own;
    struct record record;
    struct append_pending *pending;
};

static void append_ended(struct own_append *o)
{
    struct started_append *s = container_of(o, struct started_append, own);
    struct append_pending *p = s->pending;
    p->code = o->code;
    free(s);
    p->private_data = NULL;
    p->done(p);
}

void account_append_start(struct account *a, struct append_pending *p, millis deadline)
{
    struct started_append *s = calloc(1, sizeof *s);
    check(s);
    p->private_data = s;
    p->outcome = (struct outcome){0};
    s->pending = p;
    s->own = (struct own_append){.account = a, .record = &s->record, .arena = p->arena, .outcome = &p->outcome, .fault = &p->fault,
                                 .deadline = deadline, .finished = append_ended};
    if (!draft_is_inline(p->draft)) {
        own_append_refuse(&s->own, fail(&p->fault, INVALID, "only messages of up to %d bytes are pipelined", DRAFT_INLINE_MAX_BYTES));
        return;
    }
    fill_record(&s->record, p->draft, &p->options);
    s->own.append.body = draft_body(p->draft);
    own_append_start(&s->own);
}
