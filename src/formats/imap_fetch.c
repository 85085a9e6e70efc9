/*
 * FETCH and STORE arguments (RFC 9051 §6.4.5, §6.4.6; RFC 3516; RFC 7162 §3.1.3, §3.1.4).
 */
#include "base/check.h"
#include "formats/imap_grammar.h"
#include "formats/imap_write.h"

enum { MACRO_ALL = 100, MACRO_FAST, MACRO_FULL };

/* Values are the kind plus one, so that 0 means "none". BODY and BINARY are told apart by what follows. */
static const struct imap_word fetch_words[] = {
    {VIEW_INIT("FLAGS"), IMAP_FETCH_FLAGS + 1},
    {VIEW_INIT("UID"), IMAP_FETCH_UID + 1},
    {VIEW_INIT("INTERNALDATE"), IMAP_FETCH_INTERNALDATE + 1},
    {VIEW_INIT("RFC822.SIZE"), IMAP_FETCH_RFC822_SIZE + 1},
    {VIEW_INIT("SAVEDATE"), IMAP_FETCH_SAVEDATE + 1},
    {VIEW_INIT("EMAILID"), IMAP_FETCH_EMAILID + 1},
    {VIEW_INIT("THREADID"), IMAP_FETCH_THREADID + 1},
    {VIEW_INIT("MODSEQ"), IMAP_FETCH_MODSEQ + 1},
    {VIEW_INIT("ENVELOPE"), IMAP_FETCH_ENVELOPE + 1},
    {VIEW_INIT("BODYSTRUCTURE"), IMAP_FETCH_BODYSTRUCTURE + 1},
    {VIEW_INIT("PREVIEW"), IMAP_FETCH_PREVIEW + 1},
    {VIEW_INIT("RFC822"), IMAP_FETCH_RFC822 + 1},
    {VIEW_INIT("RFC822.HEADER"), IMAP_FETCH_RFC822_HEADER + 1},
    {VIEW_INIT("RFC822.TEXT"), IMAP_FETCH_RFC822_TEXT + 1},
    {VIEW_INIT("BODY"), IMAP_FETCH_BODY + 1},
    {VIEW_INIT("BODY.PEEK"), IMAP_FETCH_SECTION + 1},
    {VIEW_INIT("BINARY"), IMAP_FETCH_BINARY + 1},
    {VIEW_INIT("BINARY.PEEK"), IMAP_FETCH_BINARY + 1},
    {VIEW_INIT("BINARY.SIZE"), IMAP_FETCH_BINARY_SIZE + 1},
};

static const struct imap_word macro_words[] = {
    {VIEW_INIT("ALL"), MACRO_ALL}, {VIEW_INIT("FAST"), MACRO_FAST}, {VIEW_INIT("FULL"), MACRO_FULL}};

static const struct imap_word section_words[] = {
    {VIEW_INIT("HEADER"), IMAP_SECTION_HEADER},
    {VIEW_INIT("HEADER.FIELDS"), IMAP_SECTION_HEADER_FIELDS},
    {VIEW_INIT("HEADER.FIELDS.NOT"), IMAP_SECTION_HEADER_FIELDS_NOT},
    {VIEW_INIT("TEXT"), IMAP_SECTION_TEXT},
    {VIEW_INIT("MIME"), IMAP_SECTION_MIME},
};

/* section-part = nz-number *("." nz-number), leaving a "." before a word to the caller */
static bool take_part_numbers(struct imap_grammar *g, struct imap_section *section, bool *ret_wants_word)
{
    *ret_wants_word = true;
    for (;;) {
        uint32_t number;
        if (!imap_take_nonzero(g, &number)) return true;
        if (section->part_count == IMAP_SECTION_DEPTH_MAX) return imap_too_many(g, "fewer part numbers");
        uint32_t *parts = imap_grow(g, section->parts, section->part_count, sizeof *parts);
        if (!parts) return false;
        section->parts = parts;
        section->parts[section->part_count++] = number;
        *ret_wants_word = take_byte(&g->at, '.');
        if (!*ret_wants_word) return true;
    }
}

