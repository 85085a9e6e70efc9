#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* ---- helpers ------------------------------------------------------------------------------------------- */

static void *grow(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) return array;
    *capacity = *capacity ? 2 * *capacity : 16;
    array = realloc(array, *capacity * size);
    check(array);
    return array;
}

static void add_row(struct model_rows *rows, struct model_row row)
{
    rows->at = grow(rows->at, rows->count, &rows->capacity, sizeof *rows->at);
    rows->at[rows->count++] = row;
}

static void add_uid(buf *uids, uint32_t uid) { buf_append(uids, view_make(&uid, sizeof uid)); }

static bool has_uid(const struct imap_set *set, uint32_t uid)
{
    for (size_t i = 0; i < set->count; i++)
        if (uid >= set->ranges[i].first && uid <= set->ranges[i].last) return true;
    return false;
}

static struct model_mailbox *add_mailbox(struct model *m, view name, bool is_selectable)
{
    struct model_mailbox *box = calloc(1, sizeof *box);
    check(box && name.len <= RECORD_NAME_BYTES_MAX);
    box->number = m->next_number++;
    memcpy(box->name, name.at, name.len);
    box->is_selectable = is_selectable;
    box->uid_next = 1;
    box->highest_modseq = m->sequence;
    m->mailboxes = grow(m->mailboxes, m->mailbox_count, &m->mailbox_capacity, sizeof *m->mailboxes);
    m->mailboxes[m->mailbox_count++] = box;
    return box;
}

struct model *model_new(struct id account)
{
    struct model *m = calloc(1, sizeof *m);
    check(m);
    m->account = account;
    m->next_number = 1;
    uint64_t ms = 0;
    for (int i = 0; i < 6; i++) ms = ms << 8 | account.bytes[i];
    struct model_mailbox *inbox = add_mailbox(m, VIEW("INBOX"), true);
    inbox->uid_validity = m->last_uid_validity = (uint32_t)(ms / 1000 ? ms / 1000 : 1);
    return m;
}

void model_free(struct model *m)
{
    for (size_t i = 0; i < m->mailbox_count; i++) {
        free(m->mailboxes[i]->rows.at);
        free(m->mailboxes[i]->graves.at);
        free(m->mailboxes[i]);
    }
    for (size_t i = 0; i < m->outcome_count; i++) {
        buf_done(&m->outcomes[i].source_uids);
        buf_done(&m->outcomes[i].result_uids);
        buf_done(&m->outcomes[i].unchanged_uids);
    }
    for (size_t i = 0; i < m->annotation_count; i++) free(m->annotations[i].value);
    free(m->annotations);
    free(m->mailboxes);
    free(m->outcomes);
    free(m);
}

struct model_mailbox *model_mailbox(const struct model *m, uint32_t number)
{
    for (size_t i = 0; i < m->mailbox_count; i++)
        if (m->mailboxes[i]->number == number && !m->mailboxes[i]->is_gone) return m->mailboxes[i];
    return NULL;
}

struct model_mailbox *model_find(const struct model *m, view name)
{
    for (size_t i = 0; i < m->mailbox_count; i++)
        if (!m->mailboxes[i]->is_gone && view_equal(view_of(m->mailboxes[i]->name), name)) return m->mailboxes[i];
    return NULL;
}

static struct model_mailbox *selectable(const struct model *m, uint32_t number)
{
    struct model_mailbox *box = model_mailbox(m, number);
    return box && box->is_selectable ? box : NULL;
}

static bool is_below(const char *name, const char *parent)
{
    size_t len = strlen(parent);
    return strncmp(name, parent, len) == 0 && name[len] == '/';
}

static bool has_children(const struct model *m, const char *name)
{
    for (size_t i = 0; i < m->mailbox_count; i++)
        if (!m->mailboxes[i]->is_gone && is_below(m->mailboxes[i]->name, name)) return true;
    return false;
}

/* ---- keywords ------------------------------------------------------------------------------------------ */

static uint64_t keyword_bit(struct model *m, view keyword)
{
    for (size_t i = 0; i < m->keyword_count; i++)
        if (view_equal_nocase(view_of(m->keywords[i]), keyword)) return (uint64_t)1 << (ROW_KEYWORD_BIT + i);
    check(m->keyword_count < MODEL_KEYWORDS_MAX && keyword.len <= ROW_KEYWORD_BYTES_MAX);
    memcpy(m->keywords[m->keyword_count], keyword.at, keyword.len);
    return (uint64_t)1 << (ROW_KEYWORD_BIT + m->keyword_count++);
}

