/*
 * GETMETADATA and SETMETADATA: RFC 5464.
 *
 * Annotations are part of the account's value: a SETMETADATA is one record, so it is done wholly or not at all. Mailboxes are nobody
 * else's, so what is /shared differs from /private in its name alone; what the server shares with all is the operator's, by configuration.
 */
#include "base/feature.h"
#include "formats/imap_write.h"
#include "imapd/special_use.h"

enum { SERVER = 0 };

bool session_has_metadata(const struct session *s)
{
    return accounts_feature_level(s->imapd->accounts) >= FEATURE_ANNOTATIONS;
}

/* ---- what no client has stored ---- */

enum { COMPUTED_ENTRIES = 2 };

/* Of the server what its operator says, which all share; of a mailbox its uses (RFC 6154 §4). In order of name. */
static size_t computed_entries(struct session *s, uint32_t mailbox, struct metadata_entry entries[static COMPUTED_ENTRIES])
{
    const char *admin = session_options(s)->server_admin, *comment = session_options(s)->server_comment;
    size_t count = 0;
    if (mailbox != SERVER) {
        view uses = special_use_text(s, mailbox);
        if (uses.len) entries[count++] = (struct metadata_entry){SPECIAL_USE_ENTRY, uses};
        return count;
    }
    if (admin && *admin) entries[count++] = (struct metadata_entry){VIEW("/shared/admin"), view_of(admin)};
    if (comment && *comment) entries[count++] = (struct metadata_entry){VIEW("/shared/comment"), view_of(comment)};
    return count;
}

/* Under these names nothing that was stored is told. */
static bool is_computed(uint32_t mailbox, view name)
{
    if (mailbox != SERVER) return view_equal_nocase(name, SPECIAL_USE_ENTRY);
    return view_equal_nocase(name, VIEW("/shared/admin")) || view_equal_nocase(name, VIEW("/shared/comment"));
}

/* ---- telling ---- */

struct telling {
    struct session *s;
    view mailbox;
    const struct imap_metadata *asked;
    bool has_begun;
    size_t longest;                          /* of the values that were left out */
};

static void write_value(buf *out, view value, bool is_utf8)
{
    if (!view_has_byte(value, 0)) {
        imap_write_string(out, value, is_utf8);
        return;
    }
    imap_write_literal_header(out, value.len, true);
    buf_append(out, value);
}

static void tell_entry(struct telling *t, view name, const struct metadata_entry *entry)
{
    buf *out = session_out(t->s);
    if (entry && t->asked->has_max_size && entry->value.len > t->asked->max_size) {
        if (entry->value.len > t->longest) t->longest = entry->value.len;
        return;
    }
    if (!t->has_begun) {
        buf_append(out, VIEW("* METADATA "));
        imap_write_mailbox(out, t->mailbox, session_speaks_utf8(t->s));
        buf_append(out, VIEW(" ("));
    } else {
        buf_append_byte(out, ' ');
    }
    t->has_begun = true;
    imap_write_astring(out, name, session_speaks_utf8(t->s));
    buf_append_byte(out, ' ');
    if (entry) write_value(out, entry->value, session_speaks_utf8(t->s));
    else buf_append(out, VIEW("NIL"));
}

/* §4.2.2: the entry itself, and those one level or all levels below it. */
static bool is_at_depth(view name, view of, enum imap_depth depth)
{
    if (!view_starts_nocase(name, of)) return false;
    view below = view_from(name, of.len);
    if (below.len == 0) return true;
    return below.at[0] == '/' && (depth == IMAP_DEPTH_INFINITY || !view_has_byte(view_from(below, 1), '/'));
}

static void tell_all(struct telling *t, view of, uint32_t mailbox, const struct metadata_entry *entries, size_t count, bool are_computed)
{
    for (size_t i = 0; i < count; i++)
        if (is_at_depth(entries[i].name, of, t->asked->depth) && (are_computed || !is_computed(mailbox, entries[i].name))) tell_entry(t, entries[i].name, &entries[i]);
}

static const struct metadata_entry *find_among(const struct metadata_entry *entries, size_t count, view name)
{
    for (size_t i = 0; i < count; i++)
        if (view_equal_nocase(entries[i].name, name)) return &entries[i];
    return NULL;
}

