/*
 * judge: what must hold when all is quiet, whatever happened.
 *
 * 1. What was acknowledged is in the history exactly once, and came to what its author was told; what certainly failed is not.
 * 2. Each node, and a node that knows nothing yet, has the mailboxes that the model has, and one digest.
 * 3. Every message can be read, byte for byte; every object is referenced or waits for its end.
 * 4. All of that again after compaction, and after the grace period.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "scenario.h"
#include "workload.h"

enum { SOON_MS = 60000, ARENA_BYTES = 16 << 20, ROWS = 128, LONG_MS = 3 * 3600 * 1000, HISTORY_ARENA_BYTES = 4 << 20, READ_MAX = 200 };

/* ---- the history --------------------------------------------------------------------------------------- */

static struct model *model_of(struct workload *w, struct id account)
{
    size_t count;
    const struct memory_history *history = memory_store_history(w->world.store, &count);
    struct arena *arena = arena_new(NULL, HISTORY_ARENA_BYTES);
    struct model *m = model_new(account);
    for (size_t i = 0; i < count; i++) {
        if (!id_equal(history[i].journal, account)) continue;
        struct record r;
        struct fault fault = {0};
        if (record_decode(history[i].meta, arena, &r, &fault) != OK) FAIL("record %zu: %s", i, fault.detail);
        model_apply(m, &r);
        arena_reset(arena);
    }
    arena_free(arena);
    return m;
}

static const struct model_outcome *message_outcome(const struct model *m, struct id message, unsigned *ret_times)
{
    const struct model_outcome *found = NULL;
    *ret_times = 0;
    for (size_t i = 0; i < m->outcome_count; i++) {
        if (m->outcomes[i].kind != RECORD_APPEND || m->outcomes[i].is_again || !id_equal(m->outcomes[i].message, message)) continue;
        if (!found) found = &m->outcomes[i];
        ++*ret_times;
    }
    return found;
}

static void check_told(const struct op *o, const struct model_outcome *came, bool is_alone)
{
    const struct outcome *told = &o->outcome;
    if (told->code != came->code) FAIL("line %u: was told %s, came to %s (modseq %" PRIu64 ")", o->line, result_name(told->code), result_name(came->code), came->modseq);
    if (told->modseq != came->modseq) FAIL("line %u: was told MODSEQ %" PRIu64 ", came to %" PRIu64, o->line, told->modseq, came->modseq);
    if (came->code != OK) return;
    /* Who was swallowed by another node's compaction before it read its own effect is told no details. */
    bool has_details = o->result_uids.len + o->source_uids.len + o->unchanged_uids.len > 0;
    bool has_none = told->mailbox == 0 || came->kind == RECORD_APPEND || came->kind == RECORD_COPY || came->kind == RECORD_EXPUNGE;
    if (!is_alone && !has_details && has_none) return;
    if (told->mailbox != came->mailbox || told->uid_validity != came->uid_validity)
        FAIL("line %u: was told mailbox %u, UIDVALIDITY %u; came to %u, %u", o->line, told->mailbox, told->uid_validity, came->mailbox, came->uid_validity);
    if (came->kind != RECORD_RESTORE && !view_equal(buf_view(&o->source_uids), buf_view(&came->source_uids))) FAIL("line %u: was told other source UIDs", o->line);
    if (came->kind != RECORD_RESTORE && !view_equal(buf_view(&o->result_uids), buf_view(&came->result_uids))) FAIL("line %u: was told other result UIDs", o->line);
    if (!view_equal(buf_view(&o->unchanged_uids), buf_view(&came->unchanged_uids))) FAIL("line %u: was told other unchanged UIDs", o->line);
}

static void check_op(const struct op *o, const struct model *m, bool is_alone)
{
    unsigned times;
    const struct model_outcome *came = NULL;
    if (o->is_message) {
        came = message_outcome(m, o->message, &times);
    } else {
        came = model_outcome_of(m, o->record.id);
        times = came != NULL;
    }
    if (times > 1) FAIL("line %u: done %u times", o->line, times);
    if (!o->is_told || o->code == UNKNOWN_OUTCOME) return;
    if (o->code == OK && times == 0) FAIL("line %u: acknowledged and lost", o->line);
    if (o->code != OK && times > 0) FAIL("line %u: told %s, but done", o->line, result_name(o->code));
    /* A delivery is told no more than that it is durable. */
    if (o->code == OK && (o->outcome.modseq || o->outcome.code != OK)) check_told(o, came, is_alone);
}

