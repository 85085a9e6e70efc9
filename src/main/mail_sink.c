/* mail_sink: writing mbox, Maildir and .eml. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <dirent.h>
#include <unistd.h>

#include "account/row.h"
#include "base/check.h"
#include "formats/date.h"
#include "formats/imap_name.h"
#include "main/mail_files.h"

struct mail_sink {
    enum mail_file_kind kind;
    char path[MAIL_FILE_PATH_MAX];
    FILE *file;
    char temporary[MAIL_FILE_PATH_MAX], final[MAIL_FILE_PATH_MAX];
    unix_ms date;
    bool at_line_start, in_header, owes_cr;
    bool may_be_from;                  /* mbox: what the line has so far are ">" and the first `held` bytes of "From ", which are not written yet */
    size_t held;
    struct mail_file_info info;
    char folder[MAIL_FILE_PATH_MAX];                                 /* of the keyword names */
    char keyword_names[26][MAIL_FILE_KEYWORD_BYTES_MAX + 1];
};

static result system_fault(struct fault *fault, const char *path)
{
    return fail(fault, errno == EEXIST ? EXISTS : IO, "%s: %s", path, strerror(errno));
}

static result make_folder(const char *path, struct fault *fault)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST ? OK : system_fault(fault, path);
}

static bool is_empty_folder(const char *path)
{
    DIR *d = opendir(path);
    bool empty = true;
    for (struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) empty = false;
    if (d) closedir(d);
    return empty;
}

result mail_sink_open(enum mail_file_kind kind, const char *path, struct mail_sink **ret_sink, struct fault *fault)
{
    if (strlen(path) > MAIL_FILE_PATH_MAX - 300) return fail(fault, TOO_BIG, "path over %d bytes", MAIL_FILE_PATH_MAX - 300);
    struct mail_sink *s = calloc(1, sizeof *s);
    check(s != NULL);
    s->kind = kind;
    snprintf(s->path, sizeof s->path, "%s", path);
    result r = OK;
    if (kind == MAIL_MBOX) {
        s->file = fopen(path, "wxe");
        if (!s->file) r = system_fault(fault, path);
    } else {
        r = make_folder(path, fault);
        if (r == OK && !is_empty_folder(path)) r = fail(fault, EXISTS, "%s: expected an empty folder", path);
    }
    if (r == OK) *ret_sink = s;
    else free(s);
    return r;
}

/* ---- mbox ---- */

static void begin_in_mbox(struct mail_sink *s)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct civil c = civil_of(s->info.date, 0);
    fprintf(s->file, "From MAILER-DAEMON %s %s %2d %02d:%02d:%02d %d\n", days[c.weekday], months[c.month - 1], c.day, c.hour, c.minute, c.second, c.year);
}

static void write_flag_fields(struct mail_sink *s)
{
    uint64_t f = s->info.system_flags;
    fprintf(s->file, "Status: %sO\n", f & ROW_SEEN ? "R" : "");
    if (f & ~ROW_SEEN)
        fprintf(s->file, "X-Status: %s%s%s%s\n", f & ROW_ANSWERED ? "A" : "", f & ROW_FLAGGED ? "F" : "", f & ROW_DELETED ? "D" : "", f & ROW_DRAFT ? "T" : "");
    if (s->info.keyword_count == 0) return;
    fputs("X-Keywords:", s->file);
    for (size_t i = 0; i < s->info.keyword_count; i++) fprintf(s->file, " %s", s->info.keywords[i]);
    fputc('\n', s->file);
}

static const char from_word[] = "From ";
enum { FROM_BYTES = sizeof from_word - 1 };

static void put_held(struct mail_sink *s)
{
    fwrite(from_word, 1, s->held, s->file);
    s->held = 0;
    s->may_be_from = false;
}

