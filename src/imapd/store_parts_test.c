/* STORE of more messages than one record should change: with odd seeds, a record for each four messages (test_server.h). */
#include <stdio.h>
#include <string.h>

#include "base/test.h"
#include "engine/memory.h"
#include "imapd/test_model.h"
#include "imapd/test_server.h"

enum { MESSAGES = 20, PART = 4, PARTS = MESSAGES / PART, SEEDS = 60 };
enum { FLAGGED = 1 << 1, SEEN = 1 << 3 };        /* as test_model.h has them */

static struct test_server *with_messages(uint64_t seed)
{
    struct test_server *t = test_server_open(seed, NULL);
    struct transcript *c = test_server_login(t);
    TRANSCRIPT(c, "C: a APPEND INBOX {16+}\nC: Subject: a\nC: \nC: x\nS: a OK *\nC: s SELECT INBOX\nS~ s OK *\nC: c COPY 1 INBOX\nS~ c OK *\n"
                  "C: c COPY 1:2 INBOX\nS~ c OK *\nC: c COPY 1:4 INBOX\nS~ c OK *\nC: c COPY 1:8 INBOX\nS~ c OK *\nC: c COPY 1:4 INBOX\nS~ * 20 EXISTS\nS~ c OK *\n"
                  "C: n CREATE Other\nS: n OK *\nC: c COPY 1 Other\nS~ c OK *\n");
    transcript_close(c);
    return t;
}

/* A client that remembers what it was told. */
struct client { struct transcript *c; struct model model; };

/* Until the answer with the tag, which is what comes back. Untagged answers are counted in *ret_fetches, which may be NULL. */
static view hear(struct client *k, const char *tag, unsigned *ret_fetches)
{
    unsigned fetches = 0;
    for (;;) {
        TRANSCRIPT(k->c, "S: *\n");
        view line = transcript_line(k->c);
        if (!model_hear(&k->model, line)) test_fail(__FILE__, __LINE__, "contradicts what was said before: " VIEW_FMT, VIEW_ARG(line));
        fetches += view_find_view(line, VIEW(" FETCH (")) != VIEW_NONE;
        if (!view_starts(line, view_of(tag)) || line.at[strlen(tag)] != ' ') continue;
        if (ret_fetches) *ret_fetches = fetches;
        return view_from(line, strlen(tag) + 1);
    }
}

static void say(struct client *k, const char *line)
{
    transcript_send(k->c, view_of(line));
    transcript_send(k->c, VIEW("\r\n"));
}

static view ask(struct client *k, const char *line, unsigned *ret_fetches)
{
    char tag[16];
    snprintf(tag, sizeof tag, "%.*s", (int)view_find(view_of(line), ' '), line);
    say(k, line);
    return hear(k, tag, ret_fetches);
}

static void expect_ok(view answer) { EXPECT(view_starts(answer, VIEW("OK"))); }

static struct client client_new(struct test_server *t, const char *mailbox)
{
    struct client k = {.c = test_server_login(t)};
    char line[64];
    snprintf(line, sizeof line, "s SELECT %s", mailbox);
    expect_ok(ask(&k, line, NULL));
    expect_ok(ask(&k, "f FETCH 1:* (UID FLAGS)", NULL));
    return k;
}

static void client_done(struct client *k)
{
    transcript_close(k->c);
    model_done(&k->model);
}

/* What it believes is so. */
static void prove(struct client *k)
{
    uint32_t before[MESSAGES];
    expect_ok(ask(k, "n NOOP", NULL));
    REQUIRE(k->model.count == MESSAGES);
    for (unsigned i = 0; i < MESSAGES; i++) before[i] = k->model.messages[i].flags;
    expect_ok(ask(k, "f FETCH 1:* (UID FLAGS)", NULL));
    for (unsigned i = 0; i < MESSAGES; i++)
        if (before[i] != k->model.messages[i].flags) test_fail(__FILE__, __LINE__, "believed flags %x of message %u, which has %x", before[i], i + 1, k->model.messages[i].flags);
}

static uint64_t modseq_of(struct client *k, unsigned message)
{
    char line[64];
    uint64_t modseq = 0;
    snprintf(line, sizeof line, "m FETCH %u (MODSEQ)\r\n", message);
    transcript_send(k->c, view_of(line));
    TRANSCRIPT(k->c, "S: * * FETCH (*MODSEQ (*\n");
    view told = transcript_line(k->c);
    for (size_t at = view_find_view(told, VIEW("MODSEQ (")) + 8; at < told.len && told.at[at] != ')'; at++) modseq = modseq * 10 + (unsigned)(told.at[at] - '0');
    expect_ok(hear(k, "m", NULL));
    return modseq;
}