/* ---- an account against the model ---------------------------------------------------------------------- */

struct look {
    struct workload *workload;
    struct id account;
    struct model *model;                 /* of the history up to what the node knows */
    struct accounts *accounts;
    bool reads_messages, verifies, compacts;
    unsigned char digest[32];
    uint64_t sequence, garbage;
    const char *when;
};

static void keywords_of(const struct mailbox *box, uint64_t flags, buf *into)
{
    view texts[ROW_KEYWORDS_MAX];
    size_t count = 0;
    for (unsigned bit = ROW_KEYWORD_BIT; bit < 64; bit++)
        if (flags & (uint64_t)1 << bit) texts[count++] = mailbox_keyword(box, bit);
    for (size_t i = 0; i < count; i++)
        for (size_t k = i + 1; k < count; k++)
            if (view_compare(texts[k], texts[i]) < 0) {
                view swap = texts[i];
                texts[i] = texts[k];
                texts[k] = swap;
            }
    for (size_t i = 0; i < count; i++) buf_appendf(into, VIEW_FMT " ", VIEW_ARG(texts[i]));
}

static void check_row(const struct look *l, const struct model_mailbox *want, const struct mailbox *box, const struct model_row *w, const struct row *row)
{
    buf have = BUF_INIT, wanted = BUF_INIT;
    keywords_of(box, row->flags, &have);
    model_keywords(l->model, w->flags, &wanted);
    if (row->uid != w->uid || !id_equal(row->message, w->message)) FAIL("%s: %s has UID %u where the model has %u", l->when, want->name, row->uid, w->uid);
    if ((row->flags & ROW_SYSTEM_FLAGS) != (w->flags & ROW_SYSTEM_FLAGS) || !view_equal(buf_view(&have), buf_view(&wanted)))
        FAIL("%s: %s UID %u has flags %" PRIx64 " " VIEW_FMT ", the model %" PRIx64 " " VIEW_FMT, l->when, want->name, row->uid, row->flags & ROW_SYSTEM_FLAGS,
             VIEW_ARG(buf_view(&have)), w->flags & ROW_SYSTEM_FLAGS, VIEW_ARG(buf_view(&wanted)));
    if (row->modseq != w->modseq) FAIL("%s: %s UID %u has MODSEQ %" PRIu64 ", the model %" PRIu64, l->when, want->name, row->uid, row->modseq, w->modseq);
    if (row->size_bytes != w->size_bytes || row->internal_date.ms != w->internal_date.ms) FAIL("%s: %s UID %u has another size or date", l->when, want->name, row->uid);
    buf_done(&have);
    buf_done(&wanted);
}

MAY_YIELD static void check_rows(struct look *l, struct account *a, const struct model_mailbox *want)
{
    struct mailbox_view *v;
    struct row *rows = calloc(ROWS, sizeof *rows);
    struct fault fault = {0};
    MUST(rows);
    if (mailbox_view_open(a, want->number, &v) != OK) FAIL("%s: %s cannot be opened", l->when, want->name);
    if (mailbox_view_count(v) != want->rows.count) FAIL("%s: %s has %u messages, the model %zu", l->when, want->name, mailbox_view_count(v), want->rows.count);
    for (size_t at = 0, got; at < want->rows.count; at += got) {
        if (mailbox_view_rows(v, (uint32_t)at + 1, ROWS, rows, &got, clock_in(SOON_MS), &fault) != OK) FAIL("%s: %s: %s", l->when, want->name, fault.detail);
        MUST(got > 0);
        for (size_t i = 0; i < got; i++) check_row(l, want, state_mailbox(account_state(a), want->number), &want->rows.at[at + i], &rows[i]);
        /* Of a large mailbox, some. */
        for (size_t i = 0; l->reads_messages && i < got; i += 1 + want->rows.count / READ_MAX) {
            result code = workload_check_message(l->workload, a, want->number, &rows[i]);
            if (code != OK) FAIL("%s: %s UID %u cannot be read: %s", l->when, want->name, rows[i].uid, result_name(code));
        }
    }
    mailbox_view_close(v);
    free(rows);
}

