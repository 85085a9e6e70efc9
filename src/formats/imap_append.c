/*
 * Arguments of APPEND and REPLACE up to the message literal's announcement (RFC 9051 §6.3.12, RFC 3502, RFC 3516 §4.4, RFC 4469,
 * RFC 6855 §4, RFC 7888, RFC 8508), and what may follow the message.
 */
#include "formats/imap_grammar.h"
#include "formats/imap_write.h"

/* url = "URL" SP astring */
static bool take_url(struct imap_grammar *g, struct imap_append_message *message)
{
    view url;
    if (!imap_take_space(g)) return false;
    if (!imap_take_astring(g, &url)) return imap_miss(g, "a URL");
    if (message->url_count == IMAP_CATENATE_URLS_MAX) return imap_too_many(g, "fewer URLs");
    view *urls = imap_grow(g, message->urls, message->url_count, sizeof *urls);
    if (!urls) return false;
    message->urls = urls;
    message->urls[message->url_count++] = url;
    return true;
}

/* The literal's announcement. */
static bool take_part(struct imap_grammar *g, struct imap_append_message *message)
{
    if (!imap_take_literal_header(&g->at, &message->literal)) return imap_miss(g, "a literal");
    if (message->is_utf8 && !message->literal.is_binary) return imap_miss(g, "a literal8");
    message->has_literal = true;
    return true;
}

/*
 * cat-part *(SP cat-part) ")", up to the announcement of a text's literal: cat-part = "TEXT" SP literal / url (RFC 4469 §5) /
 * "UTF8" SP "(" literal8 ")" (RFC 6855 §4)
 */
static bool take_parts(struct imap_grammar *g, struct imap_append_message *message)
{
    message->is_catenate = true;
    do {
        message->is_utf8 = take_view_nocase(&g->at, VIEW("UTF8 ("));
        if (message->is_utf8) return take_part(g, message);
        if (imap_take_word(g, VIEW("TEXT"))) return imap_take_space(g) && take_part(g, message);
        if (!imap_take_word(g, VIEW("URL"))) return imap_miss(g, "TEXT, UTF8 or URL");
        if (!take_url(g, message)) return false;
    } while (take_byte(&g->at, ' '));
    if (!imap_take_close(g)) return false;
    message->rest = g->at.rest;
    g->at.rest = VIEW_EMPTY;
    return true;
}

/*
 * append-message = [SP flag-list] [SP date-time] SP (literal / literal8 / "UTF8" SP "(" literal8 ")" / "CATENATE" SP "(" parts ")")
 */
bool imap_take_append_message(struct imap_grammar *g, struct imap_append_message *ret_message)
{
    struct imap_append_message message = {0};
    if (!imap_take_space(g)) return false;
    if (cursor_peek(&g->at) == '(' && (!imap_take_flag_list(g, &message.flags) || !imap_take_space(g))) return false;
    if (cursor_peek(&g->at) == '"') {
        if (!imap_take_date_time(g, &message.date) || !imap_take_space(g)) return false;
        message.has_date = true;
    }
    if (take_view_nocase(&g->at, VIEW("CATENATE ("))) {
        if (!take_parts(g, &message)) return false;
    } else {
        message.is_utf8 = take_view_nocase(&g->at, VIEW("UTF8 ("));
        if (!take_part(g, &message)) return false;
    }
    *ret_message = message;
    return true;
}

/* replace = "REPLACE" SP seq-number SP mailbox append-message (RFC 8508 §5) */
bool imap_take_replace(struct imap_grammar *g, struct imap_append *ret_append)
{
    struct imap_append append;
    struct imap_set set;
    if (!imap_take_set(g, &set) || set.is_saved || set.count != 1 || set.ranges[0].first != set.ranges[0].last)
        return imap_miss(g, "one message");
    if (!imap_take_space(g) || !imap_take_append(g, &append)) return false;
    append.replaces = set;
    *ret_append = append;
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

static void write_message(struct imap_command_writer *w, const struct imap_append_message *message)
{
    buf *out = w->out;
    if (message->flags.system || message->flags.keyword_count) {
        buf_append_byte(out, ' ');
        imap_write_flags(out, &message->flags);
    }
    if (message->has_date) {
        buf_append_cstr(out, " \"");
        date_imap_append(out, message->date);
        buf_append_byte(out, '"');
    }
    if (message->is_catenate) {
        buf_append_cstr(out, " CATENATE (");
        for (size_t i = 0; i < message->url_count; i++) {
            buf_append_cstr(out, i ? " URL " : "URL ");
            imap_command_string(w, message->urls[i]);
        }
        if (message->has_literal && message->url_count) buf_append_byte(out, ' ');
        if (message->has_literal) buf_append_cstr(out, message->is_utf8 ? "UTF8 (" : "TEXT ");
    } else {
        buf_append_cstr(out, message->is_utf8 ? " UTF8 (" : " ");
    }
    if (message->has_literal) {
        buf_appendf(out, "%s{%llu%s}", message->literal.is_binary ? "~" : "", (unsigned long long)message->literal.size_bytes,
                    message->literal.is_sync ? "" : "+");
    } else {
        buf_append_byte(out, ')');
        buf_append(out, message->rest);
    }
}

void imap_write_append(struct imap_command_writer *w, const struct imap_append *append)
{
    if (append->replaces.count) {
        imap_set_write(w->out, &append->replaces);
        buf_append_byte(w->out, ' ');
    }
    imap_command_astring(w, append->mailbox);
    write_message(w, &append->message);
}

result imap_parse_append_rest(view text, enum imap_append_place place, struct arena *arena, bool *ret_is_last,
                              struct imap_append_message *ret_message, struct fault *fault)
{
    struct imap_grammar g = {.at = cursor_of(text), .arena = arena};
    struct imap_append_message message = {0};
    bool is_good = true, is_last = false;
    if (place == IMAP_AFTER_CATENATE_UTF8) {
        is_good = imap_take_close(&g);
        place = IMAP_AFTER_CATENATE;
    }
    if (is_good && place == IMAP_AFTER_CATENATE && take_byte(&g.at, ' ')) {
        message.is_continued = true;
        is_good = take_parts(&g, &message);
    } else if (is_good) {
        is_good = place == IMAP_AFTER_MESSAGE || imap_take_close(&g);
        is_last = is_good && cursor_at_end(&g.at);
        if (is_good && !is_last) is_good = imap_take_append_message(&g, &message);
    }
    if (is_good && !is_last) is_good = cursor_at_end(&g.at) || imap_miss(&g, "the end");
    if (!is_good) {
        result code = fail(fault, g.code, "append: expected %s", g.expected);
        fault_tell(fault, "Expected %s after the message", g.expected);
        return code;
    }
    *ret_is_last = is_last;
    *ret_message = message;
    return OK;
}
