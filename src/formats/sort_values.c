#include "formats/sort_values.h"

#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "formats/collate.h"
#include "formats/date.h"
#include "formats/encoded_word.h"
#include "formats/header.h"
#include "formats/mail_address.h"

/* ---- base subject: RFC 5256 §2.1, §5 ---- */

/* Step 1: tabs and line ends are spaces, several are one. */
static view one_space(view text, struct arena *arena)
{
    char *to = arena_alloc(arena, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_is_space(text.at[i]) ? ' ' : text.at[i];
        if (c != ' ' || len == 0 || to[len - 1] != ' ') to[len++] = c;
    }
    return view_make(to, len);
}

static view skip_spaces(view s)
{
    while (s.len && s.at[0] == ' ') s = view_from(s, 1);
    return s;
}

/* subj-blob = "[" *BLOBCHAR "]" *WSP */
static bool take_blob(view *s)
{
    if (s->len == 0 || s->at[0] != '[') return false;
    for (size_t i = 1; i < s->len && s->at[i] != '['; i++) {
        if (s->at[i] != ']') continue;
        *s = skip_spaces(view_from(*s, i + 1));
        return true;
    }
    return false;
}

/* subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":" */
static bool take_reply_word(view *s)
{
    view rest = *s;
    if (view_starts_nocase(rest, VIEW("re"))) {
        rest = view_from(rest, 2);
    } else if (view_starts_nocase(rest, VIEW("fw"))) {
        rest = view_from(rest, view_starts_nocase(rest, VIEW("fwd")) ? 3 : 2);
    } else {
        return false;
    }
    rest = skip_spaces(rest);
    (void)take_blob(&rest);
    if (rest.len == 0 || rest.at[0] != ':') return false;
    *s = view_from(rest, 1);
    return true;
}

/* Step 2: subj-trailer = "(fwd)" / WSP */
static view without_trailers(view s, bool *is_reply)
{
    for (;;) {
        if (s.len && s.at[s.len - 1] == ' ') {
            s.len--;
        } else if (view_ends_nocase(s, VIEW("(fwd)"))) {
            s.len -= 5;
            *is_reply = true;
        } else {
            return s;
        }
    }
}

/* Steps 3 to 5. A run of blobs is walked over once for a word behind it, so time stays linear in their number. */
static view without_leaders(view s, bool *is_reply)
{
    for (;;) {
        s = skip_spaces(s);
        view rest = s;
        while (take_blob(&rest)) continue;
        view word = rest;
        if (take_reply_word(&word)) {
            *is_reply = true;
            s = word;
            continue;
        }
        if (rest.len) return rest;          /* the blobs go, as something stays behind them */
        view last = s;
        while (take_blob(&rest)) continue;
        for (view next = last; take_blob(&next) && next.len;) last = next;
        return last;
    }
}

view sort_base_subject(view subject, struct arena *arena, bool *ret_is_reply)
{
    view s = one_space(subject, arena);
    bool is_reply = false;
    for (;;) {
        s = without_leaders(without_trailers(s, &is_reply), &is_reply);
        if (!view_starts_nocase(s, VIEW("[fwd:")) || !view_ends(s, VIEW("]"))) break;
        s = view_slice(s, 5, s.len - 6);
        is_reply = true;
    }
    *ret_is_reply = is_reply;
    return s;
}

/* ---- fields ---- */

enum { F_DATE, F_SUBJECT, F_FROM, F_TO, F_CC, F_MESSAGE_ID, F_REFERENCES, F_IN_REPLY_TO, FIELDS };

