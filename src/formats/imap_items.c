/*
 * Grammar that several commands share: flags, dates, status items, special-use attributes; and their writers.
 */
#include "base/check.h"
#include "formats/imap_grammar.h"
#include "formats/imap_write.h"

static const struct imap_word system_flags[] = {
    {VIEW_INIT("Answered"), IMAP_FLAG_ANSWERED}, {VIEW_INIT("Flagged"), IMAP_FLAG_FLAGGED},
    {VIEW_INIT("Deleted"), IMAP_FLAG_DELETED},   {VIEW_INIT("Seen"), IMAP_FLAG_SEEN},
    {VIEW_INIT("Draft"), IMAP_FLAG_DRAFT},       {VIEW_INIT("Recent"), IMAP_FLAG_RECENT},
};

static const struct imap_word status_items[] = {
    {VIEW_INIT("MESSAGES"), IMAP_STATUS_MESSAGES},
    {VIEW_INIT("RECENT"), IMAP_STATUS_RECENT},
    {VIEW_INIT("UIDNEXT"), IMAP_STATUS_UIDNEXT},
    {VIEW_INIT("UIDVALIDITY"), IMAP_STATUS_UIDVALIDITY},
    {VIEW_INIT("UNSEEN"), IMAP_STATUS_UNSEEN},
    {VIEW_INIT("DELETED"), IMAP_STATUS_DELETED},
    {VIEW_INIT("SIZE"), IMAP_STATUS_SIZE},
    {VIEW_INIT("HIGHESTMODSEQ"), IMAP_STATUS_HIGHESTMODSEQ},
    {VIEW_INIT("APPENDLIMIT"), IMAP_STATUS_APPENDLIMIT},
    {VIEW_INIT("MAILBOXID"), IMAP_STATUS_MAILBOXID},
    {VIEW_INIT("DELETED-STORAGE"), IMAP_STATUS_DELETED_STORAGE},
};

static const struct imap_word special_uses[] = {
    {VIEW_INIT("All"), IMAP_USE_ALL},         {VIEW_INIT("Archive"), IMAP_USE_ARCHIVE},
    {VIEW_INIT("Drafts"), IMAP_USE_DRAFTS},   {VIEW_INIT("Flagged"), IMAP_USE_FLAGGED},
    {VIEW_INIT("Junk"), IMAP_USE_JUNK},       {VIEW_INIT("Sent"), IMAP_USE_SENT},
    {VIEW_INIT("Trash"), IMAP_USE_TRASH},     {VIEW_INIT("Important"), IMAP_USE_IMPORTANT},
};

/* flag = "\Answered" / ... / flag-keyword; \Recent is read and ignored, as clients copy it from answers. */
bool imap_take_flag(struct imap_grammar *g, struct imap_flags *flags)
{
    view keyword;
    if (take_byte(&g->at, '\\')) {
        unsigned flag = imap_take_word_of(g, system_flags, array_size(system_flags));
        if (flag == 0) return imap_miss(g, "a system flag");
        flags->system |= flag & ~(unsigned)IMAP_FLAG_RECENT;
        return true;
    }
    if (!imap_take_atom(g, &keyword)) return imap_miss(g, "a flag");
    if (keyword.len > IMAP_KEYWORD_BYTES_MAX) return imap_too_many(g, "a shorter keyword");
    if (flags->keyword_count == IMAP_FLAGS_MAX) return imap_too_many(g, "fewer keywords");
    view *keywords = imap_grow(g, flags->keywords, flags->keyword_count, sizeof *keywords);
    if (!keywords) return false;
    flags->keywords = keywords;
    flags->keywords[flags->keyword_count++] = keyword;
    return true;
}

/* flag-list = "(" [flag *(SP flag)] ")" */
bool imap_take_flag_list(struct imap_grammar *g, struct imap_flags *ret_flags)
{
    struct imap_flags flags = {0};
    if (!imap_take_open(g)) return false;
    if (!take_byte(&g->at, ')')) {
        do {
            if (!imap_take_flag(g, &flags)) return false;
        } while (take_byte(&g->at, ' '));
        if (!imap_take_close(g)) return false;
    }
    *ret_flags = flags;
    return true;
}

