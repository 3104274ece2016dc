/* routes - which there are, and which one a request is for. OpenAPI is made from the same table. */
#include <stdio.h>

#include "node/ops/inside.h"

#define API "/api/v1"

/* clang-format off */
const struct route routes[] = {
    { "POST", API "/messages", route_post_message, true, "from to", "Take a mail in", "Taken" },
    { "GET", API "/messages/{id}", route_message, true, "", "A message and its recipients", "Message" },
    { "GET", API "/messages/{id}/events", route_message_events, true, "", "The whole story of a message", "EventPage" },
    { "GET", API "/messages/{id}/body", route_message_body, true, "recipient", "The message as it is or was sent", NULL },
    { "POST", API "/messages/{id}/hold", route_hold, true, "recipient", "Keep it back from delivery", "Ordered" },
    { "POST", API "/messages/{id}/release", route_release, true, "recipient", "Deliver what was held", "Ordered" },
    { "POST", API "/messages/{id}/cancel", route_cancel, true, "recipient", "End it without delivery", "Ordered" },
    { "GET", API "/queue", route_queue, true, "limit cursor state domain in_doubt scope", "Counts and pending messages", "QueuePage" },
    { "GET", API "/events", route_events, true, "type message recipient since limit cursor scope",
      "Events, shard by shard in the order of the log", "EventPage" },
    { "GET", API "/events/stream", route_event_stream, true, "type message recipient cursor scope",
      "Events as they happen (server-sent events)", NULL },
    { "GET", API "/nodes", route_nodes, true, "scope", "The nodes", "NodePage" },
    { "GET", API "/shards", route_shards, true, "scope", "The shards", "ShardPage" },
    { "GET", API "/nodes/{id}", route_node, true, "", "A node of the cluster", "Object" },
    { "POST", API "/nodes/{id}/cordon", route_cordon, true, "dry_run", "Nothing new comes to it", "Change" },
    { "POST", API "/nodes/{id}/uncordon", route_uncordon, true, "dry_run", "It serves again", "Change" },
    { "POST", API "/nodes/{id}/drain", route_drain, true, "dry_run", "What it holds moves away", "Change" },
    { "POST", API "/nodes/{id}/remove", route_remove, true, "dry_run force", "It is gone for ever", "Change" },
    { "POST", API "/nodes/{id}/promote", route_promote, true, "dry_run", "It votes in control before others", "Change" },
    { "GET", API "/placements", route_placements, true, "", "Where all shards of the cluster are", "PlacementPage" },
    { "POST", API "/shards", route_create_shard, true, "dry_run node spread", "One more shard", "Change" },
    { "GET", API "/shards/{id}", route_shard, true, "", "Where a shard is", "Placement" },
    { "POST", API "/shards/{id}/close", route_close_shard, true, "dry_run", "It takes no new mail and empties", "Change" },
    { "POST", API "/shards/{id}/transfer", route_transfer_shard, true, "dry_run to", "Another voter leads it", "Change" },
    { "POST", API "/shards/{id}/move", route_move_shard, true, "dry_run voters", "Other nodes hold it", "Change" },
    { "GET", API "/operations/{id}", route_operation, true, "", "How far it is", "Operation" },
    { "POST", API "/join-tokens", route_join_token, true, "", "Let one more node in, for a while", "Token" },
    { "POST", API "/join", route_join, false, "", "A node with a new disk comes, with a join token", "Joined" },
    { "GET", API "/regions", route_regions, true, "", "The regions", "RegionPage" },
    { "POST", API "/regions/{id}/drain", route_drain_region, true, "dry_run", "Everything moves away from a region", "Change" },
    { "GET", API "/upgrade", route_upgrade, true, "", "Formats: in force, known, and by whom", "Upgrade" },
    { "POST", API "/upgrade/finalize", route_finalize, true, "dry_run", "The newest format that all nodes know is in force", "Upgrade" },
    { "GET", API "/backups/{shard}", route_backup, true, "", "The state of a shard that this node leads, or of control (0)", NULL },
    { "GET", API "/tenants", route_records, true, "limit cursor", "The tenants", "RecordPage" },
    { "POST", API "/tenants", route_make_record, true, "", "Make a tenant", "Record" },
    { "GET", API "/tenants/{id}", route_record, true, "", "Show a tenant", "Record" },
    { "PUT", API "/tenants/{id}", route_put_record, true, "", "Write a tenant, whole", "Record" },
    { "DELETE", API "/tenants/{id}", route_drop_record, true, "", "Remove a tenant", "Removed" },
    { "GET", API "/credentials", route_records, true, "limit cursor tenant", "The credentials", "RecordPage" },
    { "POST", API "/credentials", route_make_record, true, "", "Make a credential", "Record" },
    { "GET", API "/credentials/{id}", route_record, true, "", "Show a credential", "Record" },
    { "PUT", API "/credentials/{id}", route_put_record, true, "", "Write a credential, whole", "Record" },
    { "DELETE", API "/credentials/{id}", route_drop_record, true, "", "Remove a credential", "Removed" },
    { "GET", API "/domains", route_records, true, "limit cursor tenant", "The domains", "RecordPage" },
    { "POST", API "/domains", route_make_record, true, "", "Make a domain", "Record" },
    { "GET", API "/domains/{id}", route_record, true, "", "Show a domain", "Record" },
    { "PUT", API "/domains/{id}", route_put_record, true, "", "Write a domain, whole", "Record" },
    { "DELETE", API "/domains/{id}", route_drop_record, true, "", "Remove a domain", "Removed" },
    { "GET", API "/routes", route_records, true, "limit cursor", "The routes", "RecordPage" },
    { "POST", API "/routes", route_make_record, true, "", "Make a route", "Record" },
    { "GET", API "/routes/{id}", route_record, true, "", "Show a route", "Record" },
    { "PUT", API "/routes/{id}", route_put_record, true, "", "Write a route, whole", "Record" },
    { "DELETE", API "/routes/{id}", route_drop_record, true, "", "Remove a route", "Removed" },
    { "GET", API "/rules", route_records, true, "limit cursor tenant", "The content rules", "RecordPage" },
    { "POST", API "/rules", route_make_record, true, "", "Make a content rule", "Record" },
    { "GET", API "/rules/{id}", route_record, true, "", "Show a content rule", "Record" },
    { "PUT", API "/rules/{id}", route_put_record, true, "", "Write a content rule, whole", "Record" },
    { "DELETE", API "/rules/{id}", route_drop_record, true, "", "Remove a content rule", "Removed" },
    { "GET", API "/settings", route_records, true, "limit cursor", "The settings", "RecordPage" },
    { "POST", API "/settings", route_make_record, true, "", "Make a setting of the whole cluster", "Record" },
    { "GET", API "/settings/{id}", route_record, true, "", "Show a setting of the whole cluster", "Record" },
    { "PUT", API "/settings/{id}", route_put_record, true, "", "Write a setting of the whole cluster, whole", "Record" },
    { "DELETE", API "/settings/{id}", route_drop_record, true, "", "Remove a setting of the whole cluster", "Removed" },
    { "GET", API "/openapi.json", route_openapi, false, "", "This description", "Object" },
    { "GET", "/livez", route_livez, false, "verbose", "Is the process alive?", NULL },
    { "GET", "/readyz", route_readyz, false, "verbose", "Can it take mail?", NULL },
    { "GET", "/startupz", route_startupz, false, "verbose", "Has it started?", NULL },
    { "GET", "/metrics", route_metrics, false, "", "Metrics for Prometheus", NULL },
};
/* clang-format on */
const unsigned route_count = sizeof routes / sizeof routes[0];

