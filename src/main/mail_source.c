/*
 * mail_source: reading mbox, Maildir and .eml.
 *
 * mbox: the mboxrd/mboxo family. A message begins at a line "From " that follows an empty line (or the beginning); ">From "
 * loses one ">" only when all quoting in the file looks like mboxrd's, which nobody can know, so it is always undone:
 * that is what programs that write mbox today (mboxrd) expect.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "account/row.h"
#include "base/check.h"
#include "formats/date.h"
#include "formats/header.h"
#include "formats/imap_name.h"
#include "main/mail_files.h"

enum { PIECE_BYTES = 64 * 1024 };

struct entry { char *path; char mailbox[1001]; };

struct mail_source {
    enum mail_file_kind kind;
    FILE *file;                        /* the mbox, or the message's own file */
    struct entry *entries;             /* Maildir, .eml */
    size_t entry_count, entry_capacity, next_entry;
    uint64_t all_bytes;
    /* mbox */
    char *line;
    size_t line_capacity;
    ssize_t line_length;               /* of the line that was read ahead; -1 none */
    bool after_blank, owes_blank;      /* an empty line may be the separator before "From " */
    bool in_header;
    bool ended_in_cr;                  /* of a piece of a single file */
    char keyword_names[26][MAIL_FILE_KEYWORD_BYTES_MAX + 1];
    char keyword_folder[MAIL_FILE_PATH_MAX];
};

bool mail_file_kind_parse(view word, enum mail_file_kind *ret_kind)
{
    static const char *const words[] = {"mbox", "maildir", "eml"};
    for (size_t i = 0; i < array_size(words); i++) {
        if (!view_equal(word, view_of(words[i]))) continue;
        *ret_kind = (enum mail_file_kind)i;
        return true;
    }
    return false;
}

static void add_entry(struct mail_source *s, const char *folder, const char *name, const char *mailbox)
{
    if (s->entry_count == s->entry_capacity) {
        s->entry_capacity = s->entry_capacity ? s->entry_capacity * 2 : 64;
        s->entries = realloc(s->entries, s->entry_capacity * sizeof *s->entries);
        check(s->entries != NULL);
    }
    struct entry *e = &s->entries[s->entry_count++];
    check(asprintf(&e->path, "%s/%s", folder, name) > 0);
    snprintf(e->mailbox, sizeof e->mailbox, "%s", mailbox);
}

static result add_folder(struct mail_source *s, const char *folder, const char *mailbox, const char *suffix, struct fault *fault)
{
    DIR *d = opendir(folder);
    if (!d) return fail(fault, NOT_FOUND, "%s: %s", folder, strerror(errno));
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.' && view_ends_nocase(view_of(e->d_name), view_of(suffix))) add_entry(s, folder, e->d_name, mailbox);
    closedir(d);
    return OK;
}

/* ".Sent.2020" of Maildir++ is the mailbox "Sent/2020", in modified UTF-7 or (Dovecot's UTF-8 layout) UTF-8. */
static void folder_mailbox(const char *name, char mailbox[static 1001])
{
    buf decoded CLEANUP(buf_done) = BUF_INIT;
    if (!imap_utf7_decode(&decoded, view_of(name + 1))) buf_append_cstr(&decoded, name + 1);
    for (size_t i = 0; i < decoded.len; i++)
        if (decoded.at[i] == '.') decoded.at[i] = '/';
    snprintf(mailbox, 1001, VIEW_FMT, VIEW_ARG(buf_view(&decoded)));
}

static result add_maildir(struct mail_source *s, const char *folder, const char *mailbox, struct fault *fault)
{
    char inner[MAIL_FILE_PATH_MAX];
    snprintf(inner, sizeof inner, "%s/cur", folder);
    result r = add_folder(s, inner, mailbox, "", fault);
    snprintf(inner, sizeof inner, "%s/new", folder);
    return r == OK ? add_folder(s, inner, mailbox, "", fault) : r;
}

