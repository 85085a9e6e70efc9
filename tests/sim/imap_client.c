/*
 * A client that uses the mailboxes by IMAP and believes what it is told: the numbers of messages follow from EXISTS and EXPUNGE alone, and
 * must agree with every FETCH.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "post.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "scenario.h"

struct known { uint32_t uid; struct letter *letter; };

struct imap {
    struct client client;
    enum post_box box;
    struct known at[POST_LETTERS_MAX];   /* by sequence number, from 0 */
    unsigned count;
    unsigned tag;
    bool is_done;                        /* no mailbox is open */
    bool may_expunge;                    /* the command under way may be answered with EXPUNGE (RFC 9051 §7.5.1) */
    struct post_look *look;              /* may be NULL: counts what is fetched */
    uint64_t note;                       /* that METADATA told of */
};

static uint64_t choose(struct imap *m, uint64_t below) { return sim_choose(m->client.post->world.sim, below); }

/* ---- what is told -------------------------------------------------------------------------------------- */

static const struct { const char *name; unsigned flag; } flag_names[] = {
    {"\\Seen", POST_SEEN}, {"\\Answered", POST_ANSWERED}, {"\\Flagged", POST_FLAGGED}, {"\\Draft", POST_DRAFT}, {"\\Deleted", POST_DELETED},
};

static unsigned flags_in(view text)
{
    unsigned flags = 0;
    for (size_t i = 0; i < sizeof flag_names / sizeof flag_names[0]; i++)
        if (view_find_view(text, view_of(flag_names[i].name)) != VIEW_NONE) flags |= flag_names[i].flag;
    return flags;
}

static bool number_after(view text, const char *word, uint64_t *ret_number)
{
    size_t at = view_find_view(text, view_of(word));
    if (at == VIEW_NONE) return false;
    view digits = view_from(text, at + strlen(word));
    size_t count = 0;
    while (count < digits.len && digits.at[count] >= '0' && digits.at[count] <= '9') count++;
    return count > 0 && view_to_u64(view_slice(digits, 0, count), ret_number);
}

static void take_exists(struct imap *m, uint64_t number)
{
    if (number < m->count) FAIL("EXISTS went from %u to %u", m->count, (unsigned)number);
    if (number > POST_LETTERS_MAX) FAIL("more messages than were sent");
    for (; m->count < number; m->count++) m->at[m->count] = (struct known){0};
}

static void take_expunge(struct imap *m, uint64_t number)
{
    if (!m->may_expunge) FAIL("EXPUNGE where it may not be");
    if (number == 0 || number > m->count) FAIL("EXPUNGE of %u, there are %u", (unsigned)number, m->count);
    memmove(&m->at[number - 1], &m->at[number], (--m->count - (number - 1)) * sizeof m->at[0]);
}

/* A letter has one UID in a mailbox for ever, and stands there once. */
static void take_letter(struct imap *m, unsigned index, struct letter *l)
{
    struct post *p = m->client.post;
    uint32_t uid = m->at[index].uid;
    if (!l->uid[m->box]) l->uid[m->box] = uid;
    if (l->uid[m->box] != uid) FAIL("letter %u in %s had UID %u and has %u", post_number(p, l), post_box_names[m->box], l->uid[m->box], uid);
    for (unsigned i = 0; i < m->count; i++)
        if (i != index && m->at[i].letter == l) FAIL("letter %u is there twice", post_number(p, l));
    m->at[index].letter = l;
    if (m->box == POST_ARCHIVE && !l->may_be_moved) FAIL("letter %u is in Archive, and nobody has moved it", post_number(p, l));
    if (m->look) m->look->times[post_number(p, l)]++;
}