TEST(imapd_store_of_many_is_several_records)
{
    struct test_server *t = with_messages(1);
    struct client a = client_new(t, "INBOX");
    unsigned told;
    expect_ok(ask(&a, "a STORE 1:* +FLAGS (\\Flagged)", &told));
    EXPECT_NUMBER(told, MESSAGES);
    uint64_t first = modseq_of(&a, 1);
    for (unsigned i = 1; i <= MESSAGES; i++) EXPECT_NUMBER(modseq_of(&a, i), first + (i - 1) / PART);
    /* Few are one record, and what is done already none that anybody sees. */
    expect_ok(ask(&a, "b UID STORE 3:6 +FLAGS (\\Answered)", &told));
    EXPECT_NUMBER(modseq_of(&a, 3), first + PARTS);
    EXPECT_NUMBER(modseq_of(&a, 6), first + PARTS);
    expect_ok(ask(&a, "c STORE 1:20 +FLAGS (\\Flagged)", &told));
    EXPECT_NUMBER(told, MESSAGES);
    EXPECT_NUMBER(modseq_of(&a, 20), first + PARTS - 1);
    prove(&a);
    client_done(&a);
    test_server_close(t);
}

TEST(imapd_store_of_many_tells_nothing_when_it_is_silent)
{
    struct test_server *t = with_messages(1);
    struct client a = client_new(t, "INBOX");
    TRANSCRIPT(a.c, "C: a STORE 1:* +FLAGS.SILENT (\\Flagged $Label)\nS: a OK STORE completed\nC: b UID STORE 1:7,9,12:* -FLAGS.SILENT (\\Flagged)\nS: b OK *\n"
                    "C: n NOOP\nS: n OK *\nC: s SEARCH FLAGGED\nS: * SEARCH 8 10 11\nS: s OK *\nC: k SEARCH KEYWORD $Label\nS: * SEARCH 1 2 *19 20\nS: k OK *\n");
    client_done(&a);
    test_server_close(t);
}

/* Not even when others write meanwhile, if they do so in another mailbox. */
TEST(imapd_store_of_many_is_silent_while_others_change_other_mailboxes)
{
    unsigned between = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed += 2) {
        struct test_server *t = with_messages(seed);
        struct client a = client_new(t, "INBOX"), b = client_new(t, "Other");
        memory_store_set_faults(t->store, &(struct memory_faults){.delay_max_us = 5000});
        say(&a, "a STORE 1:* +FLAGS.SILENT (\\Seen)");
        for (unsigned i = 0; i < 4; i++) expect_ok(ask(&b, i % 2 ? "b STORE 1 -FLAGS (\\Flagged)" : "b STORE 1 +FLAGS (\\Flagged)", NULL));
        TRANSCRIPT(a.c, "S: a OK *\nC: n NOOP\nS: n OK *\n");
        between += modseq_of(&a, MESSAGES) >= modseq_of(&a, 1) + PARTS;
        client_done(&a);
        client_done(&b);
        test_server_close(t);
    }
    EXPECT(between > SEEDS / 8);
}

/* Another session's change comes between two records: both sessions know in the end what is so. */
static bool store_beside_another(uint64_t seed, const char *store, const char *beside)
{
    struct test_server *t = with_messages(seed);
    struct client a = client_new(t, "INBOX"), b = client_new(t, "INBOX");
    memory_store_set_faults(t->store, &(struct memory_faults){.delay_max_us = 5000});
    bool is_silent = view_find_view(view_of(store), VIEW(".SILENT")) != VIEW_NONE;
    say(&a, store);
    expect_ok(ask(&b, beside, NULL));
    for (unsigned i = 0; is_silent && i < MESSAGES; i++) a.model.messages[i].flags |= SEEN;
    expect_ok(hear(&a, "a", NULL));
    prove(&a);
    prove(&b);
    for (unsigned i = 0; i < MESSAGES; i++) {
        uint32_t flags = i == 1 || i == 17 ? SEEN | FLAGGED : SEEN;
        EXPECT_NUMBER(a.model.messages[i].flags, flags);
        EXPECT_NUMBER(b.model.messages[i].flags, flags);
    }
    bool is_between = modseq_of(&a, 1) < modseq_of(&a, 2) && modseq_of(&a, 18) == modseq_of(&a, MESSAGES - 3);
    client_done(&a);
    client_done(&b);
    test_server_close(t);
    return is_between;
}

TEST(imapd_store_of_many_lets_others_change_the_same_mailbox)
{
    unsigned between = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        between += store_beside_another(seed, "a STORE 1:* +FLAGS.SILENT (\\Seen)", "b STORE 2,18 +FLAGS (\\Flagged)");
        between += store_beside_another(seed, "a UID STORE 1:* +FLAGS (\\Seen)", "b UID STORE 2,18 +FLAGS.SILENT (\\Flagged)");
    }
    EXPECT(between > SEEDS / 8);
}

