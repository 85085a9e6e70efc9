/* The scenario of whole servers: what clients of SMTP, LMTP, IMAP and POP3 were told holds, whatever befalls the nodes. */
#include <inttypes.h>
#include <string.h>

#include "identity/directory.h"
#include "post.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "scenario.h"

enum { STOP_WAIT_MS = 100, STOP_PATIENCE_MS = 20 * 60000, TOGETHER = 5, SOON_MS = 60000, QUIET_MS = 60000 };

static struct post post;                     /* of this world */

/* ---- servers ------------------------------------------------------------------------------------------- */

static void node_up(void *argument, unsigned node)
{
    colour_pretend_coroutine();
    struct post *p = argument;
    struct world_node *c = &p->world.nodes[node];
    struct post_node *n = &p->nodes[node];
    struct loops *all = loop_family(loop_self());
    struct smtpd_options smtp = smtpd_default_options();
    struct imapd_options imap = imapd_default_options();
    struct popd_options pop = popd_default_options();
    smtp.server_name = VIEW("mx.example.test");
    imap.allows_plain_login = pop.allows_plain_login = true;
    n->identity = identity_new(c->engine, all);
    struct intake intake = {.identity = n->identity, .accounts = c->accounts, .postmaster_domain = VIEW("example.test")};
    n->smtpd = smtpd_new(&smtp, &intake, all);
    n->imapd = imapd_new(&imap, n->identity, c->accounts, all);
    n->popd = popd_new(&pop, n->identity, c->accounts, all);
}

/* In peace: sessions end after the command that they are in. */
static void node_down(void *argument, unsigned node)
{
    colour_pretend_coroutine();
    struct post *p = argument;
    struct post_node *n = &p->nodes[node];
    millis until = clock_in(STOP_PATIENCE_MS);
    smtpd_stop(n->smtpd);
    imapd_stop(n->imapd);
    popd_stop(n->popd);
    while (smtpd_sessions(n->smtpd) + imapd_sessions(n->imapd) + popd_sessions(n->popd) > 0) {
        MUST(coroutine_sleep(STOP_WAIT_MS) == OK);
        if (!millis_before(clock_now(), until)) FAIL("sessions that do not end: SMTP %u, IMAP %u, POP3 %u", smtpd_sessions(n->smtpd), imapd_sessions(n->imapd), popd_sessions(n->popd));
    }
    smtpd_free(n->smtpd);
    imapd_free(n->imapd);
    popd_free(n->popd);
    identity_free(n->identity);
}

/* ---- the account --------------------------------------------------------------------------------------- */

struct errand { struct post *post; unsigned node; struct id account; unsigned char digest[32]; uint64_t sequence; };

static void fill_directory(void *argument)
{
    colour_pretend_coroutine();
    struct errand *e = argument;
    struct identity *i = e->post->nodes[0].identity;
    struct fault fault = {0};
    struct directory_account_change change = {.sets_password = true, .password = VIEW("{PLAIN}secret")};
    MUST(directory_prepare(i, clock_in(SOON_MS), &fault) == OK);
    MUST(directory_add_domain(i, VIEW("example.test"), VIEW(DIRECTORY_DEFAULT_TENANT), clock_in(SOON_MS), &fault) == OK);
    MUST(directory_add_account(i, VIEW("joe@example.test"), &change, clock_in(SOON_MS), &e->account, &fault) == OK);
}

static void make_archive(void *argument)
{
    colour_pretend_coroutine();
    struct errand *e = argument;
    struct account *a;
    struct fault fault = {0};
    struct outcome outcome = {0};
    struct arena *arena = arena_new(NULL, 1 << 20);
    struct record r = {.kind = RECORD_CREATE, .create = {.name = VIEW("Archive")}};
    MUST(account_open(e->post->world.nodes[0].accounts, e->account, clock_in(SOON_MS), &a, &fault) == OK);
    MUST(account_change(a, &r, arena, &outcome, clock_in(SOON_MS), &fault) == OK && outcome.code == OK);
    account_close(a);
    arena_free(arena);
}

