/*
 * Arguments of GETMETADATA and SETMETADATA (RFC 5464 §5), and of LIST's METADATA (RFC 9590 §5).
 */
#include "base/check.h"
#include "formats/imap_grammar.h"
#include "formats/imap_write.h"

static const struct imap_word depth_words[] = {
    {VIEW_INIT("0"), IMAP_DEPTH_0 + 1}, {VIEW_INIT("1"), IMAP_DEPTH_1 + 1}, {VIEW_INIT("infinity"), IMAP_DEPTH_INFINITY + 1}};

/* "/private/..." or "/shared/...", of printable ASCII without "*", "%", "//" and "/" at the end (§3.2). */
bool imap_entry_name_is_valid(view name)
{
    if (!view_starts_nocase(name, VIEW("/private/")) && !view_starts_nocase(name, VIEW("/shared/"))) return false;
    if (name.len > IMAP_ENTRY_NAME_BYTES_MAX || view_ends(name, VIEW("/")) || view_find_view(name, VIEW("//")) != VIEW_NONE) return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] < 0x20 || name.at[i] == 0x7f || name.at[i] == '*' || name.at[i] == '%') return false;
    return true;
}

/* §3.2: of a vendor's entry, one that can be set has the vendor's name and one of its own. */
static bool is_whole_name(view name)
{
    size_t levels = 0;
    for (size_t i = 0; i < name.len; i++) levels += name.at[i] == '/';
    bool is_vendors = view_starts_nocase(name, VIEW("/private/vendor/")) || view_starts_nocase(name, VIEW("/shared/vendor/"));
    return !is_vendors || levels >= 4;
}

/* What all entries are below: it has no value, but can be asked for with DEPTH. */
static bool is_scope(view name) { return view_equal_nocase(name, VIEW("/private")) || view_equal_nocase(name, VIEW("/shared")); }

static bool add_entry(struct imap_grammar *g, struct imap_metadata *m, bool has_value)
{
    struct imap_entry entry = {0};
    if (!imap_take_astring(g, &entry.name)) return imap_miss(g, "an entry name");
    bool is_valid = imap_entry_name_is_valid(entry.name) || (!has_value && is_scope(entry.name));
    if (!is_valid) return imap_miss(g, "an entry name below /private or /shared");
    if (has_value && !is_whole_name(entry.name)) return imap_miss(g, "an entry name below that of a vendor");
    if (has_value && (!imap_take_space(g) || !imap_take_value(g, &entry.value, &entry.is_nil))) return imap_miss(g, "a value or NIL");
    if (m->count == IMAP_ENTRIES_MAX) return imap_too_many(g, "fewer entries");
    struct imap_entry *entries = imap_grow(g, m->entries, m->count, sizeof *entries);
    if (!entries) return false;
    m->entries = entries;
    m->entries[m->count++] = entry;
    return true;
}

bool imap_take_entries(struct imap_grammar *g, struct imap_metadata *metadata)
{
    if (!take_byte(&g->at, '(')) return add_entry(g, metadata, false);
    do {
        if (!add_entry(g, metadata, false)) return false;
    } while (take_byte(&g->at, ' '));
    return imap_take_close(g);
}

static bool take_option(struct imap_grammar *g, struct imap_metadata *m)
{
    if (imap_take_word(g, VIEW("DEPTH"))) {
        if (!imap_take_space(g)) return false;
        unsigned depth = imap_take_word_of(g, depth_words, array_size(depth_words));
        if (depth == 0) return imap_miss(g, "0, 1 or infinity");
        m->depth = (enum imap_depth)(depth - 1);
        return true;
    }
    if (!imap_take_word(g, VIEW("MAXSIZE"))) return imap_miss(g, "DEPTH or MAXSIZE");
    m->has_max_size = true;
    if (!imap_take_space(g)) return false;
    return imap_take_number64(g, &m->max_size) || imap_miss(g, "a number");
}