/* The next piece of a path behind its slash; false at the end. */
static bool next_piece(struct span *rest, struct span *piece)
{
    size_t end;

    if (rest->n == 0 || rest->p[0] != '/') return false;
    end = span_find(*rest, 1, '/');
    *piece = span_sub(*rest, 1, end - 1);
    *rest = span_from(*rest, end);
    return true;
}

static bool path_fits(const char *pattern, struct span path, struct span *param)
{
    struct span want = span_cstr(pattern), have = path, w, h;

    *param = span_of("", 0);
    while (want.n > 0 && have.n > 0) {
        if (!next_piece(&want, &w) || !next_piece(&have, &h)) return false;
        if (w.n > 0 && w.p[0] == '{' && h.n > 0)
            *param = h;
        else if (!span_eq(w, h))
            return false;
    }
    return want.n == 0 && have.n == 0;
}

static void add_allowed(char *allow, size_t size, const char *method)
{
    size_t n = strlen(allow);

    snprintf(allow + n, size - n, "%s%s", n > 0 ? ", " : "", method);
}

enum routing route_find(struct span method, struct span path, const struct route **out, char *param,
                        size_t param_size, char *allow, size_t allow_size)
{
    struct span wanted = span_eq(method, SPAN_LIT("HEAD")) ? SPAN_LIT("GET") : method, piece;
    bool path_known = false;

    allow[0] = '\0';
    for (unsigned i = 0; i < route_count; i++) {
        if (!path_fits(routes[i].path, path, &piece)) continue;
        path_known = true;
        add_allowed(allow, allow_size, routes[i].method);
        if (!span_eq(wanted, span_cstr(routes[i].method))) continue;
        if (!http_decode(piece, param, param_size)) return ROUTING_NO_PATH;
        *out = &routes[i];
        return ROUTING_FOUND;
    }
    return path_known ? ROUTING_NO_METHOD : ROUTING_NO_PATH;
}