/* Of a line that begins with any number of ">" and "From ": one ">" more. It may come in pieces. The rest of `text`. */
static view quote_start(struct mail_sink *s, view text)
{
    while (s->may_be_from && text.len) {
        if (s->held == 0 && text.at[0] == '>') {
            fputc('>', s->file);
        } else if (text.at[0] != from_word[s->held]) {
            put_held(s);
            break;
        } else if (++s->held == FROM_BYTES) {
            fputc('>', s->file);
            put_held(s);
        }
        text = view_from(text, 1);
    }
    return text;
}

/* Of one line, without its end. */
static void put_text(struct mail_sink *s, view text)
{
    if (text.len == 0) return;
    s->at_line_start = false;
    if (s->kind == MAIL_MBOX) text = quote_start(s, text);
    fwrite(text.at, 1, text.len, s->file);
}

static void put_line_end(struct mail_sink *s)
{
    if (s->kind == MAIL_MBOX) put_held(s);
    if (s->kind == MAIL_MBOX && s->at_line_start && s->in_header) {
        write_flag_fields(s);
        s->in_header = false;
    }
    fputc('\n', s->file);
    s->at_line_start = s->may_be_from = true;
}

/* CRLF becomes LF; a lone CR stays. */
static void write_lines(struct mail_sink *s, view bytes)
{
    while (bytes.len) {
        size_t end = view_find(bytes, '\n');
        bool ends = end != VIEW_NONE;
        view line = view_slice(bytes, 0, ends ? end : bytes.len);
        bytes = view_from(bytes, ends ? end + 1 : bytes.len);
        if (s->owes_cr && !(ends && line.len == 0)) put_text(s, VIEW("\r"));
        s->owes_cr = false;
        if (view_ends(line, VIEW("\r"))) {
            line.len--;
            s->owes_cr = !ends;
        }
        put_text(s, line);
        if (ends) put_line_end(s);
    }
}

static void end_in_mbox(struct mail_sink *s)
{
    put_held(s);
    if (!s->at_line_start) fputc('\n', s->file);
    if (s->in_header) write_flag_fields(s);
    fputc('\n', s->file);
}

/* ---- Maildir and .eml ---- */

static result make_maildir(struct mail_sink *s, char folder[static MAIL_FILE_PATH_MAX], struct fault *fault)
{
    static const char *const inner[] = {"", "/cur", "/new", "/tmp"};
    buf name CLEANUP(buf_done) = BUF_INIT;
    if (s->info.mailbox[0]) {
        buf_append_byte(&name, '/');
        buf_append_byte(&name, '.');
        size_t from = name.len;
        imap_utf7_append(&name, view_of(s->info.mailbox));
        for (size_t i = from; i < name.len; i++)
            if (name.at[i] == '/') name.at[i] = '.';
    }
    if (snprintf(folder, MAIL_FILE_PATH_MAX - 100, "%s" VIEW_FMT, s->path, VIEW_ARG(buf_view(&name))) >= MAIL_FILE_PATH_MAX - 100)
        return fail(fault, TOO_BIG, "path too long");
    for (size_t i = 0; i < array_size(inner); i++) {
        char path[MAIL_FILE_PATH_MAX];
        snprintf(path, sizeof path, "%.850s%s", folder, inner[i]);
        result r = make_folder(path, fault);
        if (r != OK) return r;
    }
    return OK;
}

/* The letter of a keyword in this folder; 0 when all 26 are taken. */
static char keyword_letter(struct mail_sink *s, const char *folder, const char *keyword)
{
    if (strcmp(folder, s->folder) != 0) {
        snprintf(s->folder, sizeof s->folder, "%s", folder);
        memset(s->keyword_names, 0, sizeof s->keyword_names);
    }
    for (int i = 0; i < 26; i++) {
        if (strcmp(s->keyword_names[i], keyword) == 0) return (char)('a' + i);
        if (s->keyword_names[i][0]) continue;
        char path[MAIL_FILE_PATH_MAX];
        snprintf(s->keyword_names[i], sizeof s->keyword_names[i], "%s", keyword);
        snprintf(path, sizeof path, "%.900s/dovecot-keywords", folder);
        FILE *f = fopen(path, "ae");
        if (f) {
            fprintf(f, "%d %s\n", i, keyword);
            fclose(f);
        }
        return (char)('a' + i);
    }
    return 0;
}

