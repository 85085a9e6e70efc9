#include "workload.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/feature.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/random.h"
#include "scenario.h"

enum {
    ARENA_BYTES = 4 << 20, ROWS_AT_ONCE = 64, LARGE_BYTES_MAX = 200000, SMALL_BYTES_MAX = 3000, MIRROR_MAX = 200000,
    QUIET_LIMIT_MS = 3600 * 1000, IDLER_PATIENCE_MS = 30000, PIPELINED = 6, PATTERN_ROWS = 26, PATTERN_BYTES = 1009,
};

struct mirror_row {
    uint32_t uid;
    uint64_t flags;
    bool is_known;                       /* its flags were told */
};

/* A client with an account open. */
struct session {
    struct session *next;
    struct workload *workload;
    unsigned node, number;
    struct id account_id;
    bool is_idler, delivers;
    bool began_calm;                     /* the world was when the operation under way began */

    struct account *account;
    struct arena *arena;
    struct mailbox_view *view;
    uint32_t mailbox;
    struct mirror_row *mirror;           /* what it was told of its mailbox */
    size_t mirror_count;
    uint64_t modseq_seen;
    struct account_watch watch;
    bool has_changed;
    struct waitlist changed;
    struct scope scope;                  /* of the coroutine that does it all */
    bool has_scope;
};

/* ---- choices ------------------------------------------------------------------------------------------- */

static uint64_t choose(const struct session *s, uint64_t below) { return sim_choose(s->workload->world.sim, below); }
static bool percent(const struct session *s, unsigned percent) { return choose(s, 100) < percent; }

static bool is_stopped(const struct session *s) { return scope_is_cancelled(&s->scope); }

/* Of an operation that begins now. */
static millis some_deadline(struct session *s)
{
    s->began_calm = s->workload->world.is_calm;
    if (!s->workload->world.is_calm && percent(s, s->workload->options.short_deadlines_percent)) return clock_in((int64_t)choose(s, 15));
    return clock_in(500 + (int64_t)choose(s, 30000));
}

static const char *const names[] = {"INBOX", "Archiv", "Archiv/2026", "Archiv/2026/Jan", "Sent", "Trash", "\xe4\xb8\xad", "A", "A/B", "A/B/C", "Z/Y"};
static view some_name(const struct session *s) { return view_of(names[choose(s, sizeof names / sizeof names[0])]); }

static const view keywords[] = {VIEW_INIT("$Junk"), VIEW_INIT("$Forwarded"), VIEW_INIT("work"), VIEW_INIT("private"), VIEW_INIT("$Important")};

static struct record_flags some_flags(struct session *s)
{
    struct record_flags f = {.system = choose(s, ROW_SYSTEM_FLAGS + 1) & choose(s, ROW_SYSTEM_FLAGS + 1)};
    f.keywords = arena_array(s->arena, view, 2);
    if (percent(s, 30)) f.keywords[f.keyword_count++] = keywords[choose(s, 5)];
    if (percent(s, 10) && f.keyword_count) {
        f.keywords[1] = keywords[choose(s, 5)];
        f.keyword_count += !view_equal(f.keywords[0], f.keywords[1]);
    }
    return f;
}

/* Up to three ranges around the UIDs that the session knows. */
static struct imap_set some_uids(struct session *s)
{
    uint32_t highest = s->mirror_count ? s->mirror[s->mirror_count - 1].uid + 3 : 5, next = 1;
    struct imap_set set = {.ranges = arena_array(s->arena, struct imap_range, 3)};
    if (percent(s, 5)) {
        set.ranges[set.count++] = (struct imap_range){1, UINT32_MAX};
        return set;
    }
    for (unsigned wanted = 1 + (unsigned)choose(s, 3); wanted > 0 && next <= highest; wanted--) {
        uint32_t first = next + (uint32_t)choose(s, highest - next + 1), last = first + (uint32_t)choose(s, percent(s, 30) ? 10 : 2);
        set.ranges[set.count++] = (struct imap_range){first, last};
        next = last + 2;
    }
    return set;
}

static uint32_t some_mailbox(struct session *s)
{
    struct mailbox_info *infos;
    size_t count = state_list(account_state(s->account), s->arena, &infos);
    if (count == 0 || percent(s, 3)) return (uint32_t)choose(s, 20);
    return infos[choose(s, count)].number;
}

/* ---- notes --------------------------------------------------------------------------------------------- */

static struct op *note_op(struct session *s, unsigned line)
{
    struct workload *w = s->workload;
    struct op *o = calloc(1, sizeof *o);
    check(o);
    o->account = s->account_id;
    o->line = line;
    o->next = w->ops;
    w->ops = o;
    return o;
}

static void keep_set(buf *into, const struct imap_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        for (uint32_t uid = set->ranges[i].first;; uid++) {
            buf_append(into, view_make(&uid, sizeof uid));
            if (uid == set->ranges[i].last) break;
        }
}

static bool is_failure(result code)
{
    return code == UNAVAILABLE || code == UNKNOWN_OUTCOME || code == TIMEOUT || code == CORRUPT || code == CANCELLED;
}

