/*
 * cluster: pools and health of the Ceph cluster, by commands to its monitors.
 *
 * A command is a JSON object and so is its answer: `ceph --format json` says the same. What is judged here is what decides whether mail
 * is lost or stands still when a disk or a host breaks; placement is otherwise the operator's.
 */
#include "engine/rados_cluster.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <rados/librados.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/rados/layout.h"

enum {
    PGS_PER_OSD = 100,                   /* Ceph's own advice */
    OBJECT_SHARE_PERCENT = 80,           /* of them: most bytes are in the object pool */
    PG_MIN = 8,
    ALIGNMENT_USUAL_MAX = 1 << 20,
    POOL_REPLICATED = 1, POOL_ERASURE = 3,
    ROWS_A_SHARD = 120000,               /* Ceph warns of omaps above 200,000: so many when the store is as full as it was planned */
    OBJECTS_AN_ACCOUNT = 150,            /* bench/capacity.py: nearly all are messages over 64 KiB */
};
#define LAYOUT_OBJECT "layout"
#define APPLICATION "tayori"

struct looking {
    const struct engine_rados_options *options;
    const struct rados_pool_plan *plan;
    rados_t cluster;
    struct arena *arena;
    bool only_checks;
    unsigned wrong, osds;
    json_t *pools, *rules, *tree;
    void (*found)(void *argument, const struct rados_finding *f);
    void *argument;
    struct fault *fault;
};

static void done_json(json_t **value)
{
    json_decref(*value);
    *value = NULL;
}

/* ---- talking to monitors ---- */

BLOCKS static result connect_monitors(const struct engine_rados_options *o, rados_t *ret_cluster, struct fault *fault)
{
    char seconds[24];
    rados_t cluster;
    int64_t timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : 15000;
    int error = rados_create(&cluster, o->user);
    if (error < 0) return fail(fault, IO, "making a client of the cluster: %s", strerror(-error));
    error = rados_conf_read_file(cluster, o->config_file);
    if (error < 0) {
        rados_shutdown(cluster);
        return fail(fault, INVALID, "the cluster's configuration %s cannot be read: %s", o->config_file ? o->config_file : "(ceph.conf)", strerror(-error));
    }
    snprintf(seconds, sizeof seconds, "%lld", (long long)((timeout_ms + 999) / 1000));
    rados_conf_set(cluster, "client_mount_timeout", seconds);
    rados_conf_set(cluster, "rados_mon_op_timeout", seconds);
    error = rados_connect(cluster);
    if (error >= 0) {
        *ret_cluster = cluster;
        return OK;
    }
    rados_shutdown(cluster);
    if (error == -ETIMEDOUT) return fail(fault, UNAVAILABLE, "no monitor of the cluster answers");
    return fail(fault, DENIED, "the cluster does not let client.%s in: %s", o->user ? o->user : "admin", strerror(-error));
}

/* Takes the command over. The answer, if there is one, is JSON or (after json_string()) text. */
BLOCKS static result ask(rados_t cluster, json_t *command, json_t **ret_answer, struct fault *fault)
{
    char *out = NULL, *status = NULL;
    size_t out_len = 0, status_len = 0;
    check(command != NULL);
    json_object_set_new(command, "format", json_string("json"));
    char *text = json_dumps(command, JSON_COMPACT);
    check(text != NULL);
    const char *commands[] = {text};
    int error = rados_mon_command(cluster, commands, 1, "", 0, &out, &out_len, &status, &status_len);
    json_t *answer = error >= 0 ? json_loadb(out, out_len, JSON_DECODE_ANY, NULL) : NULL;
    result r = OK;
    if (error == -ETIMEDOUT) r = fail(fault, UNAVAILABLE, "no monitor answers \"%s\"", json_string_value(json_object_get(command, "prefix")));
    else if (error == -EPERM || error == -EACCES)
        r = fail(fault, DENIED, "this Ceph user may not \"%s\"", json_string_value(json_object_get(command, "prefix")));
    else if (error < 0)
        r = fail(fault, error == -ENOENT ? NOT_FOUND : INVALID, "\"%s\": %.*s", json_string_value(json_object_get(command, "prefix")),
                 status_len ? (int)status_len : (int)strlen(strerror(-error)), status_len ? status : strerror(-error));
    else if (ret_answer && !answer) r = fail(fault, CORRUPT, "\"%s\": the answer is not JSON", json_string_value(json_object_get(command, "prefix")));
    if (out) rados_buffer_free(out);
    if (status) rados_buffer_free(status);
    free(text);
    json_decref(command);
    if (r == OK && ret_answer) *ret_answer = answer;
    else json_decref(answer);
    return r;
}

