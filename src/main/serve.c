#include "main/serve.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hash.h"
#include "flow/complaints.h"
#include "flow/feedback.h"
#include "flow/forward.h"
#include "flow/intake.h"
#include "flow/legacy.h"
#include "httpd/httpd.h"
#include "imapd/imapd.h"
#include "main/control.h"
#include "main/move.h"
#include "main/node.h"
#include "main/sending.h"
#include "main/service.h"
#include "popd/popd.h"
#include "runtime/clock.h"
#include "runtime/coroutine.h"
#include "runtime/listener.h"
#include "runtime/random.h"
#include "runtime/run.h"
#include "runtime/tls.h"
#include "runtime/workers.h"
#include "smtpd/smtpd.h"
#include "upkeep/upkeep.h"

enum { STOP_TIMEOUT_MS = 20000, STOP_LOOK_MS = 20, CONFIG_BYTES_MAX = 16 << 20, CERTIFICATE_NAMES_BYTES = 64 << 10 };

struct server {
    const struct config_options *options;
    struct arena *arena;
    struct arena *live;           /* of the configuration that was read last, whose live settings `config` has; NULL: none was since the start */
    struct config config;
    struct service service;
    struct tls_context *tls;
    struct intake intake;
    struct forwarding forwarding;
    struct complaints *complaints;
    struct feedback *feedback;
    struct sending sending;
    struct smtpd *smtpd;
    struct imapd *imapd;
    struct popd *popd;
    struct httpd *httpd;
    struct upkeep *upkeep;        /* NULL: this node has not the role */
    struct door { struct listener *listener; bool is_of_mail; } doors[CONFIG_LISTENERS_MAX + 1];
    size_t door_count;
    struct node *node;
    result code;                  /* of the job on a worker */
    struct fault fault;
    bool hands_over, is_outdated;
};

/* ---- certificates ---- */

static void name_certificate(const struct server *s, struct arena *arena, struct tls_certificate *certificate)
{
    bool own = !*s->config.tls_certificate;
    const char *folder = s->config.state_folder;
    certificate->certificate_file = own ? arena_cstr(arena, arena_printf(arena, "%s/certificate.pem", folder)) : s->config.tls_certificate;
    certificate->key_file = own ? arena_cstr(arena, arena_printf(arena, "%s/key.pem", folder)) : s->config.tls_key;
}

BLOCKS static void load_certificate(void *argument)
{
    struct server *s = argument;
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, CERTIFICATE_NAMES_BYTES);
    struct tls_certificate certificate;
    name_certificate(s, arena, &certificate);
    s->code = OK;
    if (!*s->config.tls_certificate && access(certificate.key_file, R_OK) != 0)
        s->code = tls_make_certificate(s->config.server_name, certificate.certificate_file, certificate.key_file, &s->fault);
    if (s->code != OK) return;
    s->code = s->tls ? tls_context_reload(s->tls, &certificate, 1, &s->fault) : tls_context_new_server(&certificate, 1, &s->tls, &s->fault);
}

static MAY_YIELD result on_worker(struct server *s, void (*job)(void *argument))
{
    result r = worker_run(WORKER_SLOW, job, s);
    return r == OK ? s->code : r;
}

/* ---- protocols ---- */

