/* How far long commands are: INPROGRESS, RFC 9585. */
#include "imapd/session.h"
#include "runtime/clock.h"

void session_begin_progress(struct session *s, view tag)
{
    s->progress_tag = tag;
    s->progress_at = clock_now();
    s->progress_bytes = s->wire.bytes_out;
    s->progress_done = 0;
}

/* A tag that would end the response code early is not told. */
static bool is_plain(view tag)
{
    for (size_t i = 0; i < tag.len; i++)
        if (tag.at[i] == ']' || tag.at[i] == '"' || tag.at[i] == '\\') return false;
    return tag.len > 0;
}

result session_note_progress(struct session *s, uint64_t more)
{
    s->progress_done += more;
    bool was_heard = s->wire.output.len > 0 || s->wire.bytes_out != s->progress_bytes;
    if (was_heard) {
        s->progress_at = clock_now();
        s->progress_bytes = s->wire.bytes_out;
        return OK;
    }
    if (clock_now().ms - s->progress_at.ms < session_options(s)->progress_ms) return OK;
    if (is_plain(s->progress_tag)) {
        session_tellf(s, "OK [INPROGRESS (\"" VIEW_FMT "\" %llu NIL)] Still at it", VIEW_ARG(s->progress_tag), (unsigned long long)s->progress_done);
    } else {
        session_tellf(s, "OK [INPROGRESS (NIL %llu NIL)] Still at it", (unsigned long long)s->progress_done);
    }
    result code = session_flush(s);
    s->progress_at = clock_now();
    s->progress_bytes = s->wire.bytes_out;
    return code;
}