static json_int_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    uint64_t parsed = 0;
    if (json_is_string(value) && view_to_u64(view_of(json_string_value(value)), &parsed)) return (json_int_t)parsed;
    return json_integer_value(value);
}

static const char *word(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

/* ---- findings ---- */

__attribute__((format(printf, 5, 6))) static void tell(struct looking *l, enum rados_finding_kind kind, const char *about, const char *mend, const char *format, ...)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    va_list arguments;
    va_start(arguments, format);
    buf_appendv(&text, format, arguments);
    va_end(arguments);
    buf_append_byte(&text, '\0');
    struct rados_finding f = {kind, about, text.at, mend};
    if (kind == RADOS_WRONG) l->wrong++;
    l->found(l->argument, &f);
}

static const char *mend(struct looking *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static const char *mend(struct looking *l, const char *format, ...)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    va_list arguments;
    va_start(arguments, format);
    buf_appendv(&text, format, arguments);
    va_end(arguments);
    return arena_cstr(l->arena, buf_view(&text));
}

/* ---- what is there ---- */

static const json_t *find_named(const json_t *list, const char *key, const char *name)
{
    size_t index;
    json_t *item;
    json_array_foreach(list, index, item) if (strcmp(word(item, key), name) == 0) return item;
    return NULL;
}

BLOCKS static result read_pools(struct looking *l)
{
    done_json(&l->pools);
    return ask(l->cluster, json_pack("{s:s, s:s}", "prefix", "osd pool ls", "detail", "detail"), &l->pools, l->fault);
}

BLOCKS static result read_rules(struct looking *l)
{
    done_json(&l->rules);
    return ask(l->cluster, json_pack("{s:s}", "prefix", "osd crush rule dump"), &l->rules, l->fault);
}

BLOCKS static result read_tree(struct looking *l)
{
    size_t index;
    json_t *item;
    result r = ask(l->cluster, json_pack("{s:s}", "prefix", "osd tree"), &l->tree, l->fault);
    json_array_foreach(json_object_get(l->tree, "nodes"), index, item) l->osds += strcmp(word(item, "type"), "osd") == 0;
    return r;
}

/* So many hosts, racks ... are there that hold an OSD of some weight. */
static unsigned count_domains(const struct looking *l, const char *type)
{
    unsigned count = 0;
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(l->tree, "nodes"), index, item)
        if (strcmp(word(item, "type"), type) == 0 && (strcmp(type, "osd") == 0 || json_array_size(json_object_get(item, "children")) > 0)) count++;
    return count;
}

/* What a rule puts copies into different ones of: the type of its choose step. */
static const char *domain_of_rule(const struct looking *l, json_int_t id)
{
    size_t index, at;
    json_t *rule, *step;
    json_array_foreach(l->rules, index, rule) {
        if (number(rule, "rule_id") != id) continue;
        json_array_foreach(json_object_get(rule, "steps"), at, step) if (strncmp(word(step, "op"), "choose", 6) == 0) return word(step, "type");
    }
    return "";
}

/* ---- making ---- */

static unsigned placement_groups(const struct looking *l, unsigned given, unsigned share_percent, unsigned copies)
{
    if (given) return given;
    unsigned wanted = l->osds * PGS_PER_OSD * share_percent / 100 / (copies ? copies : 1), power = PG_MIN;
    while (power * 2 <= wanted) power *= 2;
    return power * 3 < wanted * 2 ? power * 2 : power;      /* the nearer of the two */
}

BLOCKS static result tag_pool(struct looking *l, const char *pool)
{
    return ask(l->cluster, json_pack("{s:s, s:s, s:s}", "prefix", "osd pool application enable", "pool", pool, "app", APPLICATION), NULL, l->fault);
}

