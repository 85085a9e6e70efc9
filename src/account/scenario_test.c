/*
 * Scenarios: sessions on several nodes do what sessions do to one account, while nodes die, compact, time out and are not told things.
 *
 * Checked: what a session was told of its mailbox always adds up to what it sees; in the end every node computes the same value, its
 * checks find nothing, what was acknowledged is there once, with the flags that were acknowledged.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "account/test_world.h"
#include "base/check.h"
#include "base/test.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/random.h"

enum {
    ACTIONS = 40, SESSIONS_MAX = 6, ACKNOWLEDGED_MAX = 4000, MODEL_MAX = 4000, WAIT_MS = 20000,
    LATE_RECORDS_MAX = STATE_RECENT_MAX - 100,   /* those applied lately are remembered that far; the others may come while it is sent again */
};

struct acknowledged { struct id message; uint32_t size_bytes; uint64_t flags; };

struct scenario {
    struct world *world;
    uint64_t seed;
    struct acknowledged kept[ACKNOWLEDGED_MAX];      /* in the mailbox from which nobody takes anything */
    size_t kept_count;
    unsigned sessions_running;
    uint64_t number;
};

/* What a client knows of its mailbox: from what it was told alone. */
struct model {
    struct mailbox_view *view;
    uint32_t uids[MODEL_MAX];
    uint32_t count;
};

struct session {
    struct scenario *scenario;
    unsigned node;
    struct account *account;
    struct arena *arena;
    struct model inbox, keep;
    struct fault fault;
};

static millis soon(void)
{
    return clock_in(WAIT_MS);
}

static uint64_t choose(struct session *s, uint64_t below)
{
    return sim_choose(s->scenario->world->sim, below);
}

/* A failure that the faults of the scenario explain. */
static void expect_excused(const struct session *s, result code, const char *what)
{
    if (code == OK || code == UNAVAILABLE || code == UNKNOWN_OUTCOME || code == TIMEOUT) return;
    test_fail(__FILE__, __LINE__, "seed %" PRIu64 ": %s: %s: %s", s->scenario->seed, what, result_name(code), s->fault.detail);
}

/* ---- the client's side of a view ---- */

MAY_YIELD static bool learn(struct session *s, struct model *m, uint32_t exists)
{
    struct row rows[16];
    if (exists > MODEL_MAX) return false;
    while (m->count < exists) {
        size_t got = 0, want = exists - m->count < 16 ? exists - m->count : 16;
        result code = mailbox_view_rows(m->view, m->count + 1, want, rows, &got, soon(), &s->fault);
        if (code != OK) expect_excused(s, code, "rows");
        if (code != OK) return false;
        REQUIRE(got == want);
        for (size_t i = 0; i < got; i++) m->uids[m->count++] = rows[i].uid;
    }
    return true;
}

static void forget(struct model *m, const struct mailbox_changes *changes)
{
    for (size_t i = changes->expunged_count; i-- > 0;) {
        struct imap_range r = ghost_numbers(&changes->expunged[i]);
        REQUIRE(r.last <= m->count && r.first >= 1);
        memmove(&m->uids[r.first - 1], &m->uids[r.last], (m->count - r.last) * sizeof m->uids[0]);
        m->count -= r.last - r.first + 1;
    }
}

/* Each that is named is there. */
MAY_YIELD static result hear_changed(struct session *s, struct model *m, struct mailbox_changes *changes)
{
    struct imap_set_builder numbers = IMAP_SET_BUILDER_INIT;
    result code;
    while ((code = mailbox_view_next_changed(m->view, changes, &numbers, soon(), &s->fault)) == OK) {
        struct imap_set set = imap_set_builder_set(&numbers);
        if (set.count) REQUIRE(set.ranges[0].first >= 1 && set.ranges[set.count - 1].last <= changes->exists);
    }
    imap_set_builder_done(&numbers);
    if (code != END) mailbox_view_tell_again(m->view, changes);
    return code == END ? OK : code;
}

MAY_YIELD static void compare(struct session *s, struct model *m)
{
    struct row rows[16];
    EXPECT_NUMBER(mailbox_view_count(m->view), m->count);
    for (uint32_t at = 0; at < m->count; at += 16) {
        size_t got;
        result code = mailbox_view_rows(m->view, at + 1, 16, rows, &got, soon(), &s->fault);
        expect_excused(s, code, "rows");
        if (code != OK) return;
        for (size_t i = 0; i < got; i++)
            if (rows[i].uid != m->uids[at + i])
                test_fail(__FILE__, __LINE__, "seed %" PRIu64 ": message %u has UID %u, the client was told %u", s->scenario->seed, at + (uint32_t)i + 1,
                          rows[i].uid, m->uids[at + i]);
    }
}

