/*
 * command_import: mail files into an account.
 *
 * Runs on the account's home loop; files are read on workers. Small messages are appended many at a time, because each append is a
 * round trip to the store; large ones are streamed one after the other: memory does not depend on their size. A message that cannot be
 * kept is told with its number and the others go on.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "formats/imap_name.h"
#include "main/command.h"
#include "main/mail_files.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/random.h"
#include "runtime/workers.h"

enum { UNDER_WAY_MAX = 64 };                 /* appends: of DRAFT_INLINE_MAX_BYTES at most, so 4 MiB */

/* An append under way. */
struct letter {
    struct list node;                        /* in import.under_way, in their order */
    struct import *import;
    struct append_pending pending;
    struct arena *arena;
    uint64_t number;
    bool is_done;
    char mailbox_name[1001];
};

struct import {
    struct command_call *call;
    struct account *account;
    struct mail_source *source;
    enum mail_file_kind kind;
    const char *path;
    struct mail_file_info info;
    buf piece;
    uint64_t begun, imported, failed;
    struct list under_way;
    size_t under_way_count;
    struct waitlist ended;
    uint32_t mailbox;                        /* number of the mailbox that was used last, and its name */
    char mailbox_name[1001];
    result code;                             /* of the job */
    struct fault *fault;
};

BLOCKS static void open_job(void *argument)
{
    struct import *i = argument;
    i->code = mail_source_open(i->kind, i->path, &i->source, i->fault);
}

BLOCKS static void next_job(void *argument)
{
    struct import *i = argument;
    i->code = mail_source_next(i->source, &i->info, i->fault);
}

BLOCKS static void read_job(void *argument)
{
    struct import *i = argument;
    buf_clear(&i->piece);
    i->code = mail_source_read(i->source, &i->piece, i->fault);
}

static MAY_YIELD result run_job(struct import *i, void (*job)(void *argument))
{
    result r = worker_run(WORKER_SLOW, job, i);
    return r == OK ? i->code : r;
}

/* The number of the mailbox for the message at hand, created when it is not there. */
static MAY_YIELD result find_mailbox(struct import *i, struct arena *arena, struct fault *fault)
{
    view asked = command_text(i->call, "mailbox"), inner = view_of(i->info.mailbox), name;
    name = asked.len && inner.len ? arena_printf(arena, VIEW_FMT "/" VIEW_FMT, VIEW_ARG(asked), VIEW_ARG(inner)) : asked.len ? asked : inner;
    if (name.len == 0) name = VIEW("INBOX");
    result r = imap_name_from_wire(name, true, arena, &name);
    if (r != OK) return fail(fault, r, "mailbox name \"" VIEW_FMT "\": expected UTF-8 levels separated by \"/\"", VIEW_ARG(name));
    if (i->mailbox && view_equal(name, view_of(i->mailbox_name))) return OK;
    struct mailbox *m = state_find(account_state(i->account), name);
    if (m) {
        struct mailbox_info info;
        mailbox_read_info(m, arena, &info);
        i->mailbox = info.number;
    } else {
        struct record record = {.kind = RECORD_CREATE, .create = {.name = name, .subscribes = true}};
        struct outcome outcome;
        r = account_change(i->account, &record, arena, &outcome, command_deadline(), fault);
        if (r == OK && outcome.code != OK) r = fail(fault, outcome.code, "mailbox " VIEW_FMT " cannot be created: %s", VIEW_ARG(name), result_name(outcome.code));
        if (r != OK) return r;
        i->mailbox = outcome.mailbox;
    }
    snprintf(i->mailbox_name, sizeof i->mailbox_name, VIEW_FMT, VIEW_ARG(name));
    return OK;
}

static MAY_YIELD result fill_draft(struct import *i, struct draft *draft, struct fault *fault)
{
    result r;
    while ((r = run_job(i, read_job)) == OK)
        if ((r = draft_write(draft, buf_view(&i->piece), command_deadline(), fault)) != OK) return r;
    return r == END ? OK : r;
}

static struct letter *letter_new(struct import *i)
{
    struct letter *l = calloc(1, sizeof *l);
    check(l != NULL);
    l->import = i;
    l->number = ++i->begun;
    l->arena = arena_new(NULL, 1 << 20);
    l->pending.draft = draft_new(i->call->service->accounts, random_id(), i->call->service->config->message_bytes_max);
    l->pending.arena = l->arena;
    l->pending.options = (struct append_options){.internal_date = i->info.date, .flags = {.system = i->info.system_flags, .keyword_count = i->info.keyword_count}};
    view *keywords = arena_array(l->arena, view, i->info.keyword_count);
    for (size_t k = 0; k < i->info.keyword_count; k++) keywords[k] = arena_keep(l->arena, view_of(i->info.keywords[k]));
    l->pending.options.flags.keywords = keywords;
    return l;
}