BLOCKS static result set_pool(struct looking *l, const char *pool, const char *key, unsigned value)
{
    char text[16];
    snprintf(text, sizeof text, "%u", value);
    return ask(l->cluster, json_pack("{s:s, s:s, s:s, s:s}", "prefix", "osd pool set", "pool", pool, "var", key, "val", text), NULL, l->fault);
}

BLOCKS static result make_rule(struct looking *l, const char *name)
{
    const struct rados_pool_plan *p = l->plan;
    if (find_named(l->rules, "rule_name", name)) return OK;
    json_t *command = json_pack("{s:s, s:s, s:s, s:s}", "prefix", "osd crush rule create-replicated", "name", name, "root", "default", "type", p->failure_domain);
    if (p->device_class) json_object_set_new(command, "class", json_string(p->device_class));
    return ask(l->cluster, command, NULL, l->fault);
}

/* With no more than it needs: size at once, so that no placement group is made for another. */
BLOCKS static result make_replicated(struct looking *l)
{
    const struct rados_pool_plan *p = l->plan;
    const char *pool = l->options->pool, *rule = mend(l, "%s-%s", pool, p->failure_domain);
    unsigned groups = placement_groups(l, p->pg_num, 100 - OBJECT_SHARE_PERCENT, p->size);
    result r = make_rule(l, rule);
    if (r == OK)
        r = ask(l->cluster, json_pack("{s:s, s:s, s:i, s:i, s:s, s:s, s:i}", "prefix", "osd pool create", "pool", pool, "pg_num", (int)groups, "pgp_num", (int)groups,
                                      "pool_type", "replicated", "rule", rule, "size", (int)p->size), NULL, l->fault);
    if (r == OK) r = set_pool(l, pool, "min_size", p->min_size);
    if (r == OK) r = tag_pool(l, pool);
    if (r == OK) tell(l, RADOS_MADE, pool, "", "replicated, %u copies, goes on with %u, %u placement groups, failure domain %s", p->size, p->min_size, groups,
         p->failure_domain);
    return r;
}

BLOCKS static result make_profile(struct looking *l, const char *name, const char *device_class)
{
    const struct rados_pool_plan *p = l->plan;
    json_t *profile CLEANUP(done_json) = NULL;
    struct fault ignored;
    if (ask(l->cluster, json_pack("{s:s, s:s}", "prefix", "osd erasure-code-profile get", "name", name), &profile, &ignored) == OK) {
        if (number(profile, "k") == (json_int_t)p->k && number(profile, "m") == (json_int_t)p->m && strcmp(word(profile, "crush-failure-domain"), p->failure_domain) == 0)
            return OK;
        return fail(l->fault, EXISTS, "the erasure code profile %s is there with k=%s m=%s failure domain %s: give --k, --m and --failure-domain of it, or another --ec-profile",
                    name, word(profile, "k"), word(profile, "m"), word(profile, "crush-failure-domain"));
    }
    json_t *words = json_pack("[o, o, o]", json_sprintf("k=%u", p->k), json_sprintf("m=%u", p->m), json_sprintf("crush-failure-domain=%s", p->failure_domain));
    if (device_class) json_array_append_new(words, json_sprintf("crush-device-class=%s", device_class));
    result r = ask(l->cluster, json_pack("{s:s, s:s, s:o}", "prefix", "osd erasure-code-profile set", "name", name, "profile", words), NULL, l->fault);
    if (r == OK) tell(l, RADOS_MADE, name, "", "erasure code profile: %u data and %u coding chunks, failure domain %s", p->k, p->m, p->failure_domain);
    return r;
}

static bool has_archive(const struct looking *l) { return l->options->archive_pool && *l->options->archive_pool; }

