#include "formats/sort_values.h"

#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "formats/collate.h"
#include "formats/encoded_word.h"
#include "formats/envelope.h"

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

/* ---- texts ---- */

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
    view name = a->name.len ? encoded_word_decode(a->name, arena) : VIEW_EMPTY;
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

static bool take_id(view *rest, uint64_t *ret_id) { return take_id_by(rest, hash_bytes, ret_id); }

uint64_t sort_thread_root(view header, struct arena *arena)
{
    struct message_envelope e;
    uint64_t id;
    message_envelope_parse(header, arena, &e);
    view texts[] = {e.references, e.in_reply_to, e.message_id};
    for (size_t i = 0; i < array_size(texts); i++)
        if (take_id_by(&texts[i], hash_stable, &id)) return id;
    return 0;
}

static void read_references(const struct message_envelope *e, struct arena *arena, struct sort_values *v)
{
    view rest = e->references;
    uint64_t id, ids[SORT_REFERENCES_MAX];
    while (take_id(&rest, &id)) {
        if (v->reference_count == SORT_REFERENCES_MAX) memmove(ids, ids + 1, --v->reference_count * sizeof id);
        ids[v->reference_count++] = id;
    }
    rest = e->in_reply_to;
    if (v->reference_count == 0 && take_id(&rest, &id)) ids[v->reference_count++] = id;
    v->references = memcpy(arena_array(arena, uint64_t, v->reference_count), ids, v->reference_count * sizeof id);
}

void sort_values_read(view header, struct arena *arena, struct sort_values *ret_values)
{
    struct message_envelope e;
    struct date date;
    struct sort_values *v = ret_values;
    *v = (struct sort_values){0};
    message_envelope_parse(header, arena, &e);
    v->has_date = date_parse(e.date, &date);
    if (v->has_date) v->sent = date.at;
    v->subject = collated(sort_base_subject(encoded_word_decode(e.subject, arena), arena, &v->is_reply), arena);
    if (v->subject.len) v->subject_hash = hash_bytes(v->subject) | 1;
    v->from = mailbox_of(e.from, arena);
    v->to = mailbox_of(e.to, arena);
    v->cc = mailbox_of(e.cc, arena);
    v->display_from = display_of(e.from, arena);
    v->display_to = display_of(e.to, arena);
    view id = e.message_id;
    (void)take_id(&id, &v->message_id);
    read_references(&e, arena, v);
}
