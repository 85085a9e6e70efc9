#include "formats/mime_field.h"

#include <string.h>

#include "base/check.h"
#include "formats/header.h"
#include "formats/lexical.h"

enum {
    TOKEN_BYTES_MAX = 127,       /* of a type or subtype (RFC 6838 §4.2) */
    LANGUAGES_MAX = 20,
};

struct reader {
    struct arena *arena;
    bool is_full;
};

static view keep(struct reader *r, view v)
{
    char *copy = v.len ? arena_try_alloc(r->arena, v.len) : NULL;
    if (!copy) {
        r->is_full |= v.len != 0;
        return VIEW_EMPTY;
    }
    return view_make(memcpy(copy, v.at, v.len), v.len);
}

/* A copy without line ends, and without backslashes of quoted-pairs if it was quoted. */
static view keep_text(struct reader *r, view v, bool is_quoted)
{
    char *copy = v.len ? arena_try_alloc(r->arena, v.len) : NULL;
    size_t len = 0;
    if (!copy) {
        r->is_full |= v.len != 0;
        return VIEW_EMPTY;
    }
    if (is_quoted) return view_make(copy, lexical_unquote(v, copy));
    for (size_t i = 0; i < v.len; i++)
        if (v.at[i] != '\r' && v.at[i] != '\n') copy[len++] = v.at[i];
    return view_make(copy, len);
}

/* token := 1*<any CHAR except SPACE, CTLs or tspecials> (RFC 2045 §5.1) */
static bool is_token(view v)
{
    if (v.len == 0 || v.len > TOKEN_BYTES_MAX) return false;
    for (size_t i = 0; i < v.len; i++)
        if (v.at[i] <= ' ' || v.at[i] >= 0x7f || strchr("()<>@,;:\\\"/[]?=", v.at[i])) return false;
    return true;
}

static struct lexeme next_word(struct lexer *l)
{
    struct lexeme x;
    do x = lexer_next(l); while (x.kind == LEXEME_SPACE || x.kind == LEXEME_COMMENT);
    return x;
}

static bool is_special(const struct lexeme *x, char byte)
{
    return x->kind == LEXEME_SPECIAL && x->text.at[0] == byte;
}

/* ---- parameters ---- */

/* True when `attribute=` follows: a parameter whose semicolon was forgotten. */
static bool parameter_follows(struct lexer ahead)
{
    struct lexeme name = next_word(&ahead);
    if (name.kind != LEXEME_TEXT || !is_token(name.text)) return false;
    struct lexeme equals = lexer_next(&ahead);
    return is_special(&equals, '=');
}

/* value := token / quoted-string. An unquoted one goes on to the semicolon: file names with spaces are common. */
static view take_value(struct reader *r, struct lexer *l)
{
    struct lexeme x = next_word(l);
    if (x.kind == LEXEME_QUOTED) return keep_text(r, x.text, true);
    size_t from = x.at, to = x.at;
    while (x.kind != LEXEME_END && !is_special(&x, ';')) {
        if (x.kind != LEXEME_SPACE && x.kind != LEXEME_COMMENT) to = x.end;
        if (x.kind == LEXEME_SPACE && parameter_follows(*l)) break;
        x = lexer_next(l);
    }
    return keep_text(r, view_slice(l->whole, from, to - from), false);
}

/* attribute before "="; empty when ";" or the end came first. */
static view take_attribute(struct lexer *l, bool *ret_is_last)
{
    view attribute = VIEW_EMPTY;
    for (;;) {
        struct lexeme x = lexer_next(l);
        *ret_is_last = x.kind == LEXEME_END;
        if (x.kind == LEXEME_END || is_special(&x, ';')) return VIEW_EMPTY;
        if (is_special(&x, '=')) return attribute;
        if (x.kind == LEXEME_TEXT) attribute = x.text;
    }
}

static unsigned count_equals_signs(view v)
{
    unsigned count = 0;
    for (size_t i = 0; i < v.len; i++) count += v.at[i] == '=';
    return count;
}

/* *( ";" attribute "=" value ), whatever else stands between is passed over. */
static void take_parameters(struct reader *r, struct lexer *l, struct mime_parameters *ret_parameters)
{
    unsigned most = count_equals_signs(view_from(l->whole, l->at));
    if (most == 0) return;
    if (most > MIME_PARAMETERS_MAX) most = MIME_PARAMETERS_MAX;
    struct mime_parameters list = {.at = arena_try_alloc(r->arena, most * sizeof *list.at)};
    r->is_full |= !list.at;
    bool is_last = false;
    while (list.at && !is_last && list.count < most) {
        view attribute = take_attribute(l, &is_last);
        if (attribute.len == 0) continue;
        view value = take_value(r, l);
        list.at[list.count++] = (struct mime_parameter){keep(r, attribute), value};
    }
    *ret_parameters = list;
}

/* ---- fields ---- */

