/* parse - any bytes as a settings file: refused with errors, or taken, and then printed settings
 * say the same.
 */
#include "node/settings/settings.h"

#include "proto/ground/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_round(const struct settings *s)
{
    struct settings *again = NULL;
    struct buf first, second, errors;

    buf_init(&first, 16u << 20);
    buf_init(&second, 16u << 20);
    buf_init(&errors, 64u << 10);
    settings_print(s, true, &first);
    CHECK(settings_parse(&again, "x", buf_span(&first), &errors) == 0);
    settings_print(again, true, &second);
    CHECK(span_eq(buf_span(&first), buf_span(&second)));
    settings_unref(&again);
    buf_deinit(&first);
    buf_deinit(&second);
    buf_deinit(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct settings *s = NULL;
    struct buf errors;
    int rv;

    buf_init(&errors, 64u << 10);
    rv = settings_parse(&s, "x", span_of(p, n), &errors);
    CHECK((rv == 0) == (s != NULL));
    CHECK((rv == 0) == (errors.n == 0));
    if (s) check_round(s);
    settings_unref(&s);
    buf_deinit(&errors);
    return 0;
}
