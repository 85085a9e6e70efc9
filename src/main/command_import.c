/*
 * command_import: mail files into an account.
 *
 * Runs on the account's home loop; files are read on workers. One message after the other, streamed: memory does not
 * depend on their size. A message that cannot be kept is told with its number and the others go on.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "formats/imap_name.h"
#include "main/command.h"
#include "main/mail_files.h"
#include "runtime/clock.h"
#include "runtime/random.h"
#include "runtime/workers.h"

struct import {
    struct command_call *call;
    struct account *account;
    struct mail_source *source;
    enum mail_file_kind kind;
    const char *path;
    struct mail_file_info info;
    buf piece;
    uint64_t imported, failed;
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

static MAY_YIELD result import_message(struct import *i, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct draft *draft = draft_new(i->call->service->accounts, random_id(), i->call->service->config->message_bytes_max);
    struct append_options options = {.internal_date = i->info.date, .flags = {.system = i->info.system_flags, .keyword_count = i->info.keyword_count}};
    options.flags.keywords = arena_array(arena, view, i->info.keyword_count);
    for (size_t k = 0; k < i->info.keyword_count; k++) options.flags.keywords[k] = view_of(i->info.keywords[k]);
    struct outcome outcome;
    result r = fill_draft(i, draft, fault);
    if (r == OK) r = find_mailbox(i, arena, fault);
    options.mailbox = i->mailbox;
    if (r == OK) r = account_append(i->account, draft, &options, arena, &outcome, command_deadline(), fault);
    if (r == OK && outcome.code != OK) r = fail(fault, outcome.code, "mailbox %s: %s", i->mailbox_name, result_name(outcome.code));
    draft_free(draft);
    return r;
}

/* What is left of a message that could not be kept. */
static MAY_YIELD result skip_rest(struct import *i)
{
    result r;
    while ((r = run_job(i, read_job)) == OK) continue;
    return r == END ? OK : r;
}

static MAY_YIELD result import_all(struct import *i, struct fault *fault)
{
    result r;
    while ((r = run_job(i, next_job)) == OK) {
        struct fault message_fault = {0};
        const char *what;
        uint64_t done, all;
        r = import_message(i, &message_fault);
        if (r == OK) i->imported++;
        else {
            r = command_row(i->call, json_pack("{s:I, s:s}", "message", (json_int_t)(i->imported + ++i->failed), "problem",
                                               message_fault.detail[0] ? message_fault.detail : result_name(r)));
            if (r == OK) r = skip_rest(i);
        }
        if (r != OK) return r;
        mail_source_progress(i->source, &what, &done, &all);
        command_progress(i->call, what, done, all);
    }
    if (r != END) return r;
    r = command_row(i->call, json_pack("{s:I, s:I}", "imported", (json_int_t)i->imported, "failed", (json_int_t)i->failed));
    if (r == OK && i->failed) r = fail(fault, INVALID, "%llu messages were not imported", (unsigned long long)i->failed);
    return r;
}

static MAY_YIELD result import(struct command_call *call, struct account *account, struct fault *fault)
{
    struct import *i = calloc(1, sizeof *i);
    check(i != NULL);
    *i = (struct import){.call = call, .account = account, .fault = fault, .path = arena_cstr(call->arena, command_text(call, "path"))};
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
