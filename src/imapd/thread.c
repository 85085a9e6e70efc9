/* THREAD and UID THREAD: RFC 5256; REFS: as REFERENCES without subjects, the thread with the latest arrival last. */
#include "imapd/header_digests.h"
#include "imapd/search_match.h"
#include "imapd/thread_tree.h"

enum { MESSAGES_PER_BREATH = 32 };

struct threading {
    struct search search;
    bool by_uid;
    struct digest_reader reader;
    struct thread_tree tree;
};

MAY_YIELD static result gather(void *argument, uint32_t number, const struct row *row)
{
    struct threading *g = argument;
    struct sort_values values = {0};         /* also of what cannot be read */
    struct fault fault = {0};
    result code = digest_reader_read(&g->reader, row, &values, &fault);
    if (code != OK && code != NOT_FOUND && g->search.code == OK) {
        g->search.code = code;
        g->search.fault = fault;
    }
    thread_tree_prepare(&g->tree, digest_reader_coming(&g->reader));
    code = thread_tree_add(&g->tree, g->by_uid ? row->uid : number, row, &values);
    return code == OK && number % MESSAGES_PER_BREATH == 0 ? session_breathe(g->search.s) : code;
}

/* Between the lines of a long answer the output must not be told anything else, so it is one line. */
MAY_YIELD static result tell(struct threading *g)
{
    buf *out = session_out(g->search.s);
    buf_append_cstr(out, g->tree.message_count ? "* THREAD " : "* THREAD");
    result code = thread_tree_write(&g->tree, out);
    buf_append_cstr(out, "\r\n");
    return code;
}

void imapd_thread(struct session *s, const struct imap_command *c, struct reply *r)
{
    if (!session_check_limit(s, mailbox_view_count(s->view), r)) return;      /* RFC 9738 §3.3 */
    struct threading g = {.by_uid = c->is_uid};
    digest_reader_init(&g.reader, s, SORT_NEEDS_DATE | SORT_NEEDS_THREAD);
    thread_tree_init(&g.tree, s, c->thread.algorithm, mailbox_view_count(s->view));
    if (search_prepare(&g.search, s, &c->thread.search, r) == OK) {
        result code = search_walk(&g.search, false, gather, &g);
        if (code == OK) code = thread_tree_build(&g.tree);
        if (code == OK) code = tell(&g);
        reply_result(s, r, code != OK ? code : g.search.code, &g.search.fault);
        session_tell_limit(s, g.search.lowest_uid, r);
    }
    thread_tree_done(&g.tree);
    search_done(&g.search);
    digest_reader_done(&g.reader);
}