static void found_problem(void *argument, view what) { FAIL("verify: " VIEW_FMT, VIEW_ARG(what)); }

static void look_inside(void *argument)
{
    colour_pretend_coroutine();
    struct errand *e = argument;
    struct account *a;
    struct fault fault = {0};
    struct account_verify v = {.found = found_problem};
    if (account_open(e->post->world.nodes[e->node].accounts, e->account, clock_in(SOON_MS), &a, &fault) != OK) FAIL("%s", fault.detail);
    if (account_refresh(a, clock_in(SOON_MS), &fault) != OK || account_digest(a, e->digest, clock_in(SOON_MS), &fault) != OK) FAIL("%s", fault.detail);
    e->sequence = state_sequence(account_state(a));
    if (account_verify(a, &v, clock_in(SOON_MS), &fault) != OK || v.problems) FAIL("verify: %s", fault.detail);
    account_close(a);
}

/* ---- clients ------------------------------------------------------------------------------------------- */

static void run_client(void *argument)
{
    colour_pretend_coroutine();
    struct post *p = argument;
    switch (sim_choose(p->world.sim, 5)) {
    case 0: case 1: smtp_client(p); break;
    case 2: case 3: imap_client(p); break;
    case 4: pop_client(p); break;
    }
    p->clients--;
}

/* ---- the judgement ------------------------------------------------------------------------------------- */

static void check_letter(const struct post *p, unsigned number, const struct post_look looks[POST_BOXES])
{
    const struct letter *l = &p->letters[number];
    unsigned in_inbox = looks[POST_INBOX].times[number], in_archive = looks[POST_ARCHIVE].times[number];
    unsigned flags = looks[POST_INBOX].flags[number] | looks[POST_ARCHIVE].flags[number];
    if (in_inbox + in_archive > 1) FAIL("letter %u is there %u times", number, in_inbox + in_archive);
    if (l->is_taken && in_inbox + in_archive == 0 && !l->may_be_removed) FAIL("letter %u was acknowledged and is lost", number);
    if (l->has_left_inbox && in_inbox) FAIL("letter %u has left INBOX and is there", number);
    if (l->is_in_archive && !in_archive) FAIL("letter %u was moved to Archive and is not there", number);
    if (in_inbox + in_archive && l->flags & ~flags) FAIL("letter %u had flags %x and has %x", number, l->flags, flags);
}

MAY_YIELD static void judge_post(struct post *p, struct id account)
{
    static struct post_look looks[WORLD_NODES_MAX][POST_BOXES];
    struct errand first = {0};
    memset(looks, 0, sizeof looks);
    for (unsigned i = 0; i < p->world.count; i++) {
        for (unsigned b = 0; b < POST_BOXES; b++) imap_look(p, (int)i, (enum post_box)b, &looks[i][b]);
        if (memcmp(looks[i], looks[0], sizeof looks[i]) != 0) FAIL("node %u shows other mailboxes than node 0", i);
        struct errand e = {.post = p, .node = i, .account = account};
        world_run(&p->world, i, account, look_inside, &e);
        if (i == 0) first = e;
        if (e.sequence == first.sequence && memcmp(e.digest, first.digest, sizeof e.digest) != 0) FAIL("node %u has another digest", i);
    }
    for (unsigned i = 0; i < p->letter_count; i++) check_letter(p, i, looks[0]);
}

/* ---- the play ------------------------------------------------------------------------------------------ */

struct play {
    unsigned kills, stops, fills;
    struct world_troubles troubles;
};

static bool happens(struct post *p, unsigned *left)
{
    if (*left == 0 || sim_choose(p->world.sim, 20) > 0) return false;
    --*left;
    return true;
}

MAY_YIELD static void stop_and_start(struct post *p, unsigned node)
{
    struct world *c = &p->world;
    unsigned point_ppm = c->point_ppm;
    if (!c->nodes[node].is_ready) return;
    sim_node_crash_after(c->nodes[node].sim, 0);
    c->point_ppm = 0;
    world_stop(c, node);
    world_boot(c, node);
    c->point_ppm = point_ppm;
}