static uint64_t flags_of(struct model *m, const struct record_flags *flags)
{
    uint64_t all = flags->system;
    for (size_t i = 0; i < flags->keyword_count; i++) all |= keyword_bit(m, flags->keywords[i]);
    return all;
}

static int compare_texts(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

void model_keywords(const struct model *m, uint64_t flags, buf *into)
{
    const char *texts[MODEL_KEYWORDS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < m->keyword_count; i++)
        if (flags & (uint64_t)1 << (ROW_KEYWORD_BIT + i)) texts[count++] = m->keywords[i];
    qsort(texts, count, sizeof texts[0], compare_texts);
    for (size_t i = 0; i < count; i++) buf_appendf(into, "%s ", texts[i]);
}

/* ---- names --------------------------------------------------------------------------------------------- */

static uint32_t choose_uid_validity(struct model *m, unix_ms written)
{
    int64_t seconds = written.ms / 1000;
    m->last_uid_validity = seconds > m->last_uid_validity ? (uint32_t)seconds : m->last_uid_validity + 1;
    return m->last_uid_validity;
}

/* The names that scenarios use are canonical or empty. */
static result create(struct model *m, view name, unix_ms written, struct model_mailbox **ret_box)
{
    if (name.len == 0) return INVALID;
    struct model_mailbox *box = model_find(m, name);
    *ret_box = box;
    if (box && box->is_selectable) return EXISTS;
    if (box) {
        box->is_selectable = true;
        box->uid_validity = choose_uid_validity(m, written);
        return OK;
    }
    for (size_t i = 0; i <= name.len; i++) {
        if (i < name.len && name.at[i] != '/') continue;
        view level = view_slice(name, 0, i);
        if (model_find(m, level)) continue;
        *ret_box = add_mailbox(m, level, true);
        (*ret_box)->uid_validity = choose_uid_validity(m, written);
    }
    return OK;
}

static void subscribe(struct model *m, view name, bool subscribes)
{
    size_t i = 0;
    while (i < m->subscription_count && !view_equal(view_of(m->subscriptions[i]), name)) i++;
    if (i < m->subscription_count && !subscribes) {
        memmove(m->subscriptions[i], m->subscriptions[--m->subscription_count], sizeof m->subscriptions[0]);
    } else if (i == m->subscription_count && subscribes) {
        check(i < MODEL_SUBSCRIPTIONS_MAX);
        memset(m->subscriptions[i], 0, sizeof m->subscriptions[i]);
        memcpy(m->subscriptions[i], name.at, name.len);
        m->subscription_count++;
    }
}

static void tell(struct model_outcome *o, const struct model_mailbox *box)
{
    o->mailbox = box->number;
    o->uid_validity = box->uid_validity;
}

static void apply_create(struct model *m, const struct record *r, struct model_outcome *o)
{
    struct model_mailbox *box = NULL;
    o->code = create(m, r->create.name, r->written, &box);
    if (box) tell(o, box);
    if (o->code != OK) return;
    box->special_use = r->create.special_use;
    if (r->create.uid_validity) {
        box->uid_validity = r->create.uid_validity;
        if (r->create.uid_validity > m->last_uid_validity) m->last_uid_validity = r->create.uid_validity;
    }
    tell(o, box);
    if (r->create.subscribes) subscribe(m, r->create.name, true);
}

/* Names that only stood for their inferiors go with the last of them. */
static void prune(struct model *m)
{
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < m->mailbox_count; i++) {
            struct model_mailbox *box = m->mailboxes[i];
            if (box->is_gone || box->is_selectable || has_children(m, box->name)) continue;
            box->is_gone = again = true;
        }
    }
}

static void bury(struct model *m, struct model_mailbox *box, const struct imap_set *uids, bool only_deleted, unix_ms when, buf *ret_uids)
{
    size_t kept = 0;
    for (size_t i = 0; i < box->rows.count; i++) {
        struct model_row row = box->rows.at[i];
        if ((uids && !has_uid(uids, row.uid)) || (only_deleted && !(row.flags & ROW_DELETED))) {
            box->rows.at[kept++] = row;
            continue;
        }
        if (ret_uids) add_uid(ret_uids, row.uid);
        row.expunged = when;
        add_row(&box->graves, row);
        box->highest_modseq = m->sequence;
    }
    box->rows.count = kept;
}