static result open_maildir(struct mail_source *s, const char *path, struct fault *fault)
{
    result r = add_maildir(s, path, "", fault);
    DIR *d = r == OK ? opendir(path) : NULL;
    for (struct dirent *e; d && r == OK && (e = readdir(d));) {
        char inner[MAIL_FILE_PATH_MAX], mailbox[1001];
        struct stat st;
        snprintf(inner, sizeof inner, "%s/%s/cur", path, e->d_name);
        if (e->d_name[0] != '.' || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || stat(inner, &st) != 0) continue;
        folder_mailbox(e->d_name, mailbox);
        snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        r = add_maildir(s, inner, mailbox, fault);
    }
    if (d) closedir(d);
    return r;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

static result open_file(struct mail_source *s, const char *path, struct fault *fault)
{
    struct stat st;
    s->file = fopen(path, "re");
    if (!s->file || fstat(fileno(s->file), &st) != 0) return fail(fault, NOT_FOUND, "%s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) return fail(fault, INVALID, "%s: is a folder, expected a file", path);
    if (s->kind == MAIL_MBOX) s->all_bytes = (uint64_t)st.st_size;
    return OK;
}

result mail_source_open(enum mail_file_kind kind, const char *path, struct mail_source **ret_source, struct fault *fault)
{
    struct stat st;
    if (strlen(path) > MAIL_FILE_PATH_MAX - 300) return fail(fault, TOO_BIG, "path over %d bytes", MAIL_FILE_PATH_MAX - 300);
    struct mail_source *s = calloc(1, sizeof *s);
    check(s != NULL);
    s->kind = kind;
    s->line_length = -1;
    s->after_blank = true;
    result r = OK;
    if (kind == MAIL_MBOX) r = open_file(s, path, fault);
    else if (kind == MAIL_MAILDIR) r = open_maildir(s, path, fault);
    else if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
        const char *slash = strrchr(path, '/');
        char folder[MAIL_FILE_PATH_MAX];
        snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
        add_entry(s, folder, slash ? slash + 1 : path, "");
    } else r = add_folder(s, path, "", ".eml", fault);
    if (r != OK) {
        mail_source_close(s);
        return r;
    }
    if (s->entry_count) qsort(s->entries, s->entry_count, sizeof *s->entries, by_path);
    *ret_source = s;
    return OK;
}

void mail_source_close(struct mail_source *s)
{
    if (!s) return;
    if (s->file) fclose(s->file);
    for (size_t i = 0; i < s->entry_count; i++) free(s->entries[i].path);
    free(s->entries);
    free(s->line);
    free(s);
}

void mail_source_progress(const struct mail_source *s, const char **ret_what, uint64_t *ret_done, uint64_t *ret_all)
{
    bool counts_bytes = s->kind == MAIL_MBOX;
    *ret_what = counts_bytes ? "bytes" : "files";
    *ret_done = counts_bytes ? (s->file ? (uint64_t)ftell(s->file) : s->all_bytes) : s->next_entry;
    *ret_all = counts_bytes ? s->all_bytes : s->entry_count;
}

static void add_keyword(struct mail_file_info *info, view keyword)
{
    if (keyword.len == 0 || keyword.len > MAIL_FILE_KEYWORD_BYTES_MAX || info->keyword_count == MAIL_FILE_KEYWORDS_MAX) return;
    snprintf(info->keywords[info->keyword_count++], MAIL_FILE_KEYWORD_BYTES_MAX + 1, VIEW_FMT, VIEW_ARG(keyword));
}

/* ---- single files ---- */

/* "0 keyword" lines: letter a is 0. */
static void read_keyword_names(struct mail_source *s, const char *folder)
{
    char path[MAIL_FILE_PATH_MAX + 20], line[200];
    if (strcmp(folder, s->keyword_folder) == 0) return;
    snprintf(s->keyword_folder, sizeof s->keyword_folder, "%s", folder);
    memset(s->keyword_names, 0, sizeof s->keyword_names);
    snprintf(path, sizeof path, "%s/dovecot-keywords", folder);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        view text = view_trim(view_of(line)), number;
        uint32_t index;
        if (view_cut(&text, ' ', &number) && view_to_u32(number, &index) && index < 26 && text.len <= MAIL_FILE_KEYWORD_BYTES_MAX)
            snprintf(s->keyword_names[index], sizeof s->keyword_names[index], VIEW_FMT, VIEW_ARG(text));
    }
    if (f) fclose(f);
}

