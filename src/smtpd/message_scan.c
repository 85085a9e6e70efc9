#include "smtpd/message_scan.h"

#include <string.h>

void message_scan_init(struct message_scan *scan, uint64_t header_bytes_max, uint64_t line_bytes_max, unsigned hops_max)
{
    *scan = (struct message_scan){.header_bytes_max = header_bytes_max, .line_bytes_max = line_bytes_max,
                                  .hops_max = hops_max, .verdict = SMTP_SAVED};
}

static void condemn(struct message_scan *scan, enum smtp_status_name verdict)
{
    if (scan->verdict == SMTP_SAVED) scan->verdict = verdict;
}

/* Without its LF, perhaps with its CR. */
static void end_header_line(struct message_scan *scan)
{
    view start = view_make(scan->line_start, scan->line_bytes < sizeof scan->line_start ? (size_t)scan->line_bytes : sizeof scan->line_start);
    if (start.len == 0 || view_equal(start, VIEW("\r"))) scan->in_body = true;
    if (view_starts_nocase(start, VIEW("Received:")) && ++scan->hops > scan->hops_max) condemn(scan, SMTP_MAIL_LOOP);
}

static void add_to_line(struct message_scan *scan, view part)
{
    if (!scan->in_body && scan->line_bytes < sizeof scan->line_start) {
        size_t room = sizeof scan->line_start - (size_t)scan->line_bytes;
        memcpy(scan->line_start + scan->line_bytes, part.at, part.len < room ? part.len : room);
    }
    scan->line_bytes += part.len;
    if (scan->line_bytes_max && scan->line_bytes > scan->line_bytes_max) condemn(scan, SMTP_LINES_TOO_LONG);
}

void message_scan_piece(struct message_scan *scan, view piece)
{
    while (piece.len > 0) {
        const char *end = memchr(piece.at, '\n', piece.len);
        size_t len = end ? (size_t)(end - piece.at) : piece.len;
        if (len > 0) add_to_line(scan, view_slice(piece, 0, len));
        if (!scan->in_body) {
            scan->header_bytes += len + (end != NULL);
            if (scan->header_bytes > scan->header_bytes_max) condemn(scan, SMTP_HEADER_TOO_BIG);
            if (end) end_header_line(scan);
        }
        if (end) scan->line_bytes = 0;
        piece = view_from(piece, len + (end != NULL));
    }
}
