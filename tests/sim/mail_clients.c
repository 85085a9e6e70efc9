/* Clients that send by SMTP and LMTP, and that collect by POP3. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "post.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "scenario.h"

static bool percent(struct post *p, unsigned percent) { return sim_choose(p->world.sim, 100) < percent; }

/* ---- SMTP ---------------------------------------------------------------------------------------------- */

/* The code of a whole reply; 0 when the connection is lost. What is wrong for a while must never be told as wrong for ever. */
MAY_YIELD static unsigned reply(struct client *c)
{
    for (;;) {
        uint64_t code;
        view line = client_line(c);
        if (c->is_lost) return 0;
        if (line.len < 4 || !view_to_u64(view_slice(line, 0, 3), &code)) FAIL("SMTP: " VIEW_FMT, VIEW_ARG(line));
        if (code >= 500) FAIL("a permanent error: " VIEW_FMT, VIEW_ARG(line));
        if (line.at[3] == ' ') return (unsigned)code;
    }
}

MAY_YIELD static unsigned say(struct client *c, const char *words)
{
    wire_putf(&c->wire, "%s\r\n", words);
    return reply(c);
}

MAY_YIELD static void send_letter(struct client *c)
{
    struct post *p = c->post;
    if (say(c, "MAIL FROM:<somebody@elsewhere.test>") != 250 || say(c, "RCPT TO:<joe@example.test>") != 250) {
        if (!c->is_lost) (void)say(c, "RSET");
        return;
    }
    if (say(c, "DATA") != 354) return;
    struct letter *l = post_letter(p);
    if (!l) return;
    post_write(p, l, &c->wire.output);
    wire_put(&c->wire, VIEW(".\r\n"));
    if (reply(c) != 250) return;
    l->is_taken = true;
    l->taken = clock_now();
}

void smtp_client(struct post *p)
{
    struct client c;
    bool is_lmtp = percent(p, 50);
    if (!client_connect(&c, p, is_lmtp ? POST_LMTP : POST_SMTP, world_pick(&p->world))) return;
    if (reply(&c) == 220 && say(&c, is_lmtp ? "LHLO elsewhere.test" : "EHLO elsewhere.test") == 250) {
        for (uint64_t left = 1 + sim_choose(p->world.sim, 5); left > 0 && !c.is_lost; left--) {
            send_letter(&c);
            arena_reset(c.arena);
        }
        if (!c.is_lost) (void)say(&c, "QUIT");
    }
    client_close(&c);
}

/* ---- POP3 ---------------------------------------------------------------------------------------------- */

enum { MAILDROP_MAX = POST_LETTERS_MAX };

struct maildrop_seen {
    char uidl[MAILDROP_MAX + 1][POST_UIDL_MAX];
    struct letter *marked[MAILDROP_MAX];
    unsigned count, marked_count;
};

/* +OK or not. An error says that it is for a while. */
static bool is_pop_ok(view line)
{
    if (view_starts(line, VIEW("+OK"))) return true;
    bool is_temporary = view_starts(line, VIEW("-ERR [SYS/TEMP]")) || view_starts(line, VIEW("-ERR [IN-USE]"));
    bool is_gone = view_equal(line, VIEW("-ERR No such message any more"));      /* an IMAP client was faster */
    if (!is_temporary && !is_gone) FAIL("POP3: " VIEW_FMT, VIEW_ARG(line));
    return false;
}

MAY_YIELD static bool pop_ok(struct client *c)
{
    view line = client_line(c);
    return !c->is_lost && is_pop_ok(line);
}

MAY_YIELD static bool pop_say(struct client *c, const char *words)
{
    wire_putf(&c->wire, "%s\r\n", words);
    return pop_ok(c);
}

MAY_YIELD static bool list_uidls(struct client *c, struct maildrop_seen *seen)
{
    if (!pop_say(c, "UIDL")) return false;
    for (;;) {
        uint64_t number;
        view line = client_line(c);
        if (c->is_lost) return false;
        if (view_equal(line, VIEW("."))) return true;
        size_t blank = view_find_view(line, VIEW(" "));
        if (blank == VIEW_NONE || !view_to_u64(view_slice(line, 0, blank), &number) || number <= seen->count || number > MAILDROP_MAX || line.len - blank > POST_UIDL_MAX)
            FAIL("UIDL: " VIEW_FMT, VIEW_ARG(line));
        seen->count = (unsigned)number;              /* those that IMAP clients have removed since the log-in are left out */
        memcpy(seen->uidl[number], line.at + blank + 1, line.len - blank - 1);
        for (unsigned i = 1; i < number; i++)
            if (strcmp(seen->uidl[i], seen->uidl[number]) == 0) FAIL("messages %u and %u have one unique id", i, (unsigned)number);
    }
}