static void note_result(struct session *s, struct op *o, result code, const struct outcome *outcome, const struct fault *fault)
{
    struct workload *w = s->workload;
    o->is_told = true;
    o->code = code;
    if (code == OK && outcome) {
        o->outcome = *outcome;
        keep_set(&o->source_uids, &outcome->source_uids);
        keep_set(&o->result_uids, &outcome->result_uids);
        keep_set(&o->unchanged_uids, &outcome->unchanged_uids);
    }
    if (code == OK) w->told_ok++;
    else if (code == UNKNOWN_OUTCOME) w->told_unknown++;
    else w->told_failed++;
    if (code != OK && !is_failure(code)) FAIL("line %u: %s: %s", o->line, result_name(code), fault->detail);
    if (code != OK && code != CANCELLED && s->began_calm) FAIL("line %u: %s in a calm world: %s", o->line, result_name(code), fault->detail);
}

/* Reads may fail for a while, never for a reason that nobody made. */
static bool may_fail(const struct session *s, result code, const struct fault *fault)
{
    if (code == OK) return false;
    if (code != CANCELLED && (s->began_calm || !is_failure(code))) FAIL("%s: %s", result_name(code), fault->detail);
    return true;
}

/* ---- messages ------------------------------------------------------------------------------------------ */

/* Bytes of a message: a row of the pattern, again and again. */
static view bytes_of(uint64_t number, size_t at, size_t max)
{
    static char pattern[PATTERN_ROWS][PATTERN_BYTES];
    if (!pattern[0][0])
        for (size_t i = 0; i < sizeof pattern; i++) pattern[i / PATTERN_BYTES][i % PATTERN_BYTES] = (char)('a' + (i / PATTERN_BYTES * 7 + i * 31 + i / 97) % 26);
    size_t from = at % PATTERN_BYTES, count = PATTERN_BYTES - from;
    return view_make(&pattern[number % PATTERN_ROWS][from], count < max ? count : max);
}

const struct made *workload_made(const struct workload *w, struct id message)
{
    for (const struct made *m = w->made; m; m = m->next)
        if (id_equal(m->message, message)) return m;
    return NULL;
}

static const struct made *make_message(struct session *s)
{
    struct workload *w = s->workload;
    struct made *m = calloc(1, sizeof *m);
    check(m);
    m->message = random_id();
    m->number = w->next_number++;
    m->bytes = (size_t)choose(s, SMALL_BYTES_MAX);
    if (sim_chance_ppm(w->world.sim, w->options.large_ppm)) m->bytes = (size_t)choose(s, LARGE_BYTES_MAX);
    if (percent(s, 2)) m->bytes = DRAFT_INLINE_MAX_BYTES + (size_t)choose(s, 3) - 1;
    m->next = w->made;
    w->made = m;
    return m;
}

/* NULL when the store did not let it. */
MAY_YIELD static struct draft *write_draft(struct session *s, const struct made *m)
{
    struct fault fault = {0};
    struct draft *d = draft_new(s->workload->world.nodes[s->node].accounts, m->message, LARGE_BYTES_MAX);
    for (size_t at = 0; at < m->bytes;) {
        view piece = bytes_of(m->number, at, m->bytes - at);
        result code = draft_write(d, piece, some_deadline(s), &fault);
        at += piece.len;
        if (code == OK) continue;
        draft_free(d);
        (void)may_fail(s, code == UNKNOWN_OUTCOME && !s->began_calm ? UNAVAILABLE : code, &fault);
        return NULL;
    }
    return d;
}

result workload_check_message(struct workload *w, struct account *a, uint32_t mailbox, const struct row *row)
{
    const struct made *m = workload_made(w, row->message);
    if (!m) FAIL("a row of a message that nobody made: UID %u", row->uid);
    if (m->bytes != row->size_bytes) FAIL("message %" PRIu64 " has %zu bytes, its row %u", m->number, m->bytes, row->size_bytes);
    struct message *message;
    struct fault fault = {0};
    result code = message_open(a, mailbox, row, clock_in(60000), &message, &fault);
    if (code != OK) return code;
    MUST(message_size(message) == m->bytes);
    size_t at = 0;
    while (code == OK && at < m->bytes) {
        view got;
        code = message_read(message, at, 70000, clock_in(60000), &got, &fault);
        if (code == OK && got.len == 0) FAIL("message %" PRIu64 " ends at %zu of %zu bytes", m->number, at, m->bytes);
        for (view piece; code == OK && got.len > 0; at += piece.len, got = view_from(got, piece.len)) {
            piece = bytes_of(m->number, at, got.len);
            if (memcmp(piece.at, got.at, piece.len) != 0) FAIL("message %" PRIu64 ": bytes after %zu are others", m->number, at);
        }
    }
    message_close(message);
    return code;
}

/* ---- what a session is told of its mailbox ------------------------------------------------------------- */

static void drop_view(struct session *s)
{
    if (s->view) mailbox_view_close(s->view);
    s->view = NULL;
    free(s->mirror);
    s->mirror = NULL;
    s->mirror_count = 0;
}