static void take_fetch(struct imap *m, uint64_t number, view line, view subject)
{
    uint64_t uid;
    if (number == 0 || number > m->count) FAIL("FETCH of %u, there are %u", (unsigned)number, m->count);
    struct known *k = &m->at[number - 1];
    if (number_after(line, "UID ", &uid)) {
        if (k->uid && k->uid != uid) FAIL("message %u was UID %u and is %u", (unsigned)number, k->uid, (unsigned)uid);
        for (unsigned i = 0; i < m->count; i++)
            if (m->at[i].uid && (i < number - 1 ? m->at[i].uid >= uid : i > number - 1 && m->at[i].uid <= uid)) FAIL("UIDs do not rise at %u", (unsigned)number);
        k->uid = (uint32_t)uid;
    }
    if (subject.len > 0 && k->uid) take_letter(m, (unsigned)number - 1, post_letter_of(m->client.post, subject));
    size_t at = view_find_view(line, VIEW("FLAGS ("));
    if (at == VIEW_NONE || !k->letter) return;
    unsigned flags = flags_in(view_from(line, at));
    if (flags & ~k->letter->flags_asked) FAIL("letter %u has flags %x that nobody set", post_number(m->client.post, k->letter), flags & ~k->letter->flags_asked);
    k->letter->flags |= flags;
    if (m->look) m->look->flags[post_number(m->client.post, k->letter)] = flags;
}

/* The first line of a literal at the end of *line, which then goes on behind it. */
MAY_YIELD static view take_literal(struct imap *m, view *line)
{
    uint64_t bytes;
    buf text CLEANUP(buf_done) = BUF_INIT;
    if (line->len == 0 || line->at[line->len - 1] != '}' || !number_after(*line, "{", &bytes)) return VIEW_EMPTY;
    while (text.len < bytes) {
        struct fault fault;
        view piece;
        if (wire_bytes(&m->client.wire, bytes - text.len, clock_in(POST_PATIENCE_MS), &piece, &fault) != OK) {
            m->client.is_lost = true;
            return VIEW_EMPTY;
        }
        buf_append(&text, piece);
    }
    view rest = client_line(&m->client);
    *line = arena_printf(m->client.arena, VIEW_FMT VIEW_FMT, VIEW_ARG(*line), VIEW_ARG(rest));
    size_t end = view_find_view(buf_view(&text), VIEW("\r\n"));
    return arena_keep(m->client.arena, view_slice(buf_view(&text), 0, end == VIEW_NONE ? text.len : end));
}

MAY_YIELD static void take_untagged(struct imap *m, view line)
{
    uint64_t number;
    view subject = take_literal(m, &line), rest = view_from(line, 2);
    if (m->client.is_lost) return;
    if (view_starts(rest, VIEW("METADATA INBOX")) && !number_after(rest, "\"", &m->note)) m->note = 0;
    if (view_starts(rest, VIEW("BYE")) || !number_after(line, "* ", &number)) {
        if (number_after(line, "[UIDVALIDITY ", &number)) {
            uint32_t *known = &m->client.post->uid_validity[m->box];
            if (*known && *known != number) FAIL("UIDVALIDITY of %s was %u and is %u", post_box_names[m->box], *known, (unsigned)number);
            *known = (uint32_t)number;
        }
        return;
    }
    if (view_find_view(line, VIEW(" EXISTS")) != VIEW_NONE) take_exists(m, number);
    else if (view_find_view(line, VIEW(" EXPUNGE")) != VIEW_NONE) take_expunge(m, number);
    else if (view_find_view(line, VIEW(" FETCH ")) != VIEW_NONE) take_fetch(m, number, line, subject);
}

/* ---- what is said -------------------------------------------------------------------------------------- */

/* Reads what is told until the answer to the command, or a line that asks to go on. */
MAY_YIELD static view read_answer(struct imap *m)
{
    for (;;) {
        view line = client_line(&m->client);
        if (m->client.is_lost || !view_starts(line, VIEW("* "))) return line;
        take_untagged(m, line);
        if (m->client.is_lost) return VIEW_EMPTY;
    }
}

/* True for OK. What is wrong for a while is said to be so. */
static bool is_ok(struct imap *m, view line)
{
    char tag[20];
    m->may_expunge = false;
    if (m->client.is_lost) return false;
    snprintf(tag, sizeof tag, "t%u ", m->tag);
    view answer = view_from(line, strlen(tag));
    if (view_starts(line, view_of(tag)) && view_starts(answer, VIEW("OK"))) return true;
    if (!view_starts(line, view_of(tag)) || !view_starts(answer, VIEW("NO [UNAVAILABLE]"))) FAIL("IMAP: " VIEW_FMT, VIEW_ARG(line));
    return false;
}

