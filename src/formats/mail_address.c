/* Address lists of header fields: RFC 5322 §3.4 and §4.4, and what is met in their place. */
#include "formats/mail_address.h"

#include <string.h>

#include "formats/header.h"
#include "formats/lexical.h"

struct reader {
    struct arena *arena;
    struct mail_address *first, **tail;
    unsigned count;
    bool is_full;        /* count or budget: the rest of the field is left out */
};

/* One piece of the list between separators. */
struct element {
    size_t from, to;
    bool has_angle, has_at;
    size_t name_to;                  /* before the first < */
    size_t angle_from, angle_to;     /* between the last < and > */
};

static struct mail_address *add_address(struct reader *r, enum mail_address_kind kind)
{
    struct mail_address *a = NULL;
    if (r->count < MAIL_ADDRESS_COUNT_MAX) a = arena_try_alloc(r->arena, sizeof *a);
    if (!a) {
        r->is_full = true;
        return NULL;
    }
    a->kind = kind;
    r->count++;
    *r->tail = a;
    r->tail = &a->next;
    return a;
}

static char *text_memory(struct reader *r, size_t size)
{
    char *memory = size ? arena_try_alloc(r->arena, size) : NULL;
    if (size && !memory) r->is_full = true;
    return memory;
}

/* phrase: words with one space between them, quotes and comments removed. Raw text and encoded words stay. */
static view read_phrase(struct reader *r, view text)
{
    text = view_trim(text);
    char *out = text_memory(r, text.len);
    if (!out) return VIEW_EMPTY;
    size_t len = 0;
    bool gap = false;
    struct lexer l = lexer_of(text, "");
    for (struct lexeme x = lexer_next(&l); x.kind != LEXEME_END; x = lexer_next(&l)) {
        if (x.kind == LEXEME_SPACE || x.kind == LEXEME_COMMENT) {
            gap = true;
            continue;
        }
        if (gap && len) out[len++] = ' ';
        gap = false;
        if (x.kind == LEXEME_QUOTED) {
            len += lexical_unquote(x.text, out + len);
        } else {
            memcpy(out + len, x.text.at, x.text.len);
            len += x.text.len;
        }
    }
    return view_trim(view_make(out, len));
}

/* The last comment of `text`, the place of the name before RFC 822: "taro@example.jp (Taro)". */
static view read_comment(struct reader *r, view text)
{
    view comment = VIEW_EMPTY;
    struct lexer l = lexer_of(text, "");
    for (struct lexeme x = lexer_next(&l); x.kind != LEXEME_END; x = lexer_next(&l))
        if (x.kind == LEXEME_COMMENT) comment = x.text;
    comment = view_trim(comment);
    char *out = text_memory(r, comment.len);
    return out ? view_make(out, lexical_unquote(comment, out)) : VIEW_EMPTY;
}

/*
 * Words and dots without the white space and comments between them (obs-local-part, obs-domain). Where
 * white space has no dot beside it, it ends the text: a domain stops there, a local part begins anew;
 * *ret_from is where in `text` the part that was kept begins.
 */
static view read_dotted(struct reader *r, view text, bool keep_last, size_t *ret_from)
{
    char *out = text_memory(r, text.len);
    size_t len = 0;
    bool gap = false;
    struct lexer l = lexer_of(text, "[");
    *ret_from = 0;
    if (!out) return VIEW_EMPTY;
    for (struct lexeme x = lexer_next(&l); x.kind != LEXEME_END; x = lexer_next(&l)) {
        if (x.kind == LEXEME_SPACE || x.kind == LEXEME_COMMENT) {
            gap = true;
            continue;
        }
        if (gap && len && out[len - 1] != '.' && x.text.len && x.text.at[0] != '.') {
            if (!keep_last) break;
            len = 0;
            *ret_from = x.at;
        }
        gap = false;
        if (x.kind == LEXEME_QUOTED) {
            len += lexical_unquote(x.text, out + len);
        } else {
            memcpy(out + len, x.text.at, x.text.len);
            len += x.text.len;
        }
    }
    return view_make(out, len);
}

/* Position of the last "@" outside quotes, comments and literals. */
static size_t find_last_at(view text)
{
    size_t found = VIEW_NONE;
    struct lexer l = lexer_of(text, "@[");
    for (struct lexeme x = lexer_next(&l); x.kind != LEXEME_END; x = lexer_next(&l))
        if (x.kind == LEXEME_SPECIAL) found = x.at;
    return found;
}

/* addr-spec. What stands before the local part without belonging to it is left in *ret_before. */
static void read_addr_spec(struct reader *r, view text, struct mail_address *a, view *ret_before)
{
    size_t at = find_last_at(text), from;
    if (at != VIEW_NONE) {
        a->domain = read_dotted(r, view_from(text, at + 1), false, &from);
        text = view_slice(text, 0, at);
    }
    a->local = read_dotted(r, text, true, &from);
    *ret_before = view_slice(text, 0, from);
}

