#include "flow/intake.h"

#include "base/check.h"
#include "flow/forward.h"
#include "formats/srs.h"
#include "identity/address_key.h"
#include "runtime/event.h"

/* One recipient while its aliases are followed. */
struct expansion {
    const struct intake *intake;
    uint64_t size_bytes;
    millis deadline;
    struct arena *arena, *scratch;
    struct fault *fault;
    size_t aliases;
    struct map seen;                     /* addresses looked at */
    struct map found;                    /* accounts, by id */
    struct intake_account *accounts;
    size_t count, capacity;
    view *forwards;
    size_t forward_count, forward_capacity;
    bool is_return;
    enum smtp_status_name refusal;       /* why a member could not be taken; RECIPIENT_OK: none so far */
};

static void refuse(struct expansion *e, enum smtp_status_name status)
{
    if (e->refusal == SMTP_RECIPIENT_OK) e->refusal = status;
}

static enum smtp_status_name suspended_status(const struct intake *intake)
{
    return intake->suspended_is_permanent ? SMTP_SUSPENDED : SMTP_SUSPENDED_NOW;
}

enum smtp_status_name intake_check_quota(const struct intake *intake, const struct intake_account *account,
                                         uint64_t size_bytes, millis deadline, struct fault *fault)
{
    result code = accounts_check_quota(intake->accounts, account->id, account->quota, size_bytes, deadline, fault);
    if (code == OK) return SMTP_RECIPIENT_OK;
    if (code != OVER_QUOTA) return SMTP_STORE_UNAVAILABLE;
    return intake->over_quota_is_permanent ? SMTP_MAILBOX_FULL : SMTP_MAILBOX_FULL_NOW;
}

/* Its row says what an account may have now. */
MAY_YIELD static enum smtp_status_name check_account(struct expansion *e, struct id id, struct intake_account *ret_account)
{
    struct identity_account account;
    result code = identity_find_account(e->intake->identity, id, e->deadline, e->scratch, &account, e->fault);
    if (code == NOT_FOUND) return SMTP_NO_SUCH_USER;
    if (code != OK) return SMTP_NO_SUCH_USER_NOW;
    *ret_account = (struct intake_account){id, {account.quota_bytes, account.quota_messages}};
    if (e->intake->is_for_notices) return SMTP_RECIPIENT_OK;
    if (account.standing == STANDING_SUSPENDED) {
        (void)fail(e->fault, DENIED, "account " VIEW_FMT " is suspended", VIEW_ARG(account.address));
        return suspended_status(e->intake);
    }
    return intake_check_quota(e->intake, ret_account, e->size_bytes, e->deadline, e->fault);
}

static void keep_account(struct expansion *e, const struct intake_account *account)
{
    if (e->count == e->capacity) {
        size_t capacity = e->capacity ? 2 * e->capacity : 1;
        struct intake_account *grown = arena_array(e->arena, struct intake_account, capacity);
        for (size_t i = 0; i < e->count; i++) grown[i] = e->accounts[i];
        e->accounts = grown;
        e->capacity = capacity;
    }
    e->accounts[e->count++] = *account;
}

/* OK: go on with the next address. */
MAY_YIELD static result add_account(struct expansion *e, struct id id)
{
    struct intake_account account;
    if (e->count > 0 && map_get(&e->found, id_view(&id))) return OK;
    enum smtp_status_name status = check_account(e, id, &account);
    if (status != SMTP_RECIPIENT_OK) {
        refuse(e, status);
        return OK;
    }
    if (e->count == INTAKE_ACCOUNTS_MAX) return TOO_BIG;
    struct id *key = arena_new_struct(e->scratch, struct id);
    *key = id;
    map_put(&e->found, id_view(key), key);
    keep_account(e, &account);
    return OK;
}

MAY_YIELD static result expand(struct expansion *e, view address, unsigned depth);

MAY_YIELD static result expand_alias(struct expansion *e, view address, const struct identity_address *alias, unsigned depth)
{
    if (depth == IDENTITY_ALIAS_DEPTH_MAX) {
        (void)fail(e->fault, TOO_BIG, "alias " VIEW_FMT " is nested too deep", VIEW_ARG(address));
        refuse(e, SMTP_ALIAS_LOOP);
        return OK;
    }
    if (e->aliases++ == INTAKE_ALIASES_MAX) return TOO_BIG;
    result code = OK;
    for (size_t i = 0; i < alias->target_count && code == OK; i++) code = expand(e, alias->targets[i], depth + 1);
    return code;
}

static result add_forward(struct expansion *e, view address)
{
    if (e->forward_count == INTAKE_ACCOUNTS_MAX) return TOO_BIG;
    if (e->forward_count == e->forward_capacity) {
        size_t capacity = e->forward_capacity ? 2 * e->forward_capacity : 1;
        view *grown = arena_array(e->scratch, view, capacity);
        for (size_t i = 0; i < e->forward_count; i++) grown[i] = e->forwards[i];
        e->forwards = grown;
        e->forward_capacity = capacity;
    }
    e->forwards[e->forward_count++] = address;
    return OK;
}

/* Status of an address that leads to nothing here: for an alias's member the outside is a route, not a relay. */
static enum smtp_status_name status_of_lookup(result code, unsigned depth)
{
    switch (code) {
    case NOT_FOUND:
    case INVALID: return SMTP_NO_SUCH_USER;
    case DENIED: return depth == 0 ? SMTP_RELAY_DENIED : SMTP_NO_ROUTE;
    default: return SMTP_NO_SUCH_USER_NOW;
    }
}