static void check_info(const struct look *l, const struct model_mailbox *want, const struct mailbox_info *have)
{
    uint32_t unseen = 0, deleted = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < want->rows.count; i++) {
        unseen += !(want->rows.at[i].flags & ROW_SEEN);
        deleted += (want->rows.at[i].flags & ROW_DELETED) != 0;
        bytes += want->rows.at[i].size_bytes;
    }
    if (have->number != want->number || have->is_selectable != want->is_selectable || have->special_use != want->special_use)
        FAIL("%s: %s is mailbox %u, use %u, the model has %u, %u", l->when, want->name, have->number, have->special_use, want->number, want->special_use);
    if (!want->is_selectable) return;
    if (have->uid_validity != want->uid_validity || have->uid_next != want->uid_next)
        FAIL("%s: %s has UIDVALIDITY %u, UIDNEXT %u, the model %u, %u", l->when, want->name, have->uid_validity, have->uid_next, want->uid_validity, want->uid_next);
    if (have->exists != want->rows.count || have->unseen != unseen || have->deleted != deleted || have->size_bytes != bytes)
        FAIL("%s: %s has counters %u %u %u %" PRIu64 ", the model %zu %u %u %" PRIu64, l->when, want->name, have->exists, have->unseen, have->deleted,
             have->size_bytes, want->rows.count, unseen, deleted, bytes);
    if (have->highest_modseq != want->highest_modseq)
        FAIL("%s: %s has HIGHESTMODSEQ %" PRIu64 ", the model %" PRIu64, l->when, want->name, have->highest_modseq, want->highest_modseq);
}

/* Names and values, as they were last written. */
static void check_annotations(const struct look *l, struct account *a, uint32_t mailbox)
{
    const struct metadata_entry *have;
    size_t count = state_metadata(account_state(a), mailbox, &have), wanted = 0;
    for (size_t i = 0; i < l->model->annotation_count; i++) {
        const struct model_annotation *want = &l->model->annotations[i];
        if (want->mailbox != mailbox) continue;
        wanted++;
        const struct metadata_entry *e = state_metadata_find(account_state(a), mailbox, view_of(want->name));
        if (!e || !view_equal(e->name, view_of(want->name)) || !view_equal(e->value, view_of(want->value)))
            FAIL("%s: mailbox %u: annotation %s is " VIEW_FMT ", the model has %s", l->when, mailbox, want->name, VIEW_ARG(e ? e->value : VIEW("not there")), want->value);
    }
    if (count != wanted) FAIL("%s: mailbox %u has %zu annotations, the model %zu", l->when, mailbox, count, wanted);
}

static void check_usage(const struct look *l, struct account *a)
{
    struct usage have = state_usage(account_state(a)), want = {0};
    for (size_t i = 0; i < l->model->mailbox_count; i++) {
        const struct model_mailbox *box = l->model->mailboxes[i];
        for (size_t k = 0; k < box->rows.count && !box->is_gone; k++) want.messages++, want.bytes += box->rows.at[k].size_bytes;
        for (size_t k = 0; k < box->graves.count; k++) want.expunged_messages++, want.expunged_bytes += box->graves.at[k].size_bytes;
    }
    if (have.messages != want.messages || have.bytes != want.bytes || have.expunged_messages != want.expunged_messages || have.expunged_bytes != want.expunged_bytes)
        FAIL("%s: usage is %" PRIu64 " messages, %" PRIu64 " bytes, %" PRIu64 " and %" PRIu64 " expunged; the model has %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64,
             l->when, have.messages, have.bytes, have.expunged_messages, have.expunged_bytes, want.messages, want.bytes, want.expunged_messages, want.expunged_bytes);
}

static void found_problem(void *argument, view what) { FAIL("%s: verify: " VIEW_FMT, (const char *)argument, VIEW_ARG(what)); }

MAY_YIELD static void verify(struct look *l, struct account *a)
{
    struct fault fault = {0};
    struct account_verify v = {.found = found_problem, .argument = (void *)(uintptr_t)l->when};
    if (account_verify(a, &v, clock_in(SOON_MS), &fault) != OK) FAIL("%s: verify: %s", l->when, fault.detail);
    if (v.problems) FAIL("%s: verify found %" PRIu64 " problems", l->when, v.problems);
    l->garbage = v.garbage_objects;
}