MAY_YIELD static bool sync_model(struct session *s, struct model *m, bool may_expunge)
{
    struct mailbox_changes changes;
    if (!m->view) return true;
    /* The store may have failed before all of what is there was read. */
    if (!learn(s, m, mailbox_view_count(m->view))) return false;
    uint32_t before = m->count;
    mailbox_view_sync(m->view, may_expunge, &changes);
    if (!may_expunge) EXPECT_NUMBER(changes.expunged_count, 0);
    forget(m, &changes);
    bool has_expunged = changes.expunged_count > 0;
    mailbox_changes_done(&changes);
    if (changes.exists < m->count || (changes.exists_changed != (changes.exists != before) && !has_expunged))
        test_fail(__FILE__, __LINE__, "seed %" PRIu64 ": %u messages, then %u", s->scenario->seed, m->count, changes.exists);
    result code = hear_changed(s, m, &changes);
    expect_excused(s, code, "sync");
    return learn(s, m, changes.exists) && code == OK;
}

MAY_YIELD static bool open_model(struct session *s, struct model *m, const char *name)
{
    struct mailbox *mailbox = state_find(account_state(s->account), view_of(name));
    struct mailbox_info info;
    m->view = NULL;
    m->count = 0;
    if (!mailbox) return true;
    mailbox_read_info(mailbox, s->arena, &info);
    return mailbox_view_open(s->account, info.number, &m->view) == OK && learn(s, m, mailbox_view_count(m->view));
}

/* ---- actions ---- */

MAY_YIELD static void act_deliver(struct session *s, const char *mailbox)
{
    struct scenario *c = s->scenario;
    size_t bytes = choose(s, 10) == 0 ? 66000 + choose(s, 5000) : choose(s, 3000);
    struct draft *d = make_draft(c->world, c->number++, bytes);
    if (!d) return;
    struct delivery one = {.account = c->world->account, .mailbox = view_of(mailbox)};
    accounts_deliver(world_here(c->world), d, &one, 1, soon());
    s->fault = one.fault;
    expect_excused(s, one.code, "deliver");
    if (one.code == OK && s->keep.view && mailbox[0] == 'K' && c->kept_count < ACKNOWLEDGED_MAX)
        c->kept[c->kept_count++] = (struct acknowledged){.message = draft_message(d), .size_bytes = (uint32_t)bytes};
    draft_free(d);
}

MAY_YIELD static void act_append(struct session *s)
{
    struct outcome o;
    result code = append(s->scenario->world, s->account, INBOX, s->scenario->number++, choose(s, 20) == 0 ? 70000 : 500, &o, s->arena);
    expect_excused(s, code, "append");
    if (code == OK) EXPECT(o.code == OK);
}

static struct imap_range choose_range(struct session *s, const struct model *m)
{
    uint32_t first = (uint32_t)choose(s, m->count), count = (uint32_t)choose(s, 6);
    uint32_t last = first + count < m->count ? first + count : m->count - 1;
    return (struct imap_range){m->uids[first], m->uids[last]};
}

MAY_YIELD static result change(struct session *s, struct record *r, struct outcome *o, const char *what)
{
    result code = account_change(s->account, r, s->arena, o, soon(), &s->fault);
    expect_excused(s, code, what);
    return code;
}

MAY_YIELD static void act_flag_kept(struct session *s)
{
    struct scenario *c = s->scenario;
    struct outcome o;
    struct row row;
    size_t got;
    if (!s->keep.view || s->keep.count == 0) return;
    uint32_t at = (uint32_t)choose(s, s->keep.count);
    if (mailbox_view_rows(s->keep.view, at + 1, 1, &row, &got, soon(), &s->fault) != OK) return;
    uint64_t flag = choose(s, 2) ? ROW_SEEN : ROW_ANSWERED;
    struct imap_range range = {row.uid, row.uid};
    struct record r = {.kind = RECORD_FLAGS, .flags = {.mailbox = mailbox_view_mailbox(s->keep.view), .uids = {.ranges = &range, .count = 1}, .change = FLAGS_ADD,
                                                       .flags.system = flag, .unchanged_since = UINT64_MAX}};
    if (change(s, &r, &o, "flags") != OK) return;
    for (size_t i = 0; i < c->kept_count; i++)
        if (id_equal(c->kept[i].message, row.message)) c->kept[i].flags |= flag;
}