/* Depth is limited by IDENTITY_ALIAS_DEPTH_MAX, the number of calls by INTAKE_LOOKUPS_MAX. */
MAY_YIELD static result expand(struct expansion *e, view address, unsigned depth)
{
    if (depth > 0) {
        if (e->seen.count == INTAKE_LOOKUPS_MAX) return TOO_BIG;
        if (map_put(&e->seen, address, e)) {
            refuse(e, SMTP_ALIAS_LOOP);
            return OK;
        }
    }
    struct identity_address found;
    result code = identity_find_address(e->intake->identity, address, e->deadline, e->scratch, &found, e->fault);
    if (code == DENIED && depth > 0 && e->intake->forwarding) return add_forward(e, address);
    if (code != OK) {
        refuse(e, status_of_lookup(code, depth));
        return OK;
    }
    if (found.kind == ADDRESS_ACCOUNT) return add_account(e, found.account);
    if (depth == 0) map_put(&e->seen, address, e);
    return expand_alias(e, address, &found, depth);
}

static struct smtp_path keep_path(const struct smtp_path *path, struct arena *arena)
{
    struct smtp_path kept = *path;
    kept.local_part = arena_keep(arena, path->local_part);
    kept.domain = arena_keep(arena, path->domain);
    return kept;
}

/* A return path of ours stands for another address. NOT_FOUND: it is an address like any other. */
MAY_YIELD static result expand_return(struct expansion *e, const struct smtp_path *path, view address)
{
    struct identity_address found;
    view mailbox, key;
    if (!e->intake->forwarding || path->domain_kind == SMTP_DOMAIN_NONE) return NOT_FOUND;
    struct srs srs;
    if (!srs_parse(path->local_part, &srs)) return NOT_FOUND;
    /* Only where the domain is ours, and nobody has this very address. */
    result code = identity_find_address(e->intake->identity, address, e->deadline, e->scratch, &found, e->fault);
    if (code == DENIED || code == INVALID || (code == OK && !found.is_catch_all)) return NOT_FOUND;
    if (code == OK || code == NOT_FOUND) code = forward_unwrap(e->intake->forwarding, path->local_part, e->deadline, e->scratch, &mailbox, e->fault);
    if (code == OK && address_key(mailbox, e->scratch, &key) != OK) code = DENIED;
    e->is_return = true;
    if (code == OK) return expand(e, key, 1);
    refuse(e, code == DENIED ? SMTP_RETURN_PATH_NOT_OURS : SMTP_NO_SUCH_USER_NOW);
    return OK;
}

static void keep_forwards(struct expansion *e, view address, struct intake_recipient *r)
{
    view key;
    r->forwards = arena_array(e->arena, view, e->forward_count);
    for (size_t i = 0; i < e->forward_count; i++) r->forwards[i] = arena_keep(e->arena, e->forwards[i]);
    if (address_key(address, e->scratch, &key) == OK) r->alias = arena_keep(e->arena, key);
}

MAY_YIELD static enum smtp_status_name decide(struct expansion *e, const struct smtp_path *path, view address,
                                              struct intake_recipient *ret_recipient)
{
    result code = expand_return(e, path, address);
    if (code == NOT_FOUND) code = expand(e, address, 0);
    map_done(&e->seen);
    map_done(&e->found);
    if (code == TOO_BIG) return SMTP_ALIAS_TOO_WIDE;
    if (e->count + e->forward_count == 0) return e->refusal == SMTP_RECIPIENT_OK ? SMTP_NO_SUCH_USER : e->refusal;
    if (e->refusal != SMTP_RECIPIENT_OK && e->refusal != SMTP_ALIAS_LOOP)
        EVENT_EMIT(ALIAS_MEMBER_LEFT_OUT, EVENT_TEXT("alias", address), EVENT_NUMBER("status", smtp_status(e->refusal)->code),
                   EVENT_TEXT("fault", e->fault ? view_of(e->fault->detail) : VIEW_EMPTY));
    *ret_recipient = (struct intake_recipient){.path = keep_path(path, e->arena), .accounts = e->accounts, .account_count = e->count,
                                               .forward_count = e->forward_count, .is_return = e->is_return,
                                               .checked_bytes = e->size_bytes, .status = SMTP_RECIPIENT_OK};
    if (e->forward_count > 0) keep_forwards(e, address, ret_recipient);
    return SMTP_RECIPIENT_OK;
}

/* <postmaster>: at the host's own name, then at each domain above it, until one is ours. */
MAY_YIELD static enum smtp_status_name decide_postmaster(const struct expansion *fresh, const struct smtp_path *path,
                                                         struct intake_recipient *ret_recipient)
{
    enum smtp_status_name status = SMTP_RELAY_DENIED;
    view label;
    for (view domain = fresh->intake->postmaster_domain; domain.len > 0 && status == SMTP_RELAY_DENIED; view_cut(&domain, '.', &label)) {
        struct expansion e = *fresh;
        view address = arena_printf(e.scratch, VIEW_FMT "@" VIEW_FMT, VIEW_ARG(path->local_part), VIEW_ARG(domain));
        status = decide(&e, path, address, ret_recipient);
    }
    return status;
}

enum smtp_status_name intake_decide(const struct intake *intake, const struct smtp_path *path, uint64_t size_bytes,
                                    millis deadline, struct arena *arena, struct arena *scratch,
                                    struct intake_recipient *ret_recipient, struct fault *fault)
{
    struct expansion e = {.intake = intake, .size_bytes = size_bytes, .deadline = deadline, .arena = arena, .scratch = scratch,
                          .fault = fault, .refusal = SMTP_RECIPIENT_OK};
    if (path->domain_kind == SMTP_DOMAIN_LITERAL) return SMTP_RELAY_DENIED;
    if (path->domain_kind == SMTP_DOMAIN_NONE) return decide_postmaster(&e, path, ret_recipient);
    return decide(&e, path, smtp_path_keep_text(scratch, path), ret_recipient);
}