static const struct { view name; unsigned needs; } fields[FIELDS] = {
    [F_DATE] = {VIEW_INIT("Date"), SORT_NEEDS_DATE},
    [F_SUBJECT] = {VIEW_INIT("Subject"), SORT_NEEDS_SUBJECT | SORT_NEEDS_THREAD},
    [F_FROM] = {VIEW_INIT("From"), SORT_NEEDS_FROM | SORT_NEEDS_DISPLAY_FROM},
    [F_TO] = {VIEW_INIT("To"), SORT_NEEDS_TO | SORT_NEEDS_DISPLAY_TO},
    [F_CC] = {VIEW_INIT("Cc"), SORT_NEEDS_CC},
    [F_MESSAGE_ID] = {VIEW_INIT("Message-ID"), SORT_NEEDS_THREAD},
    [F_REFERENCES] = {VIEW_INIT("References"), SORT_NEEDS_THREAD},
    [F_IN_REPLY_TO] = {VIEW_INIT("In-Reply-To"), SORT_NEEDS_THREAD},
};

/* The first field of a name counts. The walk ends when all that are wanted were met. */
static void find_fields(view header, unsigned needs, view values[static FIELDS])
{
    struct header_field field;
    unsigned wanted = 0;
    for (unsigned i = 0; i < FIELDS; i++) {
        values[i] = VIEW_EMPTY;
        if (fields[i].needs & needs) wanted |= 1u << i;
    }
    while (wanted && header_next(&header, &field)) {
        for (unsigned i = 0; i < FIELDS; i++) {
            if (!(wanted & 1u << i) || !view_equal_nocase(field.name, fields[i].name)) continue;
            values[i] = field.value;
            wanted &= ~(1u << i);
            break;
        }
    }
}

/* ---- texts ---- */

/* As encoded_word_decode(); most texts are what they stand for. */
static view decoded(view text, struct arena *arena)
{
    view line = header_unfold(text, arena);
    for (size_t i = 0; i < line.len; i++) {
        bool is_plain = line.at[i] >= ' ' && line.at[i] <= '~' && (line.at[i] != '=' || i + 1 == line.len || line.at[i + 1] != '?');
        if (!is_plain) return encoded_word_decode(text, arena);
    }
    return line;
}

static view collated(view text, struct arena *arena)
{
    buf out CLEANUP(buf_done) = BUF_INIT;
    collate_append(&out, view_slice(text, 0, SORT_TEXT_BYTES_MAX));
    return arena_keep(arena, buf_view(&out));
}

/* addr-mailbox of the first address; a group's is its name (RFC 9051 §7.5.2). */
static view mailbox_of(const struct mail_address *a, struct arena *arena)
{
    if (!a) return VIEW_EMPTY;
    return collated(a->kind == MAIL_ADDRESS_MAILBOX ? a->local : a->name, arena);
}

static view display_of(const struct mail_address *a, struct arena *arena)
{
    if (!a) return VIEW_EMPTY;
    view name = a->name.len ? decoded(a->name, arena) : VIEW_EMPTY;
    if (name.len) return collated(name, arena);
    if (a->kind != MAIL_ADDRESS_MAILBOX || a->domain.len == 0) return collated(a->local, arena);
    return collated(arena_printf(arena, VIEW_FMT "@" VIEW_FMT, VIEW_ARG(a->local), VIEW_ARG(a->domain)), arena);
}

/* ---- message ids ---- */

/* The next "<...>", without quotes and backslashes (RFC 5256, REFERENCES step 1), as a hash that is not 0. */
static bool take_id_by(view *rest, uint64_t (*hash_of)(view), uint64_t *ret_id)
{
    char normal[998];
    for (;;) {
        size_t open = view_find(*rest, '<');
        if (open == VIEW_NONE) return false;
        *rest = view_from(*rest, open + 1);
        size_t close = view_find(*rest, '>'), len = 0;
        if (close == VIEW_NONE) return false;
        view id = view_slice(*rest, 0, close);
        *rest = view_from(*rest, close + 1);
        for (size_t i = 0; i < id.len && len < sizeof normal; i++)
            if (id.at[i] != '"' && id.at[i] != '\\' && !ascii_is_space(id.at[i])) normal[len++] = id.at[i];
        if (len == 0) continue;
        uint64_t hash = hash_of(view_make(normal, len));
        *ret_id = hash ? hash : 1;
        return true;
    }
}