/* header-list = "(" header-fld-name *(SP header-fld-name) ")" */
static bool take_header_names(struct imap_grammar *g, struct imap_section *section)
{
    if (!imap_take_space(g) || !imap_take_open(g)) return false;
    do {
        view name;
        if (!imap_take_astring(g, &name)) return imap_miss(g, "a header name");
        if (section->name_count == IMAP_HEADER_NAMES_MAX) return imap_too_many(g, "fewer header names");
        view *names = imap_grow(g, section->names, section->name_count, sizeof *names);
        if (!names) return false;
        section->names = names;
        section->names[section->name_count++] = name;
    } while (take_byte(&g->at, ' '));
    return imap_take_close(g);
}

/* section = "[" [section-spec] "]"; MIME needs a part, BINARY has numbers only */
static bool take_section(struct imap_grammar *g, bool numbers_only, struct imap_section *ret_section)
{
    struct imap_section section = {0};
    bool wants_word;
    if (!take_byte(&g->at, '[')) return imap_miss(g, "\"[\"");
    if (!take_part_numbers(g, &section, &wants_word)) return false;
    if (wants_word && !numbers_only) {
        section.kind = imap_take_word_of(g, section_words, array_size(section_words));
        bool is_misplaced = section.kind == IMAP_SECTION_MIME && section.part_count == 0;
        if (is_misplaced) return imap_miss(g, "a part number");
    }
    if (wants_word && section.part_count && section.kind == IMAP_SECTION_ALL) return imap_miss(g, "a section");
    if (section.kind == IMAP_SECTION_HEADER_FIELDS || section.kind == IMAP_SECTION_HEADER_FIELDS_NOT)
        if (!take_header_names(g, &section)) return false;
    if (!take_byte(&g->at, ']')) return imap_miss(g, "\"]\"");
    *ret_section = section;
    return true;
}

/* partial = "<" number64 "." nz-number64 ">"; larger numbers than any message has are cut to 32 bits */
static bool take_partial(struct imap_grammar *g, struct imap_fetch_item *item)
{
    uint64_t from, len;
    if (!take_byte(&g->at, '<')) return true;
    if (!imap_take_number64(g, &from) || !take_byte(&g->at, '.') || !imap_take_number64(g, &len) || len == 0 ||
        !take_byte(&g->at, '>'))
        return imap_miss(g, "a partial range");
    item->is_partial = true;
    item->partial_from = from > UINT32_MAX ? UINT32_MAX : (uint32_t)from;
    item->partial_len = len > UINT32_MAX ? UINT32_MAX : (uint32_t)len;
    return true;
}

static bool take_item(struct imap_grammar *g, struct imap_fetch_item *ret_item)
{
    struct imap_fetch_item item = {0};
    item.is_peek = view_starts_nocase(g->at.rest, VIEW("BODY.PEEK")) || view_starts_nocase(g->at.rest, VIEW("BINARY.PEEK"));
    unsigned word = imap_take_word_of(g, fetch_words, array_size(fetch_words));
    if (word == 0) return imap_miss(g, "a FETCH item");
    item.kind = word - 1;
    if (item.kind == IMAP_FETCH_BODY && cursor_peek(&g->at) == '[') item.kind = IMAP_FETCH_SECTION;
    if (item.kind == IMAP_FETCH_PREVIEW) item.is_lazy = take_view_nocase(&g->at, VIEW(" (LAZY)"));
    bool is_section = item.kind == IMAP_FETCH_SECTION;
    bool is_binary = item.kind == IMAP_FETCH_BINARY || item.kind == IMAP_FETCH_BINARY_SIZE;
    if ((is_section || is_binary) && !take_section(g, is_binary, &item.section)) return false;
    if ((is_section || item.kind == IMAP_FETCH_BINARY) && !take_partial(g, &item)) return false;
    *ret_item = item;
    return true;
}