BLOCKS static result make_erasure(struct looking *l, const char *pool, const char *profile, const char *device_class, unsigned pg_num)
{
    const struct rados_pool_plan *p = l->plan;
    /* The archive's share is one half: bytes go from the one pool to the other. */
    unsigned groups = placement_groups(l, pg_num, has_archive(l) ? OBJECT_SHARE_PERCENT / 2 : OBJECT_SHARE_PERCENT, p->k + p->m);
    result r = make_profile(l, profile, device_class);
    if (r == OK)
        r = ask(l->cluster, json_pack("{s:s, s:s, s:i, s:i, s:s, s:s}", "prefix", "osd pool create", "pool", pool, "pg_num", (int)groups, "pgp_num", (int)groups,
                                      "pool_type", "erasure", "erasure_code_profile", profile), NULL, l->fault);
    if (r == OK) r = set_pool(l, pool, "min_size", p->k + (p->m > 1));
    if (r == OK) r = tag_pool(l, pool);
    if (r == OK) tell(l, RADOS_MADE, pool, "", "erasure coded %u+%u, goes on with %u chunks, %u placement groups", p->k, p->m, p->k + (p->m > 1), groups);
    return r;
}

BLOCKS static result make_archive(struct looking *l)
{
    const struct rados_pool_plan *p = l->plan;
    const char *class = p->archive_device_class;
    return make_erasure(l, l->options->archive_pool, class ? mend(l, "%s-archive", p->profile) : p->profile, class ? class : p->device_class, p->archive_pg_num);
}

BLOCKS static result make_missing(struct looking *l)
{
    const struct engine_rados_options *o = l->options;
    const struct rados_pool_plan *p = l->plan;
    result r = OK;
    if (!find_named(l->pools, "pool_name", o->pool)) r = make_replicated(l);
    if (r == OK && !find_named(l->pools, "pool_name", o->object_pool)) r = make_erasure(l, o->object_pool, p->profile, p->device_class, p->object_pg_num);
    if (r == OK) r = read_pools(l);
    if (r == OK && has_archive(l) && !find_named(l->pools, "pool_name", o->archive_pool)) r = make_archive(l);
    return r;
}

/* ---- judging ---- */

static void judge_any(struct looking *l, const json_t *pool, unsigned pieces)
{
    const char *name = word(pool, "pool_name"), *domain = domain_of_rule(l, number(pool, "crush_rule"));
    unsigned domains = count_domains(l, domain);
    json_int_t groups = number(pool, "pg_num");
    if (*domain && domains < pieces)
        tell(l, RADOS_WRONG, name, mend(l, "add %ss, or take a smaller size or k+m", domain),
             "%u %ss for %u pieces: a lost piece is not made anew elsewhere, placement groups stay undersized",
             domains, domain, pieces);
    else if (strcmp(domain, "osd") == 0)
        tell(l, RADOS_ADVICE, name,
             mend(l, "a rule with another: ceph osd pool set %s crush_rule NAME; erasure coded: a new profile and pool", name),
             "failure domain osd: pieces of one thing may lie on one host, and be lost with it");
    else tell(l, RADOS_FINE, name, "", "failure domain %s, of which there are %u", *domain ? domain : "(of its own rule)", domains);
    if ((groups & (groups - 1)) != 0)
        tell(l, RADOS_ADVICE, name, mend(l, "ceph osd pool set %s pg_num N", name), "%" PRIdMAX " placement groups: not a power of two, OSDs fill unevenly",
             (intmax_t)groups);
    if (!json_object_get(json_object_get(pool, "application_metadata"), APPLICATION))
        tell(l, RADOS_ADVICE, name, mend(l, "ceph osd pool application enable %s " APPLICATION, name), "no application tag " APPLICATION ": ceph health warns of it");
    if (strstr(word(pool, "flags_names"), "full"))
        tell(l, RADOS_WRONG, name, "add OSDs or raise the pool's quota; doc/operations/cluster.md says what can be deleted", "full: nothing is taken in");
}