static MAY_YIELD void letter_free(struct letter *l)
{
    draft_free(l->pending.draft);
    arena_free(l->arena);
    free(l);
}

/* Not OK: nobody listens any more. */
static MAY_YIELD result tell_letter(struct import *i, struct letter *l)
{
    struct append_pending *p = &l->pending;
    if (p->code == OK && p->outcome.code != OK) p->code = fail(&p->fault, p->outcome.code, "mailbox %s: %s", l->mailbox_name, result_name(p->outcome.code));
    i->imported += p->code == OK;
    i->failed += p->code != OK;
    if (p->code == OK) return OK;
    view problem = view_of(p->fault.detail[0] ? p->fault.detail : result_name(p->code));
    return command_row(i->call, json_pack("{s:I, s:o}", "message", (json_int_t)l->number, "problem", command_json_text(problem)));
}

/* Until at most so many are under way. All are waited for, also when nobody listens any more. */
static MAY_YIELD result settle(struct import *i, size_t left_max)
{
    result r = OK;
    while (i->under_way_count > 0) {
        struct letter *l = container_of(i->under_way.next, struct letter, node);
        if (!l->is_done && i->under_way_count <= left_max) return r;
        while (!l->is_done)
            if (waitlist_wait(&i->ended, MILLIS_NEVER) == CANCELLED) coroutine_pause();      /* its append ends all the same */
        list_remove(&l->node);
        i->under_way_count--;
        result told = tell_letter(i, l);
        if (r == OK) r = told;
        letter_free(l);
    }
    return r;
}

static void letter_ended(struct append_pending *p)
{
    struct letter *l = p->argument;
    l->is_done = true;
    waitlist_wake_all(&l->import->ended);
}

static void letter_start(struct import *i, struct letter *l)
{
    l->pending.done = letter_ended;
    l->pending.argument = l;
    list_append(&i->under_way, &l->node);
    i->under_way_count++;
    account_append_start(i->account, &l->pending, command_deadline());
}

/* What is left of a message that could not be kept. */
static MAY_YIELD result skip_rest(struct import *i)
{
    result r;
    while ((r = run_job(i, read_job)) == OK) continue;
    return r == END ? OK : r;
}

static MAY_YIELD result import_message(struct import *i)
{
    struct letter *l = letter_new(i);
    struct append_pending *p = &l->pending;
    p->code = fill_draft(i, p->draft, &p->fault);
    if (p->code == OK) p->code = find_mailbox(i, l->arena, &p->fault);
    p->options.mailbox = i->mailbox;
    snprintf(l->mailbox_name, sizeof l->mailbox_name, "%s", i->mailbox_name);
    if (p->code == OK && draft_bytes(p->draft) <= DRAFT_INLINE_MAX_BYTES) {
        letter_start(i, l);
        return settle(i, UNDER_WAY_MAX - 1);
    }
    bool is_whole = p->code == OK;
    result r = settle(i, 0);                 /* UIDs in the order of the files */
    if (is_whole) p->code = account_append(i->account, p->draft, &p->options, l->arena, &p->outcome, command_deadline(), &p->fault);
    if (r == OK) r = tell_letter(i, l);
    letter_free(l);
    return r == OK && !is_whole ? skip_rest(i) : r;
}

static MAY_YIELD result import_messages(struct import *i)
{
    result r;
    while ((r = run_job(i, next_job)) == OK) {
        const char *what;
        uint64_t done, all;
        r = import_message(i);
        if (r != OK) return r;
        mail_source_progress(i->source, &what, &done, &all);
        command_progress(i->call, what, done, all);
    }
    return r == END ? OK : r;
}

static MAY_YIELD result import_all(struct import *i, struct fault *fault)
{
    result r = import_messages(i), settled = settle(i, 0);
    if (r == OK) r = settled;
    if (r == OK) r = command_row(i->call, json_pack("{s:I, s:I}", "imported", (json_int_t)i->imported, "failed", (json_int_t)i->failed));
    if (r == OK && i->failed) r = fail(fault, INVALID, "%llu messages were not imported", (unsigned long long)i->failed);
    return r;
}

static MAY_YIELD result import(struct command_call *call, struct account *account, struct fault *fault)
{
    struct import *i = calloc(1, sizeof *i);
    check(i != NULL);
    *i = (struct import){.call = call, .account = account, .fault = fault, .path = arena_cstr(call->arena, command_text(call, "path"))};
    list_init(&i->under_way);
    waitlist_init(&i->ended);
    result r = mail_file_kind_parse(command_text(call, "kind"), &i->kind) ? OK : fail(fault, INVALID, "expected mbox, maildir or eml");
    if (r == OK) r = run_job(i, open_job);
    if (r == OK) r = import_all(i, fault);
    mail_source_close(i->source);
    buf_done(&i->piece);
    free(i);
    return r;
}

result command_import(struct command_call *call, struct fault *fault)
{
    return command_at_home(call, command_text(call, "to"), import, fault);
}
