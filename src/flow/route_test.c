#include "flow/route.h"

#include "base/check.h"
#include "base/test.h"

static bool parses(const char *text)
{
    struct arena *arena CLEANUP(arena_freep) = arena_new(NULL, 1 << 20);
    struct route_table *table;
    struct fault fault = {0};
    bool is_good = route_table_parse(view_of(text), arena, &table, &fault) == OK;
    EXPECT(is_good || fault.detail[0]);
    return is_good;
}

TEST(route_tables_name_hosts_and_demands)
{
    static const char *const good[] = {"", "a.test=192.0.2.1:2525", "*=smart.test", "a.test=[2001:db8::1]:26 *=x:25", "a=lmtp:10.0.0.1:24", "a.test=,tls=required",
                                       "a.test=mx.test:25,tls=verified  *=,tls=never", "a=[::1],tls=never"};
    static const char *const broken[] = {"a.test", "=x", "a.test=", "a.test=x:0", "a.test=x:70000", "a.test=x:", "a.test=x,tls=maybe", "a.test=x,", "a.test=,", "a.test=x,pool=1",
                                         "a.test=[::1", "a.test=[::1]25"};
    for (size_t i = 0; i < array_size(good); i++)
        if (!parses(good[i])) test_fail(__FILE__, __LINE__, "%s", good[i]);
    for (size_t i = 0; i < array_size(broken); i++)
        if (parses(broken[i])) test_fail(__FILE__, __LINE__, "%s", broken[i]);
}