MAY_YIELD static void act_on_inbox(struct session *s)
{
    struct outcome o;
    if (!s->inbox.view || s->inbox.count == 0) return;
    struct imap_range range = choose_range(s, &s->inbox);
    struct imap_set uids = {.ranges = &range, .count = 1};
    struct record flags = {.kind = RECORD_FLAGS, .flags = {.mailbox = INBOX, .uids = uids, .change = (enum flags_change)choose(s, 3), .flags.system = ROW_FLAGGED | ROW_DELETED,
                                                           .unchanged_since = choose(s, 2) ? UINT64_MAX : state_sequence(account_state(s->account))}};
    struct record expunge = {.kind = RECORD_EXPUNGE, .expunge = {.mailbox = INBOX, .uids = uids, .only_deleted = choose(s, 2)}};
    struct record copy = {.kind = RECORD_COPY, .copy = {.from = INBOX, .to = INBOX, .uids = uids, .moves = choose(s, 2)}};
    switch (choose(s, 4)) {
    case 0: (void)!change(s, &flags, &o, "flags"); break;
    case 1: (void)!change(s, &expunge, &o, "expunge"); break;
    case 2: (void)!change(s, &copy, &o, "copy"); break;
    default: {
        struct record all = {.kind = RECORD_RESTORE, .restore = {.mailbox = INBOX, .until = {INT64_MAX}, .uids = uids}};
        (void)!change(s, &all, &o, "restore");
    }
    }
}

MAY_YIELD static void act_on_names(struct session *s)
{
    static const char *const names[] = {"X", "X/Y", "Z"};
    struct outcome o;
    view name = view_of(names[choose(s, 3)]);
    struct mailbox *m = state_find(account_state(s->account), name);
    struct mailbox_info info = {0};
    if (m) mailbox_read_info(m, s->arena, &info);
    struct record create = {.kind = RECORD_CREATE, .create.name = name}, delete = {.kind = RECORD_DELETE, .delete.mailbox = info.number},
                  rename = {.kind = RECORD_RENAME, .rename = {.mailbox = info.number, .name = view_of(names[choose(s, 3)])}};
    struct imap_range all = {1, UINT32_MAX};
    struct record copy = {.kind = RECORD_COPY, .copy = {.from = INBOX, .to = info.number, .uids = {.ranges = &all, .count = 1}}};
    if (!m) (void)!change(s, &create, &o, "create");
    else if (choose(s, 3) == 0) (void)!change(s, &delete, &o, "delete");
    else if (choose(s, 2) == 0) (void)!change(s, &rename, &o, "rename");
    else if (s->inbox.count < 100) (void)!change(s, &copy, &o, "copy to another");
}

MAY_YIELD static void act_read(struct session *s, struct model *m)
{
    struct row row;
    size_t got;
    struct message *message;
    if (!m->view || m->count == 0) return;
    if (mailbox_view_rows(m->view, 1 + (uint32_t)choose(s, m->count), 1, &row, &got, soon(), &s->fault) != OK || row_is_gone(&row)) return;
    result code = message_open(s->account, mailbox_view_mailbox(m->view), &row, soon(), &message, &s->fault);
    if (code == NOT_FOUND && m != &s->keep) return;
    expect_excused(s, code, "message_open");
    if (code != OK) return;
    view bytes;
    code = message_whole(message, soon(), &bytes, &s->fault);
    expect_excused(s, code, "message_whole");
    if (code == OK) EXPECT_NUMBER(bytes.len, row.size_bytes);
    message_close(message);
}

MAY_YIELD static void act_look(struct session *s)
{
    if (choose(s, 2)) expect_excused(s, account_refresh(s->account, soon(), &s->fault), "refresh");
    bool may_expunge = choose(s, 3) > 0;
    if (sync_model(s, &s->inbox, may_expunge) && s->inbox.view) compare(s, &s->inbox);
    if (sync_model(s, &s->keep, may_expunge) && s->keep.view) compare(s, &s->keep);
}

