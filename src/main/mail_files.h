/*
 * mail_files: mail as other programs keep it on disk: mbox, Maildir, single .eml files.
 *
 * A source yields messages one after another, each streamed; a sink takes them. Both work with files and block, so they run
 * on workers. Messages come out with CRLF line ends (files with bare LF are converted, those that have CRLF are left as
 * they are) and go to disk with LF in mbox and Maildir, unchanged in .eml.
 *
 * Flags and dates: mbox in "From " lines and Status, X-Status, X-Keywords fields (which are not part of the message);
 * Maildir in file names, modification times and dovecot-keywords; .eml in modification times alone.
 */
#pragma once

#include "base/buf.h"
#include "base/fault.h"
#include "base/time.h"
#include "runtime/colour.h"

enum mail_file_kind { MAIL_MBOX, MAIL_MAILDIR, MAIL_EML };
enum { MAIL_FILE_KEYWORDS_MAX = 26, MAIL_FILE_KEYWORD_BYTES_MAX = 100, MAIL_FILE_PATH_MAX = 980 /* the folder given may take 700 of it */ };

/* What is known of a message beside its bytes. */
struct mail_file_info {
    char mailbox[1001];                  /* Maildir++ folders: UTF-8 with "/"; empty: the one asked for */
    uint64_t system_flags;               /* ROW_SEEN ... */
    char keywords[MAIL_FILE_KEYWORDS_MAX][MAIL_FILE_KEYWORD_BYTES_MAX + 1];
    size_t keyword_count;
    unix_ms date;                        /* 0: unknown */
};

struct mail_source;
BLOCKS NODISCARD result mail_source_open(enum mail_file_kind kind, const char *path, struct mail_source **ret_source, struct fault *fault);
void mail_source_close(struct mail_source *s);
/* Goes to the next message; END after the last. */
BLOCKS NODISCARD result mail_source_next(struct mail_source *s, struct mail_file_info *ret_info, struct fault *fault);
/* Appends the next piece of it, at most about 64 KiB; END when it is whole. */
BLOCKS NODISCARD result mail_source_read(struct mail_source *s, buf *into, struct fault *fault);
/* For progress: bytes (mbox) or files. */
void mail_source_progress(const struct mail_source *s, const char **ret_what, uint64_t *ret_done, uint64_t *ret_all);

struct mail_sink;
/* Does not overwrite: EXISTS when there is an mbox file, or a folder that is not empty. */
BLOCKS NODISCARD result mail_sink_open(enum mail_file_kind kind, const char *path, struct mail_sink **ret_sink, struct fault *fault);
BLOCKS NODISCARD result mail_sink_begin(struct mail_sink *s, const struct mail_file_info *info, uint32_t number, struct fault *fault);
BLOCKS NODISCARD result mail_sink_write(struct mail_sink *s, view bytes, struct fault *fault);
BLOCKS NODISCARD result mail_sink_end(struct mail_sink *s, struct fault *fault);
/* Writes out what is left and frees. */
BLOCKS NODISCARD result mail_sink_close(struct mail_sink *s, struct fault *fault);
bool mail_file_kind_parse(view word, enum mail_file_kind *ret_kind);