/* "(" getmetadata-option *(SP getmetadata-option) ")" SP */
static bool take_options(struct imap_grammar *g, struct imap_metadata *m)
{
    if (!imap_take_open(g)) return false;
    do {
        if (!take_option(g, m)) return false;
    } while (take_byte(&g->at, ' '));
    return imap_take_close(g) && imap_take_space(g);
}

/* Entries begin with "/", quoted or not; options never do. */
static bool options_are_next(const struct imap_grammar *g)
{
    view rest = g->at.rest;
    return view_starts_nocase(rest, VIEW("(DEPTH ")) || view_starts_nocase(rest, VIEW("(MAXSIZE "));
}

/* §4.4.1 has examples of several entries without parentheses. */
static bool take_bare_entries(struct imap_grammar *g, struct imap_metadata *m)
{
    do {
        if (!add_entry(g, m, false)) return false;
    } while (take_byte(&g->at, ' '));
    return true;
}

/* getmetadata = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries; the RFC's examples have the options behind the mailbox too */
bool imap_take_getmetadata(struct imap_grammar *g, struct imap_metadata *ret_metadata)
{
    struct imap_metadata m = {0};
    if (options_are_next(g) && !take_options(g, &m)) return false;
    if (!imap_take_astring(g, &m.mailbox)) return imap_miss(g, "a mailbox name");
    if (!imap_take_space(g)) return false;
    if (options_are_next(g) && !take_options(g, &m)) return false;
    if (view_starts(g->at.rest, VIEW("(")) ? !imap_take_entries(g, &m) : !take_bare_entries(g, &m)) return false;
    *ret_metadata = m;
    return true;
}

/* setmetadata = "SETMETADATA" SP mailbox SP "(" entry-value *(SP entry-value) ")" */
bool imap_take_setmetadata(struct imap_grammar *g, struct imap_metadata *ret_metadata)
{
    struct imap_metadata m = {0};
    if (!imap_take_astring(g, &m.mailbox)) return imap_miss(g, "a mailbox name");
    if (!imap_take_space(g) || !imap_take_open(g)) return false;
    do {
        if (!add_entry(g, &m, true)) return false;
    } while (take_byte(&g->at, ' '));
    if (!imap_take_close(g)) return false;
    *ret_metadata = m;
    return true;
}

void imap_write_entries(struct imap_command_writer *w, const struct imap_metadata *m)
{
    for (size_t i = 0; i < m->count; i++) {
        buf_append_byte(w->out, i ? ' ' : '(');
        imap_command_astring(w, m->entries[i].name);
    }
    buf_append_byte(w->out, ')');
}

void imap_write_getmetadata(struct imap_command_writer *w, const struct imap_metadata *m)
{
    if (m->depth || m->has_max_size) {
        const char *before = "(";
        if (m->depth) {
            buf_appendf(w->out, "(DEPTH %s", m->depth == IMAP_DEPTH_1 ? "1" : "infinity");
            before = " ";
        }
        if (m->has_max_size) {
            buf_appendf(w->out, "%sMAXSIZE ", before);
            buf_append_u64(w->out, m->max_size);
        }
        buf_append_cstr(w->out, ") ");
    }
    imap_command_astring(w, m->mailbox);
    buf_append_byte(w->out, ' ');
    imap_write_entries(w, m);
}

static void write_value(struct imap_command_writer *w, const struct imap_entry *e)
{
    if (e->is_nil) {
        buf_append_cstr(w->out, "NIL");
    } else if (view_has_byte(e->value, 0)) {
        buf_appendf(w->out, w->literal_plus ? "~{%zu+}\r\n" : "~{%zu}\r\n", e->value.len);
        buf_append(w->out, e->value);
    } else {
        imap_command_string(w, e->value);
    }
}

void imap_write_setmetadata(struct imap_command_writer *w, const struct imap_metadata *m)
{
    imap_command_astring(w, m->mailbox);
    for (size_t i = 0; i < m->count; i++) {
        buf_append_cstr(w->out, i ? " " : " (");
        imap_command_astring(w, m->entries[i].name);
        buf_append_byte(w->out, ' ');
        write_value(w, &m->entries[i]);
    }
    buf_append_byte(w->out, ')');
}