/* The letters after ":2," of a Maildir name. */
static void read_maildir_flags(struct mail_source *s, const char *path, struct mail_file_info *info)
{
    static const struct { char letter; uint64_t flag; } letters[] = {
        {'S', ROW_SEEN}, {'R', ROW_ANSWERED}, {'F', ROW_FLAGGED}, {'T', ROW_DELETED}, {'D', ROW_DRAFT}};
    const char *flags = strstr(strrchr(path, '/'), ":2,");
    char folder[MAIL_FILE_PATH_MAX];
    if (!flags) return;
    snprintf(folder, sizeof folder, "%s", path);
    for (int up = 0; up < 2; up++) *strrchr(folder, '/') = '\0';
    read_keyword_names(s, folder);
    for (flags += 3; *flags; flags++) {
        for (size_t i = 0; i < array_size(letters); i++)
            if (letters[i].letter == *flags) info->system_flags |= letters[i].flag;
        if (*flags == 'P') add_keyword(info, VIEW("$Forwarded"));
        if (*flags >= 'a' && *flags <= 'z') add_keyword(info, view_of(s->keyword_names[*flags - 'a']));
    }
}

static result next_entry(struct mail_source *s, struct mail_file_info *info, struct fault *fault)
{
    struct stat st;
    if (s->next_entry == s->entry_count) return END;
    const struct entry *e = &s->entries[s->next_entry++];
    if (s->file) fclose(s->file);
    s->ended_in_cr = false;
    result r = open_file(s, e->path, fault);
    if (r != OK) return r;
    snprintf(info->mailbox, sizeof info->mailbox, "%s", e->mailbox);
    if (fstat(fileno(s->file), &st) == 0) info->date.ms = (int64_t)st.st_mtim.tv_sec * 1000;
    if (s->kind == MAIL_MAILDIR) read_maildir_flags(s, e->path, info);
    return OK;
}

static result read_entry(struct mail_source *s, buf *into, struct fault *fault)
{
    char piece[2048];
    size_t start = into->len;
    while (into->len - start < PIECE_BYTES) {
        size_t got = fread(piece, 1, sizeof piece, s->file);
        if (got == 0) break;
        for (size_t i = 0; i < got; i++) {
            if (piece[i] == '\n' && !s->ended_in_cr) buf_append_byte(into, '\r');
            buf_append_byte(into, piece[i]);
            s->ended_in_cr = piece[i] == '\r';
        }
    }
    if (ferror(s->file)) return fail(fault, IO, "read: %s", strerror(errno));
    return into->len > start ? OK : END;
}

/* ---- mbox ---- */

static bool read_line(struct mail_source *s)
{
    if (s->line_length < 0) s->line_length = getline(&s->line, &s->line_capacity, s->file);
    return s->line_length >= 0;
}

static view line_of(const struct mail_source *s)
{
    view line = view_make(s->line, (size_t)s->line_length);
    if (view_ends(line, VIEW("\n"))) line.len--;
    if (view_ends(line, VIEW("\r"))) line.len--;
    return line;
}

/* "From sender Sun Feb  1 09:00:00 2026": asctime() in UTC. */
static void read_from_line(view line, struct mail_file_info *info)
{
    struct date date;
    view rest = view_trim(view_from(line, 5));
    size_t space = view_find(rest, ' ');
    if (space != VIEW_NONE && date_parse(view_trim(view_from(rest, space)), &date)) info->date = date.at;
}

