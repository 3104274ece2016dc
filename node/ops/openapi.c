/* openapi - GET /api/v1/openapi.json: OpenAPI 3.1, made from the table of routes, so that it lists
 * exactly them. The schemas are written by hand below.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/ops/inside.h"
#include "proto/ground/check.h"

/* ---- schemas: name, JSON Schema */

static const char *const schemas[][2] = {
    { "Object", "{\"type\":\"object\"}" },
    { "Problem",
      "{\"type\":\"object\",\"required\":[\"type\",\"title\",\"status\"],\"properties\":{"
      "\"type\":{\"type\":\"string\"},\"title\":{\"type\":\"string\"},\"status\":{\"type\":"
      "\"integer\"},"
      "\"detail\":{\"type\":\"string\"}}}" },
    { "Id", "{\"type\":\"string\",\"pattern\":\"^[0-9a-hjkmnp-tv-z]{13}$\"}" },
    { "Time", "{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}" },
    { "Post",
      "{\"type\":\"object\",\"required\":[\"from\",\"to\"],\"properties\":{\"from\":{\"type\":"
      "\"string\"},"
      "\"to\":{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"items\":{\"type\":\"string\"}"
      "}]},"
      "\"subject\":{\"type\":\"string\"},\"text\":{\"type\":\"string\"},\"html\":{\"type\":"
      "\"string\"},"
      "\"raw\":{\"type\":\"string\",\"description\":\"the whole mail, header and body\"}}}" },
    { "Taken", "{\"type\":\"object\",\"required\":[\"id\"],\"properties\":{\"id\":{\"$ref\":\"#/"
               "components/schemas/"
               "Id\"}}}" },
    { "Ordered", "{\"type\":\"object\",\"required\":[\"id\",\"done\"],\"properties\":{\"id\":{\"$"
                 "ref\":\"#/components/"
                 "schemas/Id\"},\"done\":{\"type\":\"string\"}}}" },
    { "Reply", "{\"type\":\"object\",\"properties\":{\"code\":{\"type\":\"integer\"},\"enhanced\":{"
               "\"type\":\"string\"}"
               ",\"text\":{\"type\":\"string\"}}}" },
    { "Event",
      "{\"type\":\"object\",\"required\":[\"id\",\"type\",\"time\",\"message_id\",\"recipient\","
      "\"tenant\",\"node\"],"
      "\"properties\":{\"id\":{\"type\":\"string\"},\"type\":{\"enum\":[\"accepted\",\"deferred\","
      "\"delivered\","
      "\"bounced\",\"expired\",\"suppressed\",\"cancelled\",\"in_doubt\",\"complained\",\"held\","
      "\"released\","
      "\"rejected\"]},\"time\":{\"$ref\":\"#/components/schemas/"
      "Time\"},\"message_id\":{\"$ref\":\"#/components/"
      "schemas/"
      "Id\"},\"recipient\":{\"type\":\"string\"},\"tenant\":{\"type\":\"string\"},\"node\":{"
      "\"type\":"
      "\"integer\"},\"attempt\":{\"type\":\"integer\"},\"remote_host\":{\"type\":\"string\"},"
      "\"remote_address\":{"
      "\"type\":\"string\"},\"source_address\":{\"type\":\"string\"},\"tls\":{\"type\":\"string\"},"
      "\"reply\":{\"$ref\":"
      "\"#/components/schemas/"
      "Reply\"},\"class\":{\"type\":\"string\"},\"next_attempt_at\":{\"$ref\":\"#/components/"
      "schemas/"
      "Time\"},\"mail_from\":{\"type\":\"string\"},\"size\":{\"type\":\"integer\"},\"by\":{"
      "\"type\":"
      "\"string\"}}}" },
    { "Recipient", "{\"type\":\"object\",\"required\":[\"number\",\"address\",\"domain\",\"state\","
                   "\"attempts\",\"doubts\"],"
                   "\"properties\":{\"number\":{\"type\":\"integer\"},\"address\":{\"type\":"
                   "\"string\"},\"domain\":{\"type\":"
                   "\"string\"},\"state\":{\"enum\":[\"waiting\",\"claimed\",\"held\","
                   "\"delivered\",\"bounced\",\"expired\","
                   "\"cancelled\",\"suppressed\"]},\"attempts\":{\"type\":\"integer\"},\"doubts\":{"
                   "\"type\":\"integer\"},"
                   "\"next_attempt_at\":{\"$ref\":\"#/components/schemas/"
                   "Time\"},\"last_reply\":{\"$ref\":\"#/components/schemas/"
                   "Reply\"},\"last_host\":{\"type\":\"string\"},\"class\":{\"type\":\"string\"},"
                   "\"in_doubt_since\":{\"$ref\":\"#/components/schemas/Time\"},"
                   "\"claimed_host\":{\"type\":\"string\"},"
                   "\"finished_at\":{\"$ref\":"
                   "\"#/components/schemas/Time\"}}}" },
    { "Message", "{\"type\":\"object\",\"required\":[\"id\",\"accepted_at\",\"mail_from\",\"size\","
                 "\"pending\",\"recipients\"],"
                 "\"properties\":{\"id\":{\"$ref\":\"#/components/schemas/"
                 "Id\"},\"accepted_at\":{\"$ref\":\"#/components/schemas/"
                 "Time\"},\"expires_at\":{\"$ref\":\"#/components/schemas/"
                 "Time\"},\"finished_at\":{\"$ref\":\"#/components/"
                 "schemas/"
                 "Time\"},\"mail_from\":{\"type\":\"string\"},\"size\":{\"type\":\"integer\"},"
                 "\"pending\":{\"type\":"
                 "\"integer\"},\"body_kept\":{\"type\":\"boolean\"},\"bounce_of\":{\"$ref\":\"#/"
                 "components/schemas/Id\"},"
                 "\"origin\":{\"type\":\"object\"},\"recipients\":{\"type\":\"array\",\"items\":{"
                 "\"$ref\":\"#/components/schemas/"
                 "Recipient\"}}}}" },
    { "Missing", "{\"type\":\"object\",\"required\":[\"node\",\"why\"],\"properties\":{\"node\":{"
                 "\"type\":\"integer\"},\"why\":{\"type\":\"string\"}}}" },
    { "Counts", "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}" },
    { "Node", "{\"type\":\"object\",\"required\":[\"id\",\"state\"],"
              "\"properties\":{\"id\":{"
              "\"type\":\"integer\"},\"hostname\":{\"type\":\"string\"},\"version\":{\"type\":"
              "\"string\"},\"format\":{"
              "\"type\":\"integer\"},\"state\":{\"enum\":[\"joining\",\"serving\",\"draining\","
              "\"gone\",\"cordoned\"]},\"started_"
              "at\":{\"$ref\":"
              "\"#/components/schemas/"
              "Time\"},\"shards\":{\"type\":\"integer\"},\"leads\":{\"type\":\"integer\"},"
              "\"to_remove\":{\"type\":\"integer\"},"
              "\"certificates\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/"
              "Certificate\"}}}}" },
    { "Certificate",
      "{\"type\":\"object\",\"required\":[\"use\",\"file\",\"names\",\"not_after\",\"spki_sha256\"]"
      ","
      "\"properties\":{\"use\":{\"enum\":[\"smtp\",\"http\"]},\"file\":{\"type\":\"string\"},"
      "\"names\":{\"type\":\"string\"},\"not_before\":{\"$ref\":\"#/components/schemas/Time\"},"
      "\"not_after\":{\"$ref\":\"#/components/schemas/Time\"},\"days_left\":{\"type\":\"integer\"},"
      "\"sha256\":{\"type\":\"string\"},\"spki_sha256\":{\"type\":\"string\"},"
      "\"chain\":{\"type\":\"integer\"},\"doubt\":{\"type\":[\"string\",\"null\"]}}}" },
    { "Token",
      "{\"type\":\"object\",\"required\":[\"token\",\"expires_at\"],\"properties\":{"
      "\"token\":{\"type\":\"string\"},\"expires_at\":{\"$ref\":\"#/components/schemas/Time\"}}}" },
    { "Upgrade", "{\"type\":\"object\",\"required\":[\"format\",\"known\",\"nodes\",\"may_finalize\"],"
                 "\"properties\":{\"format\":{\"type\":\"integer\"},\"known\":{\"type\":\"integer\"},"
                 "\"may_finalize\":{\"type\":\"boolean\"},\"why\":{\"type\":[\"string\",\"null\"]},"
                 "\"nodes\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"id\":{\"type\":"
                 "\"integer\"},\"up\":{\"type\":\"boolean\"},\"known\":{\"type\":[\"integer\",\"null\"]}}}}}}" },
    { "Region", "{\"type\":\"object\",\"required\":[\"region\",\"nodes\"],\"properties\":{\"region\":{\"type\":\"string\"},"
                "\"nodes\":{\"type\":\"integer\"},\"up\":{\"type\":\"integer\"},\"serving\":{\"type\":\"integer\"},"
                "\"replicas\":{\"type\":\"integer\"},\"leads\":{\"type\":\"integer\"}}}" },
    { "Joined", "{\"type\":\"object\",\"required\":[\"cluster\",\"nodes\"],\"properties\":{"
                "\"cluster\":{\"type\":\"string\"},\"nodes\":{\"type\":\"array\",\"items\":{"
                "\"type\":\"object\"}}}}" },
    { "Change", "{\"type\":\"object\",\"required\":[\"operation\",\"dry_run\",\"does\"],"
                "\"properties\":{\"operation\":{\"type\":[\"string\",\"null\"]},\"dry_run\":{"
                "\"type\":\"boolean\"},\"does\":{\"type\":\"array\",\"items\":{\"type\":"
                "\"string\"}},\"shard\":{\"type\":\"integer\"}}}" },
    { "Operation",
      "{\"type\":\"object\",\"required\":[\"id\",\"done\",\"progress\"],\"properties\":{"
      "\"id\":{\"type\":\"string\"},\"done\":{\"type\":\"boolean\"},\"progress\":{\"type\":"
      "\"string\"}}}" },
    { "Placement",
      "{\"type\":\"object\",\"required\":[\"id\",\"state\",\"version\",\"in_force\","
      "\"voters\"],\"properties\":{\"id\":{\"type\":\"integer\"},\"state\":{\"enum\":["
      "\"open\",\"closing\",\"closed\"]},\"version\":{\"type\":\"integer\"},\"in_force\":{"
      "\"type\":\"boolean\"},\"leader\":{\"type\":[\"integer\",\"null\"]},\"spread\":{\"enum\":[\"zone\",\"region\"]},\"voters\":{"
      "\"type\":\"array\",\"items\":{\"type\":\"integer\"}},\"holders\":{\"type\":\"array\","
      "\"items\":{\"type\":\"integer\"}},\"founders\":{\"type\":\"array\",\"items\":{"
      "\"type\":\"integer\"}}}}" },
    { "PlacementPage",
      "{\"type\":\"object\",\"required\":[\"items\",\"next_cursor\",\"settled\"],\"properties\":{\"items\":{\"type\":\"array\",\"items\":{"
      "\"$ref\":\"#/components/schemas/Placement\"}},\"next_cursor\":{\"type\":[\"string\",\"null\"]},\"settled\":{\"type\":\"boolean\"}}}" },
    { "Record",
      "{\"type\":\"object\",\"required\":[\"name\",\"version\"],\"properties\":{\"name\":{\"type\":\"string\"},"
      "\"version\":{\"type\":\"integer\"},\"tenant\":{\"type\":\"string\"},\"password\":{\"type\":\"string\","
      "\"writeOnly\":true}},\"additionalProperties\":true}" },
    { "Removed", "{\"type\":\"object\",\"required\":[\"name\",\"removed\"],\"properties\":{\"name\":{"
                 "\"type\":\"string\"},\"removed\":{\"type\":\"boolean\"}}}" },
    { "Shard", "{\"type\":\"object\",\"required\":[\"id\",\"leads\",\"role\",\"applied\","
               "\"digest\",\"counts\"],"
               "\"properties\":{\"id\":{\"type\":\"integer\"},\"leads\":{\"type\":\"boolean\"},"
               "\"role\":{\"type\":"
               "\"string\"},\"applied\":{\"type\":\"integer\"},\"digest\":{\"type\":\"string\"},"
               "\"counts\":{\"$ref\":"
               "\"#/components/schemas/Counts\"}}}" },
};

