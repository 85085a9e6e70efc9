/*
 * config: libconfuse reads the grammar, the table says what is allowed.
 *
 * Values are read as texts and judged by kind here, so that every key reports errors in the same way: libconfuse's
 * own number parsing stops at the first error of a file.
 */
#include "main/config.h"

#include <confuse.h>
#include <stdarg.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "main/config_egress.h"

enum kind { KIND_TEXT, KIND_PATH, KIND_SIZE, KIND_NUMBER, KIND_DURATION, KIND_BOOL, KIND_ROLES, KIND_CHOICE_ENGINE, KIND_CHOICE_FORMAT, KIND_CHOICE_LEVEL, KIND_CHOICE_PLAINTEXT };

struct key {
    const char *section, *name;
    enum kind kind;
    size_t offset;
    const char *fallback;
    uint64_t min, max;
    bool is_live;
    const char *help;
};

static const struct key keys[] = {
#define CONFIG(section, key, kind, field, fallback, min, max, live, help) \
    {#section, #key, KIND_##kind, offsetof(struct config, field), fallback, (uint64_t)(min), (uint64_t)(max), live, help},
#include "main/config.def"
#undef CONFIG
};

static const char *const choices_engine[] = {"local", "rados", NULL};
static const char *const choices_format[] = {"text", "json", NULL};
static const char *const choices_level[] = {"debug", "info", "notice", "warning", "error", NULL};
static const char *const choices_plaintext[] = {"loopback", "always", NULL};
static const char *const choices_protocol[] = {"smtp", "lmtp", "submission", "imap", "pop3", "http", NULL};
static const char *const choices_role[] = {"smtp", "imap", "pop", "queue", "http", "maintenance", NULL};
static const char *const choices_tls[] = {"none", "starttls", "implicit", NULL};
static const char *const choices_bool[] = {"false", "true", NULL};

const char *config_protocol_name(enum config_protocol protocol)
{
    return choices_protocol[protocol];
}

enum config_role config_protocol_role(enum config_protocol protocol)
{
    static const enum config_role roles[CONFIG_PROTOCOLS] = {
        [CONFIG_SMTP] = ROLE_SMTP, [CONFIG_LMTP] = ROLE_SMTP, [CONFIG_SUBMISSION] = ROLE_SMTP, [CONFIG_IMAP] = ROLE_IMAP, [CONFIG_POP3] = ROLE_POP, [CONFIG_HTTP] = ROLE_HTTP,
    };
    return roles[protocol];
}

const char *config_role_name(unsigned index)
{
    return choices_role[index];
}

struct reading {
    struct arena *arena;
    FILE *errors;
    const char *file;
    struct config *config;
    unsigned error_count;
    int lines[array_size(keys)];          /* where the file has this key; 0: it does not */
};

__attribute__((format(printf, 3, 4))) static void report(struct reading *r, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (r->file) fprintf(r->errors, "%s:%d: ", r->file, line);
    vfprintf(r->errors, format, arguments);
    fputc('\n', r->errors);
    va_end(arguments);
    r->error_count++;
}

static const char *const *choices_of(enum kind kind)
{
    switch (kind) {
    case KIND_BOOL: return choices_bool;
    case KIND_CHOICE_ENGINE: return choices_engine;
    case KIND_CHOICE_FORMAT: return choices_format;
    case KIND_CHOICE_LEVEL: return choices_level;
    case KIND_CHOICE_PLAINTEXT: return choices_plaintext;
    default: return NULL;
    }
}

static bool find_choice(const char *const *choices, const char *value, uint64_t *ret_number)
{
    for (uint64_t i = 0; choices[i]; i++) {
        if (strcmp(choices[i], value) != 0) continue;
        *ret_number = i;
        return true;
    }
    return false;
}

static const char *join_choices(const char *const *choices, struct arena *arena)
{
    view text = view_of(choices[0]);
    for (size_t i = 1; choices[i]; i++)
        text = arena_printf(arena, VIEW_FMT "%s%s", VIEW_ARG(text), choices[i + 1] ? ", " : " or ", choices[i]);
    return arena_cstr(arena, text);
}

static bool parse_duration(const char *value, uint64_t *ret_ms)
{
    static const struct { const char *suffix; uint64_t ms; } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    view text = view_of(value);
    if (view_equal(text, VIEW("0"))) return view_to_u64(text, ret_ms);
    for (size_t i = 0; i < array_size(units); i++) {
        uint64_t number;
        view suffix = view_of(units[i].suffix);
        if (!view_ends(text, suffix) || !view_to_u64(view_slice(text, 0, text.len - suffix.len), &number)) continue;
        return !__builtin_mul_overflow(number, units[i].ms, ret_ms);
    }
    return false;
}

static void set_roles(struct reading *r, int line, const struct key *k, const char *value)
{
    view rest = view_of(value), word;
    uint64_t roles = 0, number;
    while (rest.len && view_cut(&rest, ',', &word)) {
        const char *name = arena_cstr(r->arena, view_trim(word));
        if (find_choice(choices_role, name, &number)) roles |= 1ull << number;
        else report(r, line, "%s.%s: \"%s\": expected %s, with commas between", k->section, k->name, name, join_choices(choices_role, r->arena));
    }
    if (roles == 0) report(r, line, "%s.%s = \"%s\": expected at least one role", k->section, k->name, value);
    *(uint64_t *)(void *)((char *)r->config + k->offset) = roles;
}

static const char *absolute_path(struct reading *r, const char *value)
{
    if (!*value || *value == '/') return arena_cstr(r->arena, view_of(value));
    return arena_cstr(r->arena, arena_printf(r->arena, "%s/%s", r->config->state_folder, value));
}

static void set_number(struct reading *r, int line, const struct key *k, bool parsed, uint64_t number, const char *value, const char *expected)
{
    if (!parsed) report(r, line, "%s.%s = \"%s\": expected %s", k->section, k->name, value, expected);
    else if (number < k->min || number > k->max)
        report(r, line, "%s.%s = \"%s\": expected a value from %llu to %llu", k->section, k->name, value, (unsigned long long)k->min,
               (unsigned long long)k->max);
    else *(uint64_t *)(void *)((char *)r->config + k->offset) = number;
}

static void set_key(struct reading *r, int line, const struct key *k, const char *value)
{
    uint64_t number = 0;
    void *field = (char *)r->config + k->offset;
    const char *const *choices = choices_of(k->kind);
    if (choices) {
        if (find_choice(choices, value, &number)) *(uint64_t *)field = number;
        else report(r, line, "%s.%s = \"%s\": expected %s", k->section, k->name, value, join_choices(choices, r->arena));
        return;
    }
    bool parsed;
    switch (k->kind) {
    case KIND_PATH:
    case KIND_TEXT:
        if (strlen(value) > k->max) report(r, line, "%s.%s: expected at most %llu characters", k->section, k->name, (unsigned long long)k->max);
        else *(const char **)field = k->kind == KIND_PATH ? absolute_path(r, value) : arena_cstr(r->arena, view_of(value));
        break;
    case KIND_ROLES: set_roles(r, line, k, value); break;
    case KIND_SIZE:
        parsed = view_to_size(view_of(value), &number);
        set_number(r, line, k, parsed, number, value, "a size such as 64M (suffixes K, M, G, T)");
        break;
    case KIND_DURATION:
        parsed = parse_duration(value, &number);
        set_number(r, line, k, parsed, number, value, "a duration such as 30m (suffixes ms, s, m, h, d)");
        break;
    default:
        parsed = view_to_u64(view_of(value), &number);
        set_number(r, line, k, parsed, number, value, "a number");
        break;
    }
}

/* ---- the file ---- */

static struct reading *reading_of_parser;     /* libconfuse's error callback carries no pointer of ours */

static void on_parse_error(cfg_t *cfg, const char *format, va_list arguments)
{
    char text[400];
    vsnprintf(text, sizeof text, format, arguments);
    report(reading_of_parser, cfg ? cfg->line : 0, "%s", text);
}

/* Called as each option is read, while cfg->line is its line. */
static int on_value(cfg_t *cfg, cfg_opt_t *opt)
{
    for (size_t i = 0; i < array_size(keys); i++) {
        if (strcmp(keys[i].section, cfg_name(cfg)) != 0 || strcmp(keys[i].name, cfg_opt_name(opt)) != 0) continue;
        reading_of_parser->lines[i] = cfg->line;
        set_key(reading_of_parser, cfg->line, &keys[i], cfg_opt_getnstr(opt, 0));
    }
    return 0;
}

static uint64_t choose(struct reading *r, cfg_t *section, const char *key, const char *const *choices)
{
    uint64_t number = 0;
    const char *value = cfg_getstr(section, key);
    if (!find_choice(choices, value, &number))
        report(r, section->line, "listener \"%s\", %s = \"%s\": expected %s", cfg_title(section), key, value, join_choices(choices, r->arena));
    return number;
}

/* Called at the end of a listener section. */
static int on_listener(cfg_t *cfg, cfg_opt_t *opt)
{
    struct reading *r = reading_of_parser;
    cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
    struct config *c = r->config;
    section->line = cfg->line;
    if (c->listener_count == CONFIG_LISTENERS_MAX) return report(r, cfg->line, "expected at most %d listeners", CONFIG_LISTENERS_MAX), 0;
    struct config_listener l = {
        .name = arena_cstr(r->arena, view_of(cfg_title(section))),
        .protocol = (enum config_protocol)choose(r, section, "protocol", choices_protocol),
        .tls = (enum config_tls)choose(r, section, "tls", choices_tls),
        .proxy_protocol = cfg_getbool(section, "proxy_protocol") == cfg_true,
    };
    long port = cfg_getint(section, "port");
    const char *address = cfg_getstr(section, "address");
    if (!address_parse(view_of(address), &l.address))
        report(r, cfg->line, "listener \"%s\", address = \"%s\": expected an IPv4 or IPv6 address", l.name, address);
    for (size_t i = 0; i < c->listener_count; i++)
        if (address_equal(&c->listeners[i].address, &l.address) && c->listeners[i].address.port == port)
            report(r, cfg->line, "listener \"%s\": expected another address or port: listener \"%s\" has %s, port %ld", l.name, c->listeners[i].name, address, port);
    if (port < 1 || port > 65535) report(r, cfg->line, "listener \"%s\", port = %ld: expected 1 to 65535", l.name, port);
    if (l.protocol == CONFIG_HTTP && l.tls == CONFIG_TLS_STARTTLS) report(r, cfg->line, "listener \"%s\": HTTP has no starttls", l.name);
    l.address.port = (uint16_t)port;
    c->listeners[c->listener_count++] = l;
    return 0;
}

static int on_egress(cfg_t *cfg, cfg_opt_t *opt)
{
    struct reading *r = reading_of_parser;
    cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
    struct config *c = r->config;
    if (c->egress_count == EGRESS_POOLS_MAX) return report(r, cfg->line, "expected at most %d egress sections", EGRESS_POOLS_MAX), 0;
    if (!c->egress) c->egress = arena_array(r->arena, struct egress_pool, EGRESS_POOLS_MAX);
    view problem = config_egress_read(section, r->arena, &c->egress[c->egress_count]);
    if (problem.len) report(r, cfg->line, "egress \"%s\", " VIEW_FMT, cfg_title(section), VIEW_ARG(problem));
    else c->egress_count++;
    return 0;
}

enum { SECTIONS_MAX = 16, SECTION_KEYS_MAX = 32 };

struct grammar {
    cfg_opt_t sections[SECTIONS_MAX];
    cfg_opt_t options[SECTIONS_MAX][SECTION_KEYS_MAX];
};

static void make_grammar(struct grammar *g)
{
    static cfg_opt_t listener[] = {
        CFG_STR("protocol", "", CFGF_NONE), CFG_STR("address", "", CFGF_NONE), CFG_INT("port", 0, CFGF_NONE),
        CFG_STR("tls", "none", CFGF_NONE), CFG_BOOL("proxy_protocol", cfg_false, CFGF_NONE), CFG_END(),
    };
    size_t section_count = 0;
    for (size_t i = 0; i < array_size(keys);) {
        cfg_opt_t *options = g->options[section_count];
        size_t count = 0, first = i;
        for (; i < array_size(keys) && strcmp(keys[i].section, keys[first].section) == 0; i++) {
            check(count + 1 < SECTION_KEYS_MAX);
            options[count++] = (cfg_opt_t)CFG_STR(keys[i].name, NULL, CFGF_NONE);
        }
        options[count] = (cfg_opt_t)CFG_END();
        check(section_count + 4 < SECTIONS_MAX);
        g->sections[section_count++] = (cfg_opt_t)CFG_SEC(keys[first].section, options, CFGF_NONE);
    }
    g->sections[section_count++] = (cfg_opt_t)CFG_SEC("listener", listener, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
    g->sections[section_count++] = (cfg_opt_t)CFG_SEC("egress", config_egress_options(), CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
    g->sections[section_count] = (cfg_opt_t)CFG_END();
}

static bool read_text(const char *file, buf *into)
{
    char piece[2048];
    size_t len;
    char *path = cfg_tilde_expand(file);
    FILE *in = path ? fopen(path, "re") : NULL;
    free(path);
    if (!in) return false;
    while ((len = fread(piece, 1, sizeof piece, in)) > 0) buf_append(into, view_make(piece, len));
    bool is_read = !ferror(in);
    fclose(in);
    return is_read;
}

static void ignore_error(cfg_t *cfg, const char *format, va_list arguments) { }

/* To libconfuse the end of the file ends a section, too. A good file with one more } is bad, and one that lacks it is good with it. */
static void check_is_closed(struct reading *r, cfg_opt_t *sections)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    if (!read_text(r->file, &text)) return report(r, 0, "cannot be read: %s", strerror(errno));
    int lines = 1;
    for (size_t i = 0; i + 1 < text.len; i++) lines += text.at[i] == '\n';
    buf_append(&text, VIEW("\n}\n\0"));
    cfg_t *cfg = cfg_init(sections, CFGF_NONE);
    check(cfg != NULL);
    cfg_set_error_function(cfg, ignore_error);
    if (cfg_parse_buf(cfg, text.at) == CFG_SUCCESS) report(r, lines, "the last section is not closed: expected }");
    cfg_free(cfg);
}

static void read_file(struct reading *r)
{
    struct grammar *g = calloc(1, sizeof *g);
    check(g != NULL);
    make_grammar(g);
    cfg_t *cfg = cfg_init(g->sections, CFGF_NONE);
    check(cfg != NULL);
    reading_of_parser = r;
    cfg_set_error_function(cfg, on_parse_error);
    for (size_t i = 0; i < array_size(keys); i++) {
        char path[100];
        snprintf(path, sizeof path, "%s|%s", keys[i].section, keys[i].name);
        cfg_set_validate_func(cfg, path, on_value);
    }
    cfg_set_validate_func(cfg, "listener", on_listener);
    cfg_set_validate_func(cfg, "egress", on_egress);
    int code = cfg_parse(cfg, r->file);
    if (code == CFG_FILE_ERROR) report(r, 0, "cannot be read: %s", strerror(errno));
    if (code == CFG_PARSE_ERROR && r->error_count == 0) report(r, cfg->line, "cannot be understood");
    if (code == CFG_SUCCESS && r->config->listener_count == 0) report(r, cfg->line, "expected at least one listener section");
    cfg_free(cfg);
    if (code == CFG_SUCCESS) check_is_closed(r, g->sections);
    free(g);
}

/* ---- without a file ---- */

static void add_default_listeners(struct config *c, unsigned base)
{
    static const struct { const char *name; enum config_protocol protocol; unsigned offset; enum config_tls tls; } listeners[] = {
        {"smtp", CONFIG_SMTP, 25, CONFIG_TLS_STARTTLS},   {"lmtp", CONFIG_LMTP, 24, CONFIG_TLS_STARTTLS},
        {"submission", CONFIG_SUBMISSION, 87, CONFIG_TLS_STARTTLS}, {"submissions", CONFIG_SUBMISSION, 65, CONFIG_TLS_IMPLICIT},
        {"imap", CONFIG_IMAP, 43, CONFIG_TLS_STARTTLS},   {"imaps", CONFIG_IMAP, 93, CONFIG_TLS_IMPLICIT},
        {"pop3", CONFIG_POP3, 10, CONFIG_TLS_STARTTLS},   {"pop3s", CONFIG_POP3, 95, CONFIG_TLS_IMPLICIT},
        {"http", CONFIG_HTTP, 80, CONFIG_TLS_NONE},
    };
    for (size_t i = 0; i < array_size(listeners); i++) {
        struct config_listener *l = &c->listeners[c->listener_count++];
        *l = (struct config_listener){.name = listeners[i].name, .protocol = listeners[i].protocol, .tls = listeners[i].tls};
        bool parsed = address_parse(VIEW("127.0.0.1"), &l->address);
        check(parsed);
        l->address.port = (uint16_t)(base + listeners[i].offset);
    }
}

static const char *machine_name(struct reading *r)
{
    char name[256] = "localhost";
    gethostname(name, sizeof name - 1);
    return arena_cstr(r->arena, view_of(name));
}

/* The keys of section store that only one engine knows; the others are of both. */
static bool find_engine(const struct key *k, enum config_engine *ret_engine)
{
    if (strcmp(k->section, "store") != 0 || strcmp(k->name, "engine") == 0) return false;
    *ret_engine = strcmp(k->name, "folder") == 0 || strcmp(k->name, "archive_directory") == 0 || strcmp(k->name, "cache") == 0 ? CONFIG_ENGINE_LOCAL : CONFIG_ENGINE_RADOS;
    return true;
}

static void check_engine(struct reading *r)
{
    const struct config *c = r->config;
    int line = 0;
    for (size_t i = 0; i < array_size(keys); i++) {
        enum config_engine engine;
        if (strcmp(keys[i].name, "engine") == 0) line = r->lines[i];
        if (r->lines[i] && find_engine(&keys[i], &engine) && engine != c->engine)
            report(r, r->lines[i], "store.%s is for engine = \"%s\", and the engine is \"%s\"", keys[i].name, choices_engine[engine], choices_engine[c->engine]);
    }
    if (c->engine != CONFIG_ENGINE_RADOS) return;
    if (!*c->pool) report(r, line, "store.pool: expected the name of the replicated pool");
    if (!*c->object_pool) report(r, line, "store.object_pool: expected the name of the pool of message packs");
    if (strncmp(c->ceph_user, "client.", 7) == 0) report(r, line, "store.ceph_user = \"%s\": expected the name without client.", c->ceph_user);
}

/* Node names become names of leases and words of commands. */
static void check_node_name(struct reading *r)
{
    const char *name = r->config->node_name;
    for (const char *at = name; *at; at++)
        if (!ascii_is_alpha(*at) && !ascii_is_digit(*at) && ((*at != '-' && *at != '.' && *at != '_') || at == name))
            return report(r, 0, "server.node = \"%s\": expected letters, digits and - . _", name);
}

static void complete(struct reading *r, const struct config_options *options)
{
    struct config *c = r->config;
    if (!*c->server_name) c->server_name = machine_name(r);
    if (!*c->node_name) c->node_name = machine_name(r);
    check_node_name(r);
    check_engine(r);
    for (size_t i = 0; options->roles && i < array_size(keys); i++)
        if (keys[i].kind == KIND_ROLES) set_roles(r, 0, &keys[i], options->roles);
    if (options->loops) c->loops = options->loops;
    if (!*c->tls_certificate != !*c->tls_key) report(r, 0, "tls: expected both certificate and key, or neither");
}

result config_load(const struct config_options *options, struct arena *arena, FILE *errors, struct config *ret_config)
{
    struct config *c = arena_new_struct(arena, struct config);
    struct reading r = {.arena = arena, .errors = errors, .file = options->file, .config = c};
    c->file = options->file;
    c->state_folder = options->folder ? options->folder : "./var";
    for (size_t i = 0; i < array_size(keys); i++) set_key(&r, 0, &keys[i], keys[i].fallback);
    if (options->file) read_file(&r);
    else if (options->port_base > 65535 - 95) report(&r, 0, "--port-base %u: expected 0 to %d", options->port_base, 65535 - 95);
    else add_default_listeners(c, options->port_base);
    complete(&r, options);
    if (r.error_count) return INVALID;
    *ret_config = *c;
    return OK;
}

/* ---- showing ---- */

static void show_value(const struct config *c, const struct key *k, FILE *out)
{
    const void *field = (const char *)c + k->offset;
    const char *const *choices = choices_of(k->kind);
    if (k->kind == KIND_ROLES) {
        const char *comma = "";
        fputc('"', out);
        for (unsigned i = 0; i < ROLES_COUNT; i++) {
            if (!(*(const uint64_t *)field & 1ull << i)) continue;
            fprintf(out, "%s%s", comma, choices_role[i]);
            comma = ",";
        }
        fputc('"', out);
    } else if (k->kind == KIND_TEXT || k->kind == KIND_PATH) fprintf(out, "\"%s\"", *(const char *const *)field);
    else if (choices) fprintf(out, "\"%s\"", choices[*(const uint64_t *)field]);
    else fprintf(out, "\"%llu%s\"", (unsigned long long)*(const uint64_t *)field, k->kind == KIND_DURATION ? "ms" : "");
}

void config_show(const struct config *c, FILE *out)
{
    for (size_t i = 0; i < array_size(keys); i++) {
        bool begins = i == 0 || strcmp(keys[i].section, keys[i - 1].section) != 0;
        bool ends = i + 1 == array_size(keys) || strcmp(keys[i].section, keys[i + 1].section) != 0;
        enum config_engine engine;
        if (begins) fprintf(out, "%s {\n", keys[i].section);
        if (!find_engine(&keys[i], &engine) || engine == c->engine) {
            fprintf(out, "    %s = ", keys[i].name);
            show_value(c, &keys[i], out);
            fputc('\n', out);
        }
        if (ends) fprintf(out, "}\n");
    }
    for (size_t i = 0; i < c->egress_count; i++) config_egress_show(&c->egress[i], out);
    for (size_t i = 0; i < c->listener_count; i++) {
        const struct config_listener *l = &c->listeners[i];
        char text[ADDRESS_TEXT_MAX];
        view address = address_text(&l->address, text);
        fprintf(out, "listener \"%s\" {\n    protocol = \"%s\"\n    address = \"" VIEW_FMT "\"\n    port = %u\n    tls = \"%s\"\n    proxy_protocol = %s\n}\n",
                l->name, choices_protocol[l->protocol], VIEW_ARG(address), l->address.port, choices_tls[l->tls], l->proxy_protocol ? "true" : "false");
    }
}

void config_describe(FILE *out)
{
    for (size_t i = 0; i < array_size(keys); i++)
        fprintf(out, ".It Ic %s . Ic %s\n%s.\nDefault: %s.\n%s", keys[i].section, keys[i].name, keys[i].help, *keys[i].fallback ? keys[i].fallback : "empty",
                keys[i].is_live ? "Taken over on SIGHUP.\n" : "");
}
