#include "formats/mta_sts.h"

#include "base/cursor.h"

/* ---- the TXT record ---- */

static bool is_id_byte(unsigned char c) { return ascii_is_alpha((char)c) || ascii_is_digit((char)c); }
static bool is_blank(unsigned char c) { return c == ' ' || c == '\t'; }
static bool is_name_byte(unsigned char c) { return is_id_byte(c) || c == '_' || c == '-' || c == '.'; }
static bool is_value_byte(unsigned char c) { return c > ' ' && c < 127 && c != ';' && c != '='; }

/* *WSP ";" *WSP */
static bool take_delimiter(struct cursor *c)
{
    struct cursor ahead = *c;
    take_while(&ahead, is_blank);
    if (!take_byte(&ahead, ';')) return false;
    take_while(&ahead, is_blank);
    *c = ahead;
    return true;
}

static bool take_field(struct cursor *c, view *ret_name, view *ret_value)
{
    struct cursor ahead = *c;
    if (!take_while1(&ahead, is_name_byte, ret_name) || !take_byte(&ahead, '=') || !take_while1(&ahead, is_value_byte, ret_value)) return false;
    *c = ahead;
    return true;
}

static bool is_id(view value)
{
    struct cursor c = cursor_of(value);
    view id;
    return value.len <= MTA_STS_ID_MAX && take_while1(&c, is_id_byte, &id) && cursor_at_end(&c);
}

bool mta_sts_record_parse(view text, view *ret_id)
{
    struct cursor c = cursor_of(text);
    view id = VIEW_EMPTY, name, value;
    if (!take_view(&c, VIEW("v=STSv1"))) return false;
    while (take_delimiter(&c) && !cursor_at_end(&c)) {
        if (!take_field(&c, &name, &value)) return false;
        if (id.len || !view_equal(name, VIEW("id"))) continue;
        if (!is_id(value)) return false;
        id = value;
    }
    if (!cursor_at_end(&c) || id.len == 0) return false;
    *ret_id = id;
    return true;
}

/* ---- the policy ---- */

const char *mta_sts_mode_name(enum mta_sts_mode mode)
{
    return mode == MTA_STS_ENFORCE ? "enforce" : mode == MTA_STS_TESTING ? "testing" : "none";
}

struct reading {
    struct mta_sts_policy policy;
    bool has_version, has_mode, has_age;
    const char *reason;
};

static bool refuse(struct reading *r, const char *reason)
{
    r->reason = reason;
    return false;
}

static bool is_host(view name)
{
    size_t label = 0;
    if (name.len == 0 || name.len > 253) return false;
    for (size_t i = 0; i < name.len; i++) {
        unsigned char byte = (unsigned char)name.at[i];
        if (byte == '.' ? label == 0 : !is_name_byte(byte) || label == 63) return false;
        label = byte == '.' ? 0 : label + 1;
    }
    return label > 0;
}

static bool read_mx(struct reading *r, view value)
{
    view host = view_starts(value, VIEW("*.")) ? view_from(value, 2) : value;
    if (!is_host(host)) return refuse(r, "an mx that is no host name");
    if (r->policy.pattern_count == MTA_STS_MX_MAX) return refuse(r, "too many mx");
    r->policy.patterns[r->policy.pattern_count++] = value;
    return true;
}

static bool read_mode(struct reading *r, view value)
{
    r->has_mode = true;
    if (view_equal(value, VIEW("enforce"))) r->policy.mode = MTA_STS_ENFORCE;
    else if (view_equal(value, VIEW("testing"))) r->policy.mode = MTA_STS_TESTING;
    else if (view_equal(value, VIEW("none"))) r->policy.mode = MTA_STS_NONE;
    else return refuse(r, "an unknown mode");
    return true;
}

static bool read_age(struct reading *r, view value)
{
    uint64_t age_s;
    r->has_age = true;
    if (value.len > 10 || !view_to_u64(value, &age_s)) return refuse(r, "max_age is no number of seconds");
    r->policy.max_age_s = age_s > MTA_STS_AGE_MAX_S ? MTA_STS_AGE_MAX_S : (uint32_t)age_s;
    return true;
}

/* §3.2: of a field that stands twice the first counts, but for mx; unknown fields are passed over. */
static bool read_field(struct reading *r, view name, view value)
{
    if (view_equal(name, VIEW("mx"))) return read_mx(r, value);
    if (view_equal(name, VIEW("mode"))) return r->has_mode || read_mode(r, value);
    if (view_equal(name, VIEW("max_age"))) return r->has_age || read_age(r, value);
    if (!view_equal(name, VIEW("version")) || r->has_version) return true;
    r->has_version = true;
    return view_equal(value, VIEW("STSv1")) || refuse(r, "an unknown version");
}

static bool read_line(struct reading *r, view line)
{
    view name;
    line = view_trim(line);
    if (line.len == 0) return true;
    if (!view_has_byte(line, ':')) return refuse(r, "a line without a colon");
    (void)!view_cut(&line, ':', &name);
    return read_field(r, view_trim(name), view_trim(line));
}

bool mta_sts_policy_parse(view text, struct arena *arena, struct mta_sts_policy *ret_policy, const char **reterr_reason)
{
    struct reading r = {0};
    view line;
    bool is_good = text.len <= MTA_STS_POLICY_BYTES_MAX || refuse(&r, "it is too long");
    r.policy.patterns = arena_array(arena, view, MTA_STS_MX_MAX);
    while (is_good && view_cut(&text, '\n', &line)) is_good = read_line(&r, line);
    if (is_good && !r.has_version) is_good = refuse(&r, "no version");
    if (is_good && !r.has_mode) is_good = refuse(&r, "no mode");
    if (is_good && !r.has_age) is_good = refuse(&r, "no max_age");
    if (is_good && r.policy.mode != MTA_STS_NONE && r.policy.pattern_count == 0) is_good = refuse(&r, "no mx");
    if (is_good) *ret_policy = r.policy;
    else *reterr_reason = r.reason;
    return is_good;
}

bool mta_sts_allows(const struct mta_sts_policy *p, view host)
{
    size_t dot = view_find(host, '.');
    view parent = dot == VIEW_NONE || dot == 0 ? VIEW_EMPTY : view_from(host, dot + 1);
    for (size_t i = 0; i < p->pattern_count; i++) {
        view pattern = p->patterns[i];
        bool is_wild = view_starts(pattern, VIEW("*."));
        if (is_wild ? parent.len && view_equal_nocase(view_from(pattern, 2), parent) : view_equal_nocase(pattern, host)) return true;
    }
    return false;
}
