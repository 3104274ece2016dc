/* records - the records of the whole cluster (node/control) as settings, and back. On a node of a cluster they take the place
 * of the lists of its settings file (tenants, credentials, routes, content_rules), and settings of the cluster that of the
 * file's: what is in force is settings_with_records.
 *
 * A record's name and tenant are the members that name it in a file: a credential's username and tenant, a route's match, a
 * rule's name; a tenant's domains are records of their own. Its fields are the other members, those of inner mappings behind a
 * dot ("auth.oauth.token_url"). A setting is called "delivery.expire_ms" and has the one field "value"; those of `limits`,
 * `delivery` and `content` can be.
 * Routes go by how much they say: a name before the domains below one, longer ones first, "*" last. Rules by their names.
 */
#ifndef SETTINGS_RECORDS_H
#define SETTINGS_RECORDS_H

#include "node/control/control.h"
#include "node/settings/settings.h"

/* Whether the record can be in force. with_files: files that it names have to be there, on this node. Blocks a little then. 0,
 * or ERR_CONFIG and what is wrong. */
int settings_record_check(const Angarium__ControlRecord *r, bool with_files, struct errmsg *why);
/* The form of a name that all spellings share: domains and routes in lower case. In place. */
void settings_record_name(enum control_kind kind, char *name);

/* New settings: `file` with the records in their places; before the import there are none. Records that cannot be (of a newer
 * version) are left out and counted; `why` names the first. */
struct settings *settings_with_records(const struct settings *file, const struct control *c,
                                       unsigned *left_out, struct errmsg *why);

/* The lists of a file as records, tenants first. */
struct settings_records {
    Angarium__ControlRecord **list;
    size_t count;
};
void settings_records_of(const struct settings *s, struct settings_records *out);
void settings_records_free(struct settings_records *r);
/* How many of them control has not, or has otherwise. */
unsigned settings_records_missing(const struct settings_records *r, const struct control *c);

#endif