/* `ret_line` may be NULL. */
MAY_YIELD static bool finish(struct imap *m, view *ret_line)
{
    view line = read_answer(m);
    if (ret_line) *ret_line = line;
    return is_ok(m, line);
}

#define SAY(m, may, ...) ((m)->may_expunge = (may), wire_putf(&(m)->client.wire, "t%u ", ++(m)->tag), wire_putf(&(m)->client.wire, __VA_ARGS__), wire_put(&(m)->client.wire, VIEW("\r\n")))

/* Which letters the new ones are. */
MAY_YIELD static bool learn(struct imap *m)
{
    unsigned first = 0;
    while (first < m->count && m->at[first].letter) first++;
    if (first == m->count) return true;
    SAY(m, false, "FETCH %u:%u (UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])", first + 1, m->count);
    return finish(m, NULL);
}

static bool has_letter(const struct imap *m, const struct letter *l)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->at[i].letter == l) return true;
    return false;
}

/* What was acknowledged before the mailbox was opened is there, and what was removed is not. */
static void check_fresh(const struct imap *m, millis asked)
{
    const struct post *p = m->client.post;
    for (unsigned i = 0; m->box == POST_INBOX && i < p->letter_count; i++) {
        const struct letter *l = &p->letters[i];
        if (l->is_taken && millis_before(l->taken, asked) && !l->may_be_removed && !l->may_be_moved && !has_letter(m, l))
            FAIL("letter %u was acknowledged and is not there", i);
        if (l->has_left_inbox && millis_before(l->left, asked) && has_letter(m, l)) FAIL("letter %u was removed and is there", i);
    }
}

/* ---- commands ------------------------------------------------------------------------------------------ */

MAY_YIELD static bool select_box(struct imap *m, enum post_box box)
{
    m->box = box;
    m->count = 0;
    millis asked = clock_now();
    SAY(m, true, "SELECT %s", post_box_names[box]);
    m->is_done = !finish(m, NULL);
    if (m->is_done || !learn(m)) return false;
    check_fresh(m, asked);
    return true;
}

static struct known *some_message(struct imap *m)
{
    struct known *k = m->count ? &m->at[choose(m, m->count)] : NULL;
    return k && k->letter ? k : NULL;
}

MAY_YIELD static void set_flag(struct imap *m, bool deletes)
{
    struct known *k = some_message(m);
    if (!k) return;
    size_t which = deletes ? 4 : choose(m, 4);
    struct letter *l = k->letter;
    uint32_t uid = k->uid;
    l->flags_asked |= flag_names[which].flag;
    SAY(m, true, "UID STORE %u +FLAGS (%s)", uid, flag_names[which].name);
    bool ok = finish(m, NULL);
    if (!ok || !deletes || m->box != POST_INBOX || !(l->flags & POST_DELETED)) return;
    l->may_be_removed = true;
    SAY(m, true, "UID EXPUNGE %u", uid);
    if (!finish(m, NULL)) return;
    if (!l->has_left_inbox) l->left = clock_now();
    l->has_left_inbox = true;
    if (has_letter(m, l)) FAIL("letter %u was expunged, and no EXPUNGE told of it", post_number(m->client.post, l));
}

MAY_YIELD static void move(struct imap *m)
{
    struct known *k = some_message(m);
    if (!k || m->box != POST_INBOX) return;
    struct letter *l = k->letter;
    view line;
    l->may_be_moved = true;
    SAY(m, true, "UID MOVE %u Archive", k->uid);
    if (!finish(m, &line)) return;
    if (view_find_view(line, VIEW("[COPYUID ")) != VIEW_NONE) l->is_in_archive = true;
    if (!l->has_left_inbox) l->left = clock_now();
    l->has_left_inbox = true;
}