MAY_YIELD static void act(struct session *s)
{
    switch (choose(s, 13)) {
    case 0: case 1: act_deliver(s, "Keep"); break;
    case 2: act_deliver(s, ""); break;
    case 3: act_append(s); break;
    case 4: act_flag_kept(s); break;
    case 5: case 6: act_on_inbox(s); break;
    case 7: act_on_names(s); break;
    case 8: act_read(s, &s->inbox); break;
    case 9: act_read(s, &s->keep); break;
    case 10: expect_excused(s, account_compact(s->account, soon(), &s->fault), "compact"); break;
    case 11: (void)!coroutine_sleep((int64_t)choose(s, 50)); break;
    default: act_look(s); break;
    }
}

static void run_session(void *argument)
{
    colour_pretend_coroutine();
    struct session *s = argument;
    struct scenario *c = s->scenario;
    s->arena = arena_new(NULL, 1 << 22);
    result code = account_open(world_here(c->world), c->world->account, soon(), &s->account, &s->fault);
    expect_excused(s, code, "account_open");
    if (code == OK && open_model(s, &s->inbox, "INBOX") && open_model(s, &s->keep, "Keep")) {
        for (unsigned i = 0; i < ACTIONS; i++) {
            act(s);
            arena_reset(s->arena);
        }
    }
    mailbox_view_close(s->inbox.view);
    mailbox_view_close(s->keep.view);
    if (code == OK) account_close(s->account);
    arena_free(s->arena);
    free(s);
    c->sessions_running--;
}

/* ---- the whole ---- */

static void creates_keep(void *argument)
{
    colour_pretend_coroutine();
    struct scenario *c = argument;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 16);
    struct account *a = open_account(c->world);
    struct outcome o;
    struct record r = {.kind = RECORD_CREATE, .create.name = VIEW("Keep")};
    REQUIRE(account_change(a, &r, arena, &o, soon(), NULL) == OK && o.code == OK);
    account_close(a);
}

static void start_session(struct scenario *c, unsigned node)
{
    struct session *s = calloc(1, sizeof *s);
    REQUIRE(s != NULL);
    s->scenario = c;
    s->node = node;
    c->sessions_running++;
    struct world_node *n = &c->world->nodes[node];
    sim_spawn(n->sim, loop_index(accounts_home(n->accounts, c->world->account)), "session", run_session, s);
}

static void draw_faults(struct scenario *c)
{
    struct sim *sim = c->world->sim;
    c->world->faults = (struct memory_faults){
        .delay_max_us = (unsigned)sim_choose(sim, 20000),
        .unavailable_ppm = sim_choose(sim, 2) ? (unsigned)sim_choose(sim, 20000) : 0,
        .unknown_ppm = sim_choose(sim, 2) ? (unsigned)sim_choose(sim, 30000) : 0,
        .late_records_max = LATE_RECORDS_MAX,
        .blind_appends_tell_nothing = sim_choose(sim, 3) == 0,
        .reorders_objects = sim_choose(sim, 2),
        .loses_notifications = sim_choose(sim, 2),
        .page_records_max = sim_choose(sim, 2) ? 1 + (unsigned)sim_choose(sim, 10) : 0,
    };
    memory_store_set_faults(c->world->store, &c->world->faults);
}

struct ending { struct scenario *scenario; unsigned char digest[32]; uint64_t sequence; unsigned compared; bool has_digest; };

static void note_problem(void *argument, view what)
{
    const struct scenario *c = argument;
    test_fail(__FILE__, __LINE__, "seed %" PRIu64 ": verify: " VIEW_FMT, c->seed, VIEW_ARG(what));
}

MAY_YIELD static void check_kept(struct scenario *c, struct account *a)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 16);
    struct mailbox_info info = {0};
    struct mailbox *m = state_find(account_state(a), VIEW("Keep"));
    REQUIRE(m != NULL);
    mailbox_read_info(m, arena, &info);
    struct row *rows = calloc(info.exists + 1, sizeof *rows);
    for (uint32_t i = 0; i < info.exists; i++) REQUIRE(read_row(a, info.number, i + 1, &rows[i]) == OK);
    for (size_t i = 0; i < c->kept_count; i++) {
        unsigned found = 0;
        for (uint32_t k = 0; k < info.exists; k++) {
            if (!id_equal(rows[k].message, c->kept[i].message)) continue;
            found++;
            if ((rows[k].flags & c->kept[i].flags) != c->kept[i].flags || rows[k].size_bytes != c->kept[i].size_bytes)
                test_fail(__FILE__, __LINE__, "seed %" PRIu64 ": a flag that was acknowledged is not set", c->seed);
        }
        if (found != 1) test_fail(__FILE__, __LINE__, "seed %" PRIu64 ": an acknowledged message is there %u times", c->seed, found);
    }
    free(rows);
}

