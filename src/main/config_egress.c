#include "main/config_egress.h"

#include "formats/date.h"

cfg_opt_t *config_egress_options(void)
{
    static char none[] = "{}";
    static cfg_opt_t options[] = {
        CFG_STR_LIST("addresses", none, CFGF_NONE), CFG_STR_LIST("tenants", none, CFGF_NONE), CFG_STR_LIST("standings", none, CFGF_NONE),
        CFG_STR_LIST("classes", none, CFGF_NONE), CFG_STR_LIST("warm_up", none, CFGF_NONE), CFG_END(),
    };
    return options;
}

static view text_at(cfg_t *section, const char *key, unsigned i, struct arena *arena) { return arena_keep(arena, view_of(cfg_getnstr(section, key, i))); }

/* "192.0.2.1 mail1.example.jp" */
static view read_address(view text, struct egress_address *a, struct arena *arena)
{
    view rest = view_trim(text), word;
    *a = (struct egress_address){0};
    if (!view_cut(&rest, ' ', &word) || !address_parse(word, &a->address)) return arena_printf(arena, "addresses: \"" VIEW_FMT "\": expected \"ADDRESS NAME\"", VIEW_ARG(text));
    a->hello = view_trim(rest);
    if (a->hello.len == 0 || view_has_byte(a->hello, ' '))
        return arena_printf(arena, "addresses: \"" VIEW_FMT "\": expected the name that it says in EHLO", VIEW_ARG(text));
    return VIEW_EMPTY;
}

/* "192.0.2.1 2026-02-01 200": so many on that day, and twice as many on each further one. */
static view read_warm_up(view text, struct egress_pool *p, struct arena *arena)
{
    view rest = view_trim(text), address, day;
    struct address wanted;
    unix_ms from;
    uint64_t first;
    view expected = arena_printf(arena, "warm_up: \"" VIEW_FMT "\": expected \"ADDRESS YYYY-MM-DD MESSAGES\" with an address of the pool", VIEW_ARG(text));
    if (!view_cut(&rest, ' ', &address) || !view_cut(&rest, ' ', &day) || !address_parse(address, &wanted) || !view_to_u64(view_trim(rest), &first) ||
        first == 0 || first > 1000000)
        return expected;
    if (!date_rfc3339_parse(arena_printf(arena, VIEW_FMT "T00:00:00Z", VIEW_ARG(day)), &from)) return expected;
    for (size_t i = 0; i < p->address_count; i++) {
        if (!address_equal(&p->addresses[i].address, &wanted)) continue;
        p->addresses[i].warm_from = from;
        p->addresses[i].warm_first = first;
        return VIEW_EMPTY;
    }
    return expected;
}

static view read_bits(cfg_t *section, const char *key, unsigned names, const char *(*name_of)(unsigned index), unsigned *bits, struct arena *arena)
{
    for (unsigned i = 0; i < cfg_size(section, key); i++) {
        view word = text_at(section, key, i, arena);
        unsigned n = 0;
        while (n < names && !view_equal(word, view_of(name_of(n)))) n++;
        if (n == names) return arena_printf(arena, "%s: \"" VIEW_FMT "\" is none of those that there are", key, VIEW_ARG(word));
        *bits |= 1u << n;
    }
    return VIEW_EMPTY;
}

static const char *standing_name(unsigned index) { return queue_standing_name((enum queue_standing)index); }
static const char *class_name(unsigned index) { return queue_class_name((enum queue_class)index); }

static view read_addresses(cfg_t *section, struct arena *arena, struct egress_pool *p)
{
    view problem = VIEW_EMPTY;
    p->address_count = cfg_size(section, "addresses");
    if (p->address_count == 0 || p->address_count > EGRESS_ADDRESSES_MAX) return arena_printf(arena, "addresses: expected 1 to %d", EGRESS_ADDRESSES_MAX);
    p->addresses = arena_array(arena, struct egress_address, p->address_count);
    for (unsigned i = 0; i < p->address_count && problem.len == 0; i++) problem = read_address(text_at(section, "addresses", i, arena), &p->addresses[i], arena);
    for (unsigned i = 0; i < cfg_size(section, "warm_up") && problem.len == 0; i++) problem = read_warm_up(text_at(section, "warm_up", i, arena), p, arena);
    return problem;
}

view config_egress_read(cfg_t *section, struct arena *arena, struct egress_pool *ret_pool)
{
    struct egress_pool p = {.name = arena_keep(arena, view_of(cfg_title(section))), .tenant_count = cfg_size(section, "tenants")};
    view problem = read_addresses(section, arena, &p);
    p.tenants = arena_array(arena, view, p.tenant_count + 1);
    for (unsigned i = 0; i < p.tenant_count; i++) p.tenants[i] = text_at(section, "tenants", i, arena);
    if (problem.len == 0) problem = read_bits(section, "standings", QUEUE_STANDINGS, standing_name, &p.standings, arena);
    if (problem.len == 0) problem = read_bits(section, "classes", QUEUE_CLASSES, class_name, &p.classes, arena);
    *ret_pool = p;
    return problem;
}

static void show_bits(const char *key, unsigned bits, unsigned names, const char *(*name_of)(unsigned index), FILE *out)
{
    const char *comma = "";
    fprintf(out, "    %s = {", key);
    for (unsigned i = 0; i < names; i++) {
        if (!(bits & 1u << i)) continue;
        fprintf(out, "%s\"%s\"", comma, name_of(i));
        comma = ", ";
    }
    fputs("}\n", out);
}

void config_egress_show(const struct egress_pool *p, FILE *out)
{
    char text[ADDRESS_TEXT_MAX];
    const char *comma = "";
    fprintf(out, "egress \"" VIEW_FMT "\" {\n    addresses = {", VIEW_ARG(p->name));
    for (size_t i = 0; i < p->address_count; i++)
        fprintf(out, "%s\"" VIEW_FMT " " VIEW_FMT "\"", i ? ", " : "", VIEW_ARG(address_text(&p->addresses[i].address, text)), VIEW_ARG(p->addresses[i].hello));
    fputs("}\n    tenants = {", out);
    for (size_t i = 0; i < p->tenant_count; i++) fprintf(out, "%s\"" VIEW_FMT "\"", i ? ", " : "", VIEW_ARG(p->tenants[i]));
    fputs("}\n", out);
    show_bits("standings", p->standings, QUEUE_STANDINGS, standing_name, out);
    show_bits("classes", p->classes, QUEUE_CLASSES, class_name, out);
    fputs("    warm_up = {", out);
    for (size_t i = 0; i < p->address_count; i++) {
        const struct egress_address *a = &p->addresses[i];
        if (a->warm_from.ms == 0) continue;
        struct civil day = civil_of(a->warm_from, 0);
        fprintf(out, "%s\"" VIEW_FMT " %04d-%02d-%02d %llu\"", comma, VIEW_ARG(address_text(&a->address, text)), day.year, day.month, day.day, (unsigned long long)a->warm_first);
        comma = ", ";
    }
    fputs("}\n}\n", out);
}