static result begin_in_maildir(struct mail_sink *s, uint32_t number, struct fault *fault)
{
    char folder[MAIL_FILE_PATH_MAX], flags[64];
    size_t count = 0;
    uint64_t f = s->info.system_flags;
    result r = make_maildir(s, folder, fault);
    if (r != OK) return r;
    /* Letters in ASCII order, as the Maildir page asks. */
    if (f & ROW_DRAFT) flags[count++] = 'D';
    if (f & ROW_FLAGGED) flags[count++] = 'F';
    if (f & ROW_ANSWERED) flags[count++] = 'R';
    if (f & ROW_SEEN) flags[count++] = 'S';
    if (f & ROW_DELETED) flags[count++] = 'T';
    for (size_t i = 0; i < s->info.keyword_count; i++) {
        char letter = keyword_letter(s, folder, s->info.keywords[i]);
        if (letter) flags[count++] = letter;
    }
    snprintf(s->temporary, sizeof s->temporary, "%.850s/tmp/%lld.M%u.tayori", folder, (long long)(s->info.date.ms / 1000), number);
    snprintf(s->final, sizeof s->final, "%.850s/cur/%lld.M%u.tayori:2,%.*s", folder, (long long)(s->info.date.ms / 1000), number, (int)count, flags);
    s->file = fopen(s->temporary, "wxe");
    return s->file ? OK : system_fault(fault, s->temporary);
}

static result begin_eml(struct mail_sink *s, uint32_t number, struct fault *fault)
{
    snprintf(s->final, sizeof s->final, "%.900s/%08u.eml", s->path, number);
    snprintf(s->temporary, sizeof s->temporary, "%s", s->final);
    s->file = fopen(s->final, "wxe");
    return s->file ? OK : system_fault(fault, s->final);
}

result mail_sink_begin(struct mail_sink *s, const struct mail_file_info *info, uint32_t number, struct fault *fault)
{
    s->info = *info;
    s->at_line_start = s->in_header = s->may_be_from = true;
    s->owes_cr = false;
    s->held = 0;
    if (s->kind == MAIL_MAILDIR) return begin_in_maildir(s, number, fault);
    if (s->kind == MAIL_EML) return begin_eml(s, number, fault);
    begin_in_mbox(s);
    return OK;
}

result mail_sink_write(struct mail_sink *s, view bytes, struct fault *fault)
{
    if (s->kind == MAIL_EML) fwrite(bytes.at, 1, bytes.len, s->file);
    else write_lines(s, bytes);
    return ferror(s->file) ? system_fault(fault, s->path) : OK;
}

result mail_sink_end(struct mail_sink *s, struct fault *fault)
{
    if (s->owes_cr) put_text(s, VIEW("\r"));
    if (s->kind == MAIL_MBOX) {
        end_in_mbox(s);
        return ferror(s->file) ? system_fault(fault, s->path) : OK;
    }
    struct timespec times[2] = {{.tv_sec = s->info.date.ms / 1000}, {.tv_sec = s->info.date.ms / 1000}};
    bool failed = fflush(s->file) != 0 || futimens(fileno(s->file), times) != 0;
    failed = fclose(s->file) != 0 || failed;
    s->file = NULL;
    if (!failed && s->kind == MAIL_MAILDIR) failed = rename(s->temporary, s->final) != 0;
    return failed ? system_fault(fault, s->final) : OK;
}

result mail_sink_close(struct mail_sink *s, struct fault *fault)
{
    result r = OK;
    if (s->file && (fflush(s->file) != 0 || fsync(fileno(s->file)) != 0)) r = system_fault(fault, s->path);
    if (s->file && fclose(s->file) != 0 && r == OK) r = system_fault(fault, s->path);
    free(s);
    return r;
}