/* "EventPage" is a page of Event. */
static const char *const pages[][2] = { { "EventPage", "Event" },
                                        { "QueuePage", "Object" },
                                        { "NodePage", "Node" },
                                        { "RecordPage", "Record" },
                                        { "RegionPage", "Region" },
                                        { "ShardPage", "Shard" } };

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static json_t *ref(const char *schema)
{
    return json_pack("{s:o}", "$ref", json_sprintf("#/components/schemas/%s", schema));
}

static json_t *all_schemas(void)
{
    json_t *all = json_object();

    for (size_t i = 0; i < COUNT(schemas); i++) {
        json_t *one = json_loads(schemas[i][1], 0, NULL);

        CHECK(one);
        json_object_set_new(all, schemas[i][0], one);
    }
    for (size_t i = 0; i < COUNT(pages); i++)
        json_object_set_new(all, pages[i][0],
                            json_pack("{s:s, s:[s,s], s:{s:{s:s, s:o}, s:{s:[s,s]}, s:{s:s, s:o}, "
                                      "s:{s:s, s:{s:s}}}}",
                                      "type", "object", "required", "items", "next_cursor",
                                      "properties", "items", "type", "array", "items",
                                      ref(pages[i][1]), "next_cursor", "type", "string", "null",
                                      "missing", "type", "array", "items", ref("Missing"),
                                      "unanswered", "type", "array", "items", "type", "integer"));
    return all;
}