static void apply_delete(struct model *m, const struct record *r, struct model_outcome *o)
{
    struct model_mailbox *box = model_mailbox(m, r->delete.mailbox);
    o->code = !box ? NOT_FOUND : box->number == 1 || !box->is_selectable ? INVALID : OK;
    if (o->code != OK) return;
    tell(o, box);
    bury(m, box, NULL, false, r->written, NULL);
    box->is_gone = true;
    if (has_children(m, box->name)) add_mailbox(m, view_of(box->name), false);
    prune(m);
}

static void apply_rename(struct model *m, const struct record *r, struct model_outcome *o)
{
    struct model_mailbox *box = model_mailbox(m, r->rename.mailbox), *made;
    view to = r->rename.name;
    o->code = !box ? NOT_FOUND : to.len == 0 ? INVALID : model_find(m, to) ? EXISTS : OK;
    if (o->code != OK) return;
    if (box->number == 1) {
        o->code = create(m, to, r->written, &made);
        if (o->code != OK) return;
        made->rows = box->rows;
        made->uid_next = box->uid_next;
        box->rows = (struct model_rows){0};
        box->highest_modseq = made->highest_modseq = m->sequence;
        tell(o, made);
        return;
    }
    char to_text[RECORD_NAME_BYTES_MAX + 1] = {0}, from[RECORD_NAME_BYTES_MAX + 1];
    memcpy(to_text, to.at, to.len);
    memcpy(from, box->name, sizeof from);
    if (is_below(to_text, from)) {
        o->code = INVALID;
        return;
    }
    for (size_t i = 0; i < to.len; i++)
        if (to.at[i] == '/' && !model_find(m, view_slice(to, 0, i))) add_mailbox(m, view_slice(to, 0, i), true)->uid_validity = choose_uid_validity(m, r->written);
    for (size_t i = 0; i < m->mailbox_count; i++) {
        struct model_mailbox *each = m->mailboxes[i];
        if (each->is_gone || (each != box && !is_below(each->name, from))) continue;
        buf name = BUF_INIT;
        buf_appendf(&name, "%s%s", to_text, each->name + strlen(from));
        check(name.len <= RECORD_NAME_BYTES_MAX);
        memset(each->name, 0, sizeof each->name);
        memcpy(each->name, name.at, name.len);
        buf_done(&name);
    }
    prune(m);
    tell(o, box);
}