/* The session is told of rows [first, last], as by FETCH. */
MAY_YIELD static bool learn_rows(struct session *s, uint32_t first, uint32_t last)
{
    struct row *rows = arena_array(s->arena, struct row, ROWS_AT_ONCE);
    struct fault fault = {0};
    while (first <= last) {
        size_t got;
        result code = mailbox_view_rows(s->view, first, ROWS_AT_ONCE, rows, &got, some_deadline(s), &fault);
        if (may_fail(s, code, &fault)) return false;
        if (got == 0) FAIL("rows end at %u of %zu", first, s->mirror_count);
        for (size_t i = 0; i < got && first <= last; i++, first++) {
            struct mirror_row *mine = &s->mirror[first - 1];
            if (mine->uid && mine->uid != rows[i].uid) FAIL("sequence number %u was UID %u and is %u", first, mine->uid, rows[i].uid);
            if (first > 1 && rows[i].uid <= s->mirror[first - 2].uid) FAIL("UIDs %u, %u do not rise", s->mirror[first - 2].uid, rows[i].uid);
            mine->uid = rows[i].uid;
            if (row_is_gone(&rows[i])) continue;
            mine->flags = rows[i].flags;
            mine->is_known = true;
        }
    }
    return true;
}

static void take_expunges(struct session *s, const struct mailbox_changes *c)
{
    for (size_t i = c->expunged_count; i-- > 0;) {
        struct imap_range numbers = ghost_numbers(&c->expunged[i]), uids = ghost_uids(&c->expunged[i]);
        for (uint32_t at = numbers.last; at >= numbers.first; at--) {
            if (at == 0 || at > s->mirror_count) FAIL("EXPUNGE of %u, there are %zu", at, s->mirror_count);
            uint32_t uid = s->mirror[at - 1].uid;
            if (uid < uids.first || uid > uids.last) FAIL("EXPUNGE of %u, UID %u, which did not vanish", at, uid);
            memmove(&s->mirror[at - 1], &s->mirror[at], (--s->mirror_count - (at - 1)) * sizeof *s->mirror);
        }
    }
}

MAY_YIELD static bool learn_changed(struct session *s, struct mailbox_changes *c)
{
    struct imap_set_builder numbers = IMAP_SET_BUILDER_INIT;
    struct fault fault = {0};
    bool is_good = true;
    result code = OK;
    while (is_good && (code = mailbox_view_next_changed(s->view, c, &numbers, some_deadline(s), &fault)) == OK) {
        struct imap_set set = imap_set_builder_set(&numbers);
        for (size_t i = 0; i < set.count && is_good; i++) is_good = learn_rows(s, set.ranges[i].first, set.ranges[i].last);
    }
    imap_set_builder_done(&numbers);
    return is_good && (code == END || !may_fail(s, code, &fault));
}

/* False when the store did not let it; then the view is dropped, for what was told is not known. */
MAY_YIELD static bool sync_view(struct session *s, bool may_expunge)
{
    struct mailbox_changes c;
    mailbox_view_sync(s->view, may_expunge, &c);
    if (!may_expunge && c.expunged_count) FAIL("expunges were told when they may not be");
    take_expunges(s, &c);
    mailbox_changes_done(&c);
    if (c.exists < s->mirror_count) FAIL("EXISTS went from %zu to %u", s->mirror_count, c.exists);
    if (c.exists != mailbox_view_count(s->view)) FAIL("EXISTS %u, the view has %u", c.exists, mailbox_view_count(s->view));
    uint32_t before = (uint32_t)s->mirror_count;
    if (c.exists > before) {
        s->mirror = realloc(s->mirror, c.exists * sizeof *s->mirror);
        check(s->mirror && c.exists < MIRROR_MAX);
        memset(&s->mirror[before], 0, (c.exists - before) * sizeof *s->mirror);
        s->mirror_count = c.exists;
        if (!learn_rows(s, before + 1, c.exists)) goto lost;
    }
    if (!learn_changed(s, &c)) goto lost;
    s->workload->checked_views++;
    return true;
lost:
    drop_view(s);
    return false;
}

MAY_YIELD static bool open_view(struct session *s, uint32_t mailbox)
{
    drop_view(s);
    struct fault fault = {0};
    s->mailbox = mailbox;
    result code = mailbox_view_open(s->account, mailbox, &s->view);
    if (code != OK) {
        s->view = NULL;
        if (code != NOT_FOUND) (void)may_fail(s, code, &fault);
        return false;
    }
    s->mirror_count = mailbox_view_count(s->view);
    s->mirror = calloc(s->mirror_count + 1, sizeof *s->mirror);
    check(s->mirror);
    if (learn_rows(s, 1, (uint32_t)s->mirror_count)) return true;
    drop_view(s);
    return false;
}

/* ---- actions ------------------------------------------------------------------------------------------- */

