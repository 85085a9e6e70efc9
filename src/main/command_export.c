/* command_export: an account's mail into files. Runs on the account's home loop; files are written on workers. */
#include <stdlib.h>
#include <string.h>

#include "account/view.h"
#include "base/check.h"
#include "formats/imap_name.h"
#include "main/command.h"
#include "main/mail_files.h"
#include "runtime/workers.h"

enum { ROWS_AT_ONCE = 16, PIECE_BYTES = 256 * 1024 };

struct export {
    struct command_call *call;
    struct account *account;
    struct mail_sink *sink;
    enum mail_file_kind kind;
    const char *path;
    struct mail_file_info info;
    view piece;
    uint32_t number;
    uint64_t all;
    result code;
    struct fault *fault;
};

BLOCKS static void open_job(void *argument)
{
    struct export *e = argument;
    e->code = mail_sink_open(e->kind, e->path, &e->sink, e->fault);
}

BLOCKS static void begin_job(void *argument)
{
    struct export *e = argument;
    e->code = mail_sink_begin(e->sink, &e->info, e->number, e->fault);
    if (e->code == OK) e->code = mail_sink_write(e->sink, e->piece, e->fault);
}

BLOCKS static void write_job(void *argument)
{
    struct export *e = argument;
    e->code = mail_sink_write(e->sink, e->piece, e->fault);
}

BLOCKS static void end_job(void *argument)
{
    struct export *e = argument;
    e->code = mail_sink_end(e->sink, e->fault);
}

BLOCKS static void close_job(void *argument)
{
    struct export *e = argument;
    e->code = mail_sink_close(e->sink, e->fault);
    e->sink = NULL;
}

static MAY_YIELD result run_job(struct export *e, void (*job)(void *argument))
{
    result r = worker_run(WORKER_SLOW, job, e);
    return r == OK ? e->code : r;
}

static void fill_info(struct export *e, uint32_t mailbox, view mailbox_name, const struct row *row)
{
    struct mailbox *m = state_mailbox(account_state(e->account), mailbox);
    e->info = (struct mail_file_info){.system_flags = row->flags & ROW_SYSTEM_FLAGS, .date = row->internal_date};
    if (!imap_name_is_inbox(mailbox_name)) snprintf(e->info.mailbox, sizeof e->info.mailbox, VIEW_FMT, VIEW_ARG(mailbox_name));
    for (unsigned bit = ROW_KEYWORD_BIT; m && bit < 64 && e->info.keyword_count < MAIL_FILE_KEYWORDS_MAX; bit++) {
        if (!(row->flags & (uint64_t)1 << bit)) continue;
        view keyword = mailbox_keyword(m, bit);
        if (keyword.len <= MAIL_FILE_KEYWORD_BYTES_MAX)
            snprintf(e->info.keywords[e->info.keyword_count++], MAIL_FILE_KEYWORD_BYTES_MAX + 1, VIEW_FMT, VIEW_ARG(keyword));
    }
}

static MAY_YIELD result export_message(struct export *e, uint32_t mailbox, const struct row *row, struct fault *fault)
{
    struct message *message;
    result r = message_open(e->account, mailbox, row, command_deadline(), &message, fault);
    if (r != OK) return r;
    e->number++;
    uint64_t offset = 0;
    do {
        r = message_read(message, offset, PIECE_BYTES, command_deadline(), &e->piece, fault);
        if (r == OK) r = run_job(e, offset == 0 ? begin_job : write_job);
        offset += e->piece.len;
    } while (r == OK && e->piece.len && offset < message_size(message));
    if (r == OK) r = run_job(e, end_job);
    message_close(message);
    command_progress(e->call, "messages", e->number, e->all);
    return r;
}

static MAY_YIELD result export_mailbox(struct export *e, const struct mailbox_info *info, struct fault *fault)
{
    struct mailbox_view *v;
    struct row rows[ROWS_AT_ONCE];
    size_t count;
    result r = mailbox_view_open(e->account, info->number, &v);
    if (r != OK) return fail(fault, r, "mailbox " VIEW_FMT " is gone", VIEW_ARG(info->name));
    for (uint32_t at = 1; r == OK && at <= mailbox_view_count(v); at += (uint32_t)count) {
        r = mailbox_view_rows(v, at, ROWS_AT_ONCE, rows, &count, command_deadline(), fault);
        if (r == OK && count == 0) break;
        for (size_t i = 0; r == OK && i < count; i++) {
            if (row_is_gone(&rows[i])) continue;
            fill_info(e, info->number, info->name, &rows[i]);
            r = export_message(e, info->number, &rows[i], fault);
        }
    }
    mailbox_view_close(v);
    return r;
}

static MAY_YIELD result export_all(struct export *e, struct fault *fault)
{
    struct mailbox_info *infos;
    view wanted = command_text(e->call, "mailbox"), name = VIEW_EMPTY;
    size_t count = state_list(account_state(e->account), e->call->arena, &infos);
    if (wanted.len && imap_name_from_wire(wanted, true, e->call->arena, &name) != OK) return fail(fault, INVALID, "mailbox name");
    /* An mbox has no folders: without a name it takes the INBOX. */
    if (!name.len && e->kind != MAIL_MAILDIR) name = VIEW("INBOX");
    bool found = false;
    for (size_t i = 0; i < count; i++) e->all += !name.len || view_equal(name, infos[i].name) ? infos[i].exists : 0;
    for (size_t i = 0; i < count; i++) {
        if (name.len && !view_equal(name, infos[i].name)) continue;
        found = true;
        result r = export_mailbox(e, &infos[i], fault);
        if (r != OK) return r;
    }
    if (!found && !view_equal(name, VIEW("INBOX"))) return fail(fault, NOT_FOUND, "mailbox " VIEW_FMT " does not exist", VIEW_ARG(name));
    return OK;
}

static MAY_YIELD result export(struct command_call *call, struct account *account, struct fault *fault)
{
    struct export *e = calloc(1, sizeof *e);
    check(e != NULL);
    *e = (struct export){.call = call, .account = account, .fault = fault, .path = arena_cstr(call->arena, command_text(call, "path"))};
    result r = mail_file_kind_parse(command_text(call, "kind"), &e->kind) ? OK : fail(fault, INVALID, "expected mbox, maildir or eml");
    if (r == OK) r = run_job(e, open_job);
    if (r == OK) r = export_all(e, fault);
    if (e->sink) {
        result closed = run_job(e, close_job);
        if (r == OK) r = closed;
    }
    if (r == OK) r = command_row(call, json_pack("{s:I}", "exported", (json_int_t)e->number));
    free(e);
    return r;
}

result command_export(struct command_call *call, struct fault *fault)
{
    return command_at_home(call, command_text(call, "from"), export, fault);
}