size_t session_tell_metadata(struct session *s, uint32_t mailbox, view name, const struct imap_metadata *asked)
{
    struct state *state = account_state(s->account);
    struct telling t = {.s = s, .mailbox = name, .asked = asked};
    struct metadata_entry computed[COMPUTED_ENTRIES];
    const struct metadata_entry *stored;
    size_t computed_count = computed_entries(s, mailbox, computed), count = state_metadata(state, mailbox, &stored);
    for (size_t i = 0; i < asked->count; i++) {
        view of = asked->entries[i].name;
        if (asked->depth == IMAP_DEPTH_0) {
            tell_entry(&t, of, is_computed(mailbox, of) ? find_among(computed, computed_count, of) : state_metadata_find(state, mailbox, of));
            continue;
        }
        tell_all(&t, of, mailbox, stored, count, false);
        tell_all(&t, of, mailbox, computed, computed_count, true);
    }
    if (t.has_begun) buf_append(session_out(s), VIEW(")\r\n"));
    return t.longest;
}

/* ---- the commands ---- */

/* The empty name is the server's. */
static bool find_owner(struct session *s, view wire, struct reply *r, view *ret_name, uint32_t *ret_number)
{
    *ret_name = VIEW_EMPTY;
    *ret_number = SERVER;
    if (wire.len == 0) return true;
    if (session_mailbox_name(s, wire, r, ret_name) != OK) return false;
    struct mailbox *m = state_find(account_state(s->account), *ret_name);
    if (!m) {
        reply_result(s, r, NOT_FOUND, NULL);
        return false;
    }
    struct mailbox_info info;
    mailbox_read_info(m, s->arena, &info);
    *ret_number = info.number;
    return true;
}

void imapd_getmetadata(struct session *s, const struct imap_command *c, struct reply *r)
{
    view name;
    uint32_t number;
    if (!find_owner(s, c->metadata.mailbox, r, &name, &number)) return;
    size_t longest = session_tell_metadata(s, number, name, &c->metadata);
    if (longest) buf_appendf(&r->code, "METADATA LONGENTRIES %zu", longest);
}

/* False with a reply when one of them cannot be set. */
static bool check_entries(struct session *s, const struct imap_metadata *m, struct reply *r)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct imap_entry *e = &m->entries[i];
        if (e->value.len > RECORD_ENTRY_VALUE_BYTES_MAX) {
            reply_set(r, REPLY_NO, "METADATA MAXSIZE ", "A value is too long");
            buf_append_u64(&r->code, RECORD_ENTRY_VALUE_BYTES_MAX);
            return false;
        }
        if (m->mailbox.len == 0 && view_starts_nocase(e->name, VIEW("/shared/"))) {
            reply_set(r, REPLY_NO, "NOPERM", "What the server shares with all is its operator's");
            return false;
        }
        if (m->mailbox.len == 0 && !e->is_nil && !session_check_filter(s, e->name, e->value, r)) return false;
    }
    return true;
}

void imapd_setmetadata(struct session *s, const struct imap_command *c, struct reply *r)
{
    const struct imap_metadata *m = &c->metadata;
    struct fault fault = {0};
    struct outcome outcome;
    view name;
    uint32_t number;
    if (!session_has_metadata(s)) {
        reply_set(r, REPLY_NO, "UNAVAILABLE", "Some nodes do not know annotations yet");
        return;
    }
    if (!find_owner(s, m->mailbox, r, &name, &number) || !check_entries(s, m, r)) return;
    for (size_t i = 0; i < m->count && number != SERVER; i++) {
        if (!view_equal_nocase(m->entries[i].name, SPECIAL_USE_ENTRY)) continue;
        if (m->count > 1) reply_set(r, REPLY_NO, "CANNOT", "The uses of a mailbox are set by a command of their own");
        else special_use_set(s, number, m->entries[i].value, r);
        return;
    }
    struct record_entry *entries = arena_array(s->arena, struct record_entry, m->count);
    for (size_t i = 0; i < m->count; i++)
        entries[i] = (struct record_entry){.name = m->entries[i].name, .value = m->entries[i].value, .removes = m->entries[i].is_nil};
    struct record record = {.kind = RECORD_METADATA, .metadata = {.mailbox = number, .entries = entries, .count = m->count}};
    result code = account_change(s->account, &record, s->arena, &outcome, session_store_deadline(s), &fault);
    if (code == OK) code = outcome.code;
    reply_result(s, r, code, &fault);
    if (code == TOO_BIG) reply_set(r, REPLY_NO, "METADATA TOOMANY", "There are too many annotations");
    if (code == OK) session_tell_annotations(s, outcome.modseq);
}