/* Reads a message to its end; which letter it is. */
MAY_YIELD static struct letter *retrieve(struct client *c, unsigned number)
{
    struct letter *l = NULL;
    char words[40], last[60];
    bool has_end = false;
    snprintf(words, sizeof words, "RETR %u", number);
    if (!pop_say(c, words)) return NULL;
    for (;;) {
        view line = client_line(c);
        if (c->is_lost) return NULL;
        if (view_equal(line, VIEW("."))) break;
        if (!l && view_starts(line, VIEW("Subject: "))) l = post_letter_of(c->post, line);
        if (l) snprintf(last, sizeof last, "end of letter %u", post_number(c->post, l));
        has_end = l && view_equal(line, view_of(last));
    }
    if (!l || !has_end) FAIL("message %u is not whole", number);
    return l;
}

static void note_uidl(struct post *p, struct letter *l, const char *uidl)
{
    if (!l->uidl[0]) snprintf(l->uidl, sizeof l->uidl, "%s", uidl);
    if (strcmp(l->uidl, uidl) != 0) FAIL("letter %u had the unique id %s and has %s", post_number(p, l), l->uidl, uidl);
}

/* All that was acknowledged before the log-in is there. */
static void check_fresh(struct post *p, const struct maildrop_seen *seen, millis asked)
{
    for (unsigned i = 0; i < p->letter_count; i++) {
        const struct letter *l = &p->letters[i];
        bool is_there = false;
        for (unsigned k = 1; k <= seen->count && l->uidl[0]; k++) is_there |= strcmp(seen->uidl[k], l->uidl) == 0;
        if (l->uidl[0] && !is_there && l->is_taken && millis_before(l->taken, asked) && !l->may_be_removed && !l->may_be_moved)
            FAIL("letter %u was acknowledged and POP3 does not list it", i);
        if (is_there && l->has_left_inbox && millis_before(l->left, asked)) FAIL("letter %u was removed and POP3 lists it", i);
    }
}

MAY_YIELD static void collect(struct client *c, struct maildrop_seen *seen, millis asked)
{
    struct post *p = c->post;
    if (!list_uidls(c, seen)) return;
    check_fresh(p, seen, asked);
    for (unsigned i = 1; i <= seen->count && !c->is_lost; i++) {
        char words[40];
        if (!seen->uidl[i][0] || percent(p, 60)) continue;
        struct letter *l = retrieve(c, i);
        if (!l) continue;
        note_uidl(p, l, seen->uidl[i]);
        snprintf(words, sizeof words, "DELE %u", i);
        if (percent(p, 30) && pop_say(c, words)) seen->marked[seen->marked_count++] = l;
        arena_reset(c->arena);
    }
}

/* The maildrop is free from then on. */
MAY_YIELD static void quit(struct client *c, const struct maildrop_seen *seen)
{
    struct post *p = c->post;
    for (unsigned i = 0; i < seen->marked_count; i++) seen->marked[i]->may_be_removed = true;
    p->pop_sessions--;
    bool ok = pop_say(c, "QUIT");
    for (unsigned i = 0; ok && i < seen->marked_count; i++) {
        if (!seen->marked[i]->has_left_inbox) seen->marked[i]->left = clock_now();
        seen->marked[i]->has_left_inbox = true;
    }
}

void pop_client(struct post *p)
{
    struct client c;
    if (!client_connect(&c, p, POST_POP, world_pick(&p->world))) return;
    struct maildrop_seen *seen = calloc(1, sizeof *seen);
    check(seen);
    if (pop_ok(&c) && pop_say(&c, "USER joe@example.test")) {
        millis asked = clock_now();
        if (pop_say(&c, "PASS secret")) {
            if (p->pop_sessions > 0 && p->pop_is_exclusive) FAIL("two POP3 sessions at once");
            p->pop_sessions++;
            collect(&c, seen, asked);
            /* Some hang up: then nothing may be removed. */
            if (c.is_lost || percent(p, 20)) p->pop_sessions--;
            else quit(&c, seen);
        }
    }
    free(seen);
    client_close(&c);
}
