/*
 * The verbs, their arguments, and the writer of commands.
 */
#include "base/check.h"
#include "formats/imap_grammar.h"
#include "formats/imap_write.h"

static bool take_nothing(struct imap_grammar *g, struct imap_command *c)
{
    return true;
}

static bool take_mailbox(struct imap_grammar *g, struct imap_command *c)
{
    return imap_take_astring(g, &c->mailbox) || imap_miss(g, "a mailbox name");
}

/* authenticate = "AUTHENTICATE" SP auth-type [SP (base64 / "=")] */
static bool take_authenticate(struct imap_grammar *g, struct imap_command *c)
{
    if (!imap_take_atom(g, &c->authenticate.mechanism)) return imap_miss(g, "a mechanism");
    if (!take_byte(&g->at, ' ')) return true;
    if (!imap_take_atom(g, &c->authenticate.initial)) return imap_miss(g, "an initial response");
    c->authenticate.has_initial = true;
    if (view_equal(c->authenticate.initial, VIEW("="))) c->authenticate.initial = VIEW_EMPTY;
    return true;
}

static bool take_login(struct imap_grammar *g, struct imap_command *c)
{
    if (!imap_take_astring(g, &c->login.user)) return imap_miss(g, "a user name");
    if (!imap_take_space(g)) return false;
    return imap_take_astring(g, &c->login.password) || imap_miss(g, "a password");
}

static bool take_id_pair(struct imap_grammar *g, struct imap_id *id)
{
    struct imap_id_pair pair = {0};
    if (!imap_take_string(g, &pair.name)) return imap_miss(g, "a field name");
    if (!imap_take_space(g)) return false;
    if (!imap_take_nstring(g, &pair.value, &pair.is_nil)) return imap_miss(g, "a string or NIL");
    if (id->count == IMAP_ID_PAIRS_MAX) return imap_too_many(g, "fewer fields");
    struct imap_id_pair *pairs = imap_grow(g, id->pairs, id->count, sizeof *pairs);
    if (!pairs) return false;
    id->pairs = pairs;
    id->pairs[id->count++] = pair;
    return true;
}

/* id = "ID" SP id-params-list (RFC 2971 §4) */
static bool take_id(struct imap_grammar *g, struct imap_command *c)
{
    if (imap_take_word(g, VIEW("NIL"))) return true;
    if (!imap_take_open(g)) return false;
    if (take_byte(&g->at, ')')) return true;
    do {
        if (!take_id_pair(g, &c->id)) return false;
    } while (take_byte(&g->at, ' '));
    return imap_take_close(g);
}

/* enable = "ENABLE" 1*(SP capability) */
static bool take_enable(struct imap_grammar *g, struct imap_command *c)
{
    struct imap_enable *enable = &c->enable;
    do {
        view name;
        if (!imap_take_atom(g, &name)) return imap_miss(g, "a capability");
        if (enable->count == IMAP_ENABLE_MAX) return imap_too_many(g, "fewer capabilities");
        view *names = imap_grow(g, enable->names, enable->count, sizeof *names);
        if (!names) return false;
        enable->names = names;
        enable->names[enable->count++] = name;
    } while (take_byte(&g->at, ' '));
    return true;
}

/* create = "CREATE" SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"] (RFC 6154 §6) */
static bool take_create(struct imap_grammar *g, struct imap_command *c)
{
    if (!imap_take_astring(g, &c->create.mailbox)) return imap_miss(g, "a mailbox name");
    if (!take_view(&g->at, VIEW(" ("))) return true;
    if (!imap_take_word(g, VIEW("USE"))) return imap_miss(g, "USE");
    if (!imap_take_space(g) || !imap_take_open(g)) return false;
    if (!take_byte(&g->at, ')')) {
        do {
            if (!imap_take_special_use(g, &c->create.use)) return false;
        } while (take_byte(&g->at, ' '));
        if (!imap_take_close(g)) return false;
    }
    return imap_take_close(g);
}

static bool take_rename(struct imap_grammar *g, struct imap_command *c)
{
    if (!imap_take_astring(g, &c->rename.from)) return imap_miss(g, "a mailbox name");
    if (!imap_take_space(g)) return false;
    return imap_take_astring(g, &c->rename.to) || imap_miss(g, "a mailbox name");
}

static bool take_status(struct imap_grammar *g, struct imap_command *c)
{
    if (!imap_take_astring(g, &c->status.mailbox)) return imap_miss(g, "a mailbox name");
    return imap_take_space(g) && imap_take_status_items(g, &c->status.items);
}