static void apply_mailbox(struct model *m, const struct record *r, struct model_outcome *o)
{
    struct model_mailbox *box = selectable(m, r->mailbox.mailbox);
    if (!box) {
        o->code = NOT_FOUND;
        return;
    }
    if (r->mailbox.sets_special_use) box->special_use = r->mailbox.special_use;
    if (r->mailbox.uid_validity > (box->uid_next == 1 ? 0 : box->uid_validity)) {
        box->uid_validity = r->mailbox.uid_validity;
        if (box->uid_validity > m->last_uid_validity) m->last_uid_validity = box->uid_validity;
    }
    if (r->mailbox.uid_next > box->uid_next) box->uid_next = r->mailbox.uid_next;
    tell(o, box);
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

static void push(struct model *m, struct model_mailbox *box, struct model_row row)
{
    row.modseq = m->sequence;
    add_row(&box->rows, row);
    box->uid_next = row.uid + 1;
    box->highest_modseq = m->sequence;
}

static bool has_row(const struct model_mailbox *box, uint32_t uid)
{
    for (size_t i = 0; i < box->rows.count; i++)
        if (box->rows.at[i].uid == uid) return true;
    return false;
}

static void apply_append(struct model *m, const struct record *r, struct model_outcome *o)
{
    struct model_mailbox *box = NULL;
    if (r->append.mailbox) box = selectable(m, r->append.mailbox);
    else if (r->append.name.len == 0) box = model_mailbox(m, 1);
    else {
        box = model_find(m, r->append.name);
        if (box && !box->is_selectable) box = NULL;
        if (!box && r->append.creates && create(m, r->append.name, r->written, &box) != OK) box = NULL;
    }
    if (!box && r->append.falls_back) box = model_mailbox(m, 1);
    o->message = r->append.message;
    if (!box) {
        o->code = NOT_FOUND;
        return;
    }
    struct model_mailbox *replaced = r->append.replaces_uid ? selectable(m, r->append.replaces_mailbox) : NULL;
    if (r->append.replaces_uid && !(replaced && has_row(replaced, r->append.replaces_uid))) {
        o->code = INVALID;
        return;
    }
    struct model_row row = {.uid = r->append.uid >= box->uid_next ? r->append.uid : box->uid_next, .size_bytes = r->append.size_bytes,
                            .flags = flags_of(m, &r->append.flags), .internal_date = r->append.internal_date, .message = r->append.message};
    if (r->append.is_hidden) {
        row.modseq = m->sequence;
        row.expunged = r->written;
        add_row(&box->graves, row);
        box->uid_next = row.uid + 1;
    } else {
        push(m, box, row);
    }
    if (replaced) bury(m, replaced, &(struct imap_set){.ranges = &(struct imap_range){r->append.replaces_uid, r->append.replaces_uid}, .count = 1}, false, r->written, NULL);
    tell(o, box);
    add_uid(&o->result_uids, row.uid);
}

static void apply_flags(struct model *m, const struct record *r, struct model_outcome *o)
{
    struct model_mailbox *box = selectable(m, r->flags.mailbox);
    if (!box) {
        o->code = NOT_FOUND;
        return;
    }
    uint64_t flags = flags_of(m, &r->flags.flags);
    for (size_t i = 0; i < box->rows.count; i++) {
        struct model_row *row = &box->rows.at[i];
        if (!has_uid(&r->flags.uids, row->uid)) continue;
        if (row->modseq > r->flags.unchanged_since) {
            add_uid(&o->unchanged_uids, row->uid);
            continue;
        }
        uint64_t after = r->flags.change == FLAGS_ADD ? row->flags | flags : r->flags.change == FLAGS_REMOVE ? row->flags & ~flags : flags;
        if (after == row->flags) continue;
        row->flags = after;
        row->modseq = box->highest_modseq = m->sequence;
    }
    tell(o, box);
}

static void apply_copy(struct model *m, const struct record *r, struct model_outcome *o)
{
    struct model_mailbox *from = selectable(m, r->copy.from), *to = selectable(m, r->copy.to);
    if (!from || !to) {
        o->code = NOT_FOUND;
        return;
    }
    size_t count = from->rows.count;
    for (size_t i = 0; i < count; i++) {
        struct model_row row = from->rows.at[i];
        if (!has_uid(&r->copy.uids, row.uid)) continue;
        add_uid(&o->source_uids, row.uid);
        row.uid = to->uid_next;
        add_uid(&o->result_uids, row.uid);
        push(m, to, row);
    }
    if (r->copy.moves) {
        size_t kept = 0;
        for (size_t i = 0; i < from->rows.count; i++) {
            bool moved = i < count && has_uid(&r->copy.uids, from->rows.at[i].uid);
            if (moved) from->highest_modseq = m->sequence;
            else from->rows.at[kept++] = from->rows.at[i];
        }
        from->rows.count = kept;
    }
    tell(o, to);
}

static void apply_expunge(struct model *m, const struct record *r, struct model_outcome *o)
{
    struct model_mailbox *box = selectable(m, r->expunge.mailbox);
    if (!box) {
        o->code = NOT_FOUND;
        return;
    }
    bury(m, box, &r->expunge.uids, r->expunge.only_deleted, r->written, &o->source_uids);
    tell(o, box);
}

static bool is_restored(const struct record *r, const struct model_row *grave)
{
    return grave->expunged.ms >= r->restore.since.ms && grave->expunged.ms <= r->restore.until.ms && (r->restore.uids.count == 0 || has_uid(&r->restore.uids, grave->uid));
}

/* All that are named, or none. */
static void apply_reveal(struct model *m, const struct record *r, struct model_outcome *o)
{
    struct model_mailbox *box = selectable(m, r->restore.mailbox);
    uint64_t there = 0, wanted = 0;
    for (size_t i = 0; i < r->restore.uids.count; i++) wanted += r->restore.uids.ranges[i].last - (uint64_t)r->restore.uids.ranges[i].first + 1;
    for (size_t i = 0; box && i < box->graves.count; i++) there += is_restored(r, &box->graves.at[i]);
    o->code = !box ? NOT_FOUND : there != wanted ? INVALID : OK;
    if (o->code != OK) return;
    size_t kept = 0;
    for (size_t i = 0; i < box->graves.count; i++) {
        struct model_row row = box->graves.at[i];
        if (!is_restored(r, &row)) {
            box->graves.at[kept++] = row;
            continue;
        }
        row.uid = box->uid_next;
        push(m, box, row);
        add_uid(&o->result_uids, row.uid);
    }
    box->graves.count = kept;
    tell(o, box);
}

static void apply_restore(struct model *m, const struct record *r, struct model_outcome *o)
{
    struct model_mailbox *into = NULL;
    bool known = r->restore.mailbox == 0;
    if (r->restore.into.len) {
        o->code = create(m, r->restore.into, r->written, &into);
        if (o->code == EXISTS) o->code = OK;
        if (o->code != OK) return;
    }
    size_t count = m->mailbox_count;
    for (size_t i = 0; i < count; i++) {
        struct model_mailbox *box = m->mailboxes[i], *to = into ? into : !box->is_gone && box->is_selectable ? box : model_mailbox(m, 1);
        if (box->is_gone && box->graves.count == 0) continue;
        if (r->restore.mailbox && box->number != r->restore.mailbox) continue;
        known = true;
        size_t kept = 0;
        for (size_t k = 0; k < box->graves.count; k++) {
            struct model_row row = box->graves.at[k];
            if (!is_restored(r, &row)) {
                box->graves.at[kept++] = row;
                continue;
            }
            row.uid = to->uid_next;
            row.flags &= ~ROW_DELETED;
            push(m, to, row);
            add_uid(&o->result_uids, row.uid);
        }
        box->graves.count = kept;
        tell(o, to);
    }
    if (!known) o->code = NOT_FOUND;
}

static void apply_purge(struct model *m, const struct record *r)
{
    for (size_t i = 0; i < m->mailbox_count; i++) {
        struct model_rows *graves = &m->mailboxes[i]->graves;
        size_t kept = 0;
        for (size_t k = 0; k < graves->count; k++)
            if (graves->at[k].expunged.ms >= r->purge.before.ms) graves->at[kept++] = graves->at[k];
        graves->count = kept;
    }
}

/* ---- annotations --------------------------------------------------------------------------------------- */

static void remove_annotation(struct model *m, uint32_t mailbox, view name)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->annotation_count; i++) {
        if (m->annotations[i].mailbox != mailbox || !view_equal_nocase(view_of(m->annotations[i].name), name)) m->annotations[kept++] = m->annotations[i];
        else free(m->annotations[i].value);
    }
    m->annotation_count = kept;
}

