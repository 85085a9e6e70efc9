/* service: what the sessions of a node share; smtpd.h's inner side. */
#pragma once

#include <stdatomic.h>

#include "base/buf.h"
#include "base/list.h"
#include "flow/legacy.h"
#include "runtime/connection_limit.h"
#include "runtime/loop.h"
#include "smtpd/smtpd.h"

/* What a loop has for itself. Used on that loop alone. */
struct smtpd_loop {
    struct task stop;                    /* posted once */
    struct loop *loop;
    struct smtpd *smtpd;
    struct list sessions;
    bool is_stopping;
    struct legacy_lately legacy;
};

struct smtpd_service {
    struct smtpd *smtpd;
    enum smtpd_kind kind;
};

/* Bits of an index into smtpd.extensions. */
enum { EXTENSIONS_SUBMISSION = 1, EXTENSIONS_TLS = 2, EXTENSIONS_COUNT = 4 };

/* "smtp", "lmtp", "submission", "submissions". Static. */
const char *smtpd_kind_name(enum smtpd_kind kind);

struct smtpd {
    struct smtpd_options options;
    struct intake intake;
    struct smtpd_service services[SMTPD_KIND_COUNT];
    struct smtpd_loop *loops;
    unsigned loop_count;
    struct connection_limit connections;
    buf extensions[EXTENSIONS_COUNT];    /* EHLO's answer but for its first line: the extensions, LF between them */
    atomic_uint session_count;
    atomic_bool is_stopping;
    atomic_uint loops_serving;           /* that have not heard of smtpd_stop() yet */
};
