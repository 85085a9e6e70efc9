/*
 * APPEND arguments up to the message literal's announcement (RFC 9051 §6.3.12, RFC 3502, RFC 3516 §4.4,
 * RFC 6855 §4, RFC 7888), and what may follow the message.
 */
#include "formats/imap_grammar.h"
#include "formats/imap_write.h"

/* append-message = [SP flag-list] [SP date-time] SP (literal / literal8 / "UTF8" SP "(" literal8 ")") */
bool imap_take_append_message(struct imap_grammar *g, struct imap_append_message *ret_message)
{
    struct imap_append_message message = {0};
    if (!imap_take_space(g)) return false;
    if (cursor_peek(&g->at) == '(' && (!imap_take_flag_list(g, &message.flags) || !imap_take_space(g))) return false;
    if (cursor_peek(&g->at) == '"') {
        if (!imap_take_date_time(g, &message.date) || !imap_take_space(g)) return false;
        message.has_date = true;
    }
    message.is_utf8 = take_view_nocase(&g->at, VIEW("UTF8 ("));
    if (!imap_take_literal_header(&g->at, &message.literal)) return imap_miss(g, "a literal");
    if (message.is_utf8 && !message.literal.is_binary) return imap_miss(g, "a literal8");
    *ret_message = message;
    return true;
}

bool imap_take_append(struct imap_grammar *g, struct imap_append *ret_append)
{
    struct imap_append append = {0};
    if (!imap_take_astring(g, &append.mailbox)) return imap_miss(g, "a mailbox name");
    if (!imap_take_append_message(g, &append.message)) return false;
    *ret_append = append;
    return true;
}

static void write_message(buf *out, const struct imap_append_message *message)
{
    if (message->flags.system || message->flags.keyword_count) {
        buf_append_byte(out, ' ');
        imap_write_flags(out, &message->flags);
    }
    if (message->has_date) {
        buf_append_cstr(out, " \"");
        date_imap_append(out, message->date);
        buf_append_byte(out, '"');
    }
    buf_append_cstr(out, message->is_utf8 ? " UTF8 (" : " ");
    buf_appendf(out, "%s{%llu%s}", message->literal.is_binary ? "~" : "", (unsigned long long)message->literal.size_bytes,
                message->literal.is_sync ? "" : "+");
}

void imap_write_append(struct imap_command_writer *w, const struct imap_append *append)
{
    imap_command_astring(w, append->mailbox);
    write_message(w->out, &append->message);
}

result imap_parse_append_rest(view text, bool was_utf8, struct arena *arena, bool *ret_is_last,
                              struct imap_append_message *ret_message, struct fault *fault)
{
    struct imap_grammar g = {.at = cursor_of(text), .arena = arena};
    struct imap_append_message message = {0};
    bool is_good = !was_utf8 || imap_take_close(&g);
    bool is_last = is_good && cursor_at_end(&g.at);
    if (is_good && !is_last) is_good = imap_take_append_message(&g, &message) && (cursor_at_end(&g.at) || imap_miss(&g, "the end"));
    if (!is_good) {
        result code = fail(fault, g.code, "append: expected %s", g.expected);
        fault_tell(fault, "Expected %s after the message", g.expected);
        return code;
    }
    *ret_is_last = is_last;
    *ret_message = message;
    return OK;
}