MAY_YIELD static void make_change(struct session *s, const struct record *r, unsigned line)
{
    struct op *o = note_op(s, line);
    struct outcome outcome = {0};
    struct fault fault = {0};
    o->record = *r;
    result code = account_change(s->account, &o->record, s->arena, &outcome, some_deadline(s), &fault);
    note_result(s, o, code, &outcome, &fault);
    if (code == OK && outcome.modseq < s->modseq_seen) FAIL("MODSEQ went from %" PRIu64 " to %" PRIu64, s->modseq_seen, outcome.modseq);
}

#define CHANGE(...) make_change(s, &(struct record){__VA_ARGS__}, __LINE__)

MAY_YIELD static void act_flags(struct session *s)
{
    struct record r = {.kind = RECORD_FLAGS};
    r.flags.mailbox = s->view ? s->mailbox : some_mailbox(s);
    r.flags.uids = some_uids(s);
    r.flags.change = (enum flags_change)choose(s, 3);
    r.flags.flags = some_flags(s);
    r.flags.unchanged_since = percent(s, 20) ? choose(s, s->modseq_seen + 5) : UINT64_MAX;
    make_change(s, &r, __LINE__);
}

MAY_YIELD static void act_copy(struct session *s)
{
    uint32_t from = s->view ? s->mailbox : some_mailbox(s), to = some_mailbox(s);
    /* A mailbox does not grow without end. */
    bool moves = percent(s, 50) || s->mirror_count > 100;
    CHANGE(.kind = RECORD_COPY, .copy = {.from = from, .to = to, .uids = some_uids(s), .moves = moves});
}

MAY_YIELD static void act_expunge(struct session *s)
{
    uint32_t mailbox = s->view ? s->mailbox : some_mailbox(s);
    CHANGE(.kind = RECORD_EXPUNGE, .expunge = {.mailbox = mailbox, .uids = some_uids(s), .only_deleted = percent(s, 70)});
}

MAY_YIELD static void act_name(struct session *s)
{
    switch (choose(s, 8)) {
    case 0: case 1: case 2: CHANGE(.kind = RECORD_CREATE, .create = {.name = some_name(s), .special_use = (unsigned)choose(s, 3) * MAILBOX_USE_DRAFTS, .subscribes = percent(s, 30)}); break;
    case 3: CHANGE(.kind = RECORD_DELETE, .delete = {.mailbox = some_mailbox(s)}); break;
    case 4: case 5: CHANGE(.kind = RECORD_RENAME, .rename = {.mailbox = some_mailbox(s), .name = some_name(s)}); break;
    case 6: CHANGE(.kind = RECORD_SUBSCRIBE, .subscribe = {.name = some_name(s), .subscribes = percent(s, 60)}); break;
    case 7: CHANGE(.kind = RECORD_MAILBOX, .mailbox = {.mailbox = some_mailbox(s), .sets_special_use = percent(s, 50), .special_use = MAILBOX_USE_SENT, .uid_next = (uint32_t)choose(s, 60)}); break;
    }
}

/* Of the account, or of a mailbox that may be gone. */
MAY_YIELD static void act_annotate(struct session *s)
{
    static const view entries[] = {VIEW_INIT("/private/comment"), VIEW_INIT("/shared/comment"), VIEW_INIT("/Private/Comment"), VIEW_INIT("/private/filters/values/new")};
    if (accounts_feature_level(s->workload->world.nodes[s->node].accounts) < FEATURE_ANNOTATIONS) return;
    struct record_entry *of = arena_array(s->arena, struct record_entry, 2);
    for (size_t i = 0; i < 2; i++) {
        of[i] = (struct record_entry){.name = entries[choose(s, 4)], .removes = percent(s, 30)};
        if (!of[i].removes) of[i].value = some_name(s);
    }
    CHANGE(.kind = RECORD_METADATA, .metadata = {.mailbox = percent(s, 20) ? 0 : some_mailbox(s), .entries = of, .count = 1 + choose(s, 2)});
}

MAY_YIELD static void act_restore(struct session *s)
{
    struct record r = {.kind = RECORD_RESTORE};
    r.restore.mailbox = percent(s, 50) ? 0 : some_mailbox(s);
    r.restore.until = clock_wall();
    r.restore.since = (unix_ms){r.restore.until.ms - (int64_t)choose(s, 60000)};
    if (percent(s, 40)) r.restore.uids = some_uids(s);
    if (percent(s, 30)) r.restore.into = some_name(s);
    make_change(s, &r, __LINE__);
}

MAY_YIELD static void act_append(struct session *s)
{
    const struct made *m = make_message(s);
    struct draft *d = write_draft(s, m);
    if (!d) return;
    struct outcome outcome = {0};
    struct fault fault = {0};
    struct append_options options = {.mailbox = some_mailbox(s), .flags = some_flags(s)};
    if (percent(s, 10)) options.uid = (uint32_t)choose(s, 200);
    if (percent(s, 10) && s->mirror_count) {
        options.replaces_mailbox = s->mailbox;
        options.replaces_uid = s->mirror[choose(s, s->mirror_count)].uid;
    }
    if (percent(s, 10)) options.internal_date = (unix_ms){(int64_t)choose(s, 2000000000) * 1000};
    struct op *o = note_op(s, __LINE__);
    o->is_message = true;
    o->message = m->message;
    result code = account_append(s->account, d, &options, s->arena, &outcome, some_deadline(s), &fault);
    note_result(s, o, code, &outcome, &fault);
    draft_free(d);
}