static result make_smtpd(struct server *s)
{
    const struct config *c = &s->config;
    struct smtpd_options o = smtpd_default_options();
    s->forwarding = (struct forwarding){.identity = s->service.identity, .queue = s->service.queue, .signing = s->service.signing, .resolver = s->service.resolver,
                                        .server_name = view_of(c->server_name)};
    s->intake = (struct intake){
        .forwarding = &s->forwarding,
        .identity = s->service.identity,
        .accounts = s->service.accounts,
        .postmaster_domain = view_of(c->server_name),
        .suspended_is_permanent = c->suspended_is_permanent,
        .over_quota_is_permanent = c->over_quota_is_permanent,
    };
    struct legacy_network *networks;
    result r = complaints_new(s->service.engine, s->service.identity, s->service.loops, view_of(c->reports_feedback), &s->complaints, &s->fault);
    if (r != OK) return r;
    s->intake.complaints = o.complaints = s->complaints;
    r = legacy_networks_parse(view_of(c->own_networks), s->arena, &networks, &o.own_network_count, &s->fault);
    if (r != OK) return r;
    o.own_networks = networks;
    o.legacy_help = view_of(c->submission_help);
    o.hides_client = view_of(c->hide_client);
    o.server_name = view_of(c->server_name);
    o.tls = s->tls;
    o.queue = s->service.queue;
    o.signing = s->service.signing;
    o.offers_scram = c->offers_scram;
    o.allows_plain_login = c->plaintext_login == CONFIG_PLAINTEXT_ALWAYS;
    o.message_bytes_max = c->message_bytes_max;
    o.recipients_max = (unsigned)c->recipients_max;
    o.hops_max = (unsigned)c->hops_max;
    o.connections_per_address_max = (unsigned)c->smtp_connections_per_address;
    s->smtpd = smtpd_new(&o, &s->intake, s->service.loops);
    return OK;
}

static void make_feedback(struct server *s)
{
    struct feedback_options o = {.engine = s->service.engine, .identity = s->service.identity, .accounts = s->service.accounts, .queue = s->service.queue,
                                 .signing = s->service.signing, .resolver = s->service.resolver, .server_name = view_of(s->config.server_name),
                                 .from = arena_printf(s->arena, "postmaster@%s", s->config.server_name)};
    s->feedback = feedback_new(&o);
}

static result make_protocols(struct server *s)
{
    const struct config *c = &s->config;
    struct imapd_options imap = imapd_default_options();
    struct popd_options pop = popd_default_options();
    imap.tls = pop.tls = s->tls;
    imap.offers_scram = pop.offers_scram = c->offers_scram;
    imap.allows_plain_login = pop.allows_plain_login = c->plaintext_login == CONFIG_PLAINTEXT_ALWAYS;
    imap.message_bytes_max = c->message_bytes_max;
    imap.message_limit = (uint32_t)c->imap_message_limit;
    imap.save_limit = (uint32_t)c->imap_save_limit;
    imap.server_comment = c->server_comment;
    imap.server_admin = c->server_admin;
    imap.connections_per_address_max = (unsigned)c->imap_connections_per_address;
    imap.connections_per_account_max = (unsigned)c->imap_connections_per_account;
    pop.connections_per_address_max = (unsigned)c->pop_connections_per_address;
    imap.idle_timeout_ms = (int64_t)c->idle_timeout_ms;
    result r = make_smtpd(s);
    if (r != OK) return r;
    make_feedback(s);
    imap.feedback = s->feedback;
    s->imapd = imapd_new(&imap, s->service.identity, s->service.accounts, s->service.loops);
    s->popd = popd_new(&pop, s->service.identity, s->service.accounts, s->service.loops);
    s->httpd = httpd_new(s->service.loops);
    return OK;
}

static unsigned open_sessions(const struct server *s)
{
    return smtpd_sessions(s->smtpd) + imapd_sessions(s->imapd) + popd_sessions(s->popd) + httpd_sessions(s->httpd);
}

/* ---- listeners ---- */

static void choose_protocol(struct server *s, const struct config_listener *l, struct listener_options *o)
{
    bool tls = l->tls == CONFIG_TLS_IMPLICIT;
    switch (l->protocol) {
    case CONFIG_SMTP: o->accepted = smtpd_accept, o->argument = smtpd_service(s->smtpd, SMTPD_MX); break;
    case CONFIG_LMTP: o->accepted = smtpd_accept, o->argument = smtpd_service(s->smtpd, SMTPD_LMTP); break;
    case CONFIG_SUBMISSION: o->accepted = smtpd_accept, o->argument = smtpd_service(s->smtpd, tls ? SMTPD_SUBMISSIONS : SMTPD_SUBMISSION); break;
    case CONFIG_IMAP: o->accepted = imapd_accept, o->argument = imapd_service(s->imapd, tls ? IMAPD_TLS : IMAPD_PLAIN); break;
    case CONFIG_POP3: o->accepted = popd_accept, o->argument = popd_service(s->popd, tls ? POPD_TLS : POPD_PLAIN); break;
    case CONFIG_HTTP: o->accepted = httpd_accept, o->argument = s->httpd; break;
    case CONFIG_PROTOCOLS: unreachable();
    }
}

