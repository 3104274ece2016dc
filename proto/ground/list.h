/* list - an intrusive doubly linked list. A node is in at most one list; an init'ed or removed node
 * points to itself, so list_remove() twice is harmless. */
#ifndef GROUND_LIST_H
#define GROUND_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define LIST_FOR(it, head)              for (struct list *it = (head)->next; it != (head); it = it->next)
/* Safe when the body removes `it`. */
#define LIST_FOR_SAFE(it, head)                                                                    \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline void list_add(struct list *head, struct list *node) /* at the end */
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}
static inline void list_add_first(struct list *head, struct list *node)
{
    list_add(head->next, node);
}
static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}
static inline struct list *list_first(const struct list *head) /* NULL when empty */
{
    return list_empty(head) ? NULL : head->next;
}
static inline struct list *list_take_first(struct list *head)
{
    struct list *node = list_first(head);
    if (node) list_remove(node);
    return node;
}

#endif