/* Several that come into sight together, unless one fails or is lost sight of: then none does. */
MAY_YIELD static void act_append_hidden(struct session *s)
{
    struct imap_set_builder uids = IMAP_SET_BUILDER_INIT;
    uint32_t mailbox = some_mailbox(s);
    uint64_t wanted = 2 + choose(s, 3);
    if (mailbox == 0) return;            /* INBOX by name: a reveal has a number */
    if (accounts_feature_level(s->workload->world.nodes[s->node].accounts) < FEATURE_ANNOTATIONS) return;
    for (uint64_t i = 0; i < wanted; i++) {
        const struct made *m = make_message(s);
        struct draft *d = write_draft(s, m);
        if (!d) break;
        struct outcome outcome = {0};
        struct fault fault = {0};
        struct op *o = note_op(s, __LINE__);
        o->is_message = true;
        o->message = m->message;
        result code = account_append(s->account, d, &(struct append_options){.mailbox = mailbox, .flags = some_flags(s), .is_hidden = true}, s->arena, &outcome,
                                     some_deadline(s), &fault);
        note_result(s, o, code, &outcome, &fault);
        draft_free(d);
        if (code != OK || outcome.code != OK || outcome.result_uids.count == 0) break;
        imap_set_builder_add_range(&uids, outcome.result_uids.ranges[0].first, outcome.result_uids.ranges[0].last);
    }
    struct imap_set set = imap_set_builder_set(&uids);
    if (set.count && imap_set_size(&set) == wanted) CHANGE(.kind = RECORD_REVEAL, .restore = {.mailbox = mailbox, .since = {0}, .until = {INT64_MAX}, .uids = set});
    imap_set_builder_done(&uids);
}

struct pipeline {
    struct append_pending pending[PIPELINED];
    struct op *ops[PIPELINED];
    struct session *session;
    unsigned started, told;
    struct waitlist all_told;
};

static void pipelined_told(struct append_pending *p)
{
    struct pipeline *l = p->argument;
    if (p != &l->pending[l->told]) FAIL("pipelined appends are told out of order");
    note_result(l->session, l->ops[l->told], p->code, &p->outcome, &p->fault);
    l->told++;
    waitlist_wake_all(&l->all_told);
}

MAY_YIELD static void act_pipeline(struct session *s)
{
    struct pipeline *l = calloc(1, sizeof *l);
    check(l);
    l->session = s;
    waitlist_init(&l->all_told);
    uint32_t mailbox = some_mailbox(s);
    for (unsigned i = 0; i < PIPELINED; i++) {
        const struct made *m = make_message(s);
        if (m->bytes > DRAFT_INLINE_MAX_BYTES) continue;
        struct draft *d = write_draft(s, m);
        if (!d) continue;
        struct append_pending *p = &l->pending[l->started];
        struct op *o = l->ops[l->started++] = note_op(s, __LINE__);
        o->is_message = true;
        o->message = m->message;
        *p = (struct append_pending){.draft = d, .options = {.mailbox = mailbox}, .arena = s->arena, .done = pipelined_told, .argument = l};
        account_append_start(s->account, p, some_deadline(s));
    }
    while (l->told < l->started) waitlist_wait_shielded(&l->all_told);
    for (unsigned i = 0; i < l->started; i++) draft_free(l->pending[i].draft);
    free(l);
}

MAY_YIELD static void act_read(struct session *s)
{
    if (!s->view || s->mirror_count == 0) return;
    struct row row;
    size_t got = 0;
    struct fault fault = {0};
    result code = mailbox_view_rows(s->view, 1 + (uint32_t)choose(s, s->mirror_count), 1, &row, &got, some_deadline(s), &fault);
    if (may_fail(s, code, &fault) || got == 0 || row_is_gone(&row)) return;
    code = workload_check_message(s->workload, s->account, s->mailbox, &row);
    if (code == OK || is_failure(code)) return;
    /* Only what was expunged meanwhile may be gone. */
    if (code != NOT_FOUND) FAIL("UID %u cannot be read: %s", row.uid, result_name(code));
    struct row now;
    struct block_key needs = {0};
    code = state_row(account_state(s->account), s->mailbox, row.uid, &now, &needs);
    if (code == OK && id_equal(now.message, row.message)) FAIL("UID %u is there and cannot be read", row.uid);
}

MAY_YIELD static void act_compact(struct session *s)
{
    struct fault fault = {0};
    result code = account_compact(s->account, some_deadline(s), &fault);
    (void)may_fail(s, code, &fault);
}

MAY_YIELD static void act_sync(struct session *s)
{
    struct fault fault = {0};
    if (percent(s, 70) && may_fail(s, account_refresh(s->account, some_deadline(s), &fault), &fault)) return;
    uint64_t modseq = state_sequence(account_state(s->account));
    if (modseq < s->modseq_seen) FAIL("the account went back from %" PRIu64 " to %" PRIu64, s->modseq_seen, modseq);
    s->modseq_seen = modseq;
    if (s->view && mailbox_view_exists(s->view)) (void)sync_view(s, percent(s, 80));
    else (void)open_view(s, some_mailbox(s));
}

