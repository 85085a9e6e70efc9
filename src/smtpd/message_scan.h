/*
 * message_scan: watches a message go by and says when it breaks a limit.
 *
 * It sees the pieces of a message in order, however they are cut, keeps nothing of them but counters, and
 * judges only what would harm those who read it later: a header without end, a line without end, a
 * message that goes round in circles. Everything else, however broken, is mail. Lines end with LF
 * here, with or without CR, because that is how a reader of the stored message sees them; what ends the
 * message is not decided here. Pure.
 */
#pragma once

#include "formats/smtp_reply.h"

struct message_scan {
    uint64_t header_bytes_max, line_bytes_max;   /* line_bytes_max 0: no limit (BINARYMIME) */
    unsigned hops_max;
    bool in_body;
    unsigned hops;                               /* Received fields so far */
    uint64_t header_bytes;
    uint64_t line_bytes;                         /* of the line that is not yet ended */
    char line_start[16];                         /* its first bytes */
    enum smtp_status_name verdict;               /* SMTP_SAVED as long as nothing is wrong; then it stays */
};

void message_scan_init(struct message_scan *scan, uint64_t header_bytes_max, uint64_t line_bytes_max, unsigned hops_max);
void message_scan_piece(struct message_scan *scan, view piece);