static void look_at_account(void *argument)
{
    colour_pretend_coroutine();
    struct look *l = argument;
    struct account *a;
    struct fault fault = {0};
    struct arena *arena = arena_new(NULL, ARENA_BYTES);
    if (account_open(l->accounts, l->account, clock_in(SOON_MS), &a, &fault) != OK) FAIL("%s: %s", l->when, fault.detail);
    if (l->compacts && account_compact(a, clock_in(SOON_MS), &fault) != OK) FAIL("%s: compact: %s", l->when, fault.detail);
    /* A node may add a record by itself at any time: RECORD_PURGE. */
    for (unsigned tries = 0;; tries++) {
        if (account_refresh(a, clock_in(SOON_MS), &fault) != OK) FAIL("%s: %s", l->when, fault.detail);
        l->model = model_of(l->workload, l->account);
        if (state_sequence(account_state(a)) == l->model->sequence) break;
        if (tries == 3) FAIL("%s: %" PRIu64 " records, the model has %" PRIu64, l->when, state_sequence(account_state(a)), l->model->sequence);
        model_free(l->model);
    }
    check_usage(l, a);
    check_annotations(l, a, 0);
    struct mailbox_info *infos;
    size_t count = state_list(account_state(a), arena, &infos), wanted = 0;
    for (size_t i = 0; i < l->model->mailbox_count; i++) {
        const struct model_mailbox *want = l->model->mailboxes[i];
        if (want->is_gone) continue;
        wanted++;
        size_t k = 0;
        while (k < count && !view_equal(infos[k].name, view_of(want->name))) k++;
        if (k == count) FAIL("%s: there is no mailbox %s", l->when, want->name);
        check_info(l, want, &infos[k]);
        check_annotations(l, a, want->number);
        if (want->is_selectable) check_rows(l, a, want);
    }
    if (count != wanted) FAIL("%s: %zu mailboxes, the model has %zu", l->when, count, wanted);
    if (account_digest(a, l->digest, clock_in(SOON_MS), &fault) != OK) FAIL("%s: digest: %s", l->when, fault.detail);
    l->sequence = state_sequence(account_state(a));
    model_free(l->model);
    if (l->verifies) verify(l, a);
    account_close(a);
    arena_free(arena);
}

/* ---- the judgement ------------------------------------------------------------------------------------- */

/* The digest that an account had at a sequence number. */
struct known_digest {
    uint64_t sequence;
    bool is_known;
    unsigned char digest[32];
};

MAY_YIELD static void look_everywhere(struct workload *w, struct id account, struct known_digest *known, const char *when, bool compacts)
{
    for (unsigned i = 0; i < w->world.count; i++) {
        struct look l = {.workload = w, .account = account, .accounts = w->world.nodes[i].accounts, .when = when};
        l.compacts = compacts && i == 0;
        l.reads_messages = i == w->world.count - 1;
        l.verifies = i == 0;
        world_run(&w->world, i, account, look_at_account, &l);
        if (known->is_known && known->sequence == l.sequence && memcmp(known->digest, l.digest, sizeof l.digest) != 0)
            FAIL("%s: node %u has another digest", when, i);
        *known = (struct known_digest){.sequence = l.sequence, .is_known = true};
        memcpy(known->digest, l.digest, sizeof l.digest);
    }
}

MAY_YIELD static void look_at_all(struct workload *w, struct known_digest *known, const char *when, bool compacts)
{
    for (unsigned i = 0; i < w->options.accounts; i++) look_everywhere(w, w->accounts[i], &known[i], when, compacts);
}

static void check_ops(struct workload *w, struct id account)
{
    struct model *m = model_of(w, account);
    for (const struct op *o = w->ops; o; o = o->next)
        if (id_equal(o->account, account)) check_op(o, m, w->world.count == 1);
    model_free(m);
}

void judge(struct workload *w)
{
    struct known_digest known[WORKLOAD_ACCOUNTS_MAX] = {{0}};
    for (unsigned i = 0; i < w->options.accounts; i++) check_ops(w, w->accounts[i]);
    /* Those who watch are told by nobody but the store; or still have their views when others look. */
    bool watchers_first = sim_seed(w->world.sim) % 2;
    if (watchers_first) workload_end(w);
    look_at_all(w, known, "in memory", false);
    if (!watchers_first) workload_end(w);
    for (unsigned i = 0; i < w->world.count; i++) {
        world_stop(&w->world, i);
        world_boot(&w->world, i);
    }
    world_wait_ready(&w->world);
    look_at_all(w, known, "replayed", false);
    look_at_all(w, known, "compacted", true);
    MUST(coroutine_sleep(LONG_MS) == OK);
    look_at_all(w, known, "hours later", false);
    for (unsigned i = 0; i < w->world.count; i++) world_stop(&w->world, i);
}