static void judge_replicated(struct looking *l, const json_t *pool)
{
    const char *name = word(pool, "pool_name");
    unsigned size = (unsigned)number(pool, "size"), min_size = (unsigned)number(pool, "min_size");
    if (size == 1) tell(l, RADOS_WRONG, name, mend(l, "ceph osd pool set %s size 3", name), "one copy: a lost disk is lost mail");
    else if (size == 2) tell(l, RADOS_ADVICE, name, mend(l, "ceph osd pool set %s size 3", name),
         "two copies: a second disk that breaks before the first is replaced loses mail");
    else tell(l, RADOS_FINE, name, "", "replicated, %u copies, goes on with %u, %" PRIdMAX " placement groups", size, min_size, (intmax_t)number(pool, "pg_num"));
    if (size > 1 && min_size < 2)
        tell(l, RADOS_WRONG, name, mend(l, "ceph osd pool set %s min_size 2", name),
             "min_size %u: what is acknowledged may stand on one disk alone, and be lost with it", min_size);
    if (size > 1 && min_size == size && size > 2)
        tell(l, RADOS_ADVICE, name, mend(l, "ceph osd pool set %s min_size %u", name, size - 1),
             "min_size %u of %u: any OSD that is down stops writes to its placement groups", min_size, size);
    judge_any(l, pool, size);
}

BLOCKS static result judge_erasure(struct looking *l, const json_t *pool)
{
    const char *name = word(pool, "pool_name"), *profile_name = word(pool, "erasure_code_profile");
    json_t *profile CLEANUP(done_json) = NULL;
    result r = ask(l->cluster, json_pack("{s:s, s:s}", "prefix", "osd erasure-code-profile get", "name", profile_name), &profile, l->fault);
    if (r != OK) return r;
    unsigned k = (unsigned)number(profile, "k"), m = (unsigned)number(profile, "m"), min_size = (unsigned)number(pool, "min_size");
    tell(l, RADOS_FINE, name, "", "erasure coded %u+%u (profile %s), goes on with %u chunks, %" PRIdMAX " placement groups, alignment %" PRIdMAX " bytes", k, m,
         profile_name,
         min_size, (intmax_t)number(pool, "pg_num"), (intmax_t)number(pool, "stripe_width"));
    if (m == 1) tell(l, RADOS_ADVICE, name, "a new pool with --m 2; tayori store copy moves the store", "one coding chunk: while one OSD is down, min_size %u %s",
         min_size,
                     min_size > k ? "stops it" : "risks what is written meanwhile");
    if (min_size <= k && m > 1)
        tell(l, RADOS_WRONG, name, mend(l, "ceph osd pool set %s min_size %u", name, k + 1),
             "min_size %u: what is acknowledged may have no chunk to spare, and be lost with the next disk", min_size);
    if (strstr(word(pool, "flags_names"), "ec_overwrites"))
        tell(l, RADOS_ADVICE, name, "", "overwrites are allowed: they are not needed here, cost some speed, and cannot be switched off again");
    if (number(pool, "stripe_width") > ALIGNMENT_USUAL_MAX)
        tell(l, RADOS_ADVICE, name, "a profile without stripe_unit", "stripes of %" PRIdMAX " bytes: small packs are filled up to as much", (intmax_t)number(pool,
             "stripe_width"));
    judge_any(l, pool, k + m);
    return OK;
}

BLOCKS static result judge_pool(struct looking *l, const char *name, bool is_of_objects)
{
    const json_t *pool = find_named(l->pools, "pool_name", name);
    if (!pool) {
        tell(l, RADOS_WRONG, name, "tayori cluster init without --check makes it", "no such pool");
        return OK;
    }
    if (number(pool, "type") == POOL_ERASURE && is_of_objects) return judge_erasure(l, pool);
    if (number(pool, "type") == POOL_ERASURE) {
        tell(l, RADOS_WRONG, name, "give store.pool the name of a replicated pool", "erasure coded: journals and tables need a replicated pool");
        return OK;
    }
    judge_replicated(l, pool);
    if (is_of_objects) tell(l, RADOS_ADVICE, name, "", "objects in a replicated pool take %u times their size on disk, erasure coded 4+2 one and a half times",
         (unsigned)number(pool, "size"));
    return OK;
}

/* Each once. */
BLOCKS static result judge_pools(struct looking *l)
{
    const struct engine_rados_options *o = l->options;
    result r = judge_pool(l, o->pool, false);
    if (r == OK && strcmp(o->object_pool, o->pool) != 0) r = judge_pool(l, o->object_pool, true);
    if (r == OK && has_archive(l) && strcmp(o->archive_pool, o->pool) != 0 && strcmp(o->archive_pool, o->object_pool) != 0) r = judge_pool(l, o->archive_pool, true);
    return r;
}