static bool add_item(struct imap_grammar *g, struct imap_fetch *fetch, const struct imap_fetch_item *item)
{
    if (fetch->item_count == IMAP_FETCH_ITEMS_MAX) return imap_too_many(g, "fewer FETCH items");
    struct imap_fetch_item *items = imap_grow(g, fetch->items, fetch->item_count, sizeof *items);
    if (!items) return false;
    fetch->items = items;
    fetch->items[fetch->item_count++] = *item;
    return true;
}

/* ALL, FAST, FULL (RFC 9051 §6.4.5): the first three, four or five of these. */
static bool add_macro(struct imap_grammar *g, struct imap_fetch *fetch, unsigned macro)
{
    static const enum imap_fetch_kind kinds[] = {IMAP_FETCH_FLAGS, IMAP_FETCH_INTERNALDATE, IMAP_FETCH_RFC822_SIZE,
                                                 IMAP_FETCH_ENVELOPE, IMAP_FETCH_BODY};
    size_t count = macro == MACRO_FAST ? 3 : macro == MACRO_ALL ? 4 : 5;
    for (size_t i = 0; i < count; i++)
        if (!add_item(g, fetch, &(struct imap_fetch_item){.kind = kinds[i]})) return false;
    return true;
}

bool imap_take_fetch_items(struct imap_grammar *g, struct imap_fetch *fetch)
{
    struct imap_fetch_item item;
    unsigned macro = imap_take_word_of(g, macro_words, array_size(macro_words));
    if (macro) return add_macro(g, fetch, macro);
    if (!take_byte(&g->at, '(')) return take_item(g, &item) && add_item(g, fetch, &item);
    do {
        if (!take_item(g, &item) || !add_item(g, fetch, &item)) return false;
    } while (take_byte(&g->at, ' '));
    return imap_take_close(g);
}

/* fetch-modifier = "CHANGEDSINCE" SP mod-sequence-value / "VANISHED" / "PARTIAL" SP partial-range (RFC 7162 §7, RFC 9394 §4) */
static bool take_fetch_modifier(struct imap_grammar *g, struct imap_fetch *fetch)
{
    if (imap_take_word(g, VIEW("VANISHED"))) {
        fetch->wants_vanished = true;
        return true;
    }
    if (imap_take_word(g, VIEW("PARTIAL"))) {
        fetch->has_partial = true;
        return imap_take_space(g) && imap_take_partial(g, &fetch->partial);
    }
    if (!imap_take_word(g, VIEW("CHANGEDSINCE"))) return imap_miss(g, "a FETCH modifier");
    if (!imap_take_space(g)) return false;
    fetch->has_changed_since = true;
    return imap_take_number64(g, &fetch->changed_since) || imap_miss(g, "a modification sequence");
}

/* fetch-modifiers = SP "(" fetch-modifier *(SP fetch-modifier) ")" (RFC 4466 §2.4) */
static bool take_fetch_modifiers(struct imap_grammar *g, struct imap_fetch *fetch)
{
    if (!take_view(&g->at, VIEW(" ("))) return true;
    do {
        if (!take_fetch_modifier(g, fetch)) return false;
    } while (take_byte(&g->at, ' '));
    if (fetch->wants_vanished && !fetch->has_changed_since) return imap_miss(g, "CHANGEDSINCE beside VANISHED");
    return imap_take_close(g);
}

/* fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")") */
bool imap_take_fetch(struct imap_grammar *g, struct imap_fetch *ret_fetch)
{
    struct imap_fetch fetch = {0};
    if (!imap_take_set(g, &fetch.set)) return imap_miss(g, "a message set");
    if (!imap_take_space(g) || !imap_take_fetch_items(g, &fetch) || !take_fetch_modifiers(g, &fetch)) return false;
    *ret_fetch = fetch;
    return true;
}