MAY_YIELD static void trouble(struct post *p, struct play *play)
{
    struct world *c = &p->world;
    unsigned node = (unsigned)sim_choose(c->sim, c->count);
    if (sim_choose(c->sim, 20) == 0) world_raise(c);
    if (happens(p, &play->kills)) sim_node_crash_after(c->nodes[node].sim, 1 + sim_choose(c->sim, 500));
    if (happens(p, &play->stops)) stop_and_start(p, node);
    if (happens(p, &play->fills)) {
        c->faults.full = true;
        memory_store_set_faults(c->store, &c->faults);
        MUST(coroutine_sleep((int64_t)sim_choose(c->sim, 1000)) == OK);
        c->faults.full = false;
        memory_store_set_faults(c->store, &c->faults);
    }
    world_trouble(c, &play->troubles);
}

MAY_YIELD static void play_post(struct post *p, struct play *play)
{
    struct world *c = &p->world;
    struct errand e = {.post = p};
    world_wait_ready(c);
    world_run(c, 0, (struct id){0}, fill_directory, &e);
    world_run(c, 0, e.account, make_archive, &e);
    c->is_calm = false;
    memory_store_set_faults(c->store, &c->faults);
    while (p->clients_left > 0 || p->clients > 0) {
        trouble(p, play);
        if (p->clients_left > 0 && p->clients < TOGETHER) {
            p->clients_left--;
            p->clients++;
            sim_spawn(p->away, 0, "client", run_client, p);
        }
        MUST(coroutine_sleep(1 + (int64_t)sim_choose(c->sim, 50)) == OK);
    }
    world_calm(c);
    world_raise(c);
    world_wait_ready(c);
    MUST(coroutine_sleep(QUIET_MS) == OK);
    judge_post(p, e.account);
    for (unsigned i = 0; i < c->count; i++) {
        world_stop(c, i);
        world_boot(c, i);
    }
    world_wait_ready(c);
    judge_post(p, e.account);
    for (unsigned i = 0; i < c->count; i++) world_stop(c, i);
}

static struct play present;

static void run_play(void *argument)
{
    colour_pretend_coroutine();
    play_post(argument, &present);
}

static uint64_t run_protocols(uint64_t seed)
{
    struct post *p = &post;
    bool is_rough = seed % 3 != 0;
    *p = (struct post){.clients_left = 24};
    world_open(&p->world, seed, 2 + (unsigned)(seed % 2));
    struct world *c = &p->world;
    present = (struct play){.kills = 3, .stops = 1, .fills = is_rough};
    if (is_rough) present.troubles = (struct world_troubles){.hangs = 3, .cut_offs = 1, .fences = 1, .freezes = 1, .clock_jumps = seed % 2, .lease_losses = 1};
    p->pop_is_exclusive = !is_rough;
    p->away = sim_node_new(c->sim, "away", 1);
    c->up = node_up;
    c->down = node_down;
    c->argument = p;
    c->point_ppm = 3000;
    c->faults = (struct memory_faults){.delay_max_us = 4000, .unknown_ppm = is_rough ? 5000 : 0, .unavailable_ppm = seed % 5 == 0 ? 5000 : 0,
                                       .blind_appends_tell_nothing = seed % 2 == 0, .reorders_objects = true, .loses_notifications = seed % 4 == 0};
    c->options.draft_memory_bytes = seed / 2 % 2;
    c->options.compact_journal_records = 5 + (uint32_t)sim_choose(c->sim, 60);
    for (unsigned i = 0; i < c->count; i++) world_boot(c, i);
    if (!sim_call(c->keeper, 0, run_play, p)) FAIL("the keeper died");
    scenario_say("%u letters, %u lines told, %u connections lost, %u nodes died, %" PRIu64 " steps", p->letter_count, p->told, p->lost_connections,
                 sim_crashes(c->sim), sim_steps(c->sim));
    uint64_t trace = sim_trace(c->sim);
    world_close(c);
    return trace;
}

const struct scenario scenario_protocols = {"protocols", "SMTP, LMTP, IMAP and POP3 clients of nodes that fail", 4, run_protocols};