/* ---- the layout of the store: into how many objects rows and names are spread, for ever ---- */

static uint32_t shards_for(uint64_t rows, uint32_t least)
{
    uint32_t shards = least;
    while (shards < RADOS_SHARDS_MAX && rows / shards > ROWS_A_SHARD) shards *= 2;
    return shards;
}

BLOCKS static result write_layout(struct looking *l, rados_ioctx_t io, const struct rados_layout *wanted)
{
    buf text CLEANUP(buf_done) = BUF_INIT;
    rados_layout_print(wanted, &text);
    rados_write_op_t op = rados_create_write_op();
    rados_write_op_create(op, LIBRADOS_CREATE_EXCLUSIVE, NULL);
    rados_write_op_write_full(op, text.at, text.len);
    int error = rados_write_op_operate(op, io, LAYOUT_OBJECT, NULL, 0);
    rados_release_write_op(op);
    if (error < 0) return fail(l->fault, IO, "writing the layout of the store: %s", strerror(-error));
    tell(l, RADOS_MADE, "store", "", "tables in %u objects each, names of objects in %u: for %" PRIu64 " accounts", wanted->table_shards, wanted->index_shards, l->plan->accounts);
    return OK;
}

BLOCKS static result judge_layout(struct looking *l, rados_ioctx_t io)
{
    char *text = arena_alloc(l->arena, RADOS_LAYOUT_MAX_BYTES);
    struct rados_layout layout, wanted = {
        .table_shards = shards_for(l->plan->accounts + l->plan->accounts / 2, RADOS_DEFAULT_TABLE_SHARDS),
        .index_shards = shards_for(l->plan->accounts * OBJECTS_AN_ACCOUNT, RADOS_DEFAULT_INDEX_SHARDS),
    };
    int got = rados_read(io, LAYOUT_OBJECT, text, RADOS_LAYOUT_MAX_BYTES, 0);
    if (got == -ENOENT && (l->only_checks || !l->plan->accounts)) return OK;
    if (got == -ENOENT) return write_layout(l, io, &wanted);
    if (got < 0) return fail(l->fault, IO, "reading the layout of the store: %s", strerror(-got));
    result r = rados_layout_parse(view_make(text, (size_t)got), &layout, l->fault);
    if (r != OK) return r;
    tell(l, RADOS_FINE, "store", "", "tables in %u objects each, names of objects in %u", layout.table_shards, layout.index_shards);
    if (l->plan->accounts && (layout.table_shards < wanted.table_shards || layout.index_shards < wanted.index_shards))
        tell(l, RADOS_ADVICE, "store", "make a store in another namespace with --accounts, and move to it with tayori store copy",
             "%" PRIu64 " accounts want %u and %u: Ceph will warn of large omaps", l->plan->accounts, wanted.table_shards, wanted.index_shards);
    return OK;
}

BLOCKS static result look_at_layout(struct looking *l)
{
    rados_ioctx_t io;
    char name_space[200];
    if (!find_named(l->pools, "pool_name", l->options->pool)) return OK;
    int error = rados_ioctx_create(l->cluster, l->options->pool, &io);
    if (error < 0) return fail(l->fault, IO, "pool %s: %s", l->options->pool, strerror(-error));
    snprintf(name_space, sizeof name_space, "%s%st", l->options->name_space, *l->options->name_space ? "." : "");
    rados_ioctx_set_namespace(io, name_space);
    result r = judge_layout(l, io);
    rados_ioctx_destroy(io);
    return r;
}

BLOCKS static result check_plan(struct looking *l)
{
    const struct rados_pool_plan *p = l->plan;
    if (strcmp(l->options->pool, l->options->object_pool) == 0 && !find_named(l->pools, "pool_name", l->options->pool))
        return fail(l->fault, INVALID, "store.pool and store.object_pool are the same: make that pool by hand if both are meant to be one replicated pool");
    if (p->k < 2 || p->k > 32 || p->m < 1 || p->m > 16) return fail(l->fault, INVALID, "--k %u --m %u: expected 2 to 32 and 1 to 16", p->k, p->m);
    if (p->size < 1 || p->size > 10 || p->min_size < 1 || p->min_size > p->size) return fail(l->fault, INVALID,
         "--size %u --min-size %u: expected 1 to 10, and no more than that", p->size, p->min_size);
    return OK;
}