static void write_modifiers(struct imap_command_writer *w, const struct imap_fetch *fetch)
{
    const char *before = " (";
    if (fetch->has_changed_since) {
        buf_appendf(w->out, "%sCHANGEDSINCE ", before);
        buf_append_u64(w->out, fetch->changed_since);
        before = " ";
    }
    if (fetch->wants_vanished) buf_append_cstr(w->out, " VANISHED");
    if (fetch->has_partial) {
        buf_appendf(w->out, "%sPARTIAL ", before);
        imap_write_partial(w->out, &fetch->partial);
    }
    if (fetch->has_changed_since || fetch->has_partial) buf_append_byte(w->out, ')');
}

void imap_write_fetch(struct imap_command_writer *w, const struct imap_fetch *fetch)
{
    imap_set_write(w->out, &fetch->set);
    for (size_t i = 0; i < fetch->item_count; i++) {
        buf_append_cstr(w->out, i ? " " : " (");
        imap_write_fetch_item(w->out, &fetch->items[i]);
    }
    buf_append_byte(w->out, ')');
    write_modifiers(w, fetch);
}

/* store-modifier = "UNCHANGEDSINCE" SP mod-sequence-valzer */
static bool take_store_modifiers(struct imap_grammar *g, struct imap_store *store)
{
    if (!take_byte(&g->at, '(')) return true;
    if (!imap_take_word(g, VIEW("UNCHANGEDSINCE"))) return imap_miss(g, "a STORE modifier");
    if (!imap_take_space(g)) return false;
    if (!imap_take_number64(g, &store->unchanged_since)) return imap_miss(g, "a modification sequence");
    store->has_unchanged_since = true;
    return imap_take_close(g) && imap_take_space(g);
}

/* flag-list / (flag *(SP flag)) */
static bool take_store_flags(struct imap_grammar *g, struct imap_flags *flags)
{
    if (cursor_peek(&g->at) == '(') return imap_take_flag_list(g, flags);
    do {
        if (!imap_take_flag(g, flags)) return false;
    } while (take_byte(&g->at, ' '));
    return true;
}

/* store = "STORE" SP sequence-set SP [store-modifiers SP] store-att-flags */
bool imap_take_store(struct imap_grammar *g, struct imap_store *ret_store)
{
    struct imap_store store = {0};
    if (!imap_take_set(g, &store.set)) return imap_miss(g, "a message set");
    if (!imap_take_space(g) || !take_store_modifiers(g, &store)) return false;
    store.kind = take_byte(&g->at, '+')   ? IMAP_STORE_ADD
                 : take_byte(&g->at, '-') ? IMAP_STORE_REMOVE
                                          : IMAP_STORE_REPLACE;
    store.is_silent = imap_take_word(g, VIEW("FLAGS.SILENT"));
    if (!store.is_silent && !imap_take_word(g, VIEW("FLAGS"))) return imap_miss(g, "FLAGS");
    if (!imap_take_space(g) || !take_store_flags(g, &store.flags)) return false;
    *ret_store = store;
    return true;
}

void imap_write_store(struct imap_command_writer *w, const struct imap_store *store)
{
    static const char *const signs[] = {[IMAP_STORE_REPLACE] = "", [IMAP_STORE_ADD] = "+", [IMAP_STORE_REMOVE] = "-"};
    imap_set_write(w->out, &store->set);
    buf_append_byte(w->out, ' ');
    if (store->has_unchanged_since) {
        buf_append_cstr(w->out, "(UNCHANGEDSINCE ");
        buf_append_u64(w->out, store->unchanged_since);
        buf_append_cstr(w->out, ") ");
    }
    buf_append_cstr(w->out, signs[store->kind]);
    buf_append_cstr(w->out, store->is_silent ? "FLAGS.SILENT " : "FLAGS ");
    imap_write_flags(w->out, &store->flags);
}