static bool take_uid_expunge(struct imap_grammar *g, struct imap_command *c)
{
    return imap_take_set(g, &c->expunge) || imap_miss(g, "a set of UIDs");
}

static bool take_copy(struct imap_grammar *g, struct imap_command *c)
{
    if (!imap_take_set(g, &c->copy.set)) return imap_miss(g, "a message set");
    if (!imap_take_space(g)) return false;
    return imap_take_astring(g, &c->copy.mailbox) || imap_miss(g, "a mailbox name");
}

static bool take_list(struct imap_grammar *g, struct imap_command *c) { return imap_take_list(g, &c->list); }
static bool take_lsub(struct imap_grammar *g, struct imap_command *c) { return imap_take_lsub(g, &c->list); }
static bool take_append(struct imap_grammar *g, struct imap_command *c) { return imap_take_append(g, &c->append); }
static bool take_search(struct imap_grammar *g, struct imap_command *c) { return imap_take_search(g, &c->search); }
static bool take_fetch(struct imap_grammar *g, struct imap_command *c) { return imap_take_fetch(g, &c->fetch); }
static bool take_store(struct imap_grammar *g, struct imap_command *c) { return imap_take_store(g, &c->store); }
static bool take_replace(struct imap_grammar *g, struct imap_command *c) { return imap_take_replace(g, &c->append); }
static bool take_notify(struct imap_grammar *g, struct imap_command *c) { return imap_take_notify(g, &c->notify); }
static bool take_esearch(struct imap_grammar *g, struct imap_command *c) { return imap_take_esearch(g, &c->esearch); }
static bool take_sort(struct imap_grammar *g, struct imap_command *c) { return imap_take_sort(g, &c->sort); }
static bool take_thread(struct imap_grammar *g, struct imap_command *c) { return imap_take_thread(g, &c->thread); }
static bool take_select(struct imap_grammar *g, struct imap_command *c) { return imap_take_select(g, &c->select); }
static bool take_uidbatches(struct imap_grammar *g, struct imap_command *c) { return imap_take_uidbatches(g, &c->uidbatches); }

static bool take_getmetadata(struct imap_grammar *g, struct imap_command *c) { return imap_take_getmetadata(g, &c->metadata); }
static bool take_setmetadata(struct imap_grammar *g, struct imap_command *c) { return imap_take_setmetadata(g, &c->metadata); }

/* getquota = "GETQUOTA" SP quota-root-name; quota-root-name = astring (RFC 9208 §7) */
static bool take_getquota(struct imap_grammar *g, struct imap_command *c)
{
    return imap_take_astring(g, &c->quota_root) || imap_miss(g, "a quota root");
}

/* compress = "COMPRESS" SP algorithm (RFC 4978 §4) */
static bool take_compress(struct imap_grammar *g, struct imap_command *c)
{
    return imap_take_atom(g, &c->compression) || imap_miss(g, "an algorithm");
}

enum { PLAIN = 1, WITH_UID = 2 };