MAY_YIELD static void act(struct session *s)
{
    const struct workload_options *options = &s->workload->options;
    if (percent(s, options->names_percent)) {
        if (percent(s, 80)) act_name(s);
        else act_annotate(s);
        return;
    }
    switch (choose(s, 20)) {
    case 0: case 1: case 2: act_append(s); break;
    case 3: if (percent(s, 70)) act_pipeline(s); else act_append_hidden(s); break;
    case 4: case 5: case 6: act_flags(s); break;
    case 7: case 8: act_copy(s); break;
    case 9: case 10: act_expunge(s); break;
    case 11: act_restore(s); break;
    case 12: case 13: case 14: act_read(s); break;
    case 15: (void)open_view(s, some_mailbox(s)); break;
    case 16: if (percent(s, 40)) act_compact(s); break;
    default: act_sync(s); break;
    }
}

/* ---- deliveries ---------------------------------------------------------------------------------------- */

MAY_YIELD static void act_deliver(struct session *s)
{
    struct workload *w = s->workload;
    struct delivery to[WORKLOAD_ACCOUNTS_MAX];
    struct op *ops[WORKLOAD_ACCOUNTS_MAX];
    const struct made *m = make_message(s);
    struct draft *d = write_draft(s, m);
    if (!d) return;
    size_t count = 1 + (size_t)choose(s, w->options.accounts);
    unsigned first = (unsigned)choose(s, w->options.accounts);
    for (size_t i = 0; i < count; i++) {
        to[i] = (struct delivery){.account = w->accounts[(first + i) % w->options.accounts], .flags = some_flags(s)};
        if (percent(s, 30)) to[i].mailbox = some_name(s);
        ops[i] = note_op(s, __LINE__);
        ops[i]->is_message = true;
        ops[i]->message = m->message;
        ops[i]->account = to[i].account;
    }
    accounts_deliver(w->world.nodes[s->node].accounts, d, to, count, some_deadline(s));
    for (size_t i = 0; i < count; i++) note_result(s, ops[i], to[i].code, NULL, &to[i].fault);
    draft_free(d);
}

/* ---- sessions ------------------------------------------------------------------------------------------ */

static void session_changed(struct account_watch *watch)
{
    struct session *s = container_of(watch, struct session, watch);
    s->has_changed = true;
    waitlist_wake_all(&s->changed);
}

MAY_YIELD static bool open_account(struct session *s)
{
    struct fault fault = {0};
    result code = account_open(s->workload->world.nodes[s->node].accounts, s->account_id, some_deadline(s), &s->account, &fault);
    if (may_fail(s, code, &fault)) {
        s->account = NULL;
        return false;
    }
    return true;
}

/* Looks only when it is told that there is something. */
MAY_YIELD static void idle(struct session *s)
{
    waitlist_init(&s->changed);
    account_watch(s->account, &s->watch, session_changed);
    s->has_changed = true;
    while (!s->workload->idlers_leave && !is_stopped(s)) {
        if (!s->has_changed) (void)!waitlist_wait(&s->changed, clock_in(1000));
        bool looks = s->has_changed;
        s->has_changed = false;
        if (!looks) continue;
        if (!s->view || !mailbox_view_exists(s->view)) {
            if (!open_view(s, 1)) s->has_changed = true;
        } else if (!sync_view(s, true)) {
            s->has_changed = true;
        }
        if (s->has_changed) (void)!coroutine_sleep(20);
        arena_reset(s->arena);
    }
    account_unwatch(s->account, &s->watch);
    if (is_stopped(s)) return;
    /* All was told: the view has nothing left, and the mirror is what the mailbox is. */
    if (!s->view || mailbox_view_is_behind(s->view)) FAIL("an idler was not told of all there was");
    for (uint32_t first = 1; first <= s->mirror_count; first++) {
        struct row row;
        size_t got;
        struct fault fault = {0};
        result code = mailbox_view_rows(s->view, first, 1, &row, &got, some_deadline(s), &fault);
        if (code != OK || got != 1) FAIL("row %u: %s", first, fault.detail);
        if (row.uid != s->mirror[first - 1].uid || !s->mirror[first - 1].is_known || row.flags != s->mirror[first - 1].flags)
            FAIL("an idler believes that %u is UID %u with flags %" PRIx64 ", it is UID %u with %" PRIx64, first, s->mirror[first - 1].uid,
                 s->mirror[first - 1].flags, row.uid, row.flags);
    }
    struct fault fault = {0};
    if (account_refresh(s->account, some_deadline(s), &fault) != OK) FAIL("%s", fault.detail);
    if (mailbox_view_is_behind(s->view)) FAIL("an idler had not heard of the last change");
}