/* obs-route = *(CFWS / ",") "@" domain *("," [CFWS] ["@" domain]) ":" (RFC 5322 §4.4) */
static view read_route(struct reader *r, view *text)
{
    view rest = view_trim(*text);
    size_t colon = view_find(rest, ':');
    if (rest.len == 0 || (rest.at[0] != '@' && rest.at[0] != ',') || colon == VIEW_NONE) return VIEW_EMPTY;
    char *out = text_memory(r, colon);
    size_t len = 0;
    for (size_t i = 0; out && i < colon; i++)
        if (!ascii_is_space(rest.at[i])) out[len++] = rest.at[i];
    *text = view_from(rest, colon + 1);
    return view_make(out, len);
}

static void read_angle_address(struct reader *r, view whole, const struct element *e, struct mail_address *a)
{
    view inside = view_slice(whole, e->angle_from, e->angle_to - e->angle_from), before;
    view name = view_slice(whole, e->from, e->name_to - e->from);
    a->route = read_route(r, &inside);
    read_addr_spec(r, inside, a, &before);
    a->name = read_phrase(r, name);
    if (a->name.len == 0) a->name = read_comment(r, view_slice(whole, e->from, e->to - e->from));
}

static void read_bare_address(struct reader *r, view whole, const struct element *e, struct mail_address *a)
{
    view text = view_slice(whole, e->from, e->to - e->from), before;
    read_addr_spec(r, text, a, &before);
    if (!e->has_at && view_trim(before).len) {       /* several words and no address: somebody's name */
        a->local = VIEW_EMPTY;
        a->name = read_phrase(r, text);
    } else if (a->local.len + a->domain.len) {
        a->name = read_phrase(r, before);
        if (a->name.len == 0) a->name = read_comment(r, text);
    }
}

static void read_element(struct reader *r, view whole, const struct element *e)
{
    if (view_trim(view_slice(whole, e->from, e->to - e->from)).len == 0) return;
    struct mail_address a = {.kind = MAIL_ADDRESS_MAILBOX};
    if (e->has_angle) read_angle_address(r, whole, e, &a);
    else read_bare_address(r, whole, e, &a);
    if (r->is_full || a.local.len + a.domain.len + a.name.len == 0) return;
    struct mail_address *kept = add_address(r, MAIL_ADDRESS_MAILBOX);
    if (!kept) return;
    a.next = NULL;
    *kept = a;
}

/*
 * The next element of l->whole, up to a separator: "," ";" or, before any address and outside a group,
 * ":". Returns the separator, 0 at the end.
 */
static char next_element(struct lexer *l, bool in_group, struct element *e)
{
    bool in_angle = false, in_route = false;
    *e = (struct element){.from = l->at};
    for (;;) {
        struct lexeme x = lexer_next(l);
        if (x.kind == LEXEME_TEXT) continue;
        if (x.kind == LEXEME_END) {
            e->to = x.at;
            if (in_angle) e->angle_to = x.at;
            return 0;
        }
        if (x.kind != LEXEME_SPECIAL) continue;
        char byte = x.text.at[0];
        if (byte == '<') {
            if (!e->has_angle) e->name_to = x.at;
            in_angle = e->has_angle = true;
            e->angle_from = e->angle_to = x.end;
        } else if (byte == '>' && in_angle) {
            in_angle = in_route = false;
            e->angle_to = x.at;
        } else if (byte == '@') {
            e->has_at = true;
            if (in_angle && view_trim(view_slice(l->whole, e->angle_from, x.at - e->angle_from)).len == 0) in_route = true;
        } else if (byte == ':') {
            in_route = false;
            if (in_angle || e->has_angle || e->has_at || in_group) continue;
            e->to = x.at;
            return ':';
        } else if (byte == ';' || (byte == ',' && !in_route)) {
            e->to = x.at;
            if (in_angle) e->angle_to = x.at;
            return byte;
        }
    }
}

struct mail_address *mail_address_list_parse(view value, struct arena *arena)
{
    struct reader r = {.arena = arena};
    struct element e;
    struct lexer l = lexer_of(view_slice(value, 0, HEADER_VALUE_BYTES_MAX), "<>@,;:[");
    bool in_group = false;
    char separator;
    r.tail = &r.first;
    do {
        separator = next_element(&l, in_group, &e);
        if (separator == ':') {
            struct mail_address *group = add_address(&r, MAIL_ADDRESS_GROUP_START);
            if (group) group->name = read_phrase(&r, view_slice(l.whole, e.from, e.to - e.from));
            in_group = group != NULL;
            continue;
        }
        read_element(&r, l.whole, &e);
        if (in_group && (separator == ';' || separator == 0)) {
            add_address(&r, MAIL_ADDRESS_GROUP_END);
            in_group = false;
        }
    } while (separator && !r.is_full);
    return r.first;
}