static const struct verb {
    view name;
    unsigned forms;               /* without UID, with it, or either */
    bool (*take)(struct imap_grammar *g, struct imap_command *c);
} verbs[IMAP_VERB_COUNT] = {
    [IMAP_CAPABILITY] = {VIEW_INIT("CAPABILITY"), PLAIN, take_nothing},
    [IMAP_NOOP] = {VIEW_INIT("NOOP"), PLAIN, take_nothing},
    [IMAP_LOGOUT] = {VIEW_INIT("LOGOUT"), PLAIN, take_nothing},
    [IMAP_ID] = {VIEW_INIT("ID"), PLAIN, take_id},
    [IMAP_STARTTLS] = {VIEW_INIT("STARTTLS"), PLAIN, take_nothing},
    [IMAP_AUTHENTICATE] = {VIEW_INIT("AUTHENTICATE"), PLAIN, take_authenticate},
    [IMAP_LOGIN] = {VIEW_INIT("LOGIN"), PLAIN, take_login},
    [IMAP_ENABLE] = {VIEW_INIT("ENABLE"), PLAIN, take_enable},
    [IMAP_SELECT] = {VIEW_INIT("SELECT"), PLAIN, take_select},
    [IMAP_EXAMINE] = {VIEW_INIT("EXAMINE"), PLAIN, take_select},
    [IMAP_CREATE] = {VIEW_INIT("CREATE"), PLAIN, take_create},
    [IMAP_DELETE] = {VIEW_INIT("DELETE"), PLAIN, take_mailbox},
    [IMAP_RENAME] = {VIEW_INIT("RENAME"), PLAIN, take_rename},
    [IMAP_SUBSCRIBE] = {VIEW_INIT("SUBSCRIBE"), PLAIN, take_mailbox},
    [IMAP_UNSUBSCRIBE] = {VIEW_INIT("UNSUBSCRIBE"), PLAIN, take_mailbox},
    [IMAP_LIST] = {VIEW_INIT("LIST"), PLAIN, take_list},
    [IMAP_LSUB] = {VIEW_INIT("LSUB"), PLAIN, take_lsub},
    [IMAP_NAMESPACE] = {VIEW_INIT("NAMESPACE"), PLAIN, take_nothing},
    [IMAP_STATUS] = {VIEW_INIT("STATUS"), PLAIN, take_status},
    [IMAP_APPEND] = {VIEW_INIT("APPEND"), PLAIN, take_append},
    [IMAP_IDLE] = {VIEW_INIT("IDLE"), PLAIN, take_nothing},
    [IMAP_CHECK] = {VIEW_INIT("CHECK"), PLAIN, take_nothing},
    [IMAP_CLOSE] = {VIEW_INIT("CLOSE"), PLAIN, take_nothing},
    [IMAP_UNSELECT] = {VIEW_INIT("UNSELECT"), PLAIN, take_nothing},
    [IMAP_EXPUNGE] = {VIEW_INIT("EXPUNGE"), PLAIN | WITH_UID, NULL},
    [IMAP_SEARCH] = {VIEW_INIT("SEARCH"), PLAIN | WITH_UID, take_search},
    [IMAP_FETCH] = {VIEW_INIT("FETCH"), PLAIN | WITH_UID, take_fetch},
    [IMAP_STORE] = {VIEW_INIT("STORE"), PLAIN | WITH_UID, take_store},
    [IMAP_COPY] = {VIEW_INIT("COPY"), PLAIN | WITH_UID, take_copy},
    [IMAP_MOVE] = {VIEW_INIT("MOVE"), PLAIN | WITH_UID, take_copy},
    [IMAP_NOTIFY] = {VIEW_INIT("NOTIFY"), PLAIN, take_notify},
    [IMAP_ESEARCH] = {VIEW_INIT("ESEARCH"), PLAIN, take_esearch},
    [IMAP_REPLACE] = {VIEW_INIT("REPLACE"), PLAIN | WITH_UID, take_replace},
    [IMAP_SORT] = {VIEW_INIT("SORT"), PLAIN | WITH_UID, take_sort},
    [IMAP_THREAD] = {VIEW_INIT("THREAD"), PLAIN | WITH_UID, take_thread},
    [IMAP_GETQUOTA] = {VIEW_INIT("GETQUOTA"), PLAIN, take_getquota},
    [IMAP_GETQUOTAROOT] = {VIEW_INIT("GETQUOTAROOT"), PLAIN, take_mailbox},
    [IMAP_UIDBATCHES] = {VIEW_INIT("UIDBATCHES"), PLAIN, take_uidbatches},
    [IMAP_UNAUTHENTICATE] = {VIEW_INIT("UNAUTHENTICATE"), PLAIN, take_nothing},
    [IMAP_COMPRESS] = {VIEW_INIT("COMPRESS"), PLAIN, take_compress},
    [IMAP_GETMETADATA] = {VIEW_INIT("GETMETADATA"), PLAIN, take_getmetadata},
    [IMAP_SETMETADATA] = {VIEW_INIT("SETMETADATA"), PLAIN, take_setmetadata},
};

const char *imap_verb_name(enum imap_verb verb)
{
    return verbs[verb].name.at;
}

static bool find_verb(view word, bool is_uid, enum imap_verb *ret_verb)
{
    for (size_t i = 0; i < array_size(verbs); i++) {
        if (!(verbs[i].forms & (is_uid ? WITH_UID : PLAIN)) || !view_equal_nocase(word, verbs[i].name)) continue;
        *ret_verb = (enum imap_verb)i;
        return true;
    }
    return false;
}

static bool has_arguments(const struct imap_command *c)
{
    if (c->verb == IMAP_EXPUNGE) return c->is_uid;
    return verbs[c->verb].take != take_nothing;
}