static bool take_id(view *rest, uint64_t *ret_id)
{
    if (!take_id_by(rest, hash_bytes, ret_id)) return false;
    *ret_id &= ((uint64_t)1 << SORT_HASH_BITS) - 1;
    if (*ret_id == 0) *ret_id = 1;
    return true;
}

uint64_t sort_thread_root(view header, struct arena *arena)
{
    static const unsigned order[] = {F_REFERENCES, F_IN_REPLY_TO, F_MESSAGE_ID};
    view values[FIELDS];
    uint64_t id;
    find_fields(header, SORT_NEEDS_THREAD, values);
    for (size_t i = 0; i < array_size(order); i++) {
        view text = header_unfold(values[order[i]], arena);
        if (take_id_by(&text, hash_stable, &id)) return id;
    }
    return 0;
}

static void read_references(view references, view in_reply_to, struct arena *arena, struct sort_values *v)
{
    uint64_t id, ids[SORT_REFERENCES_MAX];
    while (take_id(&references, &id)) {
        if (v->reference_count == SORT_REFERENCES_MAX) memmove(ids, ids + 1, --v->reference_count * sizeof id);
        ids[v->reference_count++] = id;
    }
    if (v->reference_count == 0 && take_id(&in_reply_to, &id)) ids[v->reference_count++] = id;
    if (v->reference_count) v->references = memcpy(arena_array(arena, uint64_t, v->reference_count), ids, v->reference_count * sizeof id);
}

static void read_thread(const view *values, struct arena *arena, struct sort_values *v)
{
    view id = header_unfold(values[F_MESSAGE_ID], arena);
    (void)take_id(&id, &v->message_id);
    read_references(header_unfold(values[F_REFERENCES], arena), header_unfold(values[F_IN_REPLY_TO], arena), arena, v);
}

static void read_subject(view value, unsigned needs, struct arena *arena, struct sort_values *v)
{
    bool is_reply;
    view subject = collated(sort_base_subject(decoded(value, arena), arena, &is_reply), arena);
    if (needs & SORT_NEEDS_SUBJECT) v->subject = subject;
    if (!(needs & SORT_NEEDS_THREAD)) return;
    v->is_reply = is_reply;
    if (subject.len) v->subject_hash = (hash_bytes(subject) & (((uint64_t)1 << SORT_HASH_BITS) - 1)) | 3;
}

static void read_addresses(const view *values, unsigned needs, struct arena *arena, struct sort_values *v)
{
    const struct mail_address *from = values[F_FROM].len ? mail_address_list_parse(values[F_FROM], arena) : NULL;
    const struct mail_address *to = values[F_TO].len ? mail_address_list_parse(values[F_TO], arena) : NULL;
    const struct mail_address *cc = values[F_CC].len ? mail_address_list_parse(values[F_CC], arena) : NULL;
    if (needs & SORT_NEEDS_FROM) v->from = mailbox_of(from, arena);
    if (needs & SORT_NEEDS_TO) v->to = mailbox_of(to, arena);
    if (needs & SORT_NEEDS_CC) v->cc = mailbox_of(cc, arena);
    if (needs & SORT_NEEDS_DISPLAY_FROM) v->display_from = display_of(from, arena);
    if (needs & SORT_NEEDS_DISPLAY_TO) v->display_to = display_of(to, arena);
}

void sort_values_read(view header, unsigned needs, struct arena *arena, struct sort_values *ret_values)
{
    struct sort_values *v = ret_values;
    struct date date;
    view values[FIELDS];
    *v = (struct sort_values){0};
    find_fields(header, needs, values);
    v->has_date = values[F_DATE].len && date_parse(header_unfold(values[F_DATE], arena), &date);
    if (v->has_date) v->sent = date.at;
    if (values[F_SUBJECT].len) read_subject(values[F_SUBJECT], needs, arena, v);
    read_addresses(values, needs, arena, v);
    if (needs & SORT_NEEDS_THREAD) read_thread(values, arena, v);
}