TEST(imapd_store_of_many_leaves_alone_what_has_changed_since)
{
    struct test_server *t = with_messages(1);
    struct client a = client_new(t, "INBOX"), b = client_new(t, "INBOX");
    uint64_t since = modseq_of(&a, MESSAGES);
    char line[96];
    expect_ok(ask(&b, "b STORE 3:5,17 +FLAGS (\\Flagged)", NULL));
    /* What its own records changed has not "changed since". */
    snprintf(line, sizeof line, "a STORE 1:* (UNCHANGEDSINCE %llu) +FLAGS (\\Seen)", (unsigned long long)since);
    EXPECT(view_starts(ask(&a, line, NULL), VIEW("OK [MODIFIED 3:5,17] ")));
    prove(&a);
    for (unsigned i = 0; i < MESSAGES; i++) EXPECT_NUMBER(a.model.messages[i].flags, (i >= 2 && i <= 4) || i == 16 ? FLAGGED : SEEN);
    snprintf(line, sizeof line, "c UID STORE 2:20 (UNCHANGEDSINCE %llu) +FLAGS.SILENT (\\Draft)", (unsigned long long)since);
    EXPECT(view_starts(ask(&a, line, NULL), VIEW("OK [MODIFIED 2:20] ")));
    prove(&a);
    client_done(&a);
    client_done(&b);
    test_server_close(t);
}

/* Whoever was away and comes back from the middle of a STORE learns of the rest. */
TEST(imapd_store_of_many_can_be_resynchronized_from_its_middle)
{
    struct test_server *t = with_messages(1);
    struct client a = client_new(t, "INBOX");
    expect_ok(ask(&a, "a STORE 1:* +FLAGS.SILENT (\\Seen)", NULL));
    uint64_t second = modseq_of(&a, PART + 1);
    TRANSCRIPT(a.c, "C: v STATUS INBOX (UIDVALIDITY)\nS: * STATUS INBOX (UIDVALIDITY *)\n");
    view line = transcript_line(a.c), number = view_from(line, view_find_last(line, ' ') + 1);
    struct client b = {.c = test_server_login(t)};
    char select[96], fetch[96];
    unsigned told;
    expect_ok(ask(&b, "e ENABLE QRESYNC", NULL));
    snprintf(select, sizeof select, "s SELECT INBOX (QRESYNC (%.*s %llu))", (int)number.len - 1, number.at, (unsigned long long)second);
    expect_ok(ask(&b, select, &told));
    EXPECT_NUMBER(told, MESSAGES - 2 * PART);
    snprintf(fetch, sizeof fetch, "f FETCH 1:* (FLAGS) (CHANGEDSINCE %llu)", (unsigned long long)second - 1);
    expect_ok(ask(&b, fetch, &told));
    EXPECT_NUMBER(told, MESSAGES - PART);
    client_done(&a);
    client_done(&b);
    test_server_close(t);
}

/* What was done before the store failed is done, and is told: of a silent one too, for the client cannot know how far it came. */
TEST(imapd_store_of_many_tells_what_was_done_before_it_failed)
{
    unsigned in_the_middle = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed += 2) {
        struct test_server *t = with_messages(seed);
        struct client a = client_new(t, "INBOX");
        memory_store_set_faults(t->store, &(struct memory_faults){.unavailable_ppm = 300000});
        view answer = ask(&a, seed % 4 == 1 ? "a STORE 1:* +FLAGS.SILENT (\\Seen)" : "a STORE 1:* +FLAGS (\\Seen)", NULL);
        bool is_ok = view_starts(answer, VIEW("OK"));
        memory_store_set_faults(t->store, &(struct memory_faults){0});
        for (unsigned i = 0; is_ok && seed % 4 == 1 && i < MESSAGES; i++) a.model.messages[i].flags |= SEEN;
        prove(&a);
        unsigned done = 0;
        for (unsigned i = 0; i < MESSAGES; i++) done += (a.model.messages[i].flags & SEEN) != 0;
        EXPECT(!is_ok || done == MESSAGES);
        for (unsigned i = 0; i < MESSAGES; i++) EXPECT(!!(a.model.messages[i].flags & SEEN) == (i < done));
        in_the_middle += done > 0 && done < MESSAGES;
        client_done(&a);
        test_server_close(t);
    }
    EXPECT(in_the_middle > SEEDS / 8);
}

/* Whoever hangs up, or whose service stops, leaves messages stored from the first on. */
TEST(imapd_store_of_many_ends_well_in_its_middle)
{
    unsigned in_the_middle = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed += 2) {
        struct test_server *t = with_messages(seed);
        struct client a = client_new(t, "INBOX"), b = client_new(t, "INBOX");
        memory_store_set_faults(t->store, &(struct memory_faults){.delay_max_us = 20000});
        say(&a, "a STORE 1:* +FLAGS (\\Seen)");
        TRANSCRIPT(a.c, "W: 20\n");
        if (seed % 4 == 1) TRANSCRIPT(a.c, "R:\n");
        (void)ask(&b, "f FETCH 1:* (FLAGS)", NULL);
        if (seed % 4 == 3) imapd_stop(t->imapd);
        unsigned done = 0;
        for (unsigned i = 0; i < MESSAGES; i++) done += (b.model.messages[i].flags & SEEN) != 0;
        in_the_middle += done > 0 && done < MESSAGES;
        for (unsigned i = 0; i < MESSAGES; i++) EXPECT(!!(b.model.messages[i].flags & SEEN) == (i < done));
        client_done(&a);
        client_done(&b);
        test_server_close(t);
    }
    EXPECT(in_the_middle > SEEDS / 8);
}