static bool take_arguments(struct imap_grammar *g, struct imap_command *c)
{
    if (!has_arguments(c)) return true;
    if (!imap_take_space(g)) return false;
    return c->verb == IMAP_EXPUNGE ? take_uid_expunge(g, c) : verbs[c->verb].take(g, c);
}

/* command = tag SP ["UID" SP] verb [SP arguments]; a space before the end is forgiven */
static bool take_command(struct imap_grammar *g, struct imap_command *c)
{
    view word;
    if (!imap_take_tag(&g->at, &c->tag)) return imap_miss(g, "a tag");
    if (!imap_take_space(g)) return false;
    c->is_uid = take_view_nocase(&g->at, VIEW("UID "));
    if (!imap_take_atom(g, &word)) return imap_miss(g, "a command");
    if (!find_verb(word, c->is_uid, &c->verb)) {
        imap_miss(g, "a command that is known here");
        g->code = NOT_FOUND;
        return false;
    }
    if (!take_arguments(g, c)) return imap_miss(g, "other arguments");
    take_byte(&g->at, ' ');
    return cursor_at_end(&g->at) || imap_miss(g, "the end of the command");
}

result imap_parse_command(view text, struct arena *arena, struct imap_command *ret_command, struct fault *fault)
{
    struct imap_grammar g = {.at = cursor_of(text), .arena = arena};
    struct imap_command command = {0};
    if (take_command(&g, &command)) {
        *ret_command = command;
        return OK;
    }
    result code = fail(fault, g.code, "command: expected %s at byte %zu", g.expected, g.position);
    fault_tell(fault, "Expected %s at byte %zu", g.expected, g.position);
    return code;
}

result imap_parse_search(view text, struct arena *arena, struct imap_search *ret_search, struct fault *fault)
{
    struct imap_grammar g = {.at = cursor_of(text), .arena = arena};
    struct imap_search search = {0};
    if (imap_take_search(&g, &search) && !search.has_return && (cursor_at_end(&g.at) || imap_miss(&g, "the end of the search"))) {
        *ret_search = search;
        return OK;
    }
    if (!g.expected) imap_miss(&g, "a search without RETURN");
    result code = fail(fault, g.code, "search: expected %s at byte %zu", g.expected, g.position);
    fault_tell(fault, "Expected %s at byte %zu", g.expected, g.position);
    return code;
}

bool imap_parse_tag(view text, view *ret_tag)
{
    struct cursor c = cursor_of(text);
    return imap_take_tag(&c, ret_tag);
}

bool imap_text_wants_literal(view text, struct imap_literal *ret_literal)
{
    size_t at = text.len && text.at[text.len - 1] == '}' ? view_find_last(text, '{') : VIEW_NONE;
    if (at == VIEW_NONE) return false;
    if (at > 0 && text.at[at - 1] == '~') at--;
    struct cursor c = cursor_of(view_from(text, at));
    struct imap_literal literal;
    if (!imap_take_literal_header(&c, &literal) || !cursor_at_end(&c)) return false;
    *ret_literal = literal;
    return true;
}

bool imap_text_is_append(view text)
{
    struct cursor c = cursor_of(text);
    view tag;
    if (!imap_take_tag(&c, &tag) || !take_byte(&c, ' ')) return false;
    return take_view_nocase(&c, VIEW("APPEND ")) || take_view_nocase(&c, VIEW("REPLACE ")) || take_view_nocase(&c, VIEW("UID REPLACE "));
}

void imap_command_string(struct imap_command_writer *w, view text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] != '\r' && text.at[i] != '\n' && text.at[i] != 0) continue;
        buf_appendf(w->out, w->literal_plus ? "{%zu+}\r\n" : "{%zu}\r\n", text.len);
        buf_append(w->out, text);
        return;
    }
    buf_append_byte(w->out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '"' || text.at[i] == '\\') buf_append_byte(w->out, '\\');
        buf_append_byte(w->out, text.at[i]);
    }
    buf_append_byte(w->out, '"');
}

void imap_command_astring(struct imap_command_writer *w, view text)
{
    struct imap_grammar g = {.at = cursor_of(text)};
    view atom;
    if (imap_take_atom(&g, &atom) && atom.len == text.len) {
        buf_append(w->out, text);
    } else {
        imap_command_string(w, text);
    }
}