static void checks_all(void *argument)
{
    colour_pretend_coroutine();
    struct ending *e = argument;
    struct scenario *c = e->scenario;
    unsigned char digest[32];
    struct fault fault = {0};
    struct account *a = open_account(c->world);
    struct account_verify v = {.found = note_problem, .argument = c};
    result code = account_verify(a, &v, soon(), &fault);
    if (code != OK) test_fail(__FILE__, __LINE__, "seed %" PRIu64 ": verify: %s: %s", c->seed, result_name(code), fault.detail);
    check_kept(c, a);
    REQUIRE(account_digest(a, digest, soon(), &fault) == OK);
    /* Maintenance may have purged something since the last look: that is another value, with a number of its own. */
    bool is_same = e->has_digest && e->sequence == state_sequence(account_state(a));
    e->compared += is_same;
    e->sequence = state_sequence(account_state(a));
    if (is_same && memcmp(digest, e->digest, 32) != 0) test_fail(__FILE__, __LINE__, "seed %" PRIu64 ": two nodes disagree", c->seed);
    memcpy(e->digest, digest, 32);
    e->has_digest = true;
    account_close(a);
}

static bool all_ended(void *argument)
{
    return ((struct scenario *)argument)->sessions_running == 0;
}

/* Kills a node now and then; its sessions come again when it is up. */
static void play(struct scenario *c, unsigned nodes)
{
    struct world *w = c->world;
    unsigned rounds = 2 + (unsigned)sim_choose(w->sim, 3);
    for (unsigned round = 0; round < rounds; round++) {
        draw_faults(c);
        for (unsigned i = 0; i < SESSIONS_MAX; i++) start_session(c, (unsigned)sim_choose(w->sim, nodes));
        if (sim_choose(w->sim, 2)) {
            sim_run(w->sim, (int64_t)sim_choose(w->sim, 2000));
            unsigned victim = (unsigned)sim_choose(w->sim, nodes);
            world_kill(w, victim);
            c->sessions_running = 0;               /* those of the others go on as well; they are waited for below by time */
            sim_settle(w->sim, 30000);
            c->sessions_running = 0;
        } else {
            EXPECT(sim_run_until(w->sim, all_ended, c, (millis){INT64_MAX / 2}) == SIM_DONE);
        }
    }
}

static void run_scenario(uint64_t seed)
{
    struct scenario *c = calloc(1, sizeof *c);
    REQUIRE(c != NULL);
    c->seed = seed;
    unsigned nodes = 1 + (unsigned)(seed % WORLD_NODES_MAX);
    c->world = world_open(seed, nodes, 1);
    struct world *w = c->world;
    w->options = (struct accounts_options){.compact_journal_records = 20 + (uint32_t)sim_choose(w->sim, 100), .retention_ms = sim_choose(w->sim, 2) ? 5000 : 0,
                                             .turn_rows = (uint32_t)sim_choose(w->sim, 3), .pack_indexes_bytes = seed / 4 % 2, .wide_bytes = seed / 3 % 3,
                                             .is_alone = nodes == 1 && seed % 2};
    for (unsigned i = 0; i < nodes; i++) {
        world_down(w, i);
        world_up(w, i);
    }
    world_run(w, 0, creates_keep, c);
    play(c, nodes);
    w->faults = (struct memory_faults){0};
    memory_store_set_faults(w->store, &w->faults);
    memory_store_settle(w->store);
    struct ending e = {.scenario = c};
    for (unsigned i = 0; i < nodes || e.compared < nodes; i++) {
        world_run(w, i % nodes, checks_all, &e);
        sim_run(w->sim, 1000);
        REQUIRE(i < 50);
    }
    world_kill(w, 0);
    world_run(w, 0, checks_all, &e);
    world_close(w);
    free(c);
}

/* TAYORI_SEED=n runs that seed alone, TAYORI_SEEDS=n so many. */
TEST_SLOW(account_scenarios_end_as_was_promised, 3600)
{
    const char *one = getenv("TAYORI_SEED"), *many = getenv("TAYORI_SEEDS"), *is_long = getenv("TAYORI_CHECK_LONG");
    uint64_t first = 1, count = is_long && *is_long ? 2000 : 30;
    if (one && view_to_u64(view_of(one), &first)) count = 1;
    else if (many) (void)view_to_u64(view_of(many), &count);
    for (uint64_t seed = first; seed < first + count; seed++) run_scenario(seed);
}