enum which_doors { DOORS_OF_MAIL, DOORS_OF_OPERATOR };

/* Mail comes in last, and goes out of the house alone while a node drains: metrics, health and the control socket stay. */
BLOCKS static result open_doors(struct server *s, enum which_doors which, struct fault *fault)
{
    for (size_t i = 0; i < s->config.listener_count; i++) {
        const struct config_listener *l = &s->config.listeners[i];
        bool is_of_mail = l->protocol != CONFIG_HTTP;
        if (!(s->config.roles & config_protocol_role(l->protocol)) || is_of_mail != (which == DOORS_OF_MAIL)) continue;
        struct listener_options o = {.name = l->name, .address = l->address, .proxy_protocol = l->proxy_protocol};
        choose_protocol(s, l, &o);
        result r = listener_open(s->service.loops, &o, &s->doors[s->door_count].listener, fault);
        if (r != OK) return r;
        s->doors[s->door_count++].is_of_mail = is_of_mail;
    }
    return OK;
}

BLOCKS static void open_doors_of_operator(void *argument)
{
    struct server *s = argument;
    struct listener_options control = {.name = "control", .path = control_path(s->config.state_folder, s->arena), .accepted = control_accept, .argument = &s->service};
    s->code = listener_open(s->service.loops, &control, &s->doors[s->door_count].listener, &s->fault);
    if (s->code != OK) return;
    s->doors[s->door_count++].is_of_mail = false;
    s->code = open_doors(s, DOORS_OF_OPERATOR, &s->fault);
}

static void close_doors(struct server *s, bool only_of_mail)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->door_count; i++) {
        if (only_of_mail && !s->doors[i].is_of_mail) s->doors[kept++] = s->doors[i];
        else listener_close(s->doors[i].listener);
    }
    s->door_count = kept;
}

/* ---- as a node of a cluster ---- */

struct opening {
    struct server *server;
    result code;
    struct fault fault;
};

BLOCKS static void open_doors_of_mail(void *argument)
{
    struct opening *o = argument;
    o->code = open_doors(o->server, DOORS_OF_MAIL, &o->fault);
}

static void start_upkeep(struct server *s)
{
    const struct config *c = &s->config;
    struct upkeep_options o = {
        .tend_every_ms = (int64_t)c->upkeep_every_ms,
        .scrub_every_ms = (int64_t)c->scrub_every_ms,
        .tend_accounts_per_second = c->upkeep_rate,
        .scrub_bytes_per_second = c->scrub_rate,
    };
    if (c->roles & ROLE_MAINTENANCE && !s->upkeep) s->upkeep = upkeep_start(s->service.accounts, &o);
}

/* All of them or none. */
static MAY_YIELD result node_open_doors(void *argument, struct fault *fault)
{
    struct server *s = argument;
    struct opening o = {.server = s};
    result r = worker_run(WORKER_SLOW, open_doors_of_mail, &o);
    if (r == OK) r = o.code;
    if (r != OK) {
        close_doors(s, true);
        *fault = o.fault;
        return r;
    }
    httpd_set_ready(s->httpd, true);
    queue_pause(s->service.queue, false);
    start_upkeep(s);
    return OK;
}

static MAY_YIELD void node_close_doors(void *argument)
{
    struct server *s = argument;
    httpd_set_ready(s->httpd, false);
    close_doors(s, true);
    queue_pause(s->service.queue, true);
    upkeep_stop(s->upkeep);                    /* others take up what it had claimed */
    s->upkeep = NULL;
}

static unsigned node_sessions(void *argument)
{
    const struct server *s = argument;
    return smtpd_sessions(s->smtpd) + imapd_sessions(s->imapd) + popd_sessions(s->popd);
}