static void write_id(struct imap_command_writer *w, const struct imap_id *id)
{
    if (id->count == 0) buf_append_cstr(w->out, "NIL");
    for (size_t i = 0; i < id->count; i++) {
        buf_append_byte(w->out, i ? ' ' : '(');
        imap_command_string(w, id->pairs[i].name);
        buf_append_byte(w->out, ' ');
        if (id->pairs[i].is_nil) {
            buf_append_cstr(w->out, "NIL");
        } else {
            imap_command_string(w, id->pairs[i].value);
        }
    }
    if (id->count) buf_append_byte(w->out, ')');
}

static void write_two(struct imap_command_writer *w, view first, view second)
{
    imap_command_astring(w, first);
    buf_append_byte(w->out, ' ');
    imap_command_astring(w, second);
}

static void write_authenticate(struct imap_command_writer *w, const struct imap_authenticate *a)
{
    buf_append(w->out, a->mechanism);
    if (!a->has_initial) return;
    buf_append_byte(w->out, ' ');
    buf_append(w->out, a->initial.len ? a->initial : VIEW("="));
}

static void write_enable(struct imap_command_writer *w, const struct imap_enable *enable)
{
    for (size_t i = 0; i < enable->count; i++) {
        if (i) buf_append_byte(w->out, ' ');
        buf_append(w->out, enable->names[i]);
    }
}

static void write_arguments(struct imap_command_writer *w, const struct imap_command *c)
{
    switch (c->verb) {
    case IMAP_AUTHENTICATE: write_authenticate(w, &c->authenticate); break;
    case IMAP_LOGIN: write_two(w, c->login.user, c->login.password); break;
    case IMAP_ID: write_id(w, &c->id); break;
    case IMAP_ENABLE: write_enable(w, &c->enable); break;
    case IMAP_SELECT:
    case IMAP_EXAMINE: imap_write_select(w, &c->select); break;
    case IMAP_CREATE:
        imap_command_astring(w, c->create.mailbox);
        if (c->create.use) {
            buf_append_cstr(w->out, " (USE ");
            imap_command_special_use(w, c->create.use);
            buf_append_byte(w->out, ')');
        }
        break;
    case IMAP_RENAME: write_two(w, c->rename.from, c->rename.to); break;
    case IMAP_LIST:
    case IMAP_LSUB: imap_write_list(w, &c->list); break;
    case IMAP_STATUS:
        imap_command_astring(w, c->status.mailbox);
        buf_append_byte(w->out, ' ');
        imap_command_status_items(w, c->status.items);
        break;
    case IMAP_REPLACE:
    case IMAP_APPEND: imap_write_append(w, &c->append); break;
    case IMAP_EXPUNGE: imap_set_write(w->out, &c->expunge); break;
    case IMAP_SEARCH: imap_write_search(w, &c->search); break;
    case IMAP_FETCH: imap_write_fetch(w, &c->fetch); break;
    case IMAP_STORE: imap_write_store(w, &c->store); break;
    case IMAP_COPY:
    case IMAP_MOVE:
        imap_set_write(w->out, &c->copy.set);
        buf_append_byte(w->out, ' ');
        imap_command_astring(w, c->copy.mailbox);
        break;
    case IMAP_NOTIFY: imap_write_notify(w, &c->notify); break;
    case IMAP_ESEARCH: imap_write_esearch(w, &c->esearch); break;
    case IMAP_SORT: imap_write_sort(w, &c->sort); break;
    case IMAP_THREAD: imap_write_thread(w, &c->thread); break;
    case IMAP_GETQUOTA: imap_command_astring(w, c->quota_root); break;
    case IMAP_COMPRESS: buf_append(w->out, c->compression); break;
    case IMAP_UIDBATCHES: imap_write_uidbatches(w, &c->uidbatches); break;
    case IMAP_GETMETADATA: imap_write_getmetadata(w, &c->metadata); break;
    case IMAP_SETMETADATA: imap_write_setmetadata(w, &c->metadata); break;
    default: imap_command_astring(w, c->mailbox);
    }
}

void imap_write_command(buf *out, const struct imap_command *command, bool literal_plus)
{
    struct imap_command_writer w = {out, literal_plus};
    buf_append(out, command->tag);
    buf_append_cstr(out, command->is_uid ? " UID " : " ");
    buf_append(out, verbs[command->verb].name);
    if (!has_arguments(command)) return;
    buf_append_byte(out, ' ');
    write_arguments(&w, command);
}