static void read_status(view value, struct mail_file_info *info)
{
    static const struct { char letter; uint64_t flag; } letters[] = {
        {'R', ROW_SEEN}, {'A', ROW_ANSWERED}, {'F', ROW_FLAGGED}, {'D', ROW_DELETED}, {'T', ROW_DRAFT}};
    for (size_t i = 0; i < array_size(letters); i++)
        if (view_has_byte(value, letters[i].letter)) info->system_flags |= letters[i].flag;
}

/* True for a field that tells flags; it is not part of the message. */
static bool read_flag_field(view line, struct mail_file_info *info)
{
    view value = line, name;
    if (!view_cut(&value, ':', &name)) return false;
    if (view_equal_nocase(name, VIEW("Status")) || view_equal_nocase(name, VIEW("X-Status"))) {
        read_status(value, info);
        return true;
    }
    if (!view_equal_nocase(name, VIEW("X-Keywords"))) return false;
    for (view word; (value = view_trim(value)).len && view_cut(&value, ' ', &word);) add_keyword(info, word);
    return true;
}

/* Flags stand in the header, which is read when the message is: looked at in advance, then the file goes back. */
static result scan_header(struct mail_source *s, struct mail_file_info *info)
{
    long start = ftell(s->file);
    s->line_length = -1;
    while (read_line(s) && line_of(s).len) {
        read_flag_field(line_of(s), info);
        s->line_length = -1;
    }
    s->line_length = -1;
    return start >= 0 && fseek(s->file, start, SEEK_SET) == 0 ? OK : IO;
}

static result next_in_mbox(struct mail_source *s, struct mail_file_info *info, struct fault *fault)
{
    while (read_line(s)) {
        view line = line_of(s);
        if (!view_starts(line, VIEW("From "))) {
            if (s->next_entry == 0 && line.len) return fail(fault, INVALID, "not an mbox: expected a line that begins with \"From \"");
            s->line_length = -1;
            continue;
        }
        s->next_entry++;
        read_from_line(line, info);
        s->in_header = true;
        s->owes_blank = false;
        return scan_header(s, info) == OK ? OK : fail(fault, IO, "mbox: expected a file that can be read twice, not a pipe");
    }
    return ferror(s->file) ? fail(fault, IO, "read: %s", strerror(errno)) : END;
}

static void append_line(struct mail_source *s, view line, buf *into)
{
    view quoted = line;
    while (quoted.len && quoted.at[0] == '>') quoted = view_from(quoted, 1);
    if (quoted.len < line.len && view_starts(quoted, VIEW("From "))) line = view_from(line, 1);
    buf_append(into, line);
    buf_append_cstr(into, "\r\n");
}

static result read_in_mbox(struct mail_source *s, buf *into, struct fault *fault)
{
    struct mail_file_info ignored = {.keyword_count = MAIL_FILE_KEYWORDS_MAX};
    size_t start = into->len;
    while (into->len - start < PIECE_BYTES && read_line(s)) {
        view line = line_of(s);
        bool begins_next = (s->owes_blank || s->in_header) && view_starts(line, VIEW("From "));
        if (begins_next && !s->in_header) return into->len > start ? OK : END;
        s->line_length = -1;
        if (s->owes_blank) buf_append_cstr(into, "\r\n");
        s->owes_blank = false;
        if (s->in_header && line.len && read_flag_field(line, &ignored)) continue;
        if (line.len == 0 && !s->in_header) s->owes_blank = true;
        else append_line(s, line, into);
        if (line.len == 0) s->in_header = false;
    }
    if (ferror(s->file)) return fail(fault, IO, "read: %s", strerror(errno));
    return into->len > start ? OK : END;
}

result mail_source_next(struct mail_source *s, struct mail_file_info *ret_info, struct fault *fault)
{
    memset(ret_info, 0, sizeof *ret_info);
    return s->kind == MAIL_MBOX ? next_in_mbox(s, ret_info, fault) : next_entry(s, ret_info, fault);
}

result mail_source_read(struct mail_source *s, buf *into, struct fault *fault)
{
    return s->kind == MAIL_MBOX ? read_in_mbox(s, into, fault) : read_entry(s, into, fault);
}