static void node_dismiss(void *argument, unsigned permille)
{
    struct server *s = argument;
    smtpd_dismiss(s->smtpd, permille);
    imapd_dismiss(s->imapd, permille);
    popd_dismiss(s->popd, permille);
}

static void node_stop(void *argument)
{
    struct server *s = argument;
    s->is_outdated = true;
    (void)!raise(SIGTERM);
}

static MAY_YIELD result join_cluster(struct server *s)
{
    struct node_doors doors = {.sessions = node_sessions, .close = node_close_doors, .open = node_open_doors, .dismiss = node_dismiss, .stop = node_stop, .argument = s};
    result r = node_join(&s->service, &doors, &s->node, &s->fault);
    s->service.node = s->node;
    if (r == OK && !node_drains(s->node)) r = node_open_doors(s, &s->fault);
    return r;
}

/* ---- start, reload, stop ---- */

static MAY_YIELD result start(struct server *s)
{
    result r = service_open(&s->service, &s->config, &s->fault);
    if (r == OK) r = move_check(s->service.engine, &s->fault);
    if (r == OK) r = on_worker(s, load_certificate);
    if (r != OK) return r;
    r = service_make_resolver(&s->service, &s->service.resolver, &s->fault);
    if (r != OK) return r;
    s->service.is_server = true;
    r = make_protocols(s);
    if (r != OK) return r;
    httpd_set_ready(s->httpd, false);
    if (s->config.roles & ROLE_QUEUE) r = sending_start(&s->sending, &s->service, &s->intake, &s->fault);
    if (r == OK) r = on_worker(s, open_doors_of_operator);
    if (r == OK) r = join_cluster(s);
    listener_forget_inherited();
    return r;
}

static result open_log(const struct config *c, struct fault *fault)
{
    return event_open(*c->log_file ? c->log_file : NULL, (enum event_format)c->log_format, (enum event_level)c->log_level, fault);
}

/* Live settings only; what needs a restart is kept as it was. Refused: nothing is taken over. */
static MAY_YIELD result read_anew(struct server *s)
{
    struct arena *arena = arena_new(NULL, CONFIG_BYTES_MAX), *before = s->live;
    struct config fresh;
    s->fault = (struct fault){0};
    result r = config_load(s->options, arena, stderr, &fresh);
    if (r == OK && s->sending.outbound) r = sending_reload_rules(&s->sending, &fresh, &s->fault);
    if (r != OK) {
        arena_free(arena);
        return r;
    }
    s->config.outbound_rules = fresh.outbound_rules;
    s->config.tls_certificate = fresh.tls_certificate;
    s->config.tls_key = fresh.tls_key;
    s->config.log_file = fresh.log_file;
    s->config.log_format = fresh.log_format;
    s->config.log_level = fresh.log_level;
    s->live = arena;
    arena_free(before);
    return OK;
}

static MAY_YIELD void reload(struct server *s)
{
    result r = read_anew(s);
    if (r == OK) r = open_log(&s->config, &s->fault);
    if (r == OK) r = on_worker(s, load_certificate);
    if (r == OK) EVENT_EMIT(CONFIG_RELOADED, EVENT_TEXT("file", view_of(s->options->file)));
    else EVENT_EMIT(CONFIG_REFUSED, EVENT_TEXT("file", view_of(s->options->file)), EVENT_FAULT(&s->fault));
}