BLOCKS static result look(struct looking *l)
{
    result r = read_pools(l);
    if (r == OK) r = read_rules(l);
    if (r == OK) r = read_tree(l);
    if (r == OK && !l->only_checks) r = check_plan(l);
    if (r == OK && !l->only_checks) r = make_missing(l);
    if (r == OK) r = read_pools(l);
    if (r == OK) r = read_rules(l);
    if (r == OK) r = judge_pools(l);
    if (r == OK && (l->plan->accounts || l->only_checks)) r = look_at_layout(l);
    return r;
}

result rados_cluster_init(const struct engine_rados_options *options, const struct rados_pool_plan *plan, bool only_checks,
                          void (*found)(void *argument, const struct rados_finding *f), void *argument, struct fault *fault)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct looking l = {.options = options, .plan = plan, .only_checks = only_checks, .found = found, .argument = argument, .fault = fault, .arena = arena};
    result r = connect_monitors(options, &l.cluster, fault);
    if (r != OK) return r;
    r = look(&l);
    rados_shutdown(l.cluster);
    done_json(&l.pools);
    done_json(&l.rules);
    done_json(&l.tree);
    if (r == OK && l.wrong) r = fail(fault, INVALID, "%u thing%s must be mended before mail is kept here", l.wrong, l.wrong == 1 ? "" : "s");
    return r;
}

/* ---- health ---- */

static const char **read_checks(const json_t *health, struct arena *arena, size_t *ret_count)
{
    json_t *checks = json_object_get(health, "checks"), *value;
    const char **texts = arena_array(arena, const char *, json_object_size(checks) + 1), *key;
    json_object_foreach(checks, key, value)
        texts[(*ret_count)++] = arena_cstr(arena, arena_printf(arena, "%s: %s", key, word(json_object_get(value, "summary"), "message")));
    return texts;
}

BLOCKS static result read_health(rados_t cluster, struct arena *arena, struct rados_health *h, struct fault *fault)
{
    json_t *health CLEANUP(done_json) = NULL, *osds CLEANUP(done_json) = NULL, *dump CLEANUP(done_json) = NULL;
    struct rados_cluster_stat_t stat = {0};
    result r = ask(cluster, json_pack("{s:s}", "prefix", "health"), &health, fault);
    if (r == OK) r = ask(cluster, json_pack("{s:s}", "prefix", "osd stat"), &osds, fault);
    if (r == OK) r = ask(cluster, json_pack("{s:s}", "prefix", "osd dump"), &dump, fault);
    if (r != OK) return r;
    h->status = arena_cstr(arena, view_of(word(health, "status")));
    h->checks = read_checks(health, arena, &h->check_count);
    h->osds = (unsigned)number(osds, "num_osds");
    h->osds_up = (unsigned)number(osds, "num_up_osds");
    h->osds_in = (unsigned)number(osds, "num_in_osds");
    h->full_percent = (unsigned)(json_number_value(json_object_get(dump, "full_ratio")) * 100 + 0.5);
    h->nearfull_percent = (unsigned)(json_number_value(json_object_get(dump, "nearfull_ratio")) * 100 + 0.5);
    if (rados_cluster_stat(cluster, &stat) >= 0) {
        h->used_bytes = stat.kb_used << 10;
        h->total_bytes = stat.kb << 10;
    }
    return OK;
}

result rados_cluster_health(const struct engine_rados_options *options, struct arena *arena, struct rados_health *ret_health, struct fault *fault)
{
    rados_t cluster;
    struct rados_health health = {0};
    result r = connect_monitors(options, &cluster, fault);
    if (r != OK) return r;
    r = read_health(cluster, arena, &health, fault);
    rados_shutdown(cluster);
    if (r == OK) *ret_health = health;
    return r;
}