/* What was acknowledged is read, by whichever node. */
MAY_YIELD static void annotate(struct imap *m)
{
    unsigned which = (unsigned)choose(m, POST_NOTES);
    struct post_note *n = &m->client.post->notes[which];
    if (n->is_busy) return;
    n->is_busy = true;
    if (choose(m, 2)) {
        n->asked++;
        SAY(m, true, "SETMETADATA INBOX (/private/sim/%u \"%llu\")", which, (unsigned long long)n->asked);
        if (finish(m, NULL)) n->told = n->asked;
        else n->is_unsure = true;
    }
    m->note = UINT64_MAX;
    if (!m->client.is_lost) SAY(m, true, "GETMETADATA INBOX /private/sim/%u", which);
    if (!m->client.is_lost && finish(m, NULL) && (n->is_unsure ? m->note > n->asked : m->note != n->told))
        FAIL("annotation %u is %llu, %llu was acknowledged", which, (unsigned long long)m->note, (unsigned long long)n->told);
    n->is_busy = false;
}

MAY_YIELD static void append(struct imap *m)
{
    struct post *p = m->client.post;
    buf text CLEANUP(buf_done) = BUF_INIT;
    struct letter *l = post_letter(p);
    if (!l) return;
    post_write(p, l, &text);
    SAY(m, true, "APPEND INBOX {%zu+}", text.len);
    wire_put(&m->client.wire, buf_view(&text));
    wire_put(&m->client.wire, VIEW("\r\n"));
    if (!finish(m, NULL)) return;
    l->is_taken = true;
    l->taken = clock_now();
}

MAY_YIELD static void idle(struct imap *m)
{
    struct fault fault;
    view line;
    SAY(m, true, "IDLE");
    line = read_answer(m);
    if (!view_starts(line, VIEW("+"))) {
        (void)is_ok(m, line);
        return;
    }
    millis until = clock_in((int64_t)choose(m, 3000));
    while (!m->client.is_lost && wire_line(&m->client.wire, POST_LINE_MAX, until, &line, &fault) == OK) take_untagged(m, arena_keep(m->client.arena, line));
    wire_put(&m->client.wire, VIEW("DONE\r\n"));
    (void)finish(m, NULL);
}

MAY_YIELD static void act(struct imap *m)
{
    switch (choose(m, 11)) {
    case 0: case 1: SAY(m, true, "NOOP"); (void)finish(m, NULL); break;
    case 2: case 3: case 4: set_flag(m, false); break;
    case 5: set_flag(m, true); break;
    case 6: move(m); break;
    case 7: append(m); break;
    case 8: idle(m); break;
    case 10: annotate(m); break;
    case 9: (void)select_box(m, choose(m, 3) ? POST_INBOX : POST_ARCHIVE); break;
    }
    if (!m->client.is_lost && !m->is_done) (void)learn(m);
    arena_reset(m->client.arena);
}

MAY_YIELD static bool log_in(struct imap *m)
{
    view line = client_line(&m->client);
    if (!view_starts(line, VIEW("* OK"))) return false;
    SAY(m, false, "LOGIN joe@example.test secret");
    return finish(m, NULL);
}

void imap_client(struct post *p)
{
    struct imap *m = calloc(1, sizeof *m);
    check(m);
    if (client_connect(&m->client, p, POST_IMAP, world_pick(&p->world))) {
        if (log_in(m) && select_box(m, choose(m, 4) ? POST_INBOX : POST_ARCHIVE))
            for (uint64_t left = 1 + choose(m, 20); left > 0 && !m->client.is_lost && !m->is_done; left--) act(m);
        client_close(&m->client);
    }
    free(m);
}

void imap_look(struct post *p, int node, enum post_box box, struct post_look *look)
{
    struct imap *m = calloc(1, sizeof *m);
    check(m);
    m->look = look;
    if (!client_connect(&m->client, p, POST_IMAP, node) || !log_in(m) || !select_box(m, box)) FAIL("node %d does not serve when all is quiet", node);
    client_close(&m->client);
    free(m);
}