static MAY_YIELD void stop(struct server *s)
{
    EVENT_EMIT(SERVICE_STOPPING, EVENT_NUMBER("sessions", s->smtpd ? open_sessions(s) : 0));
    s->service.node = NULL;
    node_leave(s->node);                       /* from here on nobody else opens or closes doors */
    if (s->hands_over) listener_bequeath();
    close_doors(s, false);
    if (s->smtpd) {
        millis deadline = clock_in(STOP_TIMEOUT_MS);
        smtpd_stop(s->smtpd);
        imapd_stop(s->imapd);
        popd_stop(s->popd);
        httpd_stop(s->httpd);
        while (open_sessions(s) && millis_before(clock_now(), deadline))
            if (coroutine_sleep(STOP_LOOK_MS) != OK) break;
        /* A session that hangs must not keep the store from being closed in order: the process ends without it. */
        if (open_sessions(s)) {
            EVENT_EMIT(SERVICE_STOPPED, EVENT_NUMBER("sessions_left", open_sessions(s)));
            event_close();
            _exit(0);
        }
        feedback_stop(s->feedback);
        sending_stop(&s->sending, &s->service);
        smtpd_free(s->smtpd);
        imapd_free(s->imapd);
        popd_free(s->popd);
        httpd_free(s->httpd);
    }
    upkeep_stop(s->upkeep);
    complaints_free(s->complaints);
    feedback_free(s->feedback);
    service_close(&s->service);
    tls_context_free(s->tls);
    EVENT_EMIT(SERVICE_STOPPED, EVENT_NUMBER("sessions_left", 0));
}

static MAY_YIELD void serve_until_signal(struct server *s)
{
    EVENT_EMIT(SERVICE_STARTED, EVENT_TEXT("version", VIEW(TAYORI_VERSION)), EVENT_TEXT("name", view_of(s->config.server_name)),
               EVENT_NUMBER("listeners", s->door_count));
    for (;;) {
        int number = run_wait_signal();
        if (number == SIGHUP) reload(s);
        else if (number == SIGUSR2) s->hands_over = true;
        if (number == SIGTERM || number == SIGINT || number == SIGUSR2 || number < 0) return;
    }
}

static MAY_YIELD void run_server(void *argument)
{
    struct server *s = argument;
    s->code = start(s);
    result started = s->code;
    if (started == OK) serve_until_signal(s);
    else fprintf(stderr, "tayori: %s\n", s->fault.detail);
    stop(s);
    s->code = s->is_outdated ? INVALID : started;
}

/* Becomes the program that now stands where this one was started from, with the same words. */
static int hand_over(struct arena *arena)
{
    enum { WORDS_MAX = 256, TEXT_BYTES_MAX = 64 * 1024, PATH_BYTES_MAX = 4096 };
    char *text = arena_alloc(arena, TEXT_BYTES_MAX), **words = arena_array(arena, char *, WORDS_MAX);
    FILE *f = fopen("/proc/self/cmdline", "re");
    size_t length = f ? fread(text, 1, TEXT_BYTES_MAX - 1, f) : 0, count = 0;
    if (f) fclose(f);
    for (size_t at = 0; at < length && count < WORDS_MAX - 1; at += strlen(text + at) + 1) words[count++] = text + at;
    buf name CLEANUP(buf_done) = BUF_INIT;
    ssize_t got = readlink("/proc/self/exe", buf_extend(&name, PATH_BYTES_MAX), PATH_BYTES_MAX);
    if (got <= 0 || got == PATH_BYTES_MAX || count == 0) return 1;
    char *path = arena_cstr(arena, view_make(name.at, (size_t)got));
    /* An upgrade replaced the file: the link then ends in " (deleted)". */
    char *deleted = strstr(path, " (deleted)");
    if (deleted) *deleted = '\0';
    execv(path, words);
    perror(path);
    return 1;
}

int serve(const struct config_options *options)
{
    struct server *s = calloc(1, sizeof *s);
    check(s != NULL);
    s->options = options;
    s->arena = arena_new(NULL, CONFIG_BYTES_MAX);
    int status = 2;
    if (config_load(options, s->arena, stderr, &s->config) == OK) {
        uint64_t seed[2];
        struct run_options run = {.loops = (unsigned)s->config.loops};
        random_bytes(seed, sizeof seed);
        hash_seed(seed[0], seed[1]);
        umask(0077);
        result r = open_log(&s->config, &s->fault);
        if (r == OK) r = run_loops(&run, run_server, s, &s->fault);
        if (r != OK) fprintf(stderr, "tayori: %s\n", s->fault.detail);
        status = r == OK && s->code == OK ? 0 : 1;
        event_close();
        if (status == 0 && s->hands_over) status = hand_over(s->arena);
    }
    arena_free(s->live);
    arena_free(s->arena);
    free(s);
    return status;
}
