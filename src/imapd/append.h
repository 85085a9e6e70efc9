/* append: messages of APPEND and REPLACE on their way in; shared by append.c (reading them), append_job.c (into the store), catenate.c. */
#pragma once

#include "imapd/session.h"

enum {
    APPEND_MESSAGES_MAX = 1000,              /* of one MULTIAPPEND: each holds its bytes until all have come */
    APPEND_HELD_BYTES_MAX = 256 << 20,       /* of them together */
};

/* A message from its first byte until its answer. */
struct append_job {
    struct list node;                        /* in session.appends once it is under way */
    struct session *session;
    struct arena *arena;
    struct draft *draft;
    struct append_pending pending;
    view tag;
    bool is_done;
};

struct append_job *append_job_new(struct session *s, view tag, const struct imap_append_message *message, uint32_t mailbox);
MAY_YIELD void append_job_free(struct append_job *job);
/* Starts it, or for a large one does it; answered in its turn. The job is the session's or gone afterwards. */
MAY_YIELD void append_job_commit(struct session *s, struct append_job *job);
/* Several of one command: all or none. Writes the reply; the jobs stay the caller's. */
MAY_YIELD void append_jobs_commit(struct session *s, struct append_job **jobs, size_t count, struct reply *r);
/* One that replaces a message (options.replaces_uid): RFC 8508. */
MAY_YIELD void append_job_replace(struct session *s, struct append_job *job, struct reply *r);

/* Adds what a URL names to the draft (RFC 4469 §3). INVALID: BADURL; TOO_BIG. */
MAY_YIELD NODISCARD result append_url(struct session *s, view url, struct draft *draft, struct fault *fault);