static void read_type(struct reader *r, view value, struct mime_part *part)
{
    struct lexer l = lexer_of(value, ";=/");
    struct lexeme type = next_word(&l);
    if (type.kind != LEXEME_TEXT || !is_token(type.text)) return;
    struct lexer after_type = l;
    struct lexeme slash = next_word(&l), subtype = next_word(&l);
    if (is_special(&slash, '/') && subtype.kind == LEXEME_TEXT && is_token(subtype.text)) {
        part->type = type.text;
        part->subtype = subtype.text;
        part->is_degraded = false;
    } else {
        l = after_type;
        part->is_degraded = true;
        bool is_text = view_equal_nocase(type.text, VIEW("text")), is_multipart = view_equal_nocase(type.text, VIEW("multipart"));
        part->type = is_text ? VIEW("text") : is_multipart ? VIEW("multipart") : VIEW("application");
        part->subtype = is_text ? VIEW("plain") : is_multipart ? VIEW("mixed") : VIEW("octet-stream");
    }
    take_parameters(r, &l, &part->parameters);
}

static void read_encoding(struct reader *r, view value, struct mime_part *part)
{
    struct lexer l = lexer_of(value, ";");
    struct lexeme x = next_word(&l);
    if ((x.kind == LEXEME_TEXT || x.kind == LEXEME_QUOTED) && is_token(x.text)) part->encoding = keep(r, x.text);
}

static void read_disposition(struct reader *r, view value, struct mime_part *part)
{
    struct lexer l = lexer_of(value, ";="), start = l;
    struct lexeme x = next_word(&l);
    struct lexer ahead = l;
    struct lexeme after = lexer_next(&ahead);
    bool has_type = x.kind == LEXEME_TEXT && is_token(x.text) && !is_special(&after, '=');
    if (!has_type) l = start;
    take_parameters(r, &l, &part->disposition_parameters);
    /* RFC 2183 §2.8: what is not understood is an attachment */
    if (has_type) part->disposition = keep(r, x.text);
    else if (part->disposition_parameters.count) part->disposition = VIEW("attachment");
}

static void read_languages(struct reader *r, view value, struct mime_part *part)
{
    view found[LANGUAGES_MAX];
    unsigned count = 0;
    struct lexer l = lexer_of(value, ",;");
    for (struct lexeme x = next_word(&l); x.kind != LEXEME_END && count < LANGUAGES_MAX; x = next_word(&l))
        if (x.kind == LEXEME_TEXT && is_token(x.text)) found[count++] = x.text;
    part->languages = count ? arena_try_alloc(r->arena, count * sizeof found[0]) : NULL;
    if (!part->languages) {
        r->is_full |= count != 0;
        return;
    }
    part->language_count = count;
    for (unsigned i = 0; i < count; i++) part->languages[i] = keep(r, found[i]);
}

static void read_id(struct reader *r, view value, struct mime_part *part)
{
    part->id = keep_text(r, view_trim(value), false);
}

static void read_description(struct reader *r, view value, struct mime_part *part)
{
    part->description = keep_text(r, view_trim(value), false);
}

static void read_location(struct reader *r, view value, struct mime_part *part)
{
    part->location = keep_text(r, view_trim(value), false);
}

static void read_md5(struct reader *r, view value, struct mime_part *part)
{
    part->md5 = keep_text(r, view_trim(value), false);
}

static const struct {
    view name;           /* after "Content-" */
    void (*read)(struct reader *r, view value, struct mime_part *part);
} fields[] = {
    {VIEW_INIT("Type"), read_type},
    {VIEW_INIT("Transfer-Encoding"), read_encoding},
    {VIEW_INIT("Disposition"), read_disposition},
    {VIEW_INIT("ID"), read_id},
    {VIEW_INIT("Description"), read_description},
    {VIEW_INIT("Language"), read_languages},
    {VIEW_INIT("Location"), read_location},
    {VIEW_INIT("MD5"), read_md5},
};

bool mime_fields_read(view header, view default_type, view default_subtype, struct arena *arena, struct mime_part *part)
{
    struct reader r = {.arena = arena};
    struct header_field field;
    unsigned seen = 0;           /* one bit each: the first field of a name counts */
    part->type = default_type;
    part->subtype = default_subtype;
    while (header_next(&header, &field)) {
        if (!view_starts_nocase(field.name, VIEW("Content-"))) continue;
        for (unsigned i = 0; i < array_size(fields); i++) {
            if ((seen & 1u << i) || !view_equal_nocase(view_from(field.name, 8), fields[i].name)) continue;
            seen |= 1u << i;
            fields[i].read(&r, view_slice(field.value, 0, MIME_FIELD_BYTES_MAX), part);
        }
    }
    part->type = keep(&r, part->type);
    part->subtype = keep(&r, part->subtype);
    if (part->type.len == 0 || part->subtype.len == 0) {         /* the budget is spent: static text */
        part->type = VIEW("application");
        part->subtype = VIEW("octet-stream");
        part->is_degraded = true;
    }
    return !r.is_full;
}