/* ---- operations */

static json_t *parameter(const char *name, size_t n, const char *in)
{
    bool is_path = strcmp(in, "path") == 0;

    return json_pack("{s:s%, s:s, s:b, s:{s:s}}", "name", name, n, "in", in, "required", is_path,
                     "schema", "type", "string");
}

static json_t *parameters(const struct route *r)
{
    json_t *list = json_array();
    const char *open = strchr(r->path, '{'), *close = strchr(r->path, '}'), *word = r->query;

    if (open && close)
        json_array_append_new(list, parameter(open + 1, (size_t)(close - open - 1), "path"));
    while (*word) {
        size_t n = strcspn(word, " ");

        json_array_append_new(list, parameter(word, n, "query"));
        word += n;
        word += strspn(word, " ");
    }
    return list;
}

static const char *media_type(const struct route *r)
{
    if (r->answer) return "application/json";
    if (strstr(r->path, "/stream")) return "text/event-stream";
    if (strstr(r->path, "/body")) return "message/rfc822";
    return "text/plain";
}

static json_t *responses(const struct route *r)
{
    bool is_post = strcmp(r->answer ? r->answer : "", "Taken") == 0;
    json_t *schema = r->answer ? ref(r->answer) : json_pack("{s:s}", "type", "string");

    return json_pack("{s:{s:s, s:{s:{s:o}}}, s:{s:s, s:{s:{s:o}}}}", is_post ? "202" : "200",
                     "description", r->summary, "content", media_type(r), "schema", schema,
                     "default", "description", "What went wrong (RFC 9457)", "content",
                     "application/problem+json", "schema", ref("Problem"));
}

