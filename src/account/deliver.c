/*
 * Delivering: one blind append to each account, from any loop. No account is opened and nothing is read.
 *
 * A message that is not inline first becomes an object of each account, under a name that carries the second in which
 * the record was written (row.h); if the record then never comes, the object is garbage and is swept.
 */
#include <stdlib.h>

#include "account/draft.h"
#include "account/home.h"
#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/point.h"
#include "runtime/random.h"

enum { TRIES_MAX = 8, PLACERS_MAX = 8 };

struct letter {
    struct journal_append append;
    struct delivery *delivery;
    buf meta;
    unix_ms written;
    bool waits;                        /* to be appended */
    bool is_uncertain;                 /* an earlier try may have done it */
};

struct mailing {
    struct accounts *all;
    struct draft *draft;
    struct letter *letters;
    struct journal_append **appends;
    size_t count, next_to_place;
    millis deadline;
};

static void write_letter(struct mailing *m, struct letter *l)
{
    struct delivery *d = l->delivery;
    struct record r = {
        .kind = RECORD_APPEND,
        .id = random_id(),
        .written = l->written,
        .append = {.name = d->mailbox, .falls_back = true, .message = draft_message(m->draft), .size_bytes = (uint32_t)draft_bytes(m->draft),
                   .is_alone = !draft_is_inline(m->draft), .internal_date = l->written, .save_date = l->written, .flags = d->flags},
    };
    /* Where no mailbox can be or a flag cannot be written down: the message arrives without. */
    if (r.append.name.len > RECORD_NAME_BYTES_MAX) r.append.name = VIEW_EMPTY;
    if (!record_is_valid(&r)) r.append.flags.keyword_count = 0;
    record_encode(&l->meta, &r);
    l->append = (struct journal_append){.journal = d->account, .meta = buf_view(&l->meta), .fault = &d->fault};
    if (draft_is_inline(m->draft)) l->append.body = draft_body(m->draft);
}

static void begin_letters(struct mailing *m, struct delivery *deliveries)
{
    unix_ms now = clock_wall();
    for (size_t i = 0; i < m->count; i++) {
        struct letter *l = &m->letters[i];
        l->delivery = &deliveries[i];
        l->written = now;
        l->waits = true;
        write_letter(m, l);
    }
}

static void end_letter(struct letter *l, result code)
{
    l->waits = false;
    l->delivery->code = code;
}

/* ---- large messages ------------------------------------------------------------------------------------ */

MAY_YIELD static void place_some(void *argument)
{
    struct mailing *m = argument;
    while (m->next_to_place < m->count) {
        struct letter *l = &m->letters[m->next_to_place++];
        result code = draft_place(m->draft, l->delivery->account, (uint32_t)(l->written.ms / 1000), m->deadline, &l->delivery->fault);
        /* Not known to be there is not there: the record does not follow, and the name is not used again. */
        if (code == UNKNOWN_OUTCOME) code = fail(&l->delivery->fault, UNAVAILABLE, "placing the message: outcome unknown");
        if (code != OK) end_letter(l, code);
    }
}

MAY_YIELD static void place_all(struct mailing *m)
{
    struct fault fault;
    result code = draft_seal(m->draft, m->count, m->deadline, &fault);
    if (code != OK) {
        for (size_t i = 0; i < m->count; i++) {
            m->letters[i].delivery->fault = fault;
            end_letter(&m->letters[i], code == UNKNOWN_OUTCOME ? UNAVAILABLE : code);
        }
        return;
    }
    struct scope placers;
    scope_init(&placers, NULL);
    for (size_t i = 1; i < m->count && i < PLACERS_MAX; i++) coroutine_spawn(&placers, "place message", place_some, m);
    place_some(m);
    scope_join(&placers);
    scope_unlink(&placers);
}

/* ---- appending ----------------------------------------------------------------------------------------- */

static millis time_of_try(millis deadline)
{
    if (millis_is_never(deadline)) return deadline;
    int64_t left_ms = deadline.ms - clock_now().ms;
    return left_ms > 3000 ? millis_add(clock_now(), left_ms / 3 * 2) : deadline;
}

/* Those whose outcome is unknown stay: replay does a record id once, so they may be sent again. */
static size_t read_codes(struct mailing *m, bool is_last)
{
    size_t waiting = 0;
    for (size_t i = 0; i < m->count; i++) {
        struct letter *l = &m->letters[i];
        if (!l->waits) continue;
        /* An earlier try may be stored yet. */
        if (l->append.code != OK && l->is_uncertain) l->append.code = UNKNOWN_OUTCOME;
        l->is_uncertain = l->append.code == UNKNOWN_OUTCOME;
        if (l->append.code == UNKNOWN_OUTCOME && !is_last) {
            waiting++;
            continue;
        }
        end_letter(l, l->append.code);
        accounts_consider_compaction(m->all, &l->append);
        if (l->append.code == OK) usage_grew(m->all, l->append.journal, draft_bytes(m->draft));
    }
    return waiting;
}

/* A record must follow its object soon: an object that no row names for hours is taken for garbage. */
static void drop_the_late(struct mailing *m)
{
    if (draft_is_inline(m->draft) || millis_before(clock_now(), m->deadline)) return;
    for (size_t i = 0; i < m->count; i++)
        if (m->letters[i].waits) end_letter(&m->letters[i], fail(&m->letters[i].delivery->fault, UNAVAILABLE, "placing the message took too long"));
}

MAY_YIELD static void append_all(struct mailing *m)
{
    size_t waiting = 1;
    drop_the_late(m);
    for (unsigned tries = 1; waiting > 0; tries++) {
        size_t count = 0;
        for (size_t i = 0; i < m->count; i++)
            if (m->letters[i].waits) m->appends[count++] = &m->letters[i].append;
        if (count == 0) return;
        POINT("account.deliver.before_append");
        engine_append_all(m->all->engine, m->appends, count, time_of_try(m->deadline));
        POINT("account.deliver.appended");
        waiting = read_codes(m, tries == TRIES_MAX || !millis_before(clock_now(), m->deadline));
    }
}

void accounts_deliver(struct accounts *all, struct draft *d, struct delivery *deliveries, size_t count, millis deadline)
{
    if (count == 0) return;
    struct mailing m = {.all = all, .draft = d, .count = count, .deadline = deadline};
    m.letters = calloc(count, sizeof *m.letters);
    m.appends = calloc(count, sizeof *m.appends);
    check(m.letters && m.appends);
    begin_letters(&m, deliveries);
    if (!draft_is_inline(d)) place_all(&m);
    append_all(&m);
    for (size_t i = 0; i < count; i++) buf_done(&m.letters[i].meta);
    free(m.appends);
    free(m.letters);
}
