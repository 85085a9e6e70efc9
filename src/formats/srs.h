/*
 * srs: return paths of forwarded mail, as the Sender Rewriting Scheme writes them into a local part.
 *
 *     SRS0=hash=stamp=domain=local     a sender, by the first forwarder
 *     SRS1=hash=host=...               an SRS0 address of another forwarder, whose host stays named: what follows is its own
 *
 * The separator after SRS0 and SRS1 may be + or - too. Letters lose their case on the way, so hash and stamp are base32 and compared without it.
 * Who holds the secrets makes and checks the hash (trust/return_path.h). Pure; views point into what was given.
 */
#pragma once

#include "base/buf.h"
#include "base/time.h"

enum {
    SRS_HASH_CHARACTERS = 6,             /* 30 bits: who guesses gets one 550 after the other, and mail to one stranger when right */
    SRS_STAMP_DAYS = 1024,               /* two characters: days, over and over */
    SRS_LOCAL_BYTES_MAX = 512,           /* longer ones are nobody's: RFC 5321 has 64, forwarders of forwarders pass it */
};

struct srs {
    bool is_second;                      /* SRS1 */
    view hash, stamp, domain, local;     /* of SRS1: no stamp; domain is the first forwarder's, local what follows it, its separator included */
};
/* False: not such an address. */
bool srs_parse(view local_part, struct srs *ret_srs);
/* The local part. */
void srs_append(buf *into, const struct srs *s);
/* What the hash is made of, in lower case. */
void srs_append_covered(buf *into, const struct srs *s);

void srs_append_base32(buf *into, uint64_t bits, unsigned characters);
/* The stamp of a day, and how many days ago it was: 0 to 1,023, or -1 when it is no stamp. */
void srs_append_stamp(buf *into, unix_ms now);
int srs_stamp_age(view stamp, unix_ms now);