static json_t *operation(const struct route *r)
{
    json_t *o = json_pack("{s:s, s:o, s:o}", "summary", r->summary, "parameters", parameters(r),
                          "responses", responses(r));

    if (r->needs_token) json_object_set_new(o, "security", json_pack("[{s:[]}]", "token"));
    if (r->run == route_post_message)
        json_object_set_new(o, "requestBody",
                            json_pack("{s:b, s:{s:{s:o}, s:{s:{s:s}}}}", "required", 1, "content",
                                      "application/json", "schema", ref("Post"), "message/rfc822",
                                      "schema", "type", "string"));
    return o;
}

static void add_route(json_t *paths, const struct route *r)
{
    json_t *path = json_object_get(paths, r->path);
    char method[8];
    size_t n = 0;

    for (; r->method[n] && n + 1 < sizeof method; n++)
        method[n] = (char)(r->method[n] - 'A' + 'a');
    method[n] = '\0';
    if (!path) {
        path = json_object();
        json_object_set_new(paths, r->path, path);
    }
    json_object_set_new(path, method, operation(r));
}

char *openapi_text(void)
{
    json_t *paths = json_object(), *all;
    char *text;

    for (unsigned i = 0; i < route_count; i++)
        add_route(paths, &routes[i]);
    all = json_pack("{s:s, s:{s:s, s:s}, s:o, s:{s:{s:{s:s, s:s}}, s:o}}", "openapi", "3.1.0",
                    "info", "title", "angarium", "version", ANGARIUM_VERSION, "paths", paths,
                    "components", "securitySchemes", "token", "type", "http", "scheme", "bearer",
                    "schemas", all_schemas());
    CHECK(all);
    text = json_dumps(all, JSON_INDENT(1));
    CHECK(text);
    json_decref(all);
    return text;
}

void route_openapi(struct call *c)
{
    char *text = openapi_text();

    call_answer_text(c, 200, "application/json", span_cstr(text));
    free(text);
}
