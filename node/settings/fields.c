/* fields - the tables of settings_table.h as arrays. */
#include "node/settings/inside.h"

#include "node/settings/settings_table.h"
#include "proto/ground/list.h"

#define ROW_(struct_type, member, section, key, type, fallback, min, max, help)                    \
    { #section, #key, fallback, help, FIELD_##type, offsetof(struct_type, member), min, max },
#define ROW(section, key, type, fallback, min, max, help)                                          \
    ROW_(struct settings, section.key, section, key, type, fallback, min, max, help)
#define LISTENER_ROW(section, key, type, fallback, min, max, help)                                 \
    ROW_(struct settings_listener, key, section, key, type, fallback, min, max, help)
#define CERTIFICATE_ROW(section, key, type, fallback, min, max, help)                              \
    ROW_(struct settings_certificate, key, section, key, type, fallback, min, max, help)
#define TENANT_ROW(section, key, type, fallback, min, max, help)                                   \
    ROW_(struct settings_tenant, key, section, key, type, fallback, min, max, help)
#define CREDENTIAL_ROW(section, key, type, fallback, min, max, help)                               \
    ROW_(struct settings_credential, key, section, key, type, fallback, min, max, help)
#define ROUTE_ROW(section, key, type, fallback, min, max, help)                                    \
    ROW_(struct settings_route, key, section, key, type, fallback, min, max, help)
#define CONTENT_RULE_ROW(section, key, type, fallback, min, max, help)                             \
    ROW_(struct settings_content_rule, key, section, key, type, fallback, min, max, help)
#define LOGIN_ROW(section, key, type, fallback, min, max, help)                                    \
    ROW_(struct settings_login, key, section, key, type, fallback, min, max, help)
#define OAUTH_ROW(section, key, type, fallback, min, max, help)                                    \
    ROW_(struct settings_oauth, key, section, key, type, fallback, min, max, help)

static const struct field single_fields[] = { SETTINGS_TABLE(ROW) };
static const struct field listener_fields[] = { SETTINGS_LISTENER(LISTENER_ROW) };
static const struct field certificate_fields[] = { SETTINGS_CERTIFICATE(CERTIFICATE_ROW) };
static const struct field tenant_fields[] = { SETTINGS_TENANT(TENANT_ROW) };
static const struct field credential_fields[] = { SETTINGS_CREDENTIAL(CREDENTIAL_ROW) };
static const struct field route_fields[] = { SETTINGS_ROUTE(ROUTE_ROW) };
static const struct field content_rule_fields[] = { SETTINGS_CONTENT_RULE(CONTENT_RULE_ROW) };
static const struct field login_fields[] = { SETTINGS_LOGIN(LOGIN_ROW) };
static const struct field oauth_fields[] = { SETTINGS_OAUTH(OAUTH_ROW) };

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
static const struct field_set login_set = { "auth", login_fields, COUNT(login_fields) };
static const struct field_set oauth_set = { "oauth", oauth_fields, COUNT(oauth_fields) };

const struct field_set *field_inner(const struct field *f)
{
    return f->type == FIELD_LOGIN ? &login_set : f->type == FIELD_OAUTH ? &oauth_set : NULL;
}

struct text_list field_list(const struct field *f, void *slot)
{
    struct settings_tenant *t = CONTAINER_OF(slot, struct settings_tenant, domains);
    struct settings_route *r = CONTAINER_OF(slot, struct settings_route, pins);

    if (f->type == FIELD_DOMAINS)
        return (struct text_list){ &t->domains, &t->domain_count, SETTINGS_LIST_MAX };
    return (struct text_list){ &r->pins, &r->pin_count, SETTINGS_PINS_MAX };
}

const struct field field_dev = {
    .section = "",
    .key = "dev",
    .fallback = "false",
    .help = "made by `angarium dev`; not for production",
    .type = FIELD_BOOL,
    .offset = offsetof(struct settings, dev.enabled),
};

/* Where each section begins in single_fields, and how many rows it has. */
#define COUNT_ROW(section, key, type, fallback, min, max, help) ROWS_##section##_##key,
enum row { SETTINGS_TABLE(COUNT_ROW) ROWS_ALL };

#define FIRST_node     ROWS_node_id
#define FIRST_cluster  ROWS_cluster_id
#define FIRST_http     ROWS_http_address
#define FIRST_tls      ROWS_tls_certificate
#define FIRST_resolver ROWS_resolver_address
#define FIRST_log      ROWS_log_level
#define FIRST_limits   ROWS_limits_message_size_max
#define FIRST_delivery ROWS_delivery_retry_base_ms
#define FIRST_content  ROWS_content_gtube
/* clang-format off */
#define SECTION(name, next) \
    { #name, single_fields + FIRST_##name, (size_t)(next) - (size_t)(FIRST_##name) }
/* clang-format on */

const struct field_set field_sections[] = {
    SECTION(node, FIRST_cluster),    SECTION(cluster, FIRST_http),     SECTION(http, FIRST_tls),
    SECTION(tls, FIRST_resolver),    SECTION(resolver, FIRST_log),     SECTION(log, FIRST_limits),
    SECTION(limits, FIRST_delivery), SECTION(delivery, FIRST_content), SECTION(content, ROWS_ALL),
};
const size_t field_section_count = sizeof field_sections / sizeof field_sections[0];

#define LIST(name, member, type, list_max)                                                         \
    {                                                                                              \
        .set = { #name, member##_fields, sizeof member##_fields / sizeof member##_fields[0] },     \
        .element_size = sizeof(struct type), .list_offset = offsetof(struct settings, name),       \
        .count_offset = offsetof(struct settings, member##_count), .max = (list_max),              \
    }

const struct list_kind field_lists[] = {
    LIST(listeners, listener, settings_listener, SETTINGS_LISTENERS_MAX),
    LIST(certificates, certificate, settings_certificate, SETTINGS_CERTIFICATES_MAX),
    LIST(tenants, tenant, settings_tenant, SETTINGS_LIST_MAX),
    LIST(credentials, credential, settings_credential, SETTINGS_LIST_MAX),
    LIST(routes, route, settings_route, SETTINGS_LIST_MAX),
    LIST(content_rules, content_rule, settings_content_rule, SETTINGS_CONTENT_RULES_MAX),
};
const size_t field_list_count = sizeof field_lists / sizeof field_lists[0];
