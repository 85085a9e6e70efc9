#include "post.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "scenario.h"

const char *const post_box_names[POST_BOXES] = {"INBOX", "Archive"};

/* ---- letters ------------------------------------------------------------------------------------------- */

struct letter *post_letter(struct post *p)
{
    if (p->letter_count == POST_LETTERS_MAX) return NULL;
    struct letter *l = &p->letters[p->letter_count++];
    l->is_sent = true;
    return l;
}

unsigned post_number(const struct post *p, const struct letter *l) { return (unsigned)(l - p->letters); }

struct letter *post_letter_of(struct post *p, view subject)
{
    uint64_t number;
    view prefix = VIEW("Subject: letter ");
    if (!view_starts(subject, prefix) || !view_to_u64(view_from(subject, prefix.len), &number) || number >= p->letter_count)
        FAIL("a message that nobody sent: " VIEW_FMT, VIEW_ARG(subject));
    return &p->letters[number];
}

/* Some are too large to stand in a record. */
void post_write(struct post *p, const struct letter *l, buf *into)
{
    unsigned number = post_number(p, l), lines = number % 13 == 0 ? 1500 : number % 7 * 3;
    buf_appendf(into, "From: somebody@elsewhere.test\r\nSubject: letter %u\r\n\r\n", number);
    for (unsigned i = 0; i < lines; i++) buf_appendf(into, "line %u of letter %u, of %u lines in all, and no more than that\r\n", i, number, lines);
    buf_appendf(into, "end of letter %u\r\n", number);
}

/* ---- connections --------------------------------------------------------------------------------------- */

struct arrival {
    struct stream *stream;
    void (*accept)(void *service, struct stream *s);
    void *service;
};

static void arrive(void *argument)
{
    struct arrival a = *(struct arrival *)argument;
    free(argument);
    a.accept(a.service, a.stream);
}

bool client_connect(struct client *c, struct post *p, enum post_service service, int node)
{
    if (node < 0) return false;
    struct post_node *n = &p->nodes[node];
    struct loop *loop = sim_node_loop(p->world.nodes[node].sim, (unsigned)sim_choose(p->world.sim, p->world.nodes[node].loops));
    struct arrival *a = malloc(sizeof *a);
    struct stream *mine;
    check(a);
    sim_stream_pair(loop_self(), loop, &mine, &a->stream);
    a->accept = service == POST_IMAP ? imapd_accept : service == POST_POP ? popd_accept : smtpd_accept;
    a->service = service == POST_IMAP   ? imapd_service(n->imapd, IMAPD_PLAIN)
                 : service == POST_POP  ? popd_service(n->popd, POPD_PLAIN)
                 : service == POST_SMTP ? smtpd_service(n->smtpd, SMTPD_MX)
                                        : smtpd_service(n->smtpd, SMTPD_LMTP);
    sim_on_loop(loop, arrive, a);
    *c = (struct client){.post = p, .arena = arena_new(NULL, 16 << 20)};
    wire_init(&c->wire, mine, WIRE_CRLF_ENDS_COMMAND);
    return true;
}

void client_close(struct client *c)
{
    if (c->is_lost) c->post->lost_connections++;
    wire_done(&c->wire);
    arena_free(c->arena);
}

void client_flush(struct client *c)
{
    struct fault fault;
    if (c->is_lost) return;
    result code = wire_flush(&c->wire, clock_in(POST_PATIENCE_MS), &fault);
    if (code == TIMEOUT) FAIL("a server that takes nothing");
    c->is_lost = code != OK;
}

view client_line(struct client *c)
{
    struct fault fault;
    view line;
    client_flush(c);
    if (c->is_lost) return VIEW_EMPTY;
    result code = wire_line(&c->wire, POST_LINE_MAX, clock_in(POST_PATIENCE_MS), &line, &fault);
    if (code == TIMEOUT) FAIL("a server that says nothing");
    if (code == TOO_BIG) FAIL("a line without end");
    c->is_lost = code != OK;
    if (c->is_lost) return VIEW_EMPTY;
    c->post->told++;
    return arena_keep(c->arena, line);
}