/* Nobody here has so many that a limit is met. */
static void apply_metadata(struct model *m, const struct record *r, struct model_outcome *o)
{
    o->mailbox = r->metadata.mailbox;
    if (o->mailbox && !model_mailbox(m, o->mailbox)) {
        o->mailbox = 0;
        o->code = NOT_FOUND;
        return;
    }
    for (size_t i = 0; i < r->metadata.count; i++) {
        const struct record_entry *e = &r->metadata.entries[i];
        struct model_annotation a = {.mailbox = o->mailbox};
        remove_annotation(m, o->mailbox, e->name);
        if (e->removes) continue;
        memcpy(a.name, e->name.at, e->name.len);
        a.value = strndup(e->value.at, e->value.len);
        m->annotations = grow(m->annotations, m->annotation_count, &m->annotation_capacity, sizeof *m->annotations);
        m->annotations[m->annotation_count++] = a;
    }
}

/* ---- records ------------------------------------------------------------------------------------------- */

const struct model_outcome *model_outcome_of(const struct model *m, struct id record)
{
    for (size_t i = 0; i < m->outcome_count; i++)
        if (!m->outcomes[i].is_again && id_equal(m->outcomes[i].record, record)) return &m->outcomes[i];
    return NULL;
}

void model_apply(struct model *m, const struct record *r)
{
    struct model_outcome o = {.record = r->id, .kind = r->kind, .code = OK, .modseq = ++m->sequence};
    o.is_again = model_outcome_of(m, r->id) != NULL;
    if (!o.is_again) {
        switch (r->kind) {
        case RECORD_APPEND: apply_append(m, r, &o); break;
        case RECORD_FLAGS: apply_flags(m, r, &o); break;
        case RECORD_COPY: apply_copy(m, r, &o); break;
        case RECORD_EXPUNGE: apply_expunge(m, r, &o); break;
        case RECORD_CREATE: apply_create(m, r, &o); break;
        case RECORD_DELETE: apply_delete(m, r, &o); break;
        case RECORD_RENAME: apply_rename(m, r, &o); break;
        case RECORD_SUBSCRIBE: subscribe(m, r->subscribe.name, r->subscribe.subscribes); break;
        case RECORD_RESTORE: apply_restore(m, r, &o); break;
        case RECORD_PURGE: apply_purge(m, r); break;
        case RECORD_MAILBOX: apply_mailbox(m, r, &o); break;
        case RECORD_REVEAL: apply_reveal(m, r, &o); break;
        case RECORD_METADATA: apply_metadata(m, r, &o); break;
        }
    }
    m->outcomes = grow(m->outcomes, m->outcome_count, &m->outcome_capacity, sizeof *m->outcomes);
    m->outcomes[m->outcome_count++] = o;
}
