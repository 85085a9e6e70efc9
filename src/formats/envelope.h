/*
 * envelope: the header fields that IMAP's ENVELOPE, threading, sorting and JMAP want, read in one walk
 * (RFC 9051 §7.5.2). The first field of a name counts. Texts point into the header or, unfolded, into the
 * arena; addresses live in the arena. Pure.
 */
#pragma once

#include "formats/mail_address.h"
#include "formats/date.h"

struct message_envelope {
    view date;                   /* unfolded field bodies; empty when the field is missing or empty */
    view subject;                /* not decoded: see encoded_word.h */
    view in_reply_to;
    view message_id;
    view references;
    struct mail_address *from, *sender, *reply_to, *to, *cc, *bcc;    /* NULL when missing or without address */
    bool has_date, has_subject, has_in_reply_to, has_message_id; /* the field was there (IMAP tells "" from NIL) */
};

/* `header`: a header block or a whole message. No defaults are filled in: Sender is NULL when it is missing. */
void message_envelope_parse(view header, struct arena *arena, struct message_envelope *ret_envelope);