static bool is_date_char(unsigned char c)
{
    return ascii_is_alpha((char)c) || ascii_is_digit((char)c) || c == '-';
}

/* date = date-text / DQUOTE date-text DQUOTE */
bool imap_take_date(struct imap_grammar *g, int32_t *ret_day)
{
    struct imap_grammar start = *g;
    bool is_quoted = take_byte(&g->at, '"');
    if (date_imap_day_parse(take_while(&g->at, is_date_char), ret_day) && (!is_quoted || take_byte(&g->at, '"'))) return true;
    *g = start;
    return imap_miss(g, "a date");
}

/* date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE */
bool imap_take_date_time(struct imap_grammar *g, struct date *ret_date)
{
    struct imap_grammar start = *g;
    view text;
    if (cursor_peek(&g->at) == '"' && imap_take_string(g, &text) && date_imap_parse(text, ret_date)) return true;
    *g = start;
    return imap_miss(g, "a date and time");
}

/* "(" status-att *(SP status-att) ")" */
bool imap_take_status_items(struct imap_grammar *g, unsigned *ret_items)
{
    unsigned items = 0;
    if (!imap_take_open(g)) return false;
    do {
        unsigned item = imap_take_word_of(g, status_items, array_size(status_items));
        if (item == 0) return imap_miss(g, "a status item");
        items |= item;
    } while (take_byte(&g->at, ' '));
    if (!imap_take_close(g)) return false;
    *ret_items = items;
    return true;
}

/* use-attr (RFC 6154 §6): "\" atom */
bool imap_take_special_use(struct imap_grammar *g, unsigned *use)
{
    view other;
    if (!take_byte(&g->at, '\\')) return imap_miss(g, "a special-use attribute");
    unsigned bit = imap_take_word_of(g, special_uses, array_size(special_uses));
    if (bit == 0 && !imap_take_atom(g, &other)) return imap_miss(g, "a special-use attribute");
    *use |= bit ? bit : IMAP_USE_UNKNOWN;
    return true;
}

static void write_bits(buf *out, unsigned bits, const struct imap_word *words, size_t count, const char *before)
{
    const char *space = "";
    for (size_t i = 0; i < count; i++) {
        if (!(bits & words[i].value)) continue;
        buf_append_cstr(out, space);
        buf_append_cstr(out, before);
        buf_append(out, words[i].text);
        space = " ";
    }
}

void imap_write_system_flags(buf *out, unsigned system)
{
    write_bits(out, system, system_flags, array_size(system_flags), "\\");
}

void imap_write_special_use(buf *out, unsigned use)
{
    write_bits(out, use, special_uses, array_size(special_uses), "\\");
}

void imap_write_flags(buf *out, const struct imap_flags *flags)
{
    buf_append_byte(out, '(');
    imap_write_system_flags(out, flags->system);
    for (size_t i = 0; i < flags->keyword_count; i++) {
        if (i || flags->system) buf_append_byte(out, ' ');
        buf_append(out, flags->keywords[i]);
    }
    buf_append_byte(out, ')');
}

void imap_command_special_use(struct imap_command_writer *w, unsigned use)
{
    buf_append_byte(w->out, '(');
    imap_write_special_use(w->out, use);
    if (use & IMAP_USE_UNKNOWN) buf_append_cstr(w->out, use == IMAP_USE_UNKNOWN ? "\\Unknown" : " \\Unknown");
    buf_append_byte(w->out, ')');
}

void imap_command_status_items(struct imap_command_writer *w, unsigned items)
{
    buf_append_byte(w->out, '(');
    write_bits(w->out, items, status_items, array_size(status_items), "");
    buf_append_byte(w->out, ')');
}

void imap_command_date(struct imap_command_writer *w, int32_t day)
{
    struct civil c = civil_of((unix_ms){(int64_t)day * 86400000}, 0);
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    buf_appendf(w->out, "%d-%s-%04d", c.day, months[c.month - 1], c.year);
}