static void forget_session(struct session *s)
{
    struct workload *w = s->workload;
    for (struct session **at = &w->sessions; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    if (!s->is_idler) w->running--;
}

static void do_session(void *argument)
{
    colour_pretend_coroutine();
    struct session *s = argument;
    struct workload *w = s->workload;
    for (unsigned tries = 0; !s->delivers && !s->account && tries < 50 && !is_stopped(s); tries++) {
        if (!open_account(s)) (void)!coroutine_sleep(100);
        if (s->is_idler && tries > 0) tries--;
    }
    if (s->is_idler) {
        if (s->account) idle(s);
    } else {
        unsigned left = 1 + (unsigned)choose(s, w->options.actions_max);
        for (; left > 0 && (s->account || s->delivers) && !is_stopped(s); left--) {
            if (s->delivers) act_deliver(s);
            else act(s);
            arena_reset(s->arena);
            if (w->options.pause_max_ms) (void)!coroutine_sleep((int64_t)choose(s, w->options.pause_max_ms));
        }
    }
    drop_view(s);
    if (s->account) account_close(s->account);
}

static void run_session(void *argument)
{
    colour_pretend_coroutine();
    struct session *s = argument;
    s->arena = arena_new(NULL, ARENA_BYTES);
    scope_init(&s->scope, NULL);
    s->has_scope = true;
    coroutine_spawn(&s->scope, s->is_idler ? "idler" : s->delivers ? "deliverer" : "session", do_session, s);
    scope_join(&s->scope);
    scope_unlink(&s->scope);
    arena_free(s->arena);
    forget_session(s);
    free(s);
}

/* On the loop of the session. */
static void cancel_session(void *argument)
{
    struct workload *w = argument;
    for (struct session *s = w->sessions; s; s = s->next)
        if (s->has_scope && s->scope.loop == loop_self()) scope_cancel(&s->scope);
}

static unsigned count_sessions(const struct workload *w, unsigned node)
{
    unsigned count = 0;
    for (const struct session *s = w->sessions; s; s = s->next) count += s->node == node;
    return count;
}

/* As a server stops: sessions are cancelled, what they have begun ends, then all is closed. Unless the node dies before. */
MAY_YIELD static void stop_in_peace(struct workload *w, unsigned node)
{
    struct world *c = &w->world;
    unsigned life = c->nodes[node].lives;
    if (!c->nodes[node].is_ready) return;
    scenario_say("%" PRIu64 ": node %s stops", sim_steps(c->sim), sim_node_name(c->nodes[node].sim));
    c->nodes[node].is_ready = false;
    while (c->nodes[node].lives == life && count_sessions(w, node) > 0) {
        for (unsigned i = 0; i < c->nodes[node].loops; i++) sim_on_loop(sim_node_loop(c->nodes[node].sim, i), cancel_session, w);
        MUST(coroutine_sleep(50) == OK);
    }
    if (c->nodes[node].lives != life) return;
    sim_node_crash_after(c->nodes[node].sim, 0);
    unsigned point_ppm = c->point_ppm;
    c->point_ppm = 0;
    world_stop(c, node);
    world_boot(c, node);
    c->point_ppm = point_ppm;
}

/* COPY of all of INBOX to itself, so often that its rows fill blocks. */
static void double_inbox(void *argument)
{
    colour_pretend_coroutine();
    struct session *s = argument;
    if (!open_account(s)) FAIL("no account to begin with");
    act_append(s);
    for (unsigned i = 0; i < s->workload->options.doublings; i++) {
        struct imap_range all = {1, UINT32_MAX};
        CHANGE(.kind = RECORD_COPY, .copy = {.from = 1, .to = 1, .uids = {.ranges = &all, .count = 1}});
        arena_reset(s->arena);
    }
    account_close(s->account);
}

MAY_YIELD static void begin_large(struct workload *w)
{
    struct session s = {.workload = w, .account_id = w->accounts[0], .arena = arena_new(NULL, ARENA_BYTES)};
    waitlist_init(&s.changed);
    world_run(&w->world, 0, s.account_id, double_inbox, &s);
    arena_free(s.arena);
}

static void start_session(struct workload *w, unsigned node, bool is_idler)
{
    struct session *s = calloc(1, sizeof *s);
    check(s);
    s->workload = w;
    s->node = node;
    s->number = w->started;
    s->is_idler = is_idler;
    s->account_id = w->accounts[sim_choose(w->world.sim, w->options.accounts)];
    s->delivers = !is_idler && sim_choose(w->world.sim, 100) < w->options.deliveries_percent;
    s->next = w->sessions;
    w->sessions = s;
    if (!is_idler) {
        w->started++;
        w->running++;
    }
    world_spawn(&w->world, node, s->account_id, is_idler ? "idler" : s->delivers ? "deliverer" : "session", run_session, s);
}

/* Sessions of a dead node are no more; what they were doing nobody knows. */
static void node_died(void *argument, unsigned node)
{
    struct workload *w = argument;
    for (struct session *s = w->sessions, *next; s; s = next) {
        next = s->next;
        if (s->node == node) forget_session(s);
    }
}

/* Of several accounts one has none there, so that both kinds are judged. */
static result archive_limit(void *argument, struct id account, int64_t *ret_after_ms)
{
    const struct workload *w = argument;
    *ret_after_ms = id_equal(account, w->accounts[0]) ? w->options.archive_after_ms : 0;
    return OK;
}

static void node_up(void *argument, unsigned node)
{
    struct workload *w = argument;
    if (w->options.archive_after_ms) accounts_set_archive_limit(w->world.nodes[node].accounts, archive_limit, w);
    begin_upkeep(w, node);
}

static void node_down(void *argument, unsigned node)
{
    colour_pretend_coroutine();
    end_upkeep(argument, node);
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

void workload_open(struct workload *w, uint64_t seed, const struct workload_options *options, const struct memory_faults *faults, unsigned point_ppm)
{
    *w = (struct workload){.options = *options};
    world_open(&w->world, seed, options->nodes);
    for (unsigned i = 0; i < options->accounts; i++) w->accounts[i] = random_id();
    w->world.died = node_died;
    w->world.up = node_up;
    w->world.down = node_down;
    w->world.options.leaves_upkeep = options->has_upkeep;
    w->world.argument = w;
    w->world.point_ppm = point_ppm;
    if (faults) w->world.faults = *faults;
    w->world.options.retention_ms = options->retention_ms;
    w->world.options.memory_bytes = options->memory_bytes;
    w->world.options.draft_memory_bytes = sim_seed(w->world.sim) % 2;      /* 1: large messages go through staging objects */
    w->world.options.turn_rows = (uint32_t)(sim_seed(w->world.sim) / 2 % 3);            /* 0: records are not large enough here to be applied in turns */
    w->world.options.pack_indexes_bytes = sim_seed(w->world.sim) / 4 % 2;  /* 1: entries of packs are read one by one */
    w->world.options.wide_bytes = sim_seed(w->world.sim) / 6 % 2;          /* 1: rows are slim; accounts are not large enough here by themselves */
    w->world.options.is_alone = options->nodes == 1 && !options->has_upkeep && sim_seed(w->world.sim) / 2 % 2;
    for (unsigned i = 0; i < options->nodes; i++) sim_node_set_wall_skew(w->world.nodes[i].sim, (int64_t)sim_choose(w->world.sim, 4000) - 2000);
    if (options->compact_records_max) w->world.options.compact_journal_records = 5 + (uint32_t)sim_choose(w->world.sim, options->compact_records_max);
    for (unsigned i = 0; i < options->nodes; i++) world_boot(&w->world, i);
}

static unsigned count_idlers(const struct workload *w)
{
    unsigned count = 0;
    for (const struct session *s = w->sessions; s; s = s->next) count += s->is_idler;
    return count;
}

static bool happens(struct workload *w, unsigned *left)
{
    if (*left == 0 || sim_choose(w->world.sim, 40) > 0) return false;
    --*left;
    return true;
}

/* The store loses power, and all nodes with it: one machine that falls over. */
static void cut_power(struct workload *w)
{
    scenario_say("%" PRIu64 ": the power fails", sim_steps(w->world.sim));
    memory_store_crash(w->world.store);
    for (unsigned i = 0; i < w->world.count; i++) world_kill(&w->world, i);
}

static void fill_store(struct workload *w, bool full)
{
    w->world.faults.full = full;
    memory_store_set_faults(w->world.store, &w->world.faults);
}

MAY_YIELD static void trouble(struct workload *w)
{
    struct world *c = &w->world;
    struct workload_options *o = &w->options;
    unsigned node = (unsigned)sim_choose(c->sim, c->count);
    if (sim_choose(c->sim, 20) == 0) world_raise(c);
    if (happens(w, &o->kills)) sim_node_crash_after(c->nodes[node].sim, 1 + sim_choose(c->sim, 300));
    if (happens(w, &o->power_cuts)) cut_power(w);
    if (happens(w, &o->stops)) stop_in_peace(w, node);
    world_trouble(c, &o->troubles);
    if (happens(w, &o->fills)) {
        fill_store(w, true);
        MUST(coroutine_sleep((int64_t)sim_choose(c->sim, 100)) == OK);
        fill_store(w, false);
    }
}

void workload_play(struct workload *w)
{
    struct world *c = &w->world;
    world_wait_ready(c);
    if (w->options.doublings) begin_large(w);
    c->is_calm = false;
    memory_store_set_faults(c->store, &c->faults);
    while (w->started < w->options.sessions || w->running > 0) {
        trouble(w);
        int node = world_pick(c);
        if (node >= 0 && count_idlers(w) < w->options.idlers) start_session(w, (unsigned)node, true);
        node = world_pick(c);
        if (node >= 0 && w->started < w->options.sessions && w->running < w->options.together) start_session(w, (unsigned)node, false);
        MUST(coroutine_sleep(1 + (int64_t)sim_choose(c->sim, 20)) == OK);
    }
    world_calm(c);
    world_raise(c);
    world_wait_ready(c);
    MUST(coroutine_sleep(IDLER_PATIENCE_MS) == OK);
}

void workload_end(struct workload *w)
{
    w->idlers_leave = true;
    while (w->sessions) MUST(coroutine_sleep(100) == OK);
}
